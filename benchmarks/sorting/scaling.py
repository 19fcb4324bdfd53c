"""
Cost against duration and channels, and identity of two runs with the same seed.

`python benchmarks/sorting/scaling.py` writes benchmarks/results/scaling.json and scaling.png after each recording; with
default settings, thus one worker. Each sorting runs in a process of its own, after one on the first seconds that loads
and compiles everything; CPU time and peak memory are those of the process. Lupin, the best of SpikeInterface's own
sorters, sorts the recordings of one minute in the same way. The recordings hold 16-bit integers, as those of amplifiers
do; the longest takes 14 GB on disk, and the sorter's cache half as much. `--cases` chooses some of the recordings.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from probeinterface import generate_multi_columns_probe
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.sorters import read_sorter_folder, run_sorter

import si_deepsort  # noqa: F401  the sorter makes itself known
from si_deepsort.benchmarking.case import peak_memory_mb
from si_deepsort.benchmarking.foreign_templates import foreign_templates
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe

ROOT = Path(__file__).parents[2]
UV_PER_COUNT = 0.195
# Seconds of a recording that are sorted first.
WARM_UP_S = 5.0
PEER = "lupin"


@dataclass(frozen=True)
class Case:
    """A recording: a probe of two columns or a named one, its true units, and how long."""

    probe: str
    num_units: int
    minutes: float = 1.0


CASES = (
    Case("linear32", 20),
    Case("linear32", 20, minutes=2.0),
    Case("linear32", 20, minutes=4.0),
    Case("two columns, 64 channels", 25),
    Case("two columns, 64 channels", 25, minutes=10.0),
    Case("two columns, 128 channels", 50),
    Case("two columns, 384 channels", 150),
    Case("two columns, 384 channels", 150, minutes=10.0),
)


def sort_in_this_process(recording_folder: str, out: str, sorter: str):
    """Sort and print cost and a hash of the spike trains as JSON."""
    recording = si.load(recording_folder)
    start = recording.frame_slice(0, round(WARM_UP_S * recording.get_sampling_frequency()))
    run_sorter(sorter, start, folder=f"{out}_warm", verbose=False)
    warm_memory = peak_memory_mb()
    cpu, wall = time.process_time(), time.perf_counter()
    sorting = run_sorter(sorter, recording, folder=out, verbose=False)
    record = {
        "cpu_s": round(time.process_time() - cpu, 2),
        "wall_s": round(time.perf_counter() - wall, 2),
        "peak_memory_mb": round(peak_memory_mb()),
        "memory_before_mb": round(warm_memory),
        "units": len(sorting.unit_ids),
        "spikes": int(sorting.count_total_num_spikes()),
        "spike_trains_sha256": hashlib.sha256(sorting.to_spike_vector().tobytes()).hexdigest(),
    }
    print("RESULT " + json.dumps(record))


def measure(folder: Path, out: Path, sorter: str = "deepsort") -> dict:
    """Sort the recording of a folder in a fresh process, and compare with the truth."""
    command = [sys.executable, __file__, "--sort", str(folder / "recording"), str(out), sorter]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(done.stderr[-2000:])
    truth = si.load(folder / "truth")
    comparison = compare_sorter_to_ground_truth(truth, read_sorter_folder(out), exhaustive_gt=True)
    quality = dict(
        accuracy=round(float(comparison.get_performance()["accuracy"].mean()), 3),
        false_positive_units=len(comparison.get_false_positive_units(redundant_score=0.2)),
    )
    return json.loads(lines[0].removeprefix("RESULT ")) | quality


def generate(case: Case, seed: int, folder: Path):
    """Recording and truth of a case, unless they are there."""
    if (folder / "recording").is_dir():
        return
    settings = GenerationSettings(duration_s=60.0 * case.minutes, num_units=case.num_units, seed=seed)
    units = foreign_templates(make_probe(case.probe), case.num_units, seed=seed)
    recording, truth = generate_recording(units.probe, settings, templates_uV=units.templates_uV, nbefore=units.nbefore)
    truth.save(folder=folder / "truth", overwrite=True)
    recording = spre.astype(spre.scale(recording, gain=1 / UV_PER_COUNT), "int16", round=True)
    recording.set_channel_gains(UV_PER_COUNT)
    recording.set_channel_offsets(0.0)
    partial = folder / "partial"
    recording.save(folder=partial, overwrite=True, verbose=False, progress_bar=False)
    partial.rename(folder / "recording")


def make_probe(name: str):
    """A named layout, or two columns like those of a Neuropixels 2.0 shank."""
    if not name.startswith("two columns"):
        return named_probe(name)
    num_channels = int(name.split()[2])
    probe = generate_multi_columns_probe(2, num_channels // 2, xpitch=32.0, ypitch=15.0)
    probe.set_device_channel_indices(np.arange(num_channels))
    return probe


def table_of(records: list[dict], conditions: str) -> dict:
    """Cost of all recordings."""
    caption = "Cost"
    of_32 = {record["duration_s"]: record["cpu_s"] for record in records if record["channels"] == 32}
    if {60.0, 120.0} <= set(of_32):
        caption = f"Cost; twice the duration takes {of_32[120.0] / of_32[60.0]:.2f} times the CPU time"
    caption += f"; {conditions}:" if conditions else ":"
    columns = ["probe", "true units", "recorded s", "CPU-s per recorded s", "peak memory in MB", "units", "accuracy"]
    columns += [f"{PEER}: CPU time, relative", f"{PEER}: accuracy"]
    rows = [
        [
            *(r["probe"], r["true_units"], r["duration_s"], r["cpu_s"] / r["duration_s"]),
            *(r["peak_memory_mb"], r["units"], r["accuracy"]),
            *((r[PEER]["cpu_s"] / r["cpu_s"], r[PEER]["accuracy"]) if PEER in r else ("", "")),
        ]
        for r in records
    ]
    return dict(caption=caption, columns=columns, rows=rows)


def plot(records: list[dict], path: Path):
    """CPU time and memory against channels (one minute) and duration."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(8, 6), layout="constrained")
    minute = sorted((r for r in records if r["duration_s"] == 60), key=lambda r: r["channels"])
    panels = [("channels", "channels", {"60 s": minute})]
    groups = {f"{n} channels": [r for r in records if r["channels"] == n] for n in (32, 64, 384)}
    panels.append(("duration_s", "recorded s", groups))
    for column, (key, label, lines) in enumerate(panels):
        for row, (value, name) in enumerate([("cpu_s", "CPU-s"), ("peak_memory_mb", "peak memory in MB")]):
            axis = axes[row, column]
            for line, own in lines.items():
                axis.plot([r[key] for r in own], [r[value] for r in own], "o-", label=line)
            axis.set(xlabel=label, ylabel=name, xlim=(0, None), ylim=(0, None))
            axis.legend()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sort", nargs=3, metavar=("RECORDING", "OUT", "SORTER"), help="used by the script itself")
    parser.add_argument("--seed", type=int, default=300, help="of the recordings")
    parser.add_argument("--conditions", default="", help="what a reader of the numbers should know, e.g. other jobs")
    parser.add_argument("--cases", type=int, nargs="+", default=range(len(CASES)), help="numbers of the recordings")
    parser.add_argument("--recordings", type=Path, help="recordings are kept here, and used again")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "scaling.json")
    arguments = parser.parse_args()
    if arguments.sort:
        sort_in_this_process(*arguments.sort)
        return
    document = dict(
        **provenance(seeds=[arguments.seed]),
        conditions=arguments.conditions,
        records=[],
    )
    records = document["records"]
    for case in (CASES[number] for number in arguments.cases):
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            own = (arguments.recordings or folder) / f"{case.probe.replace(', ', ' ')} {case.minutes:g} min"
            generate(case, arguments.seed, own)
            facts = dict(
                probe=case.probe,
                channels=make_probe(case.probe).get_contact_count(),
                duration_s=60.0 * case.minutes,
                true_units=case.num_units,
            )
            records.append(facts | measure(own, folder / "out"))
            if case.minutes == 1.0:
                records[-1][PEER] = measure(own, folder / PEER, PEER)
            print(records[-1], flush=True)
            if len(records) == 1:
                again = measure(own, folder / "again")["spike_trains_sha256"]
                document["same_seed_gives_identical_spike_trains"] = again == records[0]["spike_trains_sha256"]
        document["tables"] = {"scaling": table_of(records, arguments.conditions)}
        write_results(document, arguments.out)
        plot(records, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
