"""Windows of recordings for training an interpolator: normalised, read in stretches, with held-out time at the end."""

from dataclasses import dataclass, field

import numpy as np
import torch
from spikeinterface.core import BaseRecording

from ...fit import FitSettings
from ...geometry import recording_geometry
from ...nets.interpolator import Interpolator
from ...nets.probe_plan import ProbePlan, make_probe_plan
from ...preprocessing.deep_interpolate import measure_normalization
from ...preprocessing.surrogate import noise_like

# Plans of the probe with hidden channels, and plans of the turned probe, that training draws from.
NUM_MASKED_PLANS = 6
NUM_TURNED_PLANS = 8
# Largest factor by which a turned probe is stretched, and largest part of its contacts that is missing.
MAX_STRETCH = 1.25
MAX_MISSING = 0.3
# Channels for which `batch_windows` is meant; probes with more channels get fewer windows, at equal memory.
CHANNELS_PER_BATCH_WINDOW = 64


@dataclass
class TrainingRecording:
    """
    One recording, ready to give windows.

    Attributes
    ----------
    recording : BaseRecording
    channel_locations : np.ndarray, shape (num_channels, 2), float
    centers, scales : np.ndarray, shape (num_channels,), float32
    has_signal : Tensor, shape (num_channels,), bool
        Channels that are predicted; the rest feed nobody.
    plans : list of ProbePlan
        The first with all channels, the others with some hidden, or of the probe turned.
    plan_shares : np.ndarray, shape (num_plans,), float
        How often each is trained on.
    stretches : list of (segment_index, first, split, last)
        Frames [first, split) train, [split, last) are held out.
    context : int
        Frames before and after a predicted one that the network sees.
    """

    recording: BaseRecording
    channel_locations: np.ndarray
    centers: np.ndarray
    scales: np.ndarray
    has_signal: torch.Tensor
    plans: list[ProbePlan]
    plan_shares: np.ndarray
    stretches: list[tuple[int, int, int, int]]
    context: int
    _validation: list = field(default_factory=list)

    @property
    def num_training_frames(self) -> int:
        """Frames that may be used for training."""
        return sum(split - first for _, first, split, _ in self.stretches)

    def sample(self, duration_s: float, seed: int) -> np.ndarray:
        """Normalised traces of the training time, (num_frames, num_channels) float32, from a few places."""
        rng = np.random.default_rng(seed)
        num_frames = max(1, round(duration_s * self.recording.get_sampling_frequency() / 5))
        return np.concatenate([self._random_stretch(rng, num_frames) for _ in range(5)])

    def training_windows(self, rng, num_batches: int, settings):
        """
        Windows of one stretch, and of noise with the spectrum and covariance of the same stretch.

        Yields
        ------
        windows : np.ndarray, shape (batch, num_channels, window_frames + 2 * context), float32
        is_noise : np.ndarray, shape (batch,), bool
        """
        length = settings.window_frames + 2 * self.context
        count = self._windows_per_batch(settings)
        traces = self._random_stretch(rng, max(length, 2 * num_batches * count * settings.window_frames // 3))
        share = settings.noise_fraction
        noise = noise_like(traces, seed=int(rng.integers(2**31))) if share else traces
        for _ in range(num_batches):
            starts = rng.integers(0, len(traces) - length + 1, count)
            # No draw without noise, so that models that were trained before there was any can be trained again.
            is_noise = rng.random(count) < share if share else np.zeros(count, dtype=bool)
            sources = [noise if silent else traces for silent in is_noise]
            windows = [source[start : start + length].T for source, start in zip(sources, starts, strict=True)]
            yield np.stack(windows), is_noise

    def validation_windows(self, settings):
        """The same windows at each call, as those for training, of held-out time spread over all segments."""
        if not self._validation:
            length = settings.window_frames + 2 * self.context
            count = self._windows_per_batch(settings)
            for segment_index, _, split, last in self.stretches:
                starts = np.unique(np.linspace(split, max(split, last - length), 4 * count).astype(int))
                windows = np.stack([self._read(segment_index, start, start + length).T for start in starts])
                share = settings.noise_fraction
                noise = _noise_like_windows(windows, settings.seed)[: round(len(windows) * share / (1 - share))]
                is_noise = np.repeat([False, True], [len(windows), len(noise)])
                windows = np.concatenate([windows, noise])
                batches = [slice(first, first + count) for first in range(0, len(windows), count)]
                self._validation += [(windows[batch], is_noise[batch]) for batch in batches]
        return self._validation

    def _windows_per_batch(self, settings) -> int:
        num_channels = len(self.scales)
        return max(1, settings.batch_windows * CHANNELS_PER_BATCH_WINDOW // max(num_channels, 8))

    def _random_stretch(self, rng, num_frames):
        lengths = np.array([split - first for _, first, split, _ in self.stretches], dtype=float)
        segment_index, first, split, _ = self.stretches[rng.choice(len(lengths), p=lengths / lengths.sum())]
        start = int(rng.integers(first, max(first, split - num_frames) + 1))
        return self._read(segment_index, start, min(start + num_frames, split))

    def _read(self, segment_index, start, stop):
        traces = self.recording.get_traces(segment_index=segment_index, start_frame=start, end_frame=stop)
        traces = (traces.astype("float32") - self.centers) / self.scales
        traces[:, ~self.has_signal.numpy()] = 0
        return np.nan_to_num(traces, nan=0.0, posinf=0.0, neginf=0.0)


def prepare_recordings(
    recordings: list[BaseRecording], net: Interpolator, settings: FitSettings
) -> list[TrainingRecording]:
    """
    Normalise recordings, split their time and plan their probes.

    Raises
    ------
    ValueError
        If a recording is too short or has no channel with a signal.
    """
    prepared = []
    for recording in recordings:
        normalization = measure_normalization(recording, seed=settings.seed)
        scales = np.asarray(normalization["scales"], dtype="float32")
        has_signal = np.isfinite(scales) & (scales > 0)
        if not has_signal.any():
            raise ValueError("No channel has a signal: all are constant or NaN. There is nothing to learn.")
        locations, shanks = recording_geometry(recording)
        plans, plan_shares = _make_plans(locations, shanks, has_signal, net.config, settings)
        prepared.append(
            TrainingRecording(
                recording=recording,
                channel_locations=locations,
                centers=np.nan_to_num(np.asarray(normalization["centers"], dtype="float32")),
                scales=np.where(has_signal, scales, 1).astype("float32"),
                has_signal=torch.from_numpy(has_signal),
                plans=plans,
                plan_shares=plan_shares,
                stretches=_split_time(recording, net.config.context, settings),
                context=net.config.context,
            )
        )
    return prepared


def _make_plans(locations, shanks, has_signal, config, settings):
    """Plans of the probe as it is, with hidden channels and turned, and how often each is trained on."""
    rng = np.random.default_rng(settings.seed)
    probes = [(locations, has_signal)]
    shares = np.ones(1)
    if settings.mask_fraction > 0 and len(has_signal) > 2:
        masks = [rng.random(len(has_signal)) >= settings.mask_fraction for _ in range(NUM_MASKED_PLANS)]
        probes += [(locations, has_signal & mask) for mask in masks]
        shares = np.r_[0.5, np.full(NUM_MASKED_PLANS, 0.5 / NUM_MASKED_PLANS)]
    if settings.turned_fraction > 0 and len(has_signal) > 2:
        probes += [_turned(locations, has_signal, rng) for _ in range(NUM_TURNED_PLANS)]
        turned = np.full(NUM_TURNED_PLANS, settings.turned_fraction / NUM_TURNED_PLANS)
        shares = np.r_[shares * (1 - settings.turned_fraction), turned]
    options = dict(num_neighbors=config.num_neighbors, radius_um=config.radius_um)
    # Wide blocks waste multiplications but save steps, which pays while gradients are needed.
    options["block_channels"] = 16
    return [make_probe_plan(where, shanks, usable=mask, **options) for where, mask in probes], shares


def _turned(locations, has_signal, rng):
    """
    Locations and usable channels of the probe turned by any angle, somewhat larger or smaller, with gaps.

    The traces stay the same, and what neighbours share depends on their distance far more than on the direction: so
    the weights become a function of relative positions that no layout of a training recording may show.
    """
    angle, stretch = rng.uniform(0, 2 * np.pi), MAX_STRETCH ** rng.uniform(-1, 1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    is_there = rng.random(len(has_signal)) >= rng.uniform(0, MAX_MISSING)
    return stretch * locations @ turn.T, has_signal & is_there


def _noise_like_windows(windows, seed):
    """Noise like the windows one after another, cut into as many."""
    num_windows, num_channels, length = windows.shape
    noise = noise_like(windows.swapaxes(1, 2).reshape(-1, num_channels), seed=seed)
    return noise.reshape(num_windows, length, num_channels).swapaxes(1, 2)


def _split_time(recording, context, settings):
    length = settings.window_frames + 2 * context
    stretches = []
    for segment_index in range(recording.get_num_segments()):
        num_frames = recording.get_num_frames(segment_index)
        held_out = max(length, round(settings.validation_fraction * num_frames))
        if num_frames >= held_out + 2 * length:
            stretches.append((segment_index, 0, num_frames - held_out, num_frames))
    if not stretches:
        raise ValueError(
            f"No segment is long enough: {recording.get_num_frames(0)} frames in the first, expected at least "
            f"{3 * length} (three windows of window_frames + 2 * context)."
        )
    return stretches
