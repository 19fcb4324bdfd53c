"""
What a GPU brings to sorting: each step compared with the CPU, whole sortings beside the CPU and Kilosort4.

`python benchmarks/sorting/gpu.py` writes benchmarks/results/gpu.json; it needs CUDA, and `pip install kilosort` for the
comparison (it says so otherwise). All times are by the clock, after a warm-up that loads and compiles everything. Units
are those of `foreign_templates`, which no step was made from. Sorters run with default settings; deepsort has one
worker per core. Results are written after each sorting, so that an interrupted run leaves what it has measured.

`--device cpu --channels 16 --units 4 --seconds 5` runs all of it by PyTorch on the CPU: it shows that the script works,
and says nothing about speed.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import spikeinterface.core as si
import torch
from gpu_steps import compare_steps
from gpu_steps import table_of as table_of_steps
from scaling import Case, generate
from spikeinterface.comparison import compare_sorter_to_ground_truth, compare_two_sorters
from spikeinterface.sorters import run_sorter

import si_deepsort  # noqa: F401  the sorter makes itself known
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results
from si_deepsort.on_device import TORCH_ON_CPU

ROOT = Path(__file__).parents[2]
# Seconds of the recording that are sorted first, and those in which single steps are compared.
WARM_UP_S, COMPARED_S = 10.0, 10.0
# Two spikes of a unit are the same within this time in ms.
SAME_MS = 0.1


def first_seconds(folder: Path, seconds: float) -> tuple[si.BaseRecording, si.BaseSorting]:
    """Recording and truth of a generated recording, cut."""
    recording, truth = si.load(folder / "recording"), si.load(folder / "truth")
    frames = min(round(seconds * recording.get_sampling_frequency()), recording.get_num_frames(0))
    return recording.frame_slice(0, frames), truth.frame_slice(0, frames)


def sort(folder: Path, seconds: float, name: str, parameters: dict) -> tuple[dict, si.BaseSorting]:
    """Time, memory and accuracy of a sorter on the first seconds, and its sorting."""
    recording, truth = first_seconds(folder, seconds)
    start, _ = first_seconds(folder, min(seconds, WARM_UP_S))
    out = Path(tempfile.mkdtemp(dir=folder))
    run_sorter(name, start, folder=out / "warm", verbose=False, **parameters)
    has_cuda = torch.cuda.is_available()
    if has_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    clock, cpu = time.perf_counter(), time.process_time()
    sorting = run_sorter(name, recording, folder=out / "sorted", verbose=False, **parameters)
    clock_s, cpu_s = time.perf_counter() - clock, time.process_time() - cpu
    comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
    record = dict(
        seconds=seconds,
        clock_s=round(clock_s, 2),
        cpu_s=round(cpu_s, 2),
        gpu_memory_mb=round(torch.cuda.max_memory_allocated() / 2**20) if has_cuda else None,
        accuracy=round(float(comparison.get_performance()["accuracy"].mean()), 4),
        units=len(sorting.unit_ids),
        false_positive_units=len(comparison.get_false_positive_units(redundant_score=0.2)),
    )
    return record, sorting


def shared_shares(truth: si.BaseSorting, first: si.BaseSorting, second: si.BaseSorting) -> dict[str, float]:
    """Share of the spikes that two sortings have in common: of units that are true neurons in both, and of all."""
    found = [compare_sorter_to_ground_truth(truth, own).hungarian_match_12 for own in (first, second)]
    neurons = [(found[0][unit], found[1][unit]) for unit in truth.unit_ids]
    neurons = [(one, other) for one, other in neurons if one in first.unit_ids and other in second.unit_ids]
    comparison = compare_two_sorters(first, second, delta_time=SAME_MS)
    matches = [(unit, comparison.hungarian_match_12[unit]) for unit in first.unit_ids]
    matches = [(one, other) for one, other in matches if other in second.unit_ids]
    sizes = [dict(own.count_num_spikes_per_unit()) for own in (first, second)]
    shared_by_neurons, shared = (
        sum(comparison.match_event_count.loc[pair] for pair in pairs) for pairs in (neurons, matches)
    )
    of_neurons = max(1, *(sum(own[pair[side]] for pair in neurons) for side, own in enumerate(sizes)))
    of_all = max(1, *(sum(own.values()) for own in sizes))
    return dict(
        of_true_neurons=round(float(shared_by_neurons / of_neurons), 4), of_all=round(float(shared / of_all), 4)
    )


def sorters_for(device: str, cores: int) -> dict[str, tuple[str, dict]]:
    """What is measured, by label: sorter and its parameters."""
    jobs = {"n_jobs": cores}
    found: dict[str, tuple[str, dict]] = {
        f"deepsort, {device}": ("deepsort", {"device": device, "job_kwargs": jobs}),
        f"deepsort, CPU, {cores} workers": ("deepsort", {"device": "cpu", "job_kwargs": jobs}),
    }
    return found | ({"kilosort4": ("kilosort4", {})} if why_no_kilosort() is None else {})


def why_no_kilosort() -> str | None:
    """Why Kilosort4 is left out; None if it runs."""
    if find_spec("kilosort") is None:
        return "kilosort is not installed (pip install kilosort)"
    return None if torch.cuda.is_available() else "there is no GPU for kilosort4"


def table_of(document: dict) -> dict:
    """Time, accuracy and memory of each sorting."""
    columns = ["sorter", "recorded s", "s", "CPU-s", "GPU memory in MB", "accuracy", "false-positive units"]
    names = ("sorter", "seconds", "clock_s", "cpu_s", "gpu_memory_mb", "accuracy", "false_positive_units")
    rows = [[record[name] for name in names] for record in document["sortings"]]
    shared = ", ".join(
        f"{shares['of_true_neurons']:.3f} ({shares['of_all']:.3f} with false units) in {shares['seconds']:g} s"
        for shares in document["same_spikes"]
    )
    caption = f"{document['units']} generated units on {document['channels']} channels; {machine_of(document)}; "
    left_out = document["kilosort4_left_out"]
    caption += f"share of the spikes of true neurons that device and CPU have in common: {shared or 'not compared'}"
    return dict(caption=caption + (f"; {left_out}:" if left_out else ":"), columns=columns, rows=rows)


def machine_of(document: dict) -> str:
    """The device and the number of cores."""
    return f"{document['device']}, {document['machine']['num_cores']} cores"


def save(document: dict, out: Path) -> None:
    """Write what has been measured so far."""
    tables = {"gpu-steps": table_of_steps(document["steps"], machine_of(document)), "gpu-sortings": table_of(document)}
    write_results(document | dict(tables=tables), out)


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def measure(document: dict, folder: Path, device: str, durations: list[float], out: Path) -> None:
    """Sort the first seconds with each sorter, and compare the device with the CPU."""
    cores = num_cores()
    for seconds in durations:
        sortings, truth = [], first_seconds(folder, seconds)[1]
        for label, (name, parameters) in sorters_for(device, cores).items():
            record, sorting = sort(folder, seconds, name, parameters)
            document["sortings"].append(dict(sorter=label) | record)
            sortings.append(sorting)
            print(document["sortings"][-1], flush=True)
            if len(sortings) == 2:
                document["same_spikes"].append(dict(seconds=seconds) | shared_shares(truth, *sortings))
                print(f"shared spikes: {document['same_spikes'][-1]}", flush=True)
            save(document, out)


def main() -> int:
    """Parse the command line, compare steps, measure sortings; 1 if a step differs by more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, mps, or cpu to test the script")
    parser.add_argument("--seconds", type=float, nargs="+", default=[60.0, 600.0], help="durations that are sorted")
    parser.add_argument("--channels", type=int, default=384)
    parser.add_argument("--units", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keeps the recording and the sortings; default: a temporary one")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "gpu.json")
    arguments = parser.parse_args()
    device = TORCH_ON_CPU if arguments.device == "cpu" else arguments.device
    case = Case(f"two columns, {arguments.channels} channels", arguments.units)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        si.set_global_job_kwargs(n_jobs=num_cores())
        generate(replace(case, minutes=max(arguments.seconds) / 60), arguments.seed, folder)
        si.reset_global_job_kwargs()
        name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
        document = provenance(seeds=[arguments.seed]) | dict(
            device=name, channels=arguments.channels, units=arguments.units, kilosort4_left_out=why_no_kilosort()
        )
        compared = first_seconds(folder, COMPARED_S)
        document |= dict(steps=compare_steps(*compared, device, seed=arguments.seed), same_spikes=[], sortings=[])
        for record in document["steps"]:
            print(record, flush=True)
        save(document, arguments.out)
        measure(document, folder, device, sorted(arguments.seconds), arguments.out)
    is_within = [record["difference"] <= record["allowed"] for record in document["steps"]]
    return 0 if np.all(is_within) else 1


if __name__ == "__main__":
    sys.exit(main())
