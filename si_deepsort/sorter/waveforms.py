"""
Waveforms around many peaks or spikes, and their averages, read in one pass over the recording.

SpikeInterface's waveform extractors hold all waveforms at once; here a chunk's waveforms are handed on and forgotten.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numba
import numpy as np
from numba.extending import overload
from spikeinterface.core import BaseRecording

from ..chunks import chunk_frames
from ..compiled import COMPILED
from ..geometry import channel_distances
from ..preprocessing.half_precision import single_from_bits, stored_halves
from ..spike_vectors import some_of_each
from ..threads import each, num_threads

# Seconds of traces that are read at once, unless there are so many channels that memory asks for fewer.
CHUNK_S = 2.0
# Spikes that are averaged for each unit, at most. Noise adds 1 / MOST_AVERAGED_SPIKES to the variance of an average of
# white traces: more spikes cost time and hardly change it.
MOST_AVERAGED_SPIKES = 250
# Units whose averages a thread divides, projects or joins one after the other. Chosen by speed.
UNITS_TOGETHER = 32
# Radius in um around the main channel within which averages are computed: farther channels see nothing of a unit.
AVERAGE_RADIUS_UM = 300.0


def read_waveforms(
    recording: BaseRecording,
    peaks: np.ndarray,
    neighbors: np.ndarray,
    *,
    nbefore: int,
    nafter: int,
    chunk_s: float = CHUNK_S,
    describe: Callable[[np.ndarray, np.ndarray], Any] | None = None,
) -> Iterator[tuple[np.ndarray, Any]]:
    """
    Waveforms of peaks on the channels around them, chunk by chunk: memory does not grow with the number of peaks.

    Several threads may read, see `si_deepsort.threads`.

    Parameters
    ----------
    recording : BaseRecording
    peaks : np.ndarray, shape (num_peaks,)
        SpikeInterface's peak dtype, sorted by segment and sample.
    neighbors : np.ndarray, shape (num_channels, max_neighbors), int
        Channels that are read around each channel; -1 where there are fewer.
    nbefore, nafter : int
        Samples before and from the peak on.
    chunk_s : float, default: CHUNK_S
        Longest chunk in seconds.
    describe : callable | None, default: None
        Takes positions and waveforms, and returns what is to be handed on instead of the waveforms.

    Yields
    ------
    positions : np.ndarray, shape (num_read,), int
        Positions in `peaks`.
    waveforms : np.ndarray, shape (num_read, nbefore + nafter, max_neighbors), float32
        0 beyond the ends of the recording and where there is no neighbour.
    """
    num_samples = nbefore + nafter

    def read(chunk):
        segment_index, start, stop, positions = chunk
        begin, end = max(0, start - num_samples), min(recording.get_num_frames(segment_index), stop + num_samples)
        traces = stored_traces(recording, segment_index, begin, end)
        onsets = peaks["sample_index"][positions].astype("int64") - begin - nbefore
        waveforms = cut_out(traces, onsets, neighbors[peaks["channel_index"][positions]], num_samples)
        return positions, waveforms if describe is None else describe(positions, waveforms)

    yield from each(read, _chunks_with_events(recording, peaks, chunk_s))


def _chunks_with_events(recording: BaseRecording, events, chunk_s) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """Segment, first frame and end of each chunk that holds events (peaks or spikes), and their positions."""
    chunk = chunk_frames(recording, chunk_s)
    for segment_index in range(recording.get_num_segments()):
        own = np.flatnonzero(events["segment_index"] == segment_index)
        frames = events["sample_index"][own]
        num_frames = recording.get_num_frames(segment_index)
        for start in range(0, num_frames, chunk):
            # Spikes that an alignment has moved beyond the end are skipped.
            stop = min(start + chunk, num_frames)
            first, last = np.searchsorted(frames, [start, stop])
            if first < last:
                yield segment_index, start, stop, own[first:last]


def stored_traces(recording: BaseRecording, segment_index: int, begin: int, end: int) -> np.ndarray:
    """
    Traces from one frame to another, for `cut_out`; most of them are never looked at.

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels), float32 | uint16
        Where a recording holds half-precision numbers, their bits, which are not read from a file yet.
    """
    halves = stored_halves(recording)
    if halves is None:
        return np.ascontiguousarray(recording.get_traces(segment_index, begin, end), dtype="float32")
    bits = np.ascontiguousarray(halves.get_traces(segment_index, begin, end)).view("uint16")
    bits.flags.writeable = False  # as those of a file: numba compiles what may be written apart
    return bits


def _single(stored):
    """Single-precision number of a float, which is itself, or of the bits of a half-precision number."""
    raise NotImplementedError("Only compiled code uses this function.")


@overload(_single, inline="always")
def _single_of(stored):
    if isinstance(stored, numba.types.Float):
        return lambda stored: stored
    return lambda stored: single_from_bits(stored)


def cut_out(traces: np.ndarray, onsets: np.ndarray, channels: np.ndarray, num_samples: int) -> np.ndarray:
    """
    Cut waveforms out of traces.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels)
        From `stored_traces`.
    onsets : np.ndarray, shape (num_spikes,), int
        First frame of each waveform; it may lie outside.
    channels : np.ndarray, shape (num_spikes, num_places), int
        Channels of each waveform; -1 for an empty place.
    num_samples : int

    Returns
    -------
    np.ndarray, shape (num_spikes, num_samples, num_places), float32
        0 outside the traces and at empty places.
    """
    waveforms = np.zeros((len(onsets), num_samples, channels.shape[1]), dtype="float32")
    _cut_out(traces, onsets, channels, waveforms)
    return waveforms


@numba.njit(**COMPILED)
def _cut_out(traces, onsets, channels, waveforms):
    num_samples = waveforms.shape[1]
    for spike in range(len(onsets)):
        first, last = max(0, -onsets[spike]), min(num_samples, len(traces) - onsets[spike])
        for sample in range(first, last):
            for place in range(channels.shape[1]):
                if channels[spike, place] >= 0:
                    waveforms[spike, sample, place] = _single(traces[onsets[spike] + sample, channels[spike, place]])


def average_waveforms(
    recording: BaseRecording,
    spikes: np.ndarray,
    num_units: int,
    *,
    nbefore: int,
    nafter: int,
    seed: int,
    main_channels: np.ndarray | None = None,
    chunk_s: float = CHUNK_S,
    subtract: Callable[[np.ndarray, int, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Average waveform of each unit, from at most `MOST_AVERAGED_SPIKES` randomly chosen spikes, and its uncertainty.

    Parameters
    ----------
    recording : BaseRecording
        White traces.
    spikes : np.ndarray
        Sorted spike vector.
    num_units : int
    nbefore, nafter : int
        Samples before and from the spike time on.
    seed : int
        Seed of the choice of spikes.
    main_channels : np.ndarray, shape (num_units,), int | None, default: None
        Main channel of each unit. Channels outside the smallest range that holds all channels within
        `AVERAGE_RADIUS_UM` of it are skipped and stay 0, which saves most of the work on a long probe.
    chunk_s : float, default: CHUNK_S
        Longest chunk in seconds.
    subtract : callable | None, default: None
        Takes the traces of a chunk, its segment and its first frame, and changes the traces before they are averaged.

    Returns
    -------
    averages : np.ndarray, shape (num_units, nbefore + nafter, num_channels), float32
        0 for units without spikes. Spikes too close to an end of the recording are left out.
    differences : np.ndarray, shape (num_units, nbefore + nafter, num_channels), float32
        Half the difference between the averages of every other spike and of the rest. It holds what is not common to
        all spikes, and has as much noise as the average itself.
    """
    sums = np.zeros((2, num_units, nbefore + nafter, recording.get_num_channels()), dtype="float32")
    counts = np.zeros((2, num_units), dtype=int)
    spikes = spikes[some_of_each(spikes["unit_index"], MOST_AVERAGED_SPIKES, seed)]
    bounds = _bounds_around(recording, main_channels, num_units)

    def add(traces, first, own):
        onsets = own["sample_index"].astype("int64") - first
        _add_waveforms(sums, counts, traces, onsets, own["unit_index"].astype("int64"), bounds)

    def chunks_of(own):
        return _chunks_with_events(recording, own, chunk_s)

    read = partial(_read_chunk, recording, nbefore=nbefore, nafter=nafter, subtract=subtract)
    _add_in_order(add, read, chunks_of, spikes, is_stored=subtract is None and stored_halves(recording) is not None)
    return _averages_and_differences(sums, counts, bounds)


