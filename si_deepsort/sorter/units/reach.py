"""
How long the waveforms of a recording are.

What a template leaves out of its unit's waveform is found again as a spike, and a late wave becomes a unit of its own.
"""

from itertools import pairwise

import numba
import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.base import base_peak_dtype

from ...compiled import COMPILED
from ...detection.energy import MS_AFTER, MS_BEFORE
from ...spike_vectors import main_channels, some_of_each
from ..average_waveforms import average_waveforms
from ..waveforms import read_waveforms

# Stretch of traces in ms to either side of a spike in which its waveform is looked for. The slowest spikes that are
# known, complex spikes of Purkinje cells aside, last less.
SEARCHED_MS = 6.0
# Spikes of each unit that are averaged: an energy of 56 (`min_spike_size`) then stands 15 standard deviations above
# what noise adds to the product of two halves.
MOST_AVERAGED = 100
# Share of the units whose waveforms may be longer than the templates: single clusters whose spikes often precede those
# of another unit show a late wave that is not theirs.
LONGER_SHARE = 0.1


def waveform_reach(
    traces: BaseRecording, spikes: np.ndarray, *, nbefore: int, nafter: int, least_size: float, seed: int
) -> tuple[int, int]:
    """
    Samples of templates that leave out nothing that could be taken for a unit.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    spikes : np.ndarray
        Sorted spike vector of clustered peaks.
    nbefore, nafter : int
        Samples before and from the peak on that templates have at least.
    least_size : float
        Size (square root of the energy), in noise standard deviations, from which on a unit is kept. What is left out
        within any stretch as long as a spike is smaller.
    seed : int
        Seed of the choice of spikes.

    Returns
    -------
    nbefore, nafter : int
    """
    sampling_frequency = traces.get_sampling_frequency()
    num_units = int(spikes["unit_index"].max(initial=-1)) + 1
    if num_units == 0:
        return nbefore, nafter
    reach = max(round(SEARCHED_MS * sampling_frequency / 1000), nbefore, nafter)
    stretch = round((MS_BEFORE + MS_AFTER) * sampling_frequency / 1000)
    some = spikes[some_of_each(spikes["unit_index"], MOST_AVERAGED, seed)]
    averages, _ = average_waveforms(traces, some, num_units, nbefore=nbefore, nafter=nafter, seed=seed)
    halves = _halves_on_one_channel(traces, some, main_channels(averages), reach)
    needed = [_left_out(first, second, reach, stretch, least_size**2) for first, second in halves]
    # The largest that more than the tolerated share of units need.
    before, after = np.sort(needed, axis=0)[::-1][int(LONGER_SHARE * num_units)]
    return max(nbefore, int(before)), max(nafter, int(after))


def _halves_on_one_channel(traces: BaseRecording, spikes, channels, reach):
    """Averages of every other spike and of the rest on the main channel of each unit, (num_units, 2, num_samples)."""
    peaks = np.zeros(len(spikes), dtype=base_peak_dtype)
    peaks["sample_index"], peaks["segment_index"] = spikes["sample_index"], spikes["segment_index"]
    peaks["channel_index"] = channels[spikes["unit_index"]]
    order = np.argsort(spikes["unit_index"], kind="stable")
    bounds = np.searchsorted(spikes["unit_index"][order], np.arange(len(channels) + 1))
    halves = np.zeros(len(spikes), dtype=int)
    for first, last in pairwise(bounds):
        halves[order[first:last]] = np.arange(last - first) % 2
    sums, counts = np.zeros((len(channels), 2, 2 * reach)), np.zeros((len(channels), 2, 1))
    neighbors = np.arange(traces.get_num_channels())[:, None]
    for positions, waveforms in read_waveforms(traces, peaks, neighbors, nbefore=reach, nafter=reach):
        _add_waveforms(sums, counts, spikes["unit_index"][positions].astype("int64"), halves[positions], waveforms)
    return sums / np.maximum(counts, 1)


@numba.njit(**COMPILED)
def _add_waveforms(sums, counts, units, halves, waveforms):
    """Add waveforms (spikes, samples, 1) to the sums and counts of the halves of units; NumPy's add.at is slow."""
    for spike in range(len(units)):
        own = sums[units[spike], halves[spike]]
        for sample in range(len(own)):
            own[sample] += waveforms[spike, sample, 0]
        counts[units[spike], halves[spike], 0] += 1


def _left_out(first, second, reach, stretch, least_energy):
    """Samples before and from the largest peak on, beyond which no stretch of a waveform has as much energy."""
    mean = np.abs(first + second)
    # The largest peak near the spike: a cluster may sit on a side lobe of its waveform.
    peak = int(mean[reach // 2 : -(reach // 2)].argmax()) + reach // 2
    # Two halves of the spikes have noise of their own: their product holds the energy of the waveform alone.
    total = np.cumsum(np.pad(first * second, (1, 0)))
    loud = np.flatnonzero(total[stretch:] - total[:-stretch] > least_energy)
    before, after = loud[loud + stretch <= peak], loud[loud >= peak]
    return (
        peak - before[0] - stretch if len(before) else 0,
        after[-1] - peak + 1 if len(after) else 0,
    )
