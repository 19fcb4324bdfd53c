"""
What share of the spikes of a unit can be spikes of one neuron, because they resemble the mean of the others.

Averages that were refined together with those of all other units fit noise where units are many and spikes few, and
each spike then fits the average that it is part of. Here nothing was subtracted from the traces, and each spike is
compared with the mean of others: at random times, it has nothing in common with them.
"""

from functools import partial

import numba
import numpy as np
from scipy.stats import norm

from ..compiled import COMPILED
from ..preprocessing.half_precision import to_single_precision
from .stretches import Stretch, spikes_between
from .templates import WhiteTemplates

# Parts into which the spikes of a unit are divided, in turn, so that changes over time are in all of them. A spike is
# compared with the mean of the other parts.
NUM_PARTS = 8
# With fewer spikes, two in each part, nothing is said.
FEWEST_SPIKES = 16
# Values are cut off at so many noise levels, which noise hardly reaches: a few large spikes of other neurons would else
# decide about the mean.
MOST_SDS = 4.0
# The smallest spikes that any sorter finds stand out by 3 standard deviations in the output of their own matched
# filter. A spike resembles the mean from half of that on: .07 of noise does, and .93 of such spikes.
RESEMBLES = 1.5
RESEMBLING = float(norm.cdf(RESEMBLES))
# Standard errors above a share at which it is bounded (one-sided 95 %).
BOUND_ERRORS = 1.645


def most_of_one_neuron(
    stretches: list[Stretch], spikes: np.ndarray, sampled: np.ndarray, templates: WhiteTemplates
) -> np.ndarray:
    """
    Largest share of the spikes of each unit that can be of one neuron, (num_units,), float from 0 to 1.

    Parameters
    ----------
    stretches : list of Stretch
    spikes : np.ndarray
        Sorted spike vector.
    sampled : np.ndarray, shape (num_spikes,), bool
        Spikes that are compared.
    templates : WhiteTemplates
        Averages of these spikes in the traces as they are; their channels and directions are used.

    Returns
    -------
    np.ndarray, shape (num_units,), float
        1 for units with few spikes.
    """
    num_units, num_samples, num_kept = templates.values.shape
    sums = np.zeros((num_units, NUM_PARTS, num_samples, num_kept), dtype="float32")
    counts, alike = np.zeros((num_units, NUM_PARTS), dtype="int64"), np.zeros(num_units, dtype="int64")
    over = partial(_over_spikes, stretches, spikes, sampled, templates)
    over(_add_to_parts, sums, counts)
    means = mean_of_others(sums, counts, templates.directions)
    over(_count_alike, means, np.zeros(num_units, dtype="int64"), alike)
    num_spikes = counts.sum(axis=1)
    share = alike / np.maximum(num_spikes, 1)
    error = np.sqrt(share * (1 - share) / np.maximum(num_spikes, 1))
    return np.where(num_spikes >= FEWEST_SPIKES, np.minimum(share / RESEMBLING + BOUND_ERRORS * error, 1.0), 1.0)


def mean_of_others(sums: np.ndarray, counts: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """
    For each part of the spikes of a unit, the mean of all other parts, with norm 1.

    Parameters
    ----------
    sums : np.ndarray, shape (num_units, num_parts, num_samples, num_kept), float32
        Sum of the waveforms of each part.
    counts : np.ndarray, shape (num_units, num_parts), int
    directions : np.ndarray, shape (num_directions, num_samples), float32
        Orthonormal waveforms over time that the means are made of.

    Returns
    -------
    np.ndarray, shape (num_units, num_parts, num_samples, num_kept), float32
    """
    averages = np.einsum("ds,upsk->updk", directions, sums, optimize=True) / np.maximum(counts, 1)[..., None, None]
    others = averages.sum(axis=1, keepdims=True) - averages
    others /= np.maximum(np.linalg.norm(others, axis=(2, 3), keepdims=True), 1e-9)
    return np.einsum("ds,updk->upsk", directions, others, optimize=True).astype("float32")


def _over_spikes(stretches, spikes, sampled, templates, work, *arrays):
    """Do something with the window of each sampled spike, in the order of time."""
    num_samples = templates.values.shape[1]
    for stretch in stretches:
        where = spikes_between(spikes, stretch.segment, stretch.start, stretch.stop)
        chosen = spikes[where][sampled[where]]
        rows = chosen["sample_index"].astype("int64") - stretch.first - templates.nbefore
        is_inside = (rows >= 0) & (rows + num_samples <= len(stretch.traces))
        units = chosen["unit_index"].astype("int64")[is_inside]
        traces = to_single_precision(stretch.traces)
        work(traces, rows[is_inside], units, templates.channels, *arrays, np.float32(MOST_SDS))


@numba.njit(**COMPILED)
def _add_to_parts(traces, rows, units, channels, sums, counts, most):
    for spike in range(len(rows)):
        unit = units[spike]
        part = counts[unit].sum() % counts.shape[1]
        counts[unit, part] += 1
        for kept in range(channels.shape[1]):
            channel = channels[unit, kept]
            if channel >= 0:
                for sample in range(sums.shape[2]):
                    value = traces[rows[spike] + sample, channel]
                    sums[unit, part, sample, kept] += min(max(value, -most), most)


@numba.njit(**COMPILED)
def _count_alike(traces, rows, units, channels, means, seen, alike, most):
    """Count the spikes of each unit that resemble the mean of the other parts; `seen` counts as in `_add_to_parts`."""
    for spike in range(len(rows)):
        unit = units[spike]
        part = seen[unit] % means.shape[1]
        seen[unit] += 1
        total = np.float32(0)
        for kept in range(channels.shape[1]):
            channel = channels[unit, kept]
            if channel >= 0:
                for sample in range(means.shape[2]):
                    value = traces[rows[spike] + sample, channel]
                    total += min(max(value, -most), most) * means[unit, part, sample, kept]
        alike[unit] += total > RESEMBLES
