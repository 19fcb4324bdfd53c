"""
What a spike can add to the average of its unit: values near those of most spikes.

A plain mean is spoilt by what does not belong to the unit: spikes of other units in the same window, and spikes that
were assigned to the wrong unit. A unit with few spikes has no isolated ones to choose from where neurons are crowded or
seen on many channels. Clipped to limits around the median, such a value adds a little more than noise, whatever its
size, and the mean of a pure unit keeps its precision (Huber 1964, The Annals of Mathematical Statistics 35:73).
"""

from collections.abc import Iterator

import numba
import numpy as np
from spikeinterface.core import BaseRecording

from ..compiled import COMPILED, INNER
from ..preprocessing.half_precision import stored_halves, to_half_precision, to_single_precision
from ..spike_vectors import some_of_each
from ..threads import each
from .average_waveforms import SpikeLimits, channel_ranges, positions_of_units, stored_traces_of
from .waveforms import CHUNK_S, chunks_with_events, cut_out, single, stored_traces

# Spikes of a unit from which medians and quartiles are found. They only have to show where most spikes lie: an error of
# the median hardly moves a mean that is clipped around it.
MOST_COMPARED_SPIKES = 25
# Fewest spikes that show where most of them lie.
FEWEST_COMPARED_SPIKES = 4
# Limits in standard deviations from the median: more than normally distributed values reach, less than the spikes of
# other units. At 2.5, which costs a pure unit 1 % of the precision of its mean, neurons whose spikes change over time
# came out in parts (development recording `changing`, seed 1: 46 units for 40 neurons; 40 at 4).
CLIPPED_SDS = 4.0
# Values of a window that are sorted at once, so that they stay in the processor's cache. Chosen by speed.
COLUMNS_AT_ONCE = 512
# Distance between the quartiles of a normal distribution, in standard deviations.
QUARTILE_DISTANCE = 1.349


def spike_limits(
    recording: BaseRecording,
    spikes: np.ndarray,
    num_units: int,
    *,
    nbefore: int,
    nafter: int,
    seed: int,
    main_channels: np.ndarray,
) -> SpikeLimits:
    """
    Find limits around the median of some spikes of each unit.

    Parameters
    ----------
    recording : BaseRecording
        White traces, so that noise has a standard deviation of 1.
    spikes : np.ndarray
        Sorted spike vector.
    num_units : int
    nbefore, nafter : int
        Samples before and from the spike time on.
    seed : int
        Seed of the choice of spikes.
    main_channels : np.ndarray, shape (num_units,), int
        Main channel of each unit; limits are found on the channels that `average_waveforms` uses.

    Returns
    -------
    SpikeLimits
        Infinite where a unit has fewer than `FEWEST_COMPARED_SPIKES` spikes.
    """
    bounds = channel_ranges(recording, main_channels, num_units)
    shape = num_units, nbefore + nafter, int(np.diff(bounds).max(initial=0))
    limits = SpikeLimits(np.full(shape, -np.inf, dtype="float32"), np.full(shape, np.inf, dtype="float32"))
    onsets = spikes["sample_index"].astype("int64") - nbefore
    ends = np.array([recording.get_num_frames(i) for i in range(recording.get_num_segments())])
    inside = spikes[(onsets >= 0) & (onsets + shape[1] <= ends[spikes["segment_index"]])]
    some = inside[some_of_each(inside["unit_index"], MOST_COMPARED_SPIKES, seed)]

    def find(unit_and_windows):
        unit, windows = unit_and_windows
        near = slice(windows.shape[2])
        _find_limits(windows.reshape(len(windows), -1), limits.low[unit, :, near], limits.high[unit, :, near])

    for _ in each(find, _windows_of_units(recording, some, bounds, nbefore=nbefore, num_samples=shape[1])):
        pass
    return limits


