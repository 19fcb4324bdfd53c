"""
From a labelled recording to what a detector learns from: candidates, each with its window and its label.

Labels are cleaned first: spikes outside the recording and duplicates are dropped, and a constant offset between the
labels and the peaks (labels at the onset, say) is measured and removed.
"""

import logging
from dataclasses import dataclass

import numpy as np

from ...detection.candidates import WindowPlan, cut_windows, find_candidates, make_window_plan, with_empty_channel
from ...detection.spike_detector import measure_channels
from ...geometry import recording_geometry
from ...noise import sample_traces

logger = logging.getLogger(__name__)

# A candidate is a spike's peak if it lies this close to it in time, on a channel that sees this share of the spike
# (the larger one for channels farther away than this: those mostly see a flank that runs along a dendrite).
PEAK_MS = 0.2
PEAK_SHARE = 0.5
NEAR_UM = 75.0
FAR_PEAK_SHARE = 0.85
# Between spike and no spike: such candidates are not used.
UNCLEAR_MS = 0.35
UNCLEAR_SHARE = 0.25
# Units whose mean waveform is smaller than this, in noise levels, are neither spikes nor silence.
SMALLEST_UNIT = 2.0
OFFSET_SEARCH_MS = 2.0


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


@dataclass
class CleanLabels:
    """
    Spikes of a recording after cleaning, and what their units look like.

    Attributes
    ----------
    frames : list of np.ndarray, int64
        Per segment, sorted, the sample of each spike's peak.
    units : list of np.ndarray, int64
        Per segment, the unit of each spike.
    peaks : np.ndarray, shape (num_units, num_channels), float32
        Mean waveform of each unit at its peak, in noise levels.
    offset_frames : int
        Peak minus label, the constant that was found and removed.
    num_dropped : int
        Labels outside the recording or duplicated.
    """

    frames: list[np.ndarray]
    units: list[np.ndarray]
    peaks: np.ndarray
    offset_frames: int
    num_dropped: int


def examples_from_recording(
    recording,
    sorting,
    config,
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
    return concatenate_examples([_cut(segments[i], *rest, plan, statistics, frequency) for i, *rest in kept]), labels


def clean_labels(segments: list[np.ndarray], sorting, sampling_frequency: float, *, seed: int = 0) -> CleanLabels:
    """
    Drop labels that cannot be right, and move the others onto the peaks.

    Parameters
    ----------
    segments : list of np.ndarray, each of shape (num_frames, num_channels), float32
        Traces in noise levels.
    sorting : BaseSorting
    sampling_frequency : float
        Of the traces, in Hz.
    """
    if abs(sorting.get_sampling_frequency() / sampling_frequency - 1) > 1e-4:
        raise ValueError(
            f"The sorting has a sampling rate of {sorting.get_sampling_frequency()} Hz and the recording one of "
            f"{sampling_frequency} Hz. Give labels in samples of this recording."
        )
    if sorting.get_num_segments() != len(segments):
        raise ValueError(
            f"The sorting has {sorting.get_num_segments()} segments and the recording {len(segments)}; "
            "they must be of the same session."
        )
    spikes = sorting.to_spike_vector()
    frames, units, num_dropped = [], [], 0
    for index, scaled in enumerate(segments):
        mine = spikes[spikes["segment_index"] == index]
        inside = mine[(mine["sample_index"] >= 0) & (mine["sample_index"] < len(scaled))]
        pairs = np.unique(np.stack([inside["sample_index"], inside["unit_index"]], axis=1), axis=0)
        num_dropped += len(mine) - len(pairs)
        frames.append(pairs[:, 0].astype("int64"))
        units.append(pairs[:, 1].astype("int64"))
    if not sum(map(len, frames)):
        raise ValueError("No label lies inside the recording; there is nothing to learn from.")
    if num_dropped:
        logger.warning("%d labels lie outside the recording or are duplicates; they are not used", num_dropped)
    return _aligned(segments, frames, units, len(sorting.unit_ids), sampling_frequency, num_dropped, seed)


def _aligned(segments, frames, units, num_units, sampling_frequency, num_dropped, seed) -> CleanLabels:
    reach = round(OFFSET_SEARCH_MS * sampling_frequency / 1000)
    templates, counts = _mean_waveforms(segments, frames, units, num_units, reach, seed)
    heights = np.abs(templates).max(axis=2)
    shifts = heights.argmax(axis=1) - reach
    # One offset for all: the weighted median over units, large and frequent ones counting most.
    trust = np.sqrt(counts) * heights.max(axis=1, initial=0.0)
    order = np.argsort(shifts)
    offset = int(shifts[order][np.searchsorted(np.cumsum(trust[order]), trust.sum() / 2)])
    near = round(PEAK_MS * sampling_frequency / 1000) + 1
    # Within a small range each unit has its own: its labels may sit on another channel's peak.
    window = slice(max(0, reach + offset - near), reach + offset + near + 1)
    own = heights[:, window].argmax(axis=1) + window.start - reach
    if abs(offset) > 1:
        logger.warning(
            "The labels lie %.2f ms %s the peaks; they are shifted by %d samples",
            abs(offset) * 1000 / sampling_frequency,
            "before" if offset > 0 else "after",
            offset,
        )
    peaks = templates[np.arange(num_units), own + reach]
    moved = [times + own[unit] for times, unit in zip(frames, units, strict=True)]
    orders = [np.argsort(times, kind="stable") for times in moved]
    moved = [times[order] for times, order in zip(moved, orders, strict=True)]
    units = [unit[order] for unit, order in zip(units, orders, strict=True)]
    return CleanLabels(moved, units, peaks, offset, num_dropped)


def _mean_waveforms(segments, frames, units, num_units, reach, seed, most: int = 300):
    """Mean waveform (num_units, 2 * reach + 1, num_channels) of up to `most` spikes of each unit."""
    rng = np.random.default_rng(seed)
    sums = np.zeros((num_units, 2 * reach + 1, segments[0].shape[1]))
    counts = np.zeros(num_units)
    for scaled, times, unit in zip(segments, frames, units, strict=True):
        fits = (times >= reach) & (times < len(scaled) - reach)
        for index in np.unique(unit[fits]):
            own = times[fits & (unit == index)]
            own = rng.choice(own, size=min(most, len(own)), replace=False)
            sums[index] += scaled[own[:, None] + np.arange(-reach, reach + 1)].sum(axis=0)
            counts[index] += len(own)
    return (sums / np.maximum(counts, 1)[:, None, None]).astype("float32"), counts


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
    What each candidate is: 1 the peak of a spike, 0 none, -1 unclear.

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
    """Of each segment the candidates to keep, with weights that make up for those left out."""
    total = sum(int((classes == 0).sum()) for *_, classes in parts)
    share = min(1.0, num_negatives / max(total, 1))
    for index, frames, channels, classes in parts:
        keep = (classes == 1) | ((classes == 0) & (rng.random(len(classes)) < share))
        weights = np.where(classes[keep] == 1, 1.0, 1.0 / share).astype("float32")
        yield index, frames[keep], channels[keep], classes[keep], weights


def _cut(scaled, frames, channels, classes, weights, plan: WindowPlan, statistics, sampling_frequency) -> Examples:
    windows = cut_windows(with_empty_channel(scaled), frames, channels, plan).clip(-1000, 1000).astype("float16")
    times_s = (frames / sampling_frequency).astype("float32")
    labels = (classes == 1).astype("float32")
    return Examples(windows, plan.distances_um[channels], statistics.activity[channels], labels, weights, times_s)
