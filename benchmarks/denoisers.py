"""
Denoisers compared at equal fitting cost: `python benchmarks/denoisers.py --out benchmarks/results/denoisers.json`.

Generated recordings with the noise of real Neuropixels recordings; networks are fitted on the first part and judged on
the last second, which none of them saw, and on noise that holds no spike at all. The original network (here in
PyTorch, with its published optimiser) and the interpolator get the same CPU time, single thread.
"""

import argparse
import json
import platform
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import spikeinterface.core as si
import torch
from probeinterface import generate_linear_probe, generate_multi_columns_probe

from si_deepsort.benchmarking.denoising import KnownSpikes, score_denoising, signal_to_noise_db
from si_deepsort.benchmarking.report import write_results
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe
from si_deepsort.nets.interpolator import Interpolator, InterpolatorConfig
from si_deepsort.nets.keras_unet import KerasUNet, KerasUNetConfig
from si_deepsort.nets.probe_plan import make_probe_plan
from si_deepsort.noise import noise_levels
from si_deepsort.preprocessing import deep_interpolate, wavelet_denoise
from si_deepsort.training.interpolation import InterpolationTrainingSettings, train_deep_interpolation

SAMPLING_FREQUENCY = 30_000.0
WAVELETS = [
    (wavelet, num_levels, threshold, mode)
    for wavelet in ("sym4", "db4")
    for num_levels in (4, 5)
    for threshold in (2.0, 3.0, 4.0)
    for mode in ("soft", "hard", "garrote")
]
COLUMNS = ("snr_db", "gain", "gain_small", "cosine", "dprime", "dprime_true", "noise_crossings_4", "noise_crossings_5")


@dataclass
class Case:
    """One recording: what is fitted on, what is tested on, and what is known about it."""

    name: str
    seed: int
    recording: si.BaseRecording
    first_test_frame: int
    clean: np.ndarray
    spikes: KnownSpikes
    noise: si.BaseRecording
    noise_level: np.ndarray

    @property
    def training(self):
        """The part that may be fitted on."""
        return self.recording.frame_slice(0, self.first_test_frame)


def make_probe(name: str):
    """32 contacts."""
    if name == "neuropixels1":
        return named_probe("neuropixels1").get_slice(np.arange(32))
    if name == "neuropixels2":
        return generate_multi_columns_probe(2, 16, xpitch=32.0, ypitch=15.0)
    return generate_linear_probe(32, ypitch=25.0)


def make_case(name: str, seed: int, duration_s: float, test_s: float) -> Case:
    """A recording of busy units of 25 to 250 uV, and noise alone with the same properties."""
    common = dict(sampling_frequency=SAMPLING_FREQUENCY, noise_uV=8.0, seed=10_000 + seed)
    settings = GenerationSettings(
        duration_s=duration_s,
        num_units=20,
        num_far_units=30,
        amplitude_min_uV=25.0,
        amplitude_max_uV=250.0,
        firing_rate_min=12.0,
        firing_rate_max=30.0,
        **common,
    )
    lazy, sorting = generate_recording(make_probe(name), settings)
    traces = lazy.get_traces()
    background = lazy._kwargs["parent_recording"].get_traces()
    silence = GenerationSettings(
        duration_s=min(test_s, 0.5), num_units=0, num_far_units=0, **(common | dict(seed=20_000 + seed))
    )
    noise = generate_recording(make_probe(name), silence)[0].get_traces()
    first_test_frame = len(traces) - round(test_s * SAMPLING_FREQUENCY)
    templates, nbefore = np.asarray(lazy._kwargs["templates"]), lazy._kwargs["nbefore"]
    frames = [sorting.get_unit_spike_train(unit) - first_test_frame for unit in sorting.unit_ids]
    margin = templates.shape[1]
    frames = [f[(f > margin) & (f < len(traces) - first_test_frame - margin)] for f in frames]
    return Case(
        name=name,
        seed=seed,
        recording=_in_memory(traces, lazy),
        first_test_frame=first_test_frame,
        clean=(traces - background)[first_test_frame:],
        spikes=KnownSpikes(frames, templates, nbefore),
        noise=_in_memory(noise, lazy),
        noise_level=noise_levels(traces[: 5 * 30_000]),
    )


def fit_interpolator(case: Case, cpu_s: float, start_from=None) -> tuple[str, float]:
    """Train for about that CPU time, the closed-form start included; returns the folder and the time taken."""

    def train(num_epochs, steps_per_epoch):
        folder = tempfile.mkdtemp()
        settings = InterpolationTrainingSettings(
            num_epochs=num_epochs,
            steps_per_epoch=steps_per_epoch,
            seed=case.seed,
            device="cpu",
            progress_bar=False,
            patience=1000,
        )
        start = time.process_time()
        train_deep_interpolation(case.training, folder, start_from=start_from, settings=settings)
        return folder, time.process_time() - start

    train(0, 1)  # imports and caches
    _, start_s = train(0, 1)
    _, epoch_s = train(1, 60)
    return train(max(1, round((cpu_s - start_s) / (epoch_s - start_s))), 60)


