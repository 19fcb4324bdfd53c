"""The denoisers that `denoisers.py` compares, fitted for a given CPU time."""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from denoiser_cases import Case, make_case

from si_deepsort.benchmarking.denoising import signal_to_noise_db
from si_deepsort.nets.keras_unet import KerasUNet, KerasUNetConfig
from si_deepsort.preprocessing import deep_interpolate, wavelet_denoise
from si_deepsort.training.interpolation.train import InterpolationTrainingSettings, train_deep_interpolation

STEPS_PER_EPOCH = 60
WAVELETS = [
    (wavelet, num_levels, threshold, mode)
    for wavelet in ("sym4", "db4")
    for num_levels in (4, 5)
    for threshold in (2.0, 3.0, 4.0)
    for mode in ("soft", "hard", "garrote")
]
_costs: dict[tuple, tuple[float, float]] = {}


def fit_interpolator(case: Case, cpu_s: float, folder: Path, start_from=None) -> float:
    """Train into a folder for about that CPU time, the closed-form start included; returns the time taken."""

    def train(num_epochs, folder, steps_per_epoch=STEPS_PER_EPOCH):
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
        return time.process_time() - start

    # The learning rate falls to 0 with the last epoch, so the number of epochs must be known before.
    shape = (case.recording.get_num_channels(), start_from is None)
    if shape not in _costs:
        train(0, tempfile.mkdtemp(), 1)  # imports and caches
        start_s = train(0, tempfile.mkdtemp(), 1)
        _costs[shape] = start_s, (train(3, tempfile.mkdtemp()) - start_s) / 3
    start_s, epoch_s = _costs[shape]
    num_epochs = max(1, round((cpu_s - start_s) / epoch_s))
    fit_s = train(num_epochs, folder)
    _costs[shape] = start_s, (fit_s - start_s) / num_epochs
    return fit_s


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


def closed_form(case: Case):
    """The Wiener filter: a model that was not trained."""
    folder = tempfile.mkdtemp()
    settings = InterpolationTrainingSettings(num_epochs=0, noise_fraction=0, device="cpu", progress_bar=False)
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
