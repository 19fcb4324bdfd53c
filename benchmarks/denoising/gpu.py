"""
What a GPU brings to denoising, beside the CPU of the same machine.

`python benchmarks/denoising/gpu.py` writes benchmarks/results/gpu_denoising.json; it needs CUDA. All times are by the
clock, on 384 channels, after a warm-up. The original U-Net gets larger batches on the GPU, where small ones would
measure the launches.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from denoiser_speed import neuropixels_recording

from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results
from si_deepsort.nets.keras_unet import KerasUNet, KerasUNetConfig
from si_deepsort.preprocessing import deep_interpolate

DURATION_S = 4.0
SEED = 0


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
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu_denoising.json"))
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    rows = denoise(DURATION_S)
    document = provenance(seeds=[SEED]) | dict(device=torch.cuda.get_device_name(), denoising=rows)
    table = dict(
        caption=f"384 channels; {document['device']}, {document['machine']['num_cores']} cores.",
        columns=["denoiser", "device", "frames per second"],
        rows=[[row["denoiser"], row["device"], round(row["frames_per_s"])] for row in rows],
    )
    write_results(document | dict(tables={"gpu-denoising": table}), arguments.out)


if __name__ == "__main__":
    main()
