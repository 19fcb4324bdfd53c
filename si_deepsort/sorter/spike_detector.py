"""
A detection network made ready for one probe: arrays in, spikes out.

Where the SpikeInterface objects are gone and only traces are left; `detect.py` is the door to recordings.
"""

from dataclasses import dataclass

import numpy as np

from ..geometry import channel_distances
from .candidates import cut_windows, find_candidates, make_window_plan, with_empty_channel

BUNDLED = {"cnn": "detector-cnn", "gru": "detector-gru"}
# Windows per call of the network: bounds the memory, does not change the result.
BATCH = 4096


class SpikeDetector:
    """
    A detection network made ready for one probe and one sampling rate: arrays in, arrays out.

    Parameters
    ----------
    model : str | Path | Network
        Name of a bundled model, a model folder, or a network.
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um.
    sampling_frequency : float
        Of the traces, in Hz.
    noise_levels : np.ndarray, shape (num_channels,), float
        Robust noise of each channel, in the unit of the traces; a channel of level 0 is dead.
    baseline : np.ndarray | None, shape (num_channels,), default: None
        Median of each channel, in the unit of the traces. None is 0.
    shanks : np.ndarray | None, shape (num_channels,), default: None
    candidate_threshold : float | None, default: None
        Smallest candidate, in noise levels. None takes the model's.
    """

    def __init__(
        self,
        model,
        channel_locations: np.ndarray,
        sampling_frequency: float,
        noise_levels: np.ndarray,
        *,
        baseline: np.ndarray | None = None,
        shanks: np.ndarray | None = None,
        candidate_threshold: float | None = None,
    ):
        if isinstance(model, str) or hasattr(model, "__fspath__"):
            from ..zoo import load_model

            model = load_model(BUNDLED.get(str(model), model))
        if not model.architecture.startswith("detector"):
            raise ValueError(f"A model for detection was expected, {model.architecture!r} is none.")
        levels = np.asarray(noise_levels, dtype="float32")
        usable = np.isfinite(levels) & (levels > 0)
        self.net = model
        self.scale = np.where(usable, 1 / np.where(usable, levels, 1), 0).astype("float32")
        self.baseline = np.zeros(len(levels), "float32") if baseline is None else np.asarray(baseline, "float32")
        self.plan = make_window_plan(model.config, channel_locations, sampling_frequency, shanks=shanks, usable=usable)
        stored = model.info.settings if model.info is not None else {}
        self.threshold = stored.get("threshold", 0.5)
        self.candidate_threshold = (
            stored.get("candidate_threshold", 2.5) if candidate_threshold is None else candidate_threshold
        )

    @property
    def margin(self) -> int:
        """Frames on either side that a probability depends on."""
        return self.plan.before + self.plan.rival_frames

    def scaled(self, traces: np.ndarray) -> np.ndarray:
        """Traces in noise levels, float32; values that are not finite count as 0."""
        scaled = (traces.astype("float32", copy=False) - self.baseline) * self.scale
        return scaled if np.isfinite(scaled).all() else np.nan_to_num(scaled, posinf=0.0, neginf=0.0)

    def candidates(self, scaled: np.ndarray, margin: int):
        """
        Candidates and their probabilities.

        Parameters
        ----------
        scaled : np.ndarray, shape (num_frames, num_channels), float32
            Traces in noise levels.
        margin : int
            Frames at either end that hold no candidate; at least `self.margin`.

        Returns
        -------
        frames, channels : np.ndarray, shape (num_candidates,), int
        probabilities : np.ndarray, shape (num_candidates,), float32
        """
        plan = self.plan
        if len(scaled) <= 2 * margin:
            return np.zeros(0, "int64"), np.zeros(0, "int64"), np.zeros(0, "float32")
        frames, channels = find_candidates(scaled, plan, threshold=self.candidate_threshold, margin=margin)
        channel_traces = with_empty_channel(scaled)
        probabilities = np.zeros(len(frames), dtype="float32")
        for start in range(0, len(frames), BATCH):
            batch = slice(start, start + BATCH)
            windows = cut_windows(channel_traces, frames[batch], channels[batch], plan)
            probabilities[batch] = probabilities_of(self.net, windows, plan.distances_um[channels[batch]])
        return frames, channels, probabilities

    def probability(self, traces: np.ndarray, *, chunk_frames: int = 300_000) -> np.ndarray:
        """
        Probability of a spike's peak at each sample and channel; 0 where there is no candidate.

        Parameters
        ----------
        traces : np.ndarray, shape (num_frames, num_channels)
            A whole segment.
        chunk_frames : int, default: 300_000
            Bounds the memory; does not change the result.

        Returns
        -------
        np.ndarray, shape (num_frames, num_channels), float32
        """
        result = np.zeros(traces.shape, dtype="float32")
        margin = self.margin
        for start in range(0, len(traces), chunk_frames):
            stop = min(start + chunk_frames, len(traces))
            first, last = max(0, start - margin), min(len(traces), stop + margin)
            padding = ((first - start + margin, stop + margin - last), (0, 0))
            scaled = np.pad(self.scaled(traces[first:last]), padding)
            frames, channels, probabilities = self.candidates(scaled, margin)
            result[start - margin + frames, channels] = probabilities
        return result


