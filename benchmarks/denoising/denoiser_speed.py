"""Frames per CPU-second of the networks of `denoisers.py` at 384 channels, alone and through what a user calls."""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import spikeinterface.core as si
import torch
from probeinterface import Probe

from si_deepsort.geometry import recording_geometry
from si_deepsort.nets.interpolator import NEW_INTERPOLATOR, Interpolator
from si_deepsort.nets.keras_unet import KerasUNet, KerasUNetConfig
from si_deepsort.nets.probe_plan import make_probe_plan
from si_deepsort.preprocessing import deep_interpolate

NUM_CHANNELS = 384
REAL_TIME = 30_000


def neuropixels_recording(duration_s: float):
    """384 channels of int16 noise in the layout of Neuropixels 1.0."""
    rows = np.arange(NUM_CHANNELS) // 2
    columns = np.where(np.arange(NUM_CHANNELS) % 2 == 0, 16.0, 48.0) - 16.0 * (rows % 2)
    probe = Probe(ndim=2)
    probe.set_contacts(np.stack([columns, 20.0 * rows], axis=1))
    probe.set_device_channel_indices(np.arange(NUM_CHANNELS))
    second = 40 * np.random.default_rng(0).standard_normal((REAL_TIME, NUM_CHANNELS), dtype="float32")
    traces = np.resize(second.astype("int16"), (round(duration_s * REAL_TIME), NUM_CHANNELS))
    recording = si.NumpyRecording([traces], float(REAL_TIME))
    recording.set_probe(probe)
    return recording


def speed(num_rounds: int = 6) -> dict:
    """Best of alternating rounds, single thread: other programs on a machine can only slow a round down."""
    recording = neuropixels_recording(0.5)
    net = Interpolator(NEW_INTERPOLATOR).eval()
    options = dict(num_neighbors=net.config.num_neighbors, radius_um=net.config.radius_um)
    plan = make_probe_plan(*recording_geometry(recording), **options)
    unet = KerasUNet(KerasUNetConfig()).eval().to(memory_format=torch.channels_last)
    denoised = deep_interpolate(recording, blend=0.3)
    with torch.inference_mode():
        blocks = net.block_weights(plan)
    inputs = {frames: torch.randn(1, NUM_CHANNELS, frames + 62) for frames in (16, 384)}
    runs = {
        "original U-Net": (lambda: unet(inputs[16]), 16, 2),
        "interpolator": (lambda: net.predict(inputs[384], plan, blocks), 384, 8),
        "interpolator, get_traces": (lambda: denoised.get_traces(end_frame=384 * 20), 384 * 20, 1),
    }
    rates = {name: [] for name in runs}
    for _ in range(num_rounds):
        for name, (run, frames, repeats) in runs.items():
            with torch.inference_mode():
                run()
                start = time.process_time()
                for _ in range(repeats):
                    run()
                rates[name].append(frames * repeats / (time.process_time() - start))
    best = {name: max(values) for name, values in rates.items()}
    return dict(
        frames_per_cpu_second=best,
        rounds=rates,
        ratio=best["interpolator"] / best["original U-Net"],
        parameters={"original U-Net": unet.num_parameters(), "interpolator": net.num_parameters()},
        save=save_on_two_cores(),
    )


def save_on_two_cores(duration_s: float = 12.0) -> dict:
    """`save` with two processes: frames per second by the clock, and twice the frames per CPU-second."""
    denoised = deep_interpolate(neuropixels_recording(duration_s), blend=0.3)
    num_frames = denoised.get_num_frames(0)
    used = _cpu_s()
    start = time.perf_counter()
    folder = Path(tempfile.mkdtemp()) / "denoised"
    denoised.save(folder=folder, n_jobs=2, chunk_duration="1s", progress_bar=False, verbose=False)
    wall_s, cpu_s = time.perf_counter() - start, _cpu_s() - used
    return dict(
        frames_per_s=num_frames / wall_s,
        frames_per_cpu_second=num_frames / cpu_s,
        two_free_cores_frames_per_s=2 * num_frames / cpu_s,
        real_time=REAL_TIME,
    )


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
