"""
Clock time against workers: `python benchmarks/sorting/workers.py` writes benchmarks/results/workers.json.

Each sorting runs in a process of its own, after one on the first seconds that loads and compiles everything. Kinds of
workers take turns, so that what else the machine does meets all of them; the table holds medians. The serial share is
the CPU time of the main thread, relative to all of it. With `--dask`, the workers of a local dask cluster match the
whole recording, and the time of this step is compared. Nothing else should run: clock times say little otherwise.
"""

import argparse
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from scaling import CASES, WARM_UP_S, Case, generate, make_probe
from spikeinterface.sorters import run_sorter

import si_deepsort  # noqa: F401  the sorter makes itself known
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results

ROOT = Path(__file__).parents[2]
# Number of workers and their kind; the first one is what the others are compared with.
WORKERS = ((1, "thread"), (2, "thread"), (2, "process"))
DASK = ((1, "dask"), (2, "dask"))


def sort_in_this_process(recording_folder: str, out: str, number: int, kind: str):
    """Sort and print clock time, CPU time and a hash of the spike trains as JSON."""
    recording = si.load(recording_folder)
    start = recording.frame_slice(0, round(WARM_UP_S * recording.get_sampling_frequency()))
    with workers(number, kind) as options:
        run_sorter("deepsort", start, folder=f"{out}_warm", verbose=False, **options)
        wall, cpu, main = time.perf_counter(), cpu_s(), time.thread_time()
        sorting = run_sorter("deepsort", recording, folder=out, verbose=False, **options)
        record = dict(
            wall_s=time.perf_counter() - wall,
            cpu_s=cpu_s() - cpu,
            main_thread_cpu_s=time.thread_time() - main,
            last_matching_s=last_matching_s(Path(out) / "sorter_output" / "steps"),
            units=len(sorting.unit_ids),
            spike_trains_sha256=hashlib.sha256(sorting.to_spike_vector().tobytes()).hexdigest(),
        )
    print("RESULT " + json.dumps(record))


@contextlib.contextmanager
def workers(number: int, kind: str):
    """Options of the sorter for so many workers of a kind."""
    if kind != "dask":
        yield dict(job_kwargs=dict(n_jobs=number, pool_engine=kind))
        return
    from distributed import LocalCluster

    with LocalCluster(n_workers=number, threads_per_worker=1, dashboard_address=None) as cluster:
        yield dict(dask_scheduler=cluster.scheduler_address)


def cpu_s() -> float:
    """CPU time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def last_matching_s(steps: Path) -> float:
    """Time in s between the last two steps that were finished: the last matching, and the templates for it."""
    before, last = sorted(file.stat().st_mtime for file in steps.glob("*.npy") if "_part_" not in file.name)[-2:]
    return last - before


def measure(recording: Path, out: Path, number: int, kind: str) -> dict:
    """Sort the recording of a folder in a fresh process."""
    command = [sys.executable, __file__, "--sort", str(recording), str(out), str(number), kind]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(lines[0].removeprefix("RESULT "))


def measure_case(case: Case, recording: Path, kinds: tuple, repeats: int, folder: Path) -> list[dict]:
    """Medians over repeats for each kind of workers."""
    runs: dict[tuple, list[dict]] = {kind: [] for kind in kinds}
    for repeat in range(repeats):
        for number, kind in kinds:
            found = measure(recording, folder / f"{number}_{kind}_{repeat}", number, kind)
            runs[number, kind].append(found)
            print(case.probe, number, kind, {name: found[name] for name in ("wall_s", "cpu_s")}, flush=True)
    hashes = {one["spike_trains_sha256"] for own in runs.values() for one in own}
    facts = dict(probe=case.probe, channels=make_probe(case.probe).get_contact_count(), duration_s=60 * case.minutes)
    return [
        facts
        | dict(workers=number, kind=kind, repeats=repeats, same_spikes=len(hashes) == 1, all_runs=own)
        | {name: float(np.median([one[name] for one in own])) for name in own[0] if name.endswith("_s")}
        for (number, kind), own in runs.items()
    ]


def table_of(records: list[dict]) -> dict:
    """Clock time of all kinds of workers, and how many times faster they are than the first one of their case."""
    columns = ["probe", "recorded s", "workers", "clock s", "times faster", "CPU-s", "main thread, share of CPU time"]
    columns += ["last matching: clock s", "times faster", "same spikes"]
    rows, first = [], {}
    for record in records:
        case = record["probe"], record["duration_s"], record["kind"] == "dask"
        one = first.setdefault(case, record)
        rows.append(
            [
                *(record["probe"], record["duration_s"], f"{record['workers']} {record['kind']}"),
                *(record["wall_s"], one["wall_s"] / record["wall_s"], record["cpu_s"]),
                record["main_thread_cpu_s"] / record["cpu_s"] if record["kind"] == "thread" else "",
                *(record["last_matching_s"], one["last_matching_s"] / record["last_matching_s"]),
                "yes" if record["same_spikes"] else "no",
            ]
        )
    return dict(caption="Clock time against workers, medians over repeats:", columns=columns, rows=rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sort", nargs=4, metavar=("RECORDING", "OUT", "NUMBER", "KIND"), help="used by the script")
    parser.add_argument("--seed", type=int, default=300, help="of the recordings")
    parser.add_argument("--cases", type=int, nargs="+", default=[3], help="numbers of the recordings of scaling.py")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dask", action="store_true", help="also with the workers of a local dask cluster")
    parser.add_argument("--recordings", type=Path, help="recordings are kept here, and used again, as scaling.py does")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "workers.json")
    arguments = parser.parse_args()
    if arguments.sort:
        recording, out, number, kind = arguments.sort
        sort_in_this_process(recording, out, int(number), kind)
        return
    document = dict(**provenance(seeds=[arguments.seed]), records=[])
    kinds = WORKERS + (DASK if arguments.dask else ())
    for case in (CASES[number] for number in arguments.cases):
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            own = (arguments.recordings or folder) / f"{case.probe.replace(', ', ' ')} {case.minutes:g} min"
            generate(case, arguments.seed, own)
            document["records"] += measure_case(case, own / "recording", kinds, arguments.repeats, folder)
        document["tables"] = {"workers": table_of(document["records"])}
        write_results(document, arguments.out)
    print(json.dumps(document["tables"]["workers"]["rows"], indent=1))


if __name__ == "__main__":
    main()
