"""A detection network with all that it must know of one probe and one sampling rate: traces in, spikes out."""

from dataclasses import dataclass

import numpy as np

from ..nets.detector import Detector, DetectorConfig
from ..noise import noise_levels
from .candidates import cut_windows, find_candidates, make_window_plan, with_empty_channel
from .exclusion import EXCLUSIVE_MS, Exclusion, largest_in_reach

# Windows per call of the network: bounds the memory, does not change the result.
BATCH = 4096
# Settings of a model that was saved without them: an undecided probability, and half of SpikeInterface's threshold,
# below which extrema of noise are so many that few of them are spikes.
DEFAULT_THRESHOLD, DEFAULT_CANDIDATE_THRESHOLD = 0.5, 2.5


@dataclass(frozen=True)
class ChannelStatistics:
    """
    What a detector must know of each channel.

    Attributes
    ----------
    noise_levels : np.ndarray, shape (num_channels,), float32
        Robust noise levels in the unit of the traces; a channel of level 0 is dead.
    baseline : np.ndarray, shape (num_channels,), float32
        Medians in the unit of the traces.
    activity : np.ndarray, shape (num_channels, num_heights), float32
        Logarithm of 1 + the rate in Hz of candidates above each of the network's `activity_heights`.
    """

    noise_levels: np.ndarray
    baseline: np.ndarray
    activity: np.ndarray

    def scaled(self, traces: np.ndarray) -> np.ndarray:
        """Traces (frames, channels) in noise levels, float32; values that are not finite, and dead channels, are 0."""
        scale = np.where(self.usable, 1 / np.where(self.usable, self.noise_levels, 1), 0).astype("float32")
        scaled = (traces.astype("float32", copy=False) - self.baseline) * scale
        return scaled if np.isfinite(scaled).all() else np.nan_to_num(scaled, posinf=0.0, neginf=0.0)

    @property
    def usable(self) -> np.ndarray:
        """Which channels are alive, (num_channels,), bool."""
        return np.isfinite(self.noise_levels) & (self.noise_levels > 0)


def measure_channels(
    sampled: np.ndarray,
    config: DetectorConfig,
    channel_locations: np.ndarray,
    sampling_frequency: float,
    *,
    shanks: np.ndarray | None = None,
) -> ChannelStatistics:
    """
    Measure the statistics of the channels on a sample of the traces.

    Parameters
    ----------
    sampled : np.ndarray, shape (num_frames, num_channels)
        As `noise.sample_traces` draws them.
    config : DetectorConfig
        Structure of the network that will use them.
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um.
    sampling_frequency : float
        In Hz.
    shanks : np.ndarray | None, shape (num_channels,), default: None
    """
    finite = sampled if np.isfinite(sampled).all() else np.nan_to_num(sampled, posinf=0.0, neginf=0.0)
    levels, baseline = noise_levels(finite).astype("float32"), np.median(finite, axis=0).astype("float32")
    heights = config.activity_heights
    activity = np.zeros((len(levels), len(heights)), dtype="float32")
    statistics = ChannelStatistics(levels, baseline, activity)
    plan = make_window_plan(config, channel_locations, sampling_frequency, shanks=shanks, usable=statistics.usable)
    if heights and len(sampled) > 2 * plan.rival_frames:
        scaled = statistics.scaled(finite)
        frames, channels = find_candidates(scaled, plan, threshold=min(heights), margin=plan.rival_frames)
        found = np.abs(scaled[frames, channels])
        for column, height in enumerate(heights):
            counts = np.bincount(channels[found >= height], minlength=len(levels))
            activity[:, column] = np.log1p(counts * sampling_frequency / len(sampled))
    return statistics


