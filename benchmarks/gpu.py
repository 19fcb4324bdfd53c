"""
What a GPU brings: sorting beside Kilosort4, and denoising, beside the CPU of the same machine.

`python benchmarks/gpu.py` writes benchmarks/results/gpu.json; it needs CUDA and `pip install kilosort`. All times are
by the clock, on a recording with 384 channels, after a warm-up that loads and compiles everything. Sorters run with
default settings; deepsort, which computes on CPUs, is given one worker per core. Networks get larger batches on the
GPU, where small ones would measure the launches.
"""

import argparse
import os
import platform
import shlex
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import spikeinterface.core as si
import torch
from denoiser_speed import neuropixels_recording
from scaling import Case, generate
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.sorters import run_sorter

import si_deepsort  # noqa: F401  the sorter makes itself known
from si_deepsort.benchmarking.report import write_results
from si_deepsort.nets.keras_unet import KerasUNet, KerasUNetConfig
from si_deepsort.preprocessing import deep_interpolate
from si_deepsort.report.environment import package_versions

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


def denoise(duration_s: float) -> list[dict]:
    """Frames per second of denoising 384 channels by what a user calls, and of the original U-Net."""
    recording = neuropixels_recording(duration_s)
    rows = []
    for device in ("cpu", "cuda"):
        denoised = deep_interpolate(recording, blend=0.3, device=device)
        num_frames = recording.get_num_frames(0) if device == "cuda" else 15_000
        rate = _frames_per_second(lambda d=denoised, n=num_frames: d.get_traces(end_frame=n), num_frames)
        rows.append(dict(denoiser="interpolator, get_traces", device=device, frames_per_s=rate))
        unet = KerasUNet(KerasUNetConfig()).eval().to(device, memory_format=torch.channels_last)
        size = 256 if device == "cuda" else 16
        inputs = torch.randn(1, recording.get_num_channels(), size + 62, device=device)
        rate = _frames_per_second(lambda net=unet, x=inputs: net(x).cpu(), size)
        rows.append(dict(denoiser="original U-Net, network alone", device=device, frames_per_s=rate))
        print(rows[-2:], flush=True)
    return rows


@torch.inference_mode()
def _frames_per_second(run, num_frames: int, num_rounds: int = 3) -> float:
    run()
    rates = []
    for _ in range(num_rounds):
        start = time.perf_counter()
        run()
        rates.append(num_frames / (time.perf_counter() - start))
    return float(np.median(rates))


def main():
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu.json"))
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
    document = dict(
        name="gpu",
        command=shlex.join(["python", *sys.argv]),
        device=torch.cuda.get_device_name(),
        machine=f"{platform.machine()}, {cores} cores",
        versions=package_versions(),
    )
    measurements = {
        "sorting": lambda: sort(arguments.folder, arguments.duration_s, sorters),
        "denoising": lambda: denoise(4.0),
    }
    document |= {kind: [] for kind in measurements}
    for kind, measure in measurements.items():
        document[kind] = measure()
        document["tables"] = tables(document)
        write_results(document, arguments.out)


def tables(document: dict) -> dict:
    """What the README shows."""
    sorting = [
        [r["sorter"], round(r["seconds_per_minute"], 1), round(r["accuracy"], 3), r["false_positive_units"]]
        for r in document["sorting"]
    ]
    denoising = [[r["denoiser"], r["device"], round(r["frames_per_s"])] for r in document["denoising"]]
    where = f"{document['device']}, {document['machine']}"
    return {
        "gpu-sorting": {
            "caption": f"{CASE.num_units} generated units on 384 channels; {where}.",
            "columns": ["sorter", "seconds per recorded minute", "accuracy", "false-positive units"],
            "rows": sorting,
        },
        "gpu-denoising": {
            "caption": f"384 channels; {where}.",
            "columns": ["denoiser", "device", "frames per second"],
            "rows": denoising,
        },
    }


if __name__ == "__main__":
    main()
