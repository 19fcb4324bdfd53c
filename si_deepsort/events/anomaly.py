"""
Events without any label: what an autoencoder that knows only quiet stretches cannot repeat.

The quiet stretches are found in the recording itself: patches that the network repeats worse than quiet ones do are
left out and the training starts again, so that a recording full of events does not teach it events. The threshold is
in units of the spread of the error on quiet stretches, not a quantile of the file.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.signal
import torch

from ..fit import FitSettings, fit
from ..inference import predict_in_batches
from ..nets.event_unet import EventAutoencoder, EventAutoencoderConfig
from ..noise import noise_levels
from ..settings import Settings, setting
from ..zoo import ModelInfo
from .traces import MODEL_RATE, network_input, prepare_trace, trace_noise_level

STEP_FRAMES = 8  # between the patches of a trace, whose reconstructions are averaged
SMOOTH_FRAMES = 15
SMALLEST_QUIET_PART = 0.2  # of all patches, kept however busy a recording is
HIGH, LOW = 5.0, 2.0  # an event rises above the first, and lasts while above the second, in quiet spreads
SHORTEST_FRAMES = 10
SPLIT_PROMINENCE = 4.0


@dataclass(frozen=True, kw_only=True)
class AnomalySettings(Settings):
    """How an autoencoder learns the quiet of a recording."""

    num_rounds: int = setting(3, "Times that noisy patches are left out before the last training", minimum=0)
    quiet_limit: float = setting(1.0, "Patches beyond this many spreads of the error are not quiet", minimum=0.5)
    num_epochs: int = setting(6, "Passes over the patches in each round", minimum=1)
    max_patches: int = setting(12_000, "Patches drawn from the recording", minimum=64)
    seed: int = setting(0, "Of weights and patches")


def train_anomaly_detector(recording, settings: AnomalySettings | None = None, *, polarity: int = 1):
    """
    Learn the quiet of a recording that may be full of events.

    Parameters
    ----------
    recording : BaseRecording
        With one channel.
    settings : AnomalySettings | None, default: None
    polarity : 1 | -1, default: 1
        Direction of the events that are to be found later.

    Returns
    -------
    EventAutoencoder
        To be given to `segment_events` as the model; `save_model(net, folder, net.info)` keeps it.

    Raises
    ------
    ValueError
        If the recording is shorter than a hundred patches (0.64 s).
    """
    settings = settings or AnomalySettings()
    traces = [prepare_trace(recording, segment) for segment in range(recording.get_num_segments())]
    noise_level = trace_noise_level(traces)
    net = EventAutoencoder(EventAutoencoderConfig())
    patches = np.concatenate(
        [_patches(network_input(trace.values, noise_level, polarity), net.config.num_frames) for trace in traces]
    )
    if len(patches) < 100:
        raise ValueError(f"Got {len(patches)} patches of 6.4 ms, expected at least 100. Give a longer recording.")
    rng = np.random.default_rng(settings.seed)
    patches = patches[rng.permutation(len(patches))[: settings.max_patches]]
    is_quiet = _is_quiet(np.abs(_smooth(patches)).max(axis=1), settings.quiet_limit)
    for _ in range(settings.num_rounds + 1):
        net = _train(patches[is_quiet], settings)
        errors = np.abs(_smooth(patches - _reconstruct(net, patches))).max(axis=1)
        is_quiet = _is_quiet(errors, settings.quiet_limit)
    residual = _smooth(patches - _reconstruct(net, patches))[is_quiet]
    spread = float(noise_levels(residual.reshape(-1, 1))[0]) or 1.0
    net.info = ModelInfo(
        name="event-autoencoder",
        task="events",
        sampling_frequency=MODEL_RATE,
        training=dict(seed=settings.seed, data="the user's recording", quiet_part=float(is_quiet.mean())),
        settings=dict(threshold=0.5, quiet_spread=spread),
    )
    return net


def find_anomalies(net: EventAutoencoder, trace, noise_level: float, polarity: int, *, device: str = "cpu"):
    """
    Stretches that the autoencoder cannot repeat and that go the way of the events.

    Returns
    -------
    onset_s, end_s, confidence : np.ndarray, shape (num_events,), float
        The confidence is 0.5 at `HIGH` spreads.
    """
    errors = anomaly_scores(net, network_input(trace.values, noise_level, polarity), device=device)
    errors[~trace.is_valid] = 0.0
    labels, _ = scipy.ndimage.label(errors > LOW)
    onsets, ends, confidences = [], [], []
    for (region,) in scipy.ndimage.find_objects(labels):
        scores = errors[region]
        if len(scores) < SHORTEST_FRAMES or scores.max() < LOW + 1:
            continue
        peaks, _ = scipy.signal.find_peaks(np.pad(scores, 1), prominence=SPLIT_PROMINENCE)
        peaks = peaks - 1 if len(peaks) else np.array([scores.argmax()])
        valleys = [before + scores[before:after].argmin() for before, after in itertools.pairwise(peaks)]
        for first, peak, stop in zip([0, *valleys], peaks, [*valleys, len(scores)], strict=True):
            onsets.append(region.start + first)
            ends.append(region.start + stop)
            confidences.append(1 / (1 + np.exp(HIGH - scores[peak])))
    onsets, ends = np.array(onsets, float), np.array(ends, float)
    return onsets / trace.rate, ends / trace.rate, np.array(confidences, float)


def anomaly_scores(net: EventAutoencoder, inputs: np.ndarray, *, device: str = "cpu") -> np.ndarray:
    """Error of the reconstruction at each frame, smoothed, signed, in spreads of the quiet; shape (num_frames,)."""
    num_frames, size = len(inputs), net.config.num_frames
    padded = np.pad(inputs, (size, size + STEP_FRAMES), mode="edge") if num_frames else np.zeros(2 * size)
    starts = np.arange(0, len(padded) - size + 1, STEP_FRAMES)
    total, count = np.zeros(len(padded)), np.zeros(len(padded))
    for first in range(0, len(starts), 4096):
        chosen = starts[first : first + 4096]
        reconstructed = _reconstruct(net, padded[chosen[:, None] + np.arange(size)], device)
        for start, patch in zip(chosen, reconstructed, strict=True):
            total[start : start + size] += patch
            count[start : start + size] += 1
    residual = padded - total / np.maximum(count, 1)
    spread = net.info.settings.get("quiet_spread", 1.0) if net.info is not None else 1.0
    return _smooth(residual[None])[0, size : size + num_frames] / spread


def _train(patches, settings):
    torch.manual_seed(settings.seed)
    net = EventAutoencoder(EventAutoencoderConfig())
    tensor = torch.from_numpy(patches[:, None].astype("float32"))
    num_validation = max(1, len(tensor) // 10)
    training, validation = tensor[num_validation:], tensor[:num_validation]

    def batches(epoch):
        order = torch.randperm(len(training), generator=torch.Generator().manual_seed(settings.seed + epoch))
        return [(training[chosen],) for chosen in order.split(128)]

    fit_settings = FitSettings(
        num_epochs=settings.num_epochs, learning_rate=3e-3, seed=settings.seed, device="cpu", progress_bar=False
    )
    fit(
        net,
        lambda net, batch: (net(batch[0]) - batch[0]).square().mean(),
        batches,
        lambda: [(validation,)],
        fit_settings,
    )
    return net


def _patches(inputs, size):
    starts = np.arange(0, len(inputs) - size + 1, size // 2)
    return inputs[starts[:, None] + np.arange(size)]


def _reconstruct(net, patches, device="cpu"):
    return predict_in_batches(net, patches[:, None].astype("float32"), device=device)[:, 0]


def _smooth(values):
    return scipy.ndimage.uniform_filter1d(values, SMOOTH_FRAMES, axis=1, mode="nearest")


def _is_quiet(errors, limit):
    """Errors within some spreads of the usual; the lower half of them tells what is usual, since events only add."""
    center = np.median(errors)
    for _ in range(5):  # events pull the median up; what is left out no longer does
        spread = 1.4826 * np.median(np.abs(errors[errors <= center] - center)) + 1e-12
        is_quiet = errors <= center + limit * spread
        center = np.median(errors[is_quiet])
    if is_quiet.mean() < SMALLEST_QUIET_PART:
        is_quiet = errors <= np.quantile(errors, SMALLEST_QUIET_PART)
    return is_quiet
