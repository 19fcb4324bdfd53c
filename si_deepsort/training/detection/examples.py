"""From a labelled recording to the examples of a detector: candidates, each with its window and its label."""

from dataclasses import dataclass

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting

from ...detection.candidates import Candidates
from ...detection.energy import EnergyFilters, spike_energy
from ...detection.spike_detector import SpikeDetector
from ...detection.windows import cut_windows
from .labels import CleanLabels, clean_labels, mean_waveforms

# A candidate is the peak of a spike if it is this close to it in ms, on a channel where the unit has at least this
# share of its size; the candidate on the channel with the largest share is the one. Candidates with a share between
# the two are unclear and not used, and so are further ones above the upper share.
PEAK_MS = 0.25
PEAK_SHARE, FLANK_SHARE = 0.6, 0.4
# Candidates of units whose mean waveform is smaller than this, in noise standard deviations, are unclear, too: half of
# the smallest candidate, so that noise decides whether there is one.
SMALLEST_UNIT = 2.5
# Reach in ms around a label of the mean waveform whose size is measured: the window of the energy and some jitter.
WAVEFORM_MS = 2.0
# Windows are clipped to this, in noise standard deviations, so that half-precision floats hold them.
LARGEST_VALUE = 1000.0


@dataclass
class Examples:
    """
    Candidates with labels.

    Attributes
    ----------
    windows : np.ndarray, shape (num_examples, num_neighbors, num_frames), float16
        White traces.
    distances_um : np.ndarray, shape (num_examples, num_neighbors), float32
    context : np.ndarray, shape (num_examples, 5), float32
        See `Candidates.context`.
    labels : np.ndarray, shape (num_examples,), float32
        1 for the peak of a spike.
    weights : np.ndarray, shape (num_examples,), float32
        How many candidates of the recording each example stands for.
    times_s : np.ndarray, shape (num_examples,), float32
        Since the start of its segment.
    """

    windows: np.ndarray
    distances_um: np.ndarray
    context: np.ndarray
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
    traces: BaseRecording,
    sorting: BaseSorting,
    detector: SpikeDetector,
    *,
    num_negatives: int,
    seed: int = 0,
) -> tuple[Examples, CleanLabels]:
    """
    Candidates of a recording, labelled by a sorting.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    sorting : BaseSorting
        Its spikes; labels are peaks, or a constant time away from them.
    detector : SpikeDetector
        The network that is to learn, made ready for the recording.
    num_negatives : int
        Most candidates without a spike that are kept; all those with one are.
    seed : int, default: 0

    Raises
    ------
    ValueError
        If sampling rates or segments differ, or no label lies in the recording.
    """
    frequency = traces.get_sampling_frequency()
    segments = [traces.get_traces(segment_index=index) for index in range(traces.get_num_segments())]
    segments = [one.astype("float32", copy=False) for one in segments]
    labels = clean_labels(segments, sorting, frequency, seed=seed)
    sizes, offsets = unit_sizes(segments, labels, detector.finder.filters, len(sorting.unit_ids), frequency, seed=seed)
    rng = np.random.default_rng(seed)
    parts = []
    for index, own in enumerate(segments):
        if len(own) > 2 * detector.margin:
            found = detector.find(own, margin=detector.margin)
            units = labels.units[index]
            classes, _ = classify_candidates(found, labels.frames[index] + offsets[units], units, sizes, frequency)
            parts.append((own, found, classes))
    examples = [
        _cut(own, found, classes, weights, detector)
        for own, found, classes, weights in _choose(parts, num_negatives, rng)
    ]
    return concatenate_examples(examples), labels


