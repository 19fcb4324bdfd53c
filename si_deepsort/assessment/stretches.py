"""Stretches of white traces from which a sorting is judged: spread over the recording, and around rare spikes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from spikeinterface.core import BaseRecording

from ..chunks import spread_chunks
from ..preprocessing.half_precision import to_half_precision
from ..spike_vectors import some_of_each

# Traces that are kept in memory, in values of half precision (2 bytes each): 300 MB.
MOST_KEPT_VALUES = 150_000_000
# Length in s of a stretch that is read at once.
STRETCH_S = 1.0
# A unit with fewer spikes than this in the spread stretches is judged by spikes elsewhere as well.
FEWEST_SPIKES = 25
# Stretches around single spikes of rare units, at most: each costs as much time as .1 s of traces.
MOST_SHORT_STRETCHES = 600


@dataclass(frozen=True)
class Stretch:
    """
    White traces of a part of a segment.

    Attributes
    ----------
    segment : int
    start, stop : int
        Frames whose spikes are judged.
    first : int
        Frame of the first row of the traces: a margin before `start`; 0 fills what lies beyond the segment.
    traces : np.ndarray, shape (num_frames, num_channels), float16
    """

    segment: int
    start: int
    stop: int
    first: int
    traces: np.ndarray


def choose_stretches(
    recording: BaseRecording, spikes: np.ndarray, num_units: int, *, most_s: float, seed: int
) -> list[tuple[int, int, int]]:
    """
    Choose the stretches that are read.

    Parameters
    ----------
    recording : BaseRecording
        White traces.
    spikes : np.ndarray
        Sorted spike vector.
    num_units : int
    most_s : float
        Duration in s of all stretches together; less if there are many channels.
    seed : int
        Seed of the choice of spikes of rare units.

    Returns
    -------
    list of tuple of int
        Segment, first frame and end of each stretch. They do not overlap.
    """
    rate = recording.get_sampling_frequency()
    most_s = max(STRETCH_S, min(most_s, MOST_KEPT_VALUES / (rate * recording.get_num_channels())))
    chunks = spread_chunks(recording, most_s, STRETCH_S)
    if chunks is None:
        return whole_recording(recording)
    inside = np.zeros(len(spikes), dtype=bool)
    for chunk in chunks:
        inside[spikes_between(spikes, *chunk)] = True
    num_inside = np.bincount(spikes["unit_index"][inside], minlength=num_units)
    is_rare = num_inside < FEWEST_SPIKES
    outside = np.flatnonzero(~inside & is_rare[spikes["unit_index"]])
    most_each = max(1, min(FEWEST_SPIKES, MOST_SHORT_STRETCHES // max(1, int(is_rare.sum()))))
    chosen = outside[some_of_each(spikes["unit_index"][outside], most_each, seed)][:MOST_SHORT_STRETCHES]
    reach = round(0.001 * rate)
    short = [
        (int(s["segment_index"]), int(s["sample_index"]) - reach, int(s["sample_index"]) + reach + 1)
        for s in spikes[chosen]
    ]
    return without_overlaps(chunks, short)


def without_overlaps(
    chunks: list[tuple[int, int, int]], short: list[tuple[int, int, int]]
) -> list[tuple[int, int, int]]:
    """Chunks, and those parts of short stretches (all ascending) that lie in no chunk and in no earlier stretch."""
    found = list(chunks)
    for segment, start, stop in short:
        for other, first, last in sorted(found):
            if other == segment and first < stop and last > start:
                start, stop = (last, stop) if first <= start else (start, first)
        if start < stop:
            found.append((segment, max(start, 0), stop))
    return sorted(found)


def whole_recording(recording: BaseRecording) -> list[tuple[int, int, int]]:
    """Stretches that cover the whole recording, as `choose_stretches` gives them."""
    size = round(STRETCH_S * recording.get_sampling_frequency())
    return [
        (segment, start, min(start + size, recording.get_num_frames(segment)))
        for segment in range(recording.get_num_segments())
        for start in range(0, recording.get_num_frames(segment), size)
    ]


def read_stretches(
    recording: BaseRecording, stretches: list[tuple[int, int, int]], *, margin: int
) -> Iterator[Stretch]:
    """
    Read stretches, one after the other.

    Parameters
    ----------
    recording : BaseRecording
        White traces.
    stretches : list of tuple of int
        From `choose_stretches`.
    margin : int
        Frames that are read before and after each stretch.
    """
    for segment, start, stop in stretches:
        first, last = start - margin, stop + margin
        end = recording.get_num_frames(segment)
        traces = np.zeros((last - first, recording.get_num_channels()), dtype="float16")
        inner = slice(max(first, 0), min(last, end))
        read = recording.get_traces(segment, inner.start, inner.stop)
        traces[inner.start - first : inner.stop - first] = to_half_precision(read.astype("float32", copy=False))
        yield Stretch(segment, start, stop, first, traces)


def spikes_between(spikes: np.ndarray, segment: int, start: int, stop: int) -> slice:
    """Where the spikes of a part of a segment lie in a sorted spike vector."""
    first, last = np.searchsorted(spikes["segment_index"], [segment, segment + 1])
    bounds = np.searchsorted(spikes["sample_index"][first:last], [start, stop]) + first
    return slice(int(bounds[0]), int(bounds[1]))
