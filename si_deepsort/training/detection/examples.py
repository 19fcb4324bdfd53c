"""From a labelled recording to the examples of a detector: candidates, each with its window and its label."""

from dataclasses import dataclass

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting

from ...detection.candidates import WindowPlan, cut_windows, find_candidates, make_window_plan, with_empty_channel
from ...detection.spike_detector import measure_channels
from ...geometry import recording_geometry
from ...nets.detector import DetectorConfig
from ...noise import sample_traces
from .labels import PEAK_MS, CleanLabels, clean_labels

# A candidate is the peak of a spike if it is within `PEAK_MS` of it, on a channel where the mean waveform of the unit
# has at least this part of its height. Channels farther away (um) need the larger part, for there the spike often is a
# flank that runs along a dendrite.
PEAK_SHARE = 0.5
NEAR_UM = 75.0
FAR_PEAK_SHARE = 0.85
# Candidates this close to a spike in time (ms), with at least this part of its height, are unclear and not used.
UNCLEAR_MS = 0.35
UNCLEAR_SHARE = 0.25
# Candidates of units whose mean waveform is smaller than this, in noise levels, are unclear, too.
SMALLEST_UNIT = 2.0
# Windows are clipped to this, in noise levels, so that half-precision floats hold them.
LARGEST_VALUE = 1000.0