def _add_in_order(add, read, chunks_of, spikes, *, is_stored: bool) -> None:
    """Add the waveforms of each unit in one thread: in another order the sums would round differently."""

    def add_units(own):
        for traces, first, positions in map(read, chunks_of(own)):
            add(traces, first, own[positions])

    if is_stored:
        # To look at stored traces once more costs nothing.
        groups = [spikes[spikes["unit_index"] % num_threads() == group] for group in range(num_threads())]
        for _ in each(add_units, groups):
            pass
    else:
        for traces, first, positions in each(read, chunks_of(spikes)):
            add(traces, first, spikes[positions])


def _read_chunk(recording: BaseRecording, chunk, *, nbefore, nafter, subtract) -> tuple[np.ndarray, int, np.ndarray]:
    """Traces of a chunk and around it, the frame that a first spike may have there, and the positions of its spikes."""
    segment_index, start, stop, positions = chunk
    begin, end = max(0, start - nbefore), min(recording.get_num_frames(segment_index), stop + nafter)
    if subtract is None:
        return stored_traces(recording, segment_index, begin, end), begin + nbefore, positions
    traces = np.array(recording.get_traces(segment_index, begin, end), dtype="float32", order="C")
    subtract(traces, segment_index, begin)
    return traces, begin + nbefore, positions


