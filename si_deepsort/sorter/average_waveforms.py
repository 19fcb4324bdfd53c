"""Average waveforms of many units, read in one pass over the recording."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numba
import numpy as np
from spikeinterface.core import BaseRecording

from ..compiled import COMPILED, INNER
from ..geometry import channel_distances
from ..preprocessing.half_precision import stored_halves
from ..spike_vectors import some_of_each
from ..threads import each
from .waveforms import CHUNK_S, chunks_with_events, single, stored_traces

# Spikes that are averaged for each unit, at most. Noise adds 1 / MOST_AVERAGED_SPIKES to the variance of an average of
# white traces: more spikes cost time and hardly change it.
MOST_AVERAGED_SPIKES = 250
# Units whose averages a thread divides, projects or joins one after the other. Chosen by speed.
UNITS_TOGETHER = 32
# Radius in um around the main channel within which averages are computed: farther channels see nothing of a unit.
AVERAGE_RADIUS_UM = 300.0


class SpikeLimits(NamedTuple):
    """
    Lowest and highest value that a spike adds to the average of its unit.

    Attributes
    ----------
    low, high : np.ndarray, shape (num_units, num_samples, num_places), float32
        Places are the channels of `channel_ranges`, the first one first.
    """

    low: np.ndarray
    high: np.ndarray


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
    limits: SpikeLimits | None = None,
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
    limits : SpikeLimits | None, default: None
        Values beyond these limits count as the limits. None averages the values as they are.

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
    bounds = channel_ranges(recording, main_channels, num_units)

    def add(traces, first, own):
        onsets = own["sample_index"].astype("int64") - first
        _add_waveforms(sums, counts, traces, onsets, own["unit_index"].astype("int64"), bounds, limits)

    if subtract is None and stored_halves(recording) is not None:
        _add_by_unit(add, recording, spikes, nbefore)
    else:
        read = partial(_read_chunk, recording, nbefore=nbefore, nafter=nafter, subtract=subtract)
        _add_by_chunk(add, read, chunks_with_events(recording, spikes, chunk_s), spikes)
    return _averages_and_differences(sums, counts, bounds)


def _add_by_unit(add, recording: BaseRecording, spikes, nbefore) -> None:
    """Add the waveforms of one unit after the other: its sums stay in the processor's cache."""

    def add_unit(unit_and_positions):
        # To look at stored traces once more costs nothing.
        for traces, positions in stored_traces_of(recording, spikes, unit_and_positions[1]):
            add(traces, nbefore, spikes[positions])

    for _ in each(add_unit, positions_of_units(spikes)):
        pass


def _add_by_chunk(add, read, chunks, spikes) -> None:
    """Add waveforms in one thread: in another order the sums would round differently."""
    for traces, first, positions in each(read, chunks):
        add(traces, first, spikes[positions])


def positions_of_units(spikes: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Each unit that has spikes, and their positions in a sorted spike vector, ascending."""
    if len(spikes) == 0:
        return []
    order = np.argsort(spikes["unit_index"], kind="stable")
    units, firsts = np.unique(spikes["unit_index"][order], return_index=True)
    return list(zip(units.tolist(), np.split(order, firsts[1:]), strict=True))


def stored_traces_of(
    recording: BaseRecording, spikes: np.ndarray, positions: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """
    Stored traces of each segment in which some spikes lie, and the positions of these spikes.

    They are to be given back soon: a file that stays open would fill the memory with all that was read of it.
    """
    segments = spikes["segment_index"][positions]
    for segment_index in np.unique(segments).tolist():
        traces = stored_traces(recording, segment_index, 0, recording.get_num_frames(segment_index))
        yield traces, positions[segments == segment_index]


def _read_chunk(recording: BaseRecording, chunk, *, nbefore, nafter, subtract) -> tuple[np.ndarray, int, np.ndarray]:
    """Traces of a chunk and around it, the frame that a first spike may have there, and the positions of its spikes."""
    segment_index, start, stop, positions = chunk
    begin, end = max(0, start - nbefore), min(recording.get_num_frames(segment_index), stop + nafter)
    if subtract is None:
        return stored_traces(recording, segment_index, begin, end), begin + nbefore, positions
    traces = np.array(recording.get_traces(segment_index, begin, end), dtype="float32", order="C")
    subtract(traces, segment_index, begin)
    return traces, begin + nbefore, positions


def channel_ranges(recording: BaseRecording, main_channels: np.ndarray | None, num_units: int) -> np.ndarray:
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
def _add_waveforms(sums, counts, traces: np.ndarray, onsets, units, bounds, limits):
    num_samples = sums.shape[2]
    for spike in range(len(onsets)):
        onset, unit = onsets[spike], units[spike]
        if onset >= 0 and onset + num_samples <= len(traces):
            first, last = bounds[unit]
            half = 1 if counts[1, unit] < counts[0, unit] else 0
            for sample in range(num_samples):
                total, waveform = sums[half, unit, sample, first:last], traces[onset + sample, first:last]
                if limits is None:
                    _add_row(total, waveform)
                else:
                    _add_limited(total, waveform, limits.low[unit, sample], limits.high[unit, sample])
            counts[half, unit] += 1


# The compiler vectorises these as functions of their own.
@numba.njit(**INNER)
def _add_row(total, waveform):
    for place in range(len(total)):
        total[place] += single(waveform[place])


@numba.njit(**INNER)
def _add_limited(total, waveform, low, high):
    for place in range(len(total)):
        value = single(waveform[place])
        value = low[place] if value < low[place] else value
        total[place] += high[place] if value > high[place] else value