@dataclass
class Examples:
    """
    Candidates with labels.

    Attributes
    ----------
    windows : np.ndarray, shape (num_examples, num_neighbors, num_frames), float16
        In noise levels.
    distances_um : np.ndarray, shape (num_examples, num_neighbors), float32
    activity : np.ndarray, shape (num_examples, num_heights), float32
        How busy the channel is, see `ChannelStatistics`.
    labels : np.ndarray, shape (num_examples,), float32
        1 for the peak of a spike.
    weights : np.ndarray, shape (num_examples,), float32
        How many candidates of the recording each example stands for.
    times_s : np.ndarray, shape (num_examples,), float32
        Since the start of its segment.
    """

    windows: np.ndarray
    distances_um: np.ndarray
    activity: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    times_s: np.ndarray

    def __len__(self):
        return len(self.labels)

    def where(self, chosen: np.ndarray) -> "Examples":
        """The chosen examples."""
        return Examples(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def concatenate_examples(parts: list[Examples]) -> Examples:
    """Several sets of examples as one."""
    return Examples(*(np.concatenate([getattr(p, name) for p in parts]) for name in Examples.__dataclass_fields__))


def examples_from_recording(
    recording: BaseRecording,
    sorting: BaseSorting,
    config: DetectorConfig,
    *,
    candidate_threshold: float,
    num_negatives: int,
    seed: int = 0,
) -> tuple[Examples, CleanLabels]:
    """
    Candidates of a recording, labelled by a sorting.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed, any unit.
    sorting : BaseSorting
        Its spikes; labels are peaks, or a constant time away from them.
    config : DetectorConfig
    candidate_threshold : float
        Smallest candidate in noise levels.
    num_negatives : int
        Most candidates without a spike that are kept; all those with one are.
    seed : int, default: 0

    Raises
    ------
    ValueError
        If sampling rates or segments differ, or no label lies in the recording.
    """
    locations, shanks = recording_geometry(recording)
    frequency = recording.get_sampling_frequency()
    sampled = sample_traces(recording, seed=seed)
    statistics = measure_channels(sampled, config, locations, frequency, shanks=shanks)
    plan = make_window_plan(config, locations, frequency, shanks=shanks, usable=statistics.usable)
    num_segments = recording.get_num_segments()
    segments = [statistics.scaled(recording.get_traces(segment_index=index)) for index in range(num_segments)]
    labels = clean_labels(segments, sorting, frequency, seed=seed)
    rng = np.random.default_rng(seed)
    parts = []
    for index, scaled in enumerate(segments):
        margin = plan.before + plan.rival_frames
        if len(scaled) > 2 * margin:
            frames, channels = find_candidates(scaled, plan, threshold=candidate_threshold, margin=margin)
            classes = classify_candidates(scaled, frames, channels, labels, index, frequency, plan)
            parts.append((index, frames, channels, classes))
    kept = _choose(parts, num_negatives, rng)
    examples = [
        _cut(segments[index], *found, plan=plan, statistics=statistics, sampling_frequency=frequency)
        for index, *found in kept
    ]
    return concatenate_examples(examples), labels


def classify_candidates(
    scaled: np.ndarray,
    frames: np.ndarray,
    channels: np.ndarray,
    labels: CleanLabels,
    segment_index: int,
    sampling_frequency: float,
    plan: WindowPlan,
) -> np.ndarray:
    """
    Label candidates: 1 for the peak of a spike, 0 for none, -1 for unclear.

    Parameters
    ----------
    scaled : np.ndarray, shape (num_frames, num_channels), float32
        Traces in noise levels.
    frames, channels : np.ndarray, shape (num_candidates,), int
        Ordered by frame.
    labels : CleanLabels
    segment_index : int
    sampling_frequency : float
        In Hz.
    plan : WindowPlan

    Returns
    -------
    np.ndarray, shape (num_candidates,), int8
    """
    unclear = round(UNCLEAR_MS * sampling_frequency / 1000)
    clear = max(1, round(PEAK_MS * sampling_frequency / 1000))
    times, units = labels.frames[segment_index], labels.units[segment_index]
    first = np.searchsorted(frames, times - unclear)
    number = np.searchsorted(frames, times + unclear, side="right") - first
    spike = np.repeat(np.arange(len(times)), number)
    candidate = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + first[spike]
    height = labels.peaks[units[spike], channels[candidate]]
    largest = np.abs(labels.peaks).max(axis=1)[units[spike]]
    share = np.abs(height) / np.maximum(largest, 1e-6)
    lag = np.abs(frames[candidate] - times[spike])
    agrees = np.sign(scaled[frames[candidate], channels[candidate]]) == np.sign(height)
    main_channels = np.abs(labels.peaks).argmax(axis=1)[units[spike]]
    is_main = plan.neighbors[channels[candidate]] == main_channels[:, None]
    is_visible = is_main.any(axis=1)
    is_far = (is_main & (plan.distances_um[channels[candidate]] > NEAR_UM)).any(axis=1)
    # What lies outside the window cannot be learnt: there, a large flank looks like a spike, a small one is unclear.
    is_seen = share >= np.where(is_far, FAR_PEAK_SHARE, PEAK_SHARE)
    is_peak = is_seen & (lag <= clear) & agrees & (largest >= SMALLEST_UNIT)
    is_flank = np.where(is_visible, ~is_far & (share >= UNCLEAR_SHARE), np.abs(height) >= SMALLEST_UNIT)
    is_unclear = (is_seen | is_flank) & agrees
    classes = np.zeros(len(frames), dtype="int8")
    classes[candidate[is_unclear]] = -1
    classes[candidate[is_peak]] = 1
    return classes


def _choose(parts, num_negatives, rng):
    """The candidates of each segment to keep, with weights that make up for those left out."""
    total = sum(int((classes == 0).sum()) for *_, classes in parts)
    share = min(1.0, num_negatives / max(total, 1))
    for index, frames, channels, classes in parts:
        keep = (classes == 1) | ((classes == 0) & (rng.random(len(classes)) < share))
        weights = np.where(classes[keep] == 1, 1.0, 1.0 / share).astype("float32")
        yield index, frames[keep], channels[keep], classes[keep], weights


def _cut(scaled, frames, channels, classes, weights, *, plan: WindowPlan, statistics, sampling_frequency) -> Examples:
    windows = (
        cut_windows(with_empty_channel(scaled), frames, channels, plan)
        .clip(-LARGEST_VALUE, LARGEST_VALUE)
        .astype("float16")
    )
    times_s = (frames / sampling_frequency).astype("float32")
    labels = (classes == 1).astype("float32")
    return Examples(windows, plan.distances_um[channels], statistics.activity[channels], labels, weights, times_s)