def _bounds_around(recording: BaseRecording, main_channels: np.ndarray | None, num_units: int) -> np.ndarray:
    """First channel and end of the smallest range that holds all channels near each main channel, or all channels."""
    if main_channels is None:
        return np.tile([0, recording.get_num_channels()], (num_units, 1))
    is_near = channel_distances(recording.get_channel_locations()[:, :2])[main_channels] <= AVERAGE_RADIUS_UM
    return np.column_stack([is_near.argmax(axis=1), is_near.shape[1] - is_near[:, ::-1].argmax(axis=1)])


def _averages_and_differences(sums, counts, bounds):
    """
    Averages of all spikes, and half the differences between those of two halves, (units, samples, channels).

    They take the place of the sums of the halves: with many channels these are large.
    """

    def divide(unit):
        _divide(sums, counts, unit, bounds[unit, 0], bounds[unit, 1])

    for _ in each(divide, range(sums.shape[1]), together=UNITS_TOGETHER):
        pass
    return sums[0], sums[1]


@numba.njit(**COMPILED)
def _divide(sums, counts, unit, start, stop):
    """Turn the sums of two halves of the spikes of a unit into the average of all and half their difference."""
    one, other = counts[0, unit], counts[1, unit]
    total = np.float32(max(one + other, 1))
    one_count, other_count, two = np.float32(max(one, 1)), np.float32(max(other, 1)), np.float32(2.0)
    for sample in range(sums.shape[2]):
        first, second = sums[0, unit, sample, start:stop], sums[1, unit, sample, start:stop]
        for place in range(len(first)):
            average = (first[place] + second[place]) / total
            second[place] = (first[place] / one_count - second[place] / other_count) / two
            first[place] = average


@numba.njit(**COMPILED)
def _add_waveforms(sums, counts, traces: np.ndarray, onsets, units, bounds):
    num_samples = sums.shape[2]
    for spike in range(len(onsets)):
        onset, unit = onsets[spike], units[spike]
        if onset >= 0 and onset + num_samples <= len(traces):
            first, last = bounds[unit]
            half = 1 if counts[1, unit] < counts[0, unit] else 0
            for sample in range(num_samples):
                total, waveform = sums[half, unit, sample, first:last], traces[onset + sample, first:last]
                for place in range(len(total)):
                    total[place] += _single(waveform[place])
            counts[half, unit] += 1
