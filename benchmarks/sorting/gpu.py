"""
What a GPU brings to sorting: deepsort beside Kilosort4 on a machine with CUDA.

`python benchmarks/sorting/gpu.py` writes benchmarks/results/gpu_sorting.json; it needs CUDA and `pip install kilosort`.
All times are by the clock, on a recording with 384 channels and units that the sorter's detector was not made from
(`foreign_templates`), after a warm-up that loads and compiles everything.
Sorters run with default settings; deepsort, which computes on CPUs, is given one worker per core.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import spikeinterface.core as si
import torch
from scaling import Case, generate
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.sorters import run_sorter

import si_deepsort  # noqa: F401  the sorter makes itself known
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results

CASE = Case("two columns, 384 channels", 150)
WARM_UP_S = 10.0


def sort(folder: Path, duration_s: float, sorters: dict[str, tuple[str, dict]]) -> list[dict]:
    """Seconds per recorded minute and accuracy of each sorter on the first seconds of a generated recording."""
    recording, truth = si.load(folder / "recording"), si.load(folder / "truth")
    frames = round(duration_s * recording.get_sampling_frequency())
    recording, truth = recording.frame_slice(0, frames), truth.frame_slice(0, frames)
    start = recording.frame_slice(0, min(frames, round(WARM_UP_S * recording.get_sampling_frequency())))
    rows = []
    for label, (name, parameters) in sorters.items():
        out = Path(tempfile.mkdtemp())
        run_sorter(name, start, folder=out / "warm", verbose=False, **parameters)
        clock, cpu = time.perf_counter(), time.process_time()
        sorting = run_sorter(name, recording, folder=out / "sorted", verbose=False, **parameters)
        clock_s, cpu_s = time.perf_counter() - clock, time.process_time() - cpu
        comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
        row = dict(
            sorter=label,
            seconds_per_minute=60 * clock_s / duration_s,
            cpu_s_of_this_process=cpu_s,
            accuracy=float(comparison.get_performance()["accuracy"].mean()),
            units=len(sorting.unit_ids),
            false_positive_units=len(comparison.get_false_positive_units(redundant_score=0.2)),
        )
        print(row, flush=True)
        rows.append(row)
    return rows


def main():
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu_sorting.json"))
    parser.add_argument("--duration-s", type=float, default=60.0, help="of the recording that is sorted")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.mkdtemp()), help="keeps the recording")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    si.set_global_job_kwargs(n_jobs=cores)
    generate(replace(CASE, minutes=max(arguments.duration_s, 20.0) / 60), arguments.seed, arguments.folder)
    si.reset_global_job_kwargs()
    sorters = {
        "kilosort4 on the GPU": ("kilosort4", {}),
        f"deepsort, {cores} workers": ("deepsort", {"job_kwargs": {"n_jobs": cores}}),
    }
    rows = sort(arguments.folder, arguments.duration_s, sorters)
    document = provenance(seeds=[arguments.seed]) | dict(device=torch.cuda.get_device_name(), sorting=rows)
    write_results(document | dict(tables={"gpu-sorting": table_of(document)}), arguments.out)


def table_of(document: dict) -> dict:
    """Time, accuracy and false-positive units of each sorter."""
    rows = [
        [r["sorter"], round(r["seconds_per_minute"], 1), round(r["accuracy"], 3), r["false_positive_units"]]
        for r in document["sorting"]
    ]
    machine = f"{document['device']}, {document['machine']['num_cores']} cores"
    return {
        "caption": f"{CASE.num_units} generated units on 384 channels; {machine}.",
        "columns": ["sorter", "seconds per recorded minute", "accuracy", "false-positive units"],
        "rows": rows,
    }


if __name__ == "__main__":
    main()