def _windows_of_units(
    recording: BaseRecording, spikes, bounds, *, nbefore, num_samples
) -> Iterator[tuple[int, np.ndarray]]:
    """Each unit with enough spikes and its windows, (spikes, samples, channels in its bounds), float32."""
    of_units = [(unit, own) for unit, own in positions_of_units(spikes) if len(own) >= FEWEST_COMPARED_SPIKES]
    onsets = spikes["sample_index"].astype("int64") - nbefore
    if stored_halves(recording) is not None:
        for unit, own in of_units:
            start, stop = bounds[unit]
            windows, place = np.empty((len(own), num_samples, stop - start), dtype="float32"), 0
            for traces, positions in stored_traces_of(recording, spikes, own):
                _copy_windows(traces, onsets[positions], start, windows[place : place + len(positions)])
                place += len(positions)
            yield unit, windows
        return
    width = int((bounds[:, 1] - bounds[:, 0]).max(initial=0))
    # In half precision, which white traces are rounded to: of many units, these windows are much of the memory.
    held = np.zeros((len(spikes), num_samples, width), dtype="float16")
    places = bounds[:, :1] + np.arange(width)
    channels = np.where(places < bounds[:, 1:], places, -1)

    def read(chunk):
        segment_index, start, stop, positions = chunk
        begin = max(0, start - num_samples)
        end = min(recording.get_num_frames(segment_index), stop + num_samples)
        traces = stored_traces(recording, segment_index, begin, end)
        windows = cut_out(traces, onsets[positions] - begin, channels[spikes["unit_index"][positions]], num_samples)
        return positions, to_half_precision(windows)

    for positions, windows in each(read, chunks_with_events(recording, spikes, CHUNK_S)):
        held[positions] = windows
    for unit, own in of_units:
        yield unit, to_single_precision(held[own][:, :, : bounds[unit, 1] - bounds[unit, 0]])


@numba.njit(**COMPILED)
def _copy_windows(traces: np.ndarray, onsets, first_channel, windows):
    """Copy traces from some onsets and a first channel on to windows, (spikes, samples, channels)."""
    num_spikes, num_samples, num_channels = windows.shape
    for spike in range(num_spikes):
        for sample in range(num_samples):
            row, window = traces[onsets[spike] + sample, first_channel:], windows[spike, sample]
            for channel in range(num_channels):
                window[channel] = single(row[channel])


@numba.njit(**COMPILED)
def _find_limits(windows: np.ndarray, low: np.ndarray, high: np.ndarray):
    """Fill limits (samples, channels) around the medians of windows (spikes, samples * channels), which are sorted."""
    num_spikes, num_columns = windows.shape
    for first in range(0, num_columns, COLUMNS_AT_ONCE):
        _sort_columns(windows, first, min(first + COLUMNS_AT_ONCE, num_columns))
    quarter, (num_samples, num_channels) = num_spikes // 4, low.shape
    for sample in range(num_samples):
        for channel in range(num_channels):
            column = sample * num_channels + channel
            median = (windows[(num_spikes - 1) // 2, column] + windows[num_spikes // 2, column]) / np.float32(2.0)
            spread = windows[num_spikes - 1 - quarter, column] - windows[quarter, column]
            # Noise alone spreads by 1.
            reach = np.float32(CLIPPED_SDS) * max(np.float32(1.0), spread / np.float32(QUARTILE_DISTANCE))
            low[sample, channel], high[sample, channel] = median - reach, median + reach


@numba.njit(**INNER)
def _sort_columns(values, start, stop):
    """
    Sort some columns of an array (rows, columns) in place.

    Rows are compared and exchanged, all columns at once, in an order that sorts whatever they hold (Batcher 1968, AFIPS
    32:307).
    """
    num_rows, largest = len(values), 1
    while 2 * largest < num_rows:
        largest *= 2
    step = largest
    while step > 0:
        distance, last, rest = step, largest, 0
        while True:
            for row in range(num_rows - distance):
                if row & step == rest:
                    _exchange(values[row, start:stop], values[row + distance, start:stop])
            if last == step:
                break
            distance, last, rest = last - step, last // 2, step
        step //= 2


@numba.njit(**INNER)
def _exchange(upper, lower):
    """Exchange two numbers where the upper one is larger; the compiler vectorises it as a function of its own."""
    for column in range(len(upper)):
        one, other = upper[column], lower[column]
        upper[column] = one if one < other else other
        lower[column] = other if one < other else one