def probabilities_of(net, windows: np.ndarray, distances_um: np.ndarray) -> np.ndarray:
    """
    Probability that the middle of each window is the peak of a spike.

    Parameters
    ----------
    net : Network
        A detector in evaluation mode.
    windows : np.ndarray, shape (num_windows, num_neighbors, num_frames), float
    distances_um : np.ndarray, shape (num_windows, num_neighbors), float32

    Returns
    -------
    np.ndarray, shape (num_windows,), float32
    """
    import torch

    device = next(net.parameters()).device
    result = np.zeros(len(windows), dtype="float32")
    with torch.inference_mode():
        for start in range(0, len(windows), BATCH):
            batch = slice(start, start + BATCH)
            inputs = torch.from_numpy(windows[batch].astype("float32", copy=False)).to(device)
            logits = net(inputs, torch.from_numpy(distances_um[batch]).to(device))
            result[batch] = torch.sigmoid(logits).cpu().numpy()
    return result


@dataclass(frozen=True)
class Exclusion:
    """
    When one of two peaks is dropped, because both are the same spike.

    Attributes
    ----------
    distances_um : np.ndarray, shape (num_channels, num_channels), float
        Infinite between shanks.
    radius_um : float
        On channels this close the larger of two peaks stays...
    frames : int
        ...if they are this close in time.
    flank_um : float
        On channels this close...
    flank_share : float
        ...a peak that is smaller than this share of another one at the same moment is seen as its far flank.
    """

    distances_um: np.ndarray
    radius_um: float
    frames: int
    flank_um: float = 200.0
    flank_share: float = 0.7


def make_exclusion(channel_locations, sampling_frequency: float, *, radius_um=75.0, exclusive_ms=0.35, shanks=None):
    """The `Exclusion` of a probe; arguments as in `find_peaks`."""
    distances_um = channel_distances(channel_locations)
    if shanks is not None:
        distances_um[shanks[:, None] != shanks[None]] = np.inf
    return Exclusion(distances_um, radius_um, max(1, round(exclusive_ms * sampling_frequency / 1000)))


def detect_in_traces(
    traces: np.ndarray,
    detector: SpikeDetector,
    exclusion: Exclusion,
    *,
    threshold: float,
    margin: int | None = None,
):
    """
    The spikes in a stretch of traces.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels)
    detector : SpikeDetector
    exclusion : Exclusion
    threshold : float
        Smallest probability of a spike.
    margin : int | None, default: None
        Frames at either end in which spikes are not reported; at least (and by default)
        `detector.margin + exclusion.frames`.

    Returns
    -------
    frames, channels : np.ndarray, shape (num_spikes,), int
        The largest extremum of each spike; ordered by frame.
    amplitudes : np.ndarray, shape (num_spikes,), float32
        In noise levels.
    probabilities : np.ndarray, shape (num_spikes,), float32
    """
    margin = detector.margin + exclusion.frames if margin is None else margin
    scaled = detector.scaled(traces)
    frames, channels, probabilities = detector.candidates(scaled, margin - exclusion.frames)
    found = probabilities >= threshold
    frames, channels, probabilities = frames[found], channels[found], probabilities[found]
    amplitudes = scaled[frames, channels]
    keep = largest_in_reach(frames, channels, np.abs(amplitudes), exclusion)
    keep &= (frames >= margin) & (frames < len(traces) - margin)
    return frames[keep], channels[keep], amplitudes[keep], probabilities[keep]


def largest_in_reach(frames, channels, heights, exclusion: Exclusion) -> np.ndarray:
    """
    Which peaks are not outdone by a larger one within reach in time and space.

    Parameters
    ----------
    frames, channels : np.ndarray, shape (num_peaks,), int
        Ordered by frame.
    heights : np.ndarray, shape (num_peaks,), float
    exclusion : Exclusion

    Returns
    -------
    np.ndarray, shape (num_peaks,), bool
        Of two equal heights the earlier peak stays.
    """
    keep = np.ones(len(frames), dtype=bool)
    for shift in range(1, len(frames)):
        earlier, later = slice(None, -shift), slice(shift, None)
        lag = frames[later] - frames[earlier]
        if not (lag <= exclusion.frames).any():
            break
        apart = exclusion.distances_um[channels[earlier], channels[later]]
        small, large = np.minimum(heights[earlier], heights[later]), np.maximum(heights[earlier], heights[later])
        near = (apart <= exclusion.radius_um) & (lag <= exclusion.frames)
        is_flank = (apart <= exclusion.flank_um) & (lag <= exclusion.frames // 3)
        near |= is_flank & (small < exclusion.flank_share * large)
        later_wins = heights[later] > heights[earlier]
        keep[earlier] &= ~(near & later_wins)
        keep[later] &= ~(near & ~later_wins)
    return keep
