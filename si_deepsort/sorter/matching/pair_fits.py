"""
The compiled part of matching that looks for the pair of spikes that explains the correlations near a spike best.

Units are those that overlap with the unit of the spike, one row each; places are those near it.
"""

import numba
import numpy as np

from ...compiled import INNER
from .kernels import INTERPOLATION_REACH, JITTERS, peak_between

# Weights that interpolate between places.
TAPS = 2 * INTERPOLATION_REACH + 1
# Places to either side of where a pair is found within which its spikes are fitted, and how often each of them is.
FIT_PLACES, FIT_TURNS = 2, 2
# Places beside those at which pairs are looked for: fits and interpolation read them.
MARGIN_PLACES = FIT_PLACES + INTERPOLATION_REACH + 1
# Smallest determinant of the norms and the overlap of two spikes, relative to the product of the norms: nearly equal
# spikes at nearly one time could have any amplitudes.
LEAST_DETERMINANT = 0.05
# Bounds of gains are raised by this factor, so that rounding never skips a pair that is the best by a hair.
ROUNDING = 1.001


@numba.njit(**INNER)
def _most_gain(one, other, lowest):
    """
    Largest gain of two spikes from their fits alone, divided by their norms, and the lowest value of their overlap.

    Amplitudes are positive: two spikes whose overlap is positive explain at most as much as both alone.
    """
    return ROUNDING * (one * one + other * other - 2 * lowest * one * other) / (1 - lowest * lowest)


@numba.njit(**INNER)
def pair_of(starts, others, one, other):
    """Number of the overlap of two units; -1 if there is none."""
    low, high = starts[one], starts[one + 1]
    while low < high:
        middle = (low + high) // 2
        if others[middle] < other:
            low = middle + 1
        else:
            high = middle
    return low if low < starts[one + 1] and others[low] == other else -1


@numba.njit(**INNER)
def _height(row, place, weights):
    """Value of a row of correlations after a place, by the weights of the delay."""
    value = np.float32(0.0)
    for tap in range(TAPS):
        value += weights[tap] * row[place + INTERPOLATION_REACH - tap]
    return value


@numba.njit(**INNER)
def _shared(overlap, lag, weights):
    """Value of an overlap, `lag` places after its first one, by the weights of the delay of the spike; 0 outside."""
    value = np.float32(0.0)
    if 0 <= lag and lag + TAPS <= len(overlap):
        for tap in range(TAPS):
            value += weights[tap] * overlap[lag + tap]
    return value


@numba.njit(**INNER)
def _shared_of_both(overlap, lag, jitter, other_jitter, delays):
    """As `_shared`, for a spike with a jitter and another one, `lag` places later, with its own."""
    between = jitter - other_jitter + JITTERS // 2
    if between < 0:
        return _shared(overlap, lag + 1, delays[between + JITTERS])
    if between >= JITTERS:
        return _shared(overlap, lag - 1, delays[between - JITTERS])
    return _shared(overlap, lag, delays[between])


@numba.njit(fastmath=True, **INNER)
def restore(local, first, overlaps, unit, spike_unit, place, weights):
    """Add what a spike has taken from the correlations of the units that overlap with `unit`, from a place on."""
    starts, others, values, num_lags = overlaps[:4]
    lag = num_lags - 1 + first - place
    begin, end = max(0, -lag), min(local.shape[1], 2 * num_lags - 1 - lag)
    for row in range(starts[unit + 1] - starts[unit]):
        pair = pair_of(starts, others, spike_unit, others[starts[unit] + row])
        if pair < 0 or begin >= end:
            continue
        changed, overlap = local[row, begin:end], values[pair, lag + begin : lag + end + TAPS - 1]
        for tap in range(TAPS):
            weight = weights[tap]
            for offset in range(len(changed)):
                changed[offset] += weight * overlap[offset + tap]


@numba.njit(**INNER)
def best_pair(local, is_open, overlaps, limits, unit, least, largest, found):
    """Fill `found` with rows and places of the pair that explains most, and more than `least`; whether there is one."""
    starts, others, values, num_lags, norms, _, lowest = overlaps
    costs, precision, lowest_of = limits
    own, best, is_found = others[starts[unit] : starts[unit + 1]], least, False
    middle, stop = INTERPOLATION_REACH + num_lags - 1, local.shape[1] - MARGIN_PLACES
    for row in range(len(own)):
        largest[row] = np.float32(0.0)
        for place in range(MARGIN_PLACES, stop):
            if is_open[row, place]:
                largest[row] = max(largest[row], local[row, place] + precision)
        largest[row] /= np.sqrt(norms[own[row]] + precision)
    for one in range(len(own)):
        top = norms[own[one]] + precision
        for other in range(one + 1, len(own)):
            base, low = costs[own[one]] + costs[own[other]] + 2 * precision, lowest_of[own[one]]
            if _most_gain(largest[one], largest[other], min(low, lowest_of[own[other]])) <= best + base:
                continue
            bottom, pair = norms[own[other]] + precision, pair_of(starts, others, own[one], own[other])
            low = lowest[pair] / np.sqrt(top * bottom) if pair >= 0 else np.float32(0.0)
            if _most_gain(largest[one], largest[other], low) <= best + base:
                continue
            for place in range(MARGIN_PLACES, stop):
                first = local[one, place] + precision
                if first <= 0 or not is_open[one, place]:
                    continue
                if _most_gain(first / np.sqrt(top), largest[other], low) <= best + base:
                    continue
                for later in range(MARGIN_PLACES, stop):
                    second = local[other, later] + precision
                    shared = values[pair, middle + later - place] if pair >= 0 else np.float32(0.0)
                    size, later_size = bottom * first - shared * second, top * second - shared * first
                    determinant = top * bottom - shared * shared
                    if size <= 0 or later_size <= 0 or determinant < LEAST_DETERMINANT * top * bottom:
                        continue
                    if size * first + later_size * second > (best + base) * determinant and is_open[other, later]:
                        best, is_found = (size * first + later_size * second) / determinant - base, True
                        found[0], found[1], found[2], found[3] = one, other, place, later
    return is_found