def unit_sizes(
    segments: list[np.ndarray], labels: CleanLabels, filters: EnergyFilters, num_units: int, frequency: float, *, seed
) -> tuple[np.ndarray, np.ndarray]:
    """
    Size of each unit on each channel, and the time from its labels to its peak of the energy.

    Returns
    -------
    sizes : np.ndarray, shape (num_units, num_channels), float32
        Square root of the energy of the mean waveform, in noise standard deviations.
    offsets : np.ndarray, shape (num_units,), int
        In frames.
    """
    reach = round(WAVEFORM_MS * frequency / 1000)
    waveforms, _ = mean_waveforms(segments, labels.frames, labels.units, num_units, reach, seed)
    sizes = np.zeros((num_units, segments[0].shape[1]), dtype="float32")
    offsets = np.zeros(num_units, dtype=int)
    for unit, waveform in enumerate(waveforms):
        energy = spike_energy(waveform, filters)
        sizes[unit] = energy.max(axis=1)
        offsets[unit] = energy.max(axis=0).argmax() + filters.nbefore - reach
    return sizes, offsets


def classify_candidates(
    candidates: Candidates, times: np.ndarray, units: np.ndarray, sizes: np.ndarray, sampling_frequency: float
) -> tuple[np.ndarray, np.ndarray]:
    """
    Label candidates, and find the spike of each.

    Parameters
    ----------
    candidates : Candidates
    times, units : np.ndarray, shape (num_spikes,), int
        Frame of the peak of each spike, and its unit.
    sizes : np.ndarray, shape (num_units, num_channels), float32
        Size of each unit on each channel.
    sampling_frequency : float
        In Hz.

    Returns
    -------
    classes : np.ndarray, shape (num_candidates,), int8
        1 for the peak of a spike, 0 for none, -1 for unclear.
    spikes : np.ndarray, shape (num_candidates,), int
        The spike whose peak a candidate is; -1 for none.
    """
    reach = max(1, round(PEAK_MS * sampling_frequency / 1000))
    first = np.searchsorted(candidates.frames, times - reach)
    number = np.searchsorted(candidates.frames, times + reach, side="right") - first
    spike = np.repeat(np.arange(len(times)), number)
    candidate = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + first[spike]
    largest = sizes.max(axis=1)[units[spike]]
    share = sizes[units[spike], candidates.channels[candidate]] / np.maximum(largest, 1e-6)
    lag = np.abs(candidates.frames[candidate] - times[spike])
    classes = np.zeros(len(candidates), dtype="int8")
    is_seen = share >= FLANK_SHARE
    classes[candidate[is_seen]] = -1
    is_peak = (share >= PEAK_SHARE) & (largest >= SMALLEST_UNIT)
    spike, candidate, share, lag = spike[is_peak], candidate[is_peak], share[is_peak], lag[is_peak]
    # The best candidate of each spike comes first among those of its spike.
    order = np.lexsort((lag, -share, spike))
    is_best = np.r_[True, np.diff(spike[order]) > 0] if len(order) else np.zeros(0, bool)
    best = order[is_best]
    classes[candidate[best]] = 1
    spikes = np.full(len(candidates), -1)
    spikes[candidate[best]] = spike[best]
    return classes, spikes


def _choose(parts, num_negatives, rng):
    """The candidates of each segment to keep, with weights that make up for those left out."""
    total = sum(int((classes == 0).sum()) for *_, classes in parts)
    share = min(1.0, num_negatives / max(total, 1))
    for traces, found, classes in parts:
        keep = (classes == 1) | ((classes == 0) & (rng.random(len(classes)) < share))
        weights = np.where(classes[keep] == 1, 1.0, 1.0 / share).astype("float32")
        yield traces, found.where(keep), classes[keep], weights


def _cut(traces, found: Candidates, classes, weights, detector: SpikeDetector) -> Examples:
    plan = detector.plan
    windows = cut_windows(traces, found.frames, found.channels, plan)
    windows = windows.clip(-LARGEST_VALUE, LARGEST_VALUE).astype("float16")
    context = found.context
    times_s = (found.frames / detector.sampling_frequency).astype("float32")
    return Examples(
        windows, plan.distances_um[found.channels], context, (classes == 1).astype("float32"), weights, times_s
    )