class SpikeDetector:
    """
    A detection network made ready for one probe and one sampling rate.

    Parameters
    ----------
    net : Detector
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um.
    sampling_frequency : float
        Sampling rate of the traces in Hz.
    statistics : ChannelStatistics
        As `measure_channels` gives them.
    shanks : np.ndarray | None, shape (num_channels,), default: None
    candidate_threshold : float | None, default: None
        Smallest height of a candidate in noise levels. None takes the model's.

    Attributes
    ----------
    threshold : float
        Smallest probability of a spike, as the model was saved with it.
    exclusive_ms : float
        Time in ms in which the largest of several peaks stays, as the model was saved with it.
    """

    def __init__(
        self,
        net: Detector,
        channel_locations: np.ndarray,
        sampling_frequency: float,
        statistics: ChannelStatistics,
        *,
        shanks: np.ndarray | None = None,
        candidate_threshold: float | None = None,
    ):
        self.net = net
        self.channel_locations = channel_locations
        self.sampling_frequency = sampling_frequency
        self.shanks = shanks
        self.statistics = statistics
        self.plan = make_window_plan(
            net.config, channel_locations, sampling_frequency, shanks=shanks, usable=statistics.usable
        )
        stored = net.info.settings if net.info is not None else {}
        self.threshold: float = stored.get("threshold", DEFAULT_THRESHOLD)
        self.exclusive_ms: float = stored.get("exclusive_ms", EXCLUSIVE_MS)
        if candidate_threshold is None:
            candidate_threshold = stored.get("candidate_threshold", DEFAULT_CANDIDATE_THRESHOLD)
        self.candidate_threshold: float = candidate_threshold

    @property
    def margin(self) -> int:
        """Frames on either side that a probability depends on."""
        return self.plan.before + self.plan.rival_frames

    def candidates(self, scaled: np.ndarray, margin: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """
        Find the candidates in traces, and the probability of each that it is the peak of a spike.

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
            activity = self.statistics.activity[channels[batch]]
            probabilities[batch] = probabilities_of(self.net, windows, plan.distances_um[channels[batch]], activity)
        return frames, channels, probabilities

    def probability(self, traces: np.ndarray, *, chunk_frames: int = 300_000) -> np.ndarray:
        """
        Probability of a spike's peak at each sample and channel; 0 where there is no candidate.

        Parameters
        ----------
        traces : np.ndarray, shape (num_frames, num_channels)
            A whole segment.
        chunk_frames : int, default: 300_000
            It bounds the memory and does not change the result.

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
            scaled = np.pad(self.statistics.scaled(traces[first:last]), padding)
            frames, channels, probabilities = self.candidates(scaled, margin)
            result[start - margin + frames, channels] = probabilities
        return result


def probabilities_of(net: Detector, windows: np.ndarray, distances_um: np.ndarray, activity: np.ndarray) -> np.ndarray:
    """
    Probability that the middle of each window is the peak of a spike.

    Parameters
    ----------
    net : Network
        A detector in evaluation mode.
    windows : np.ndarray, shape (num_windows, num_neighbors, num_frames), float
    distances_um : np.ndarray, shape (num_windows, num_neighbors), float32
    activity : np.ndarray, shape (num_windows, num_heights), float32

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
            inputs = (windows[batch].astype("float32", copy=False), distances_um[batch], activity[batch])
            logits = net(*(torch.from_numpy(array).to(device) for array in inputs))
            result[batch] = torch.sigmoid(logits).cpu().numpy()
    return result


def detect_in_traces(
    traces: np.ndarray,
    detector: SpikeDetector,
    exclusion: Exclusion,
    *,
    threshold: float,
    margin: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """
    Detect the spikes in a stretch of traces.

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
    scaled = detector.statistics.scaled(traces)
    frames, channels, probabilities = detector.candidates(scaled, margin - exclusion.frames)
    found = probabilities >= threshold
    frames, channels, probabilities = frames[found], channels[found], probabilities[found]
    amplitudes = scaled[frames, channels]
    keep = largest_in_reach(frames, channels, np.abs(amplitudes), exclusion)
    keep &= (frames >= margin) & (frames < len(traces) - margin)
    return frames[keep], channels[keep], amplitudes[keep], probabilities[keep]
