"""
Clean the labels of a recording: drop spikes outside of it and duplicates, and move the labels onto the peaks.

A constant offset between labels and peaks, such as that of labels at the onset of spikes, is measured and removed.
"""

import logging
from dataclasses import dataclass

import numpy as np
from spikeinterface.core import BaseSorting

logger = logging.getLogger(__name__)

# A label this close to a peak in ms is at this peak.
PEAK_MS = 0.2
# Largest offset between labels and peaks in ms: about the duration of a spike.
OFFSET_SEARCH_MS = 2.0
# Spikes of a unit that its mean waveform is made of, at most.
MOST_SPIKES = 300
# Relative difference of two sampling rates that counts as none.
SAME_RATE = 1e-4


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


def clean_labels(
    segments: list[np.ndarray], sorting: BaseSorting, sampling_frequency: float, *, seed: int = 0
) -> CleanLabels:
    """
    Drop labels outside the recording and duplicates, and move the others onto the peaks.

    Parameters
    ----------
    segments : list of np.ndarray, each of shape (num_frames, num_channels), float32
        Traces in noise levels.
    sorting : BaseSorting
    sampling_frequency : float
        Sampling rate of the traces in Hz.
    """
    if abs(sorting.get_sampling_frequency() / sampling_frequency - 1) > SAME_RATE:
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
    templates, counts = mean_waveforms(segments, frames, units, num_units, reach, seed)
    heights = np.abs(templates).max(axis=2)
    shifts = heights.argmax(axis=1) - reach
    # One offset for all: the median over units, weighted by their size and number of spikes.
    trust = np.sqrt(counts) * heights.max(axis=1, initial=0.0)
    order = np.argsort(shifts)
    offset = int(shifts[order][np.searchsorted(np.cumsum(trust[order]), trust.sum() / 2)])
    near = round(PEAK_MS * sampling_frequency / 1000) + 1
    # Near it each unit has its own offset, for its labels may be at the peak of another channel.
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


def mean_waveforms(segments, frames, units, num_units, reach, seed, most: int = MOST_SPIKES):
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