def fit_unet(case: Case, cpu_s: float):
    """Train the original network with its published settings: RMSprop at 1e-4, batches of 100 frames, MSE."""
    torch.manual_seed(case.seed)
    num_channels = case.recording.get_num_channels()
    net = KerasUNet(KerasUNetConfig(num_rows=num_channels // 2, is_interleaved=False))
    net = net.to(memory_format=torch.channels_last)
    traces = case.training.get_traces()
    mean, deviation = traces[:200_000].mean(), traces[:200_000].std()
    traces = torch.from_numpy(((traces - mean) / deviation).T.copy())
    rng, context = np.random.default_rng(case.seed), net.config.context
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-4, alpha=0.9, eps=1e-7)
    start, num_steps = time.process_time(), 0
    while time.process_time() - start < cpu_s:
        frames = rng.integers(context, traces.shape[1] - context, 100)
        windows = torch.stack([traces[:, frame - context : frame + context + 1] for frame in frames])
        loss = (net(windows)[..., 0] - traces[:, frames].T).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        num_steps += 1
    net.eval()
    fit_cpu_s = time.process_time() - start

    def denoise(recording, start_frame):
        padded = np.pad((recording.get_traces() - mean) / deviation, ((context, context), (0, 0)))
        inputs = torch.from_numpy(padded[start_frame:].T.copy())[None]
        with torch.inference_mode():
            pieces = [
                net(inputs[:, :, first : first + 128 + 2 * context])
                for first in range(0, inputs.shape[2] - 2 * context, 128)
            ]
        return torch.cat(pieces, dim=2)[0].T.numpy() * deviation + mean

    return denoise, dict(fit_cpu_s=fit_cpu_s, num_steps=num_steps)


def score(case: Case, denoise) -> dict:
    """Scores of `denoise(recording, first frame)` on the test second and on noise."""
    scores = score_denoising(
        denoise(case.recording, case.first_test_frame),
        case.clean,
        case.spikes,
        denoise(case.noise, 0),
        sampling_frequency=SAMPLING_FREQUENCY,
        noise_level=case.noise_level,
    )
    return scores.to_dict()


def interpolation(case: Case, model, blend):
    """`denoise` for a model, with the normalisation of the fitted part."""
    reference = deep_interpolate(case.training, model=model, blend=blend)._kwargs["normalization"]
    median_raw_weight = float(np.median(reference["raw_weights"]))

    def denoise(recording, start_frame):
        denoised = deep_interpolate(recording, model=model, blend=blend, normalization=reference)
        return denoised.get_traces(start_frame=start_frame)

    denoise.median_raw_weight = median_raw_weight
    return denoise


def wavelets(case: Case, wavelet, num_levels, threshold, mode):
    """`denoise` for one choice of wavelet."""
    options = dict(wavelet=wavelet, num_levels=num_levels, threshold=threshold, mode=mode)
    measured = wavelet_denoise(case.training, **options)._kwargs["coefficient_levels"]

    def denoise(recording, start_frame):
        denoised = wavelet_denoise(recording, coefficient_levels=measured, **options)
        return denoised.get_traces(start_frame=start_frame)

    return denoise


def quality(case: Case, cpu_s: float, rows: list, save):
    """All denoisers on one recording; what `rows` already holds is not run again."""

    done = {row["method"] for row in rows if (row["recording"], row["seed"]) == (case.name, case.seed)}

    def add(method, make_denoise):
        if method in done:
            return
        denoise, more = make_denoise()
        row = dict(method=method, recording=case.name, seed=case.seed, **score(case, denoise), **more)
        rows.append(row | dict(raw_weight=getattr(denoise, "median_raw_weight", None)))
        print(method, {name: round(float(row[name]), 3) for name in COLUMNS}, more, flush=True)
        save()

    def fitted(cpu_s, start_from=None, blends=(0.0,)):
        folder, fit_s = fit_interpolator(case, cpu_s, start_from)
        return [lambda blend=blend: (interpolation(case, folder, blend), dict(fit_cpu_s=fit_s)) for blend in blends]

    def ready(model, blend):
        return lambda: (interpolation(case, model, blend), dict(fit_cpu_s=0.0))

    add(
        "raw",
        lambda: (lambda recording, start_frame: recording.get_traces(start_frame=start_frame), dict(fit_cpu_s=0.0)),
    )
    add("wavelets", lambda: best_wavelets(case))
    add("Wiener filter", lambda: closed_form(case))
    for blend in (0.0, 0.5, "auto"):
        add(f"interpolator-any, blend {blend}", ready("interpolator-any", blend))
    names = [f"interpolator, blend {blend}" for blend in (0.0, 0.5, "auto")]
    if not done.issuperset(names):
        for name, make in zip(names, fitted(cpu_s, blends=(0.0, 0.5, "auto")), strict=True):
            add(name, make)
    if "interpolator-any, fine-tuned" not in done:
        add("interpolator-any, fine-tuned", fitted(cpu_s / 2, "interpolator-any")[0])
    add("original U-Net", lambda: fit_unet(case, cpu_s))


def closed_form(case: Case):
    """The Wiener filter: a model that was not trained."""
    folder = tempfile.mkdtemp()
    settings = InterpolationTrainingSettings(num_epochs=0, device="cpu", progress_bar=False)
    start = time.process_time()
    train_deep_interpolation(case.training, folder, settings=settings)
    return interpolation(case, folder, 0.0), dict(fit_cpu_s=time.process_time() - start)


def best_wavelets(case: Case):
    """The wavelet, level, threshold and mode with the best SNR on another recording of the same kind."""
    other = make_case(case.name, case.seed + 500, 3.0, 1.0)
    start = time.process_time()
    values = [
        signal_to_noise_db(other.clean, wavelets(other, *choice)(other.recording, other.first_test_frame))
        for choice in WAVELETS
    ]
    choice = WAVELETS[int(np.argmax(values))]
    return wavelets(case, *choice), dict(fit_cpu_s=time.process_time() - start, choice=list(choice))


def speed(num_rounds: int = 4) -> dict:
    """Frames per CPU-second of both networks at 384 channels, single thread, alternating, the best round each."""
    rows = np.arange(384) // 2
    columns = np.where(np.arange(384) % 2 == 0, 16.0, 48.0) - 16.0 * (rows % 2)
    locations = np.stack([columns, 20.0 * rows], axis=1)
    unet = KerasUNet(KerasUNetConfig()).eval().to(memory_format=torch.channels_last)
    net = Interpolator(InterpolatorConfig()).eval()
    plan = make_probe_plan(
        locations, np.zeros(384), num_neighbors=net.config.num_neighbors, radius_um=net.config.radius_um
    )
    rates = {"original U-Net": [], "interpolator": []}
    with torch.inference_mode():
        blocks = net.block_weights(plan)
        for _ in range(num_rounds):
            for name, run, frames, repeats in (
                ("original U-Net", unet, 16, 2),
                ("interpolator", lambda inputs: net.predict(inputs, plan, blocks), 256, 8),
            ):
                inputs = torch.randn(1, 384, frames + 62)
                run(inputs)
                start = time.process_time()
                for _ in range(repeats):
                    run(inputs)
                rates[name].append(frames * repeats / (time.process_time() - start))
    best = {name: max(values) for name, values in rates.items()}
    return dict(
        frames_per_cpu_second=best,
        rounds=rates,
        ratio=best["interpolator"] / best["original U-Net"],
        parameters={"original U-Net": unet.num_parameters(), "interpolator": net.num_parameters()},
    )


def tables(document: dict) -> dict:
    """What goes into the README."""
    rows = []
    methods = list(dict.fromkeys(row["method"] for row in document["quality"]))
    for method in methods:
        found = [row for row in document["quality"] if row["method"] == method]
        means = [np.mean([row[name] for row in found]) for name in ("fit_cpu_s", *COLUMNS)]
        rows.append([method, *[f"{value:.3g}" for value in means]])
    header = [
        "denoiser",
        "fitting CPU-s",
        "SNR dB",
        "amplitude",
        "small units",
        "shape (cosine)",
        "d' own template",
        "d' true template",
        "noise < -4 /ch/s",
        "noise < -5 /ch/s",
    ]
    speeds, parameters = (document["speed"][name] for name in ("frames_per_cpu_second", "parameters"))
    return {
        "denoisers": {"columns": header, "rows": rows},
        "denoisers-speed": {
            "columns": ["network", "parameters", "frames per CPU-second"],
            "rows": [[name, parameters[name], round(speeds[name])] for name in parameters],
            "caption": "384 channels, single thread, best of alternating rounds.",
        },
    }


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/denoisers.json"))
    parser.add_argument("--recordings", default="neuropixels1,neuropixels2,linear32")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--cpu-s", type=float, default=60.0)
    parser.add_argument("--duration-s", type=float, default=30.0)
    parser.add_argument("--test-s", type=float, default=1.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = dict(cpu_s=arguments.cpu_s, duration_s=arguments.duration_s, test_s=arguments.test_s)
    document = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    if document.get("settings") != settings:
        document = dict(
            command=shlex.join(["python", *sys.argv]),
            versions={name: version(name) for name in ("si-deepsort", "torch", "spikeinterface", "numpy")},
            machine=platform.processor() or platform.machine(),
            settings=settings,
            speed=speed(),
            quality=[],
        )
        print(document["speed"]["frames_per_cpu_second"], document["speed"]["ratio"], flush=True)

    def save():
        document["tables"] = tables(document)
        write_results(document, arguments.out)

    for seed in map(int, arguments.seeds.split(",")):
        for name in arguments.recordings.split(","):
            case = make_case(name, seed, arguments.duration_s, arguments.test_s)
            quality(case, arguments.cpu_s, document["quality"], save)


def _in_memory(traces, like):
    copy = si.NumpyRecording([traces.astype("float32")], SAMPLING_FREQUENCY, channel_ids=like.channel_ids)
    copy.set_probe(like.get_probe())
    return copy


if __name__ == "__main__":
    main()