@numba.njit(**INNER)
def _fit_beside(row, overlap, middle, place, other_place, other_size, weights, norm, precision):
    """Place, jitter and amplitude of a spike near a place, beside another one by its overlap, place and weights."""
    best, highest = place, np.float32(-1e9)
    for near in range(place - FIT_PLACES, place + FIT_PLACES + 1):
        value = row[near] - other_size * _shared(overlap, middle + near - other_place, weights)
        if value > highest:
            best, highest = near, value
    before = row[best - 1] - other_size * _shared(overlap, middle + best - 1 - other_place, weights)
    after = row[best + 1] - other_size * _shared(overlap, middle + best + 1 - other_place, weights)
    jitter, height = peak_between(before, highest, after)
    return best, jitter, (height + precision) / (norm + precision)


@numba.njit(**INNER)
def fit_pair(local, overlaps, limits, unit, rows, places, jitters, sizes):
    """Fit places, jitters and amplitudes of two spikes, in turns and at last both amplitudes together."""
    starts, others, values, num_lags, norms, delays, _ = overlaps
    precision, own = limits[1], others[starts[unit] : starts[unit + 1]]
    first, stop = MARGIN_PLACES, local.shape[1] - MARGIN_PLACES - 1
    # Two templates without overlap share nothing, whatever row is read.
    forth = pair_of(starts, others, own[rows[0]], own[rows[1]])
    back = pair_of(starts, others, own[rows[1]], own[rows[0]])
    share = np.float32(1.0) if forth >= 0 and back >= 0 else np.float32(0.0)
    jitters[0], jitters[1], sizes[0], sizes[1] = JITTERS // 2, JITTERS // 2, 1.0, 1.0
    for turn in range(2 * FIT_TURNS):
        spike, other = turn % 2, 1 - turn % 2
        places[spike], jitters[spike], sizes[spike] = _fit_beside(
            local[rows[spike]],
            values[max(back if spike == 0 else forth, 0)],
            num_lags - 1,
            min(max(places[spike], first), stop),
            places[other],
            share * sizes[other],
            delays[jitters[other]],
            norms[own[rows[spike]]],
            precision,
        )
    lag = num_lags - 1 + places[1] - places[0]
    shared = share * _shared_of_both(values[max(forth, 0)], lag, jitters[0], jitters[1], delays)
    top, bottom = norms[own[rows[0]]] + precision, norms[own[rows[1]]] + precision
    determinant = top * bottom - shared * shared
    if determinant > LEAST_DETERMINANT * top * bottom:
        one = _height(local[rows[0]], places[0], delays[jitters[0]]) + precision
        two = _height(local[rows[1]], places[1], delays[jitters[1]]) + precision
        sizes[0], sizes[1] = (bottom * one - shared * two) / determinant, (top * two - shared * one) / determinant


@numba.njit(**INNER)
def explained(local, overlaps, limits, unit, rows, places, jitters, sizes):
    """How much two spikes explain together, or the first one alone if the row of the second is -1."""
    starts, others, values, num_lags, norms, delays, _ = overlaps
    costs, precision, _ = limits
    own, gain = others[starts[unit] : starts[unit + 1]], np.float32(0.0)
    for spike in range(2 if rows[1] >= 0 else 1):
        height, size = _height(local[rows[spike]], places[spike], delays[jitters[spike]]), sizes[spike]
        gain += size * (2 * height - size * norms[own[rows[spike]]]) - costs[own[rows[spike]]]
        gain -= precision * (size - 1) * (size - 1)
    pair = pair_of(starts, others, own[rows[0]], own[rows[1]]) if rows[1] >= 0 else -1
    if pair >= 0:
        lag = num_lags - 1 + places[1] - places[0]
        gain -= 2 * sizes[0] * sizes[1] * _shared_of_both(values[pair], lag, jitters[0], jitters[1], delays)
    return gain
