"""Average waveforms of units, in one pass over the recording."""

import numba
import numpy as np

from ...chunks import chunk_frames
from ...geometry import channel_distances

# Spikes of a unit that are averaged, at most: more hardly change it.
MOST_SPIKES = 250
# Averages reach this far from the main channel.
AVERAGE_RADIUS_UM = 300.0


def average_waveforms(
    recording,
    spikes,
    num_units: int,
    *,
    nbefore: int,
    nafter: int,
    seed: int,
    main_channels: np.ndarray | None = None,
    chunk_s: float = 2.0,
):
    """
    Average waveform of each unit, from at most `MOST_SPIKES` spikes.

    Parameters
    ----------
    recording : BaseRecording
        White.
    spikes : np.ndarray
        With fields segment_index, sample_index, unit_index, sorted by the first two.
    main_channels : np.ndarray, shape (num_units,), int | None, default: None
        Of the units: channels beyond all that are near them are left out, which is most of the work on a long probe.

    Returns
    -------
    np.ndarray, shape (num_units, nbefore + nafter, num_channels), float32
    """
    num_channels = recording.get_num_channels()
    sums = np.zeros((num_units, nbefore + nafter, num_channels), dtype="float32")
    counts = np.zeros(num_units, dtype=int)
    spikes = spikes[some_of_each(spikes["unit_index"], MOST_SPIKES, seed)]
    bounds = np.tile([0, num_channels], (num_units, 1))
    if main_channels is not None:
        is_near = channel_distances(recording.get_channel_locations()[:, :2])[main_channels] <= AVERAGE_RADIUS_UM
        bounds = np.column_stack([is_near.argmax(axis=1), num_channels - is_near[:, ::-1].argmax(axis=1)])
    chunk = chunk_frames(recording, chunk_s)
    for segment_index in range(recording.get_num_segments()):
        own = spikes[spikes["segment_index"] == segment_index]
        num_frames = recording.get_num_frames(segment_index)
        for start in range(0, num_frames, chunk):
            first, last = np.searchsorted(own["sample_index"], [start, start + chunk])
            if last == first:
                continue
            begin, end = max(0, start - nbefore), min(num_frames, start + chunk + nafter)
            traces = np.ascontiguousarray(recording.get_traces(segment_index, begin, end), dtype="float32")
            onsets = own["sample_index"][first:last].astype("int64") - begin - nbefore
            _add_waveforms(sums, counts, traces, onsets, own["unit_index"][first:last].astype("int64"), bounds)
    sums /= np.maximum(counts, 1)[:, None, None].astype("float32")
    return sums


@numba.njit(cache=True, nogil=True)
def _add_waveforms(sums, counts, traces, onsets, units, bounds):
    num_samples = sums.shape[1]
    for spike in range(len(onsets)):
        onset, unit = onsets[spike], units[spike]
        if onset >= 0 and onset + num_samples <= len(traces):
            first, last = bounds[unit]
            for sample in range(num_samples):
                total, waveform = sums[unit, sample, first:last], traces[onset + sample, first:last]
                for place in range(len(total)):
                    total[place] += waveform[place]
            counts[unit] += 1


def some_of_each(units: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Positions, in order, of at most so many random spikes of each unit."""
    shuffled = np.random.default_rng(seed).permutation(len(units))
    by_unit = shuffled[np.argsort(units[shuffled], kind="stable")]
    sorted_units = units[by_unit]
    ranks = np.arange(len(units)) - np.searchsorted(sorted_units, sorted_units)
    return np.sort(by_unit[ranks < most])
