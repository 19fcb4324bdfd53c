"""
Cost against duration, and identity of two runs with the same seed.

`python benchmarks/scaling.py` writes benchmarks/results/scaling.json. Each sorting runs in a process of its own, after
one on the first seconds that loads and compiles everything; CPU time and peak memory are those of the process.
"""

import argparse
import hashlib
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from probeinterface import generate_multi_columns_probe

from si_deepsort.benchmarking.report import write_results
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe
from si_deepsort.report.environment import package_versions

ROOT = Path(__file__).parent.parent
# Probe, number of units, duration relative to the shortest.
CASES = [("linear32", 20, 1.0), ("linear32", 20, 2.0), ("neuropixels2, 384 channels", 150, 1.0)]


def sort_in_this_process(recording_folder: str, out: str):
    """Sort and print cost and a hash of the spike trains as JSON."""
    import spikeinterface.core as si
    from spikeinterface.sorters import run_sorter

    recording = si.load(recording_folder)
    start = recording.frame_slice(0, round(5 * recording.get_sampling_frequency()))
    run_sorter("deepsort", start, folder=f"{out}_warm", verbose=False)
    warm_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpu, wall = time.process_time(), time.perf_counter()
    sorting = run_sorter("deepsort", recording, folder=out, verbose=False)
    record = {
        "cpu_s": round(time.process_time() - cpu, 2),
        "wall_s": round(time.perf_counter() - wall, 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "memory_before_mb": round(warm_memory),
        "units": len(sorting.unit_ids),
        "spikes": int(sorting.count_total_num_spikes()),
        "spike_trains_sha256": hashlib.sha256(sorting.to_spike_vector().tobytes()).hexdigest(),
    }
    print("RESULT " + json.dumps(record))


def measure(recording_folder: Path, out: Path) -> dict:
    """Sort in a fresh process."""
    command = [sys.executable, __file__, "--sort", str(recording_folder), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(lines[0].removeprefix("RESULT "))


def make_probe(name: str):
    """A named layout, or two columns of a whole Neuropixels 2.0 shank."""
    if name != "neuropixels2, 384 channels":
        return named_probe(name)
    probe = generate_multi_columns_probe(2, 192, xpitch=32.0, ypitch=15.0)
    probe.set_device_channel_indices(np.arange(384))
    return probe


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sort", nargs=2, metavar=("RECORDING", "OUT"), help="used by the script itself")
    parser.add_argument("--seed", type=int, default=300, help="of the recordings")
    parser.add_argument("--duration", type=float, default=60.0, help="of the shorter recording, in s")
    arguments = parser.parse_args()
    if arguments.sort:
        sort_in_this_process(*arguments.sort)
        return
    records = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for number, (name, num_units, factor) in enumerate(CASES):
            settings = GenerationSettings(
                duration_s=factor * arguments.duration, num_units=num_units, seed=arguments.seed
            )
            recording, _ = generate_recording(make_probe(name), settings)
            recording.save(folder=folder / f"rec{number}", verbose=False, progress_bar=False)
            facts = dict(probe=name, channels=recording.get_num_channels(), duration_s=settings.duration_s)
            facts["true_units"] = num_units
            records.append(facts | measure(folder / f"rec{number}", folder / f"out{number}"))
            print(records[-1], flush=True)
            if number == 0:
                again = measure(folder / "rec0", folder / "again")
    double = records[1]["cpu_s"] / records[0]["cpu_s"]
    table = dict(
        caption=f"Cost; twice the duration takes {double:.2f} times the CPU time:",
        columns=["probe", "channels", "recorded s", "CPU-s per recorded s", "peak memory in MB", "units"],
        rows=[
            [r["probe"], r["channels"], r["duration_s"], r["cpu_s"] / r["duration_s"], r["peak_memory_mb"], r["units"]]
            for r in records
        ],
    )
    document = dict(
        command=f"python benchmarks/scaling.py --duration {arguments.duration:g}",
        versions=package_versions(),
        machine=platform.machine(),
        seed=arguments.seed,
        records=records,
        cpu_ratio_of_twice_the_duration=round(double, 3),
        same_seed_gives_identical_spike_trains=again["spike_trains_sha256"] == records[0]["spike_trains_sha256"],
        tables={"scaling": table},
    )
    write_results(document, ROOT / "benchmarks" / "results" / "scaling.json")


if __name__ == "__main__":
    main()
