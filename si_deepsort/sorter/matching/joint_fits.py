"""
The compiled part of matching that explains overlapping spikes together.

The spike that explains most is subtracted first. Where two spikes overlap, a third unit may explain their sum better
than either of them does, and what it leaves over looks like one more spike. Here a spike, alone or with another one
near it, is taken out, and the pair of units that explains the traces best without them is put in its place if it
explains more.
"""

import numba
import numpy as np

from ...compiled import COMPILED, INNER
from .kernels import subtract_from_all, weigh
from .pair_fits import MARGIN_PLACES, best_pair, explained, fit_pair, pair_of, restore

# A pair is fitted if, with both spikes at places, it explains this share of what the spikes explain that it is to
# replace. Half a place away from a spike, its height is .95 of its own or more.
WORTH_FITTING = 0.93
# A pair has to explain this much more, as twice a log likelihood ratio: errors of interpolation decide nothing.
LEAST_GAIN = 1.0


@numba.njit(**INNER)
def _find_neighbours(spike, count, reach, overlaps, places, units, near):
    """Fill `near` with spikes near a spike whose units overlap with its unit; return their number."""
    found = 0
    for step in (-1, 1):
        other = spike + step
        while 0 <= other < count and abs(places[other] - places[spike]) <= reach and found < len(near):
            is_other = units[other] != units[spike]
            if is_other and pair_of(overlaps[0], overlaps[1], units[spike], units[other]) >= 0:
                near[found] = other
                found += 1
            other += step
    return found


@numba.njit(**INNER)
def _find_better_pair(correlations, blocked, overlaps, limits, members, places, numbers, sizes, room):
    """Write the pair that explains more than one or two spikes, -1 for none, to `room`; whether there is one."""
    local, is_open, largest, weights, _, found, rows, spikes, amplitudes = room
    starts, others, delays = overlaps[0], overlaps[1], overlaps[5]
    unit, first = numbers[0, members[0]], places[members[0]] - local.shape[1] // 2
    own = others[starts[unit] : starts[unit + 1]]
    for row in range(len(own)):
        is_member = own[row] == unit or (members[1] >= 0 and own[row] == numbers[0, members[1]])
        for place in range(local.shape[1]):
            is_free = is_member or not blocked[own[row], first + place]
            local[row, place], is_open[row, place] = correlations[own[row], first + place], is_free
        for place in range(local.shape[1] if limits[0][own[row]] == np.inf else 0):
            is_open[row, place] = False
    rows[1] = -1
    for which in range(1 if members[1] < 0 else 2):
        member = members[which]
        rows[which] = pair_of(starts, others, unit, numbers[0, member]) - starts[unit]
        spikes[0, which], spikes[1, which] = places[member] - first, numbers[1, member]
        amplitudes[which] = sizes[member]
        weigh(weights, sizes[member], delays[numbers[1, member]])
        restore(local, first, overlaps, unit, numbers[0, member], places[member], weights)
    before = explained(local, overlaps, limits, unit, rows, spikes[0], spikes[1], amplitudes)
    if not best_pair(local, is_open, overlaps, limits, unit, WORTH_FITTING * before, largest, found):
        return False
    rows[0], rows[1], spikes[0, 0], spikes[0, 1] = found[0], found[1], found[2], found[3]
    fit_pair(local, overlaps, limits, unit, rows, spikes[0], spikes[1], amplitudes)
    after = explained(local, overlaps, limits, unit, rows, spikes[0], spikes[1], amplitudes)
    rows[0], rows[1] = own[rows[0]], own[rows[1]]
    spikes[0, 0], spikes[0, 1] = spikes[0, 0] + first, spikes[0, 1] + first
    return after > before + LEAST_GAIN


@numba.njit(**INNER)
def _change(correlations, overlaps, sign, unit, place, jitter, size, weights):
    """Subtract a spike from the correlations, or add it with sign -1."""
    starts, others, values, num_lags, _, delays, _ = overlaps
    weigh(weights, sign * size, delays[jitter])
    subtract_from_all(correlations, starts, others, values, num_lags, unit, place, weights)


@numba.njit(**COMPILED)
def fit_jointly(
    correlations, blocked, overlaps, limits, reach, refractory, count, is_open, places, numbers, sizes, is_new, room
):
    """
    Replace spikes, alone and two together, by pairs that explain more; return the number of spikes.

    Parameters
    ----------
    correlations, blocked
        As `kernels.find_spikes` leaves them; changed in place.
    overlaps : tuple
        starts, units, values, num_lags, norms and delays of `TemplateOverlaps`, and the lowest value, at most 0, of
        each overlap at lags up to 2 * reach.
    limits : tuple
        What a spike of each unit costs, inf for units that may not fire; one over the variance of amplitudes; lowest
        overlap of each unit with any other, relative to the roots of their norms plus that precision.
    reach : int
        Places to either side of a spike at which pairs are looked for.
    refractory : int
        Places to either side of a spike at which its unit has no other one.
    count : int
        Number of spikes, in order of their places.
    is_open : np.ndarray, shape (count,), bool
        Which spikes are looked at.
    places, numbers, sizes
        Spikes as from `kernels.find_spikes`, and room for others; changed in place.
    is_new : np.ndarray, bool
        Filled with whether each spike, and each in the room for others, is one of a pair.
    room : tuple
        Room for the correlations near a spike and whether a unit may fire there, (num_units, 2 * (reach +
        MARGIN_PLACES) + 1), the largest of them, (num_units,), weights, (TAPS,), neighbours, the pair that is found,
        (4,), and the units, (2,), places and jitters, (2, 2), and amplitudes, (2,), of a pair.
    """
    _, _, _, weights, near, _, units, spikes, amplitudes = room
    total = count
    for spike in range(count):
        first, last = places[spike] - reach - MARGIN_PLACES, places[spike] + reach + MARGIN_PLACES
        if not is_open[spike] or first < 0 or last >= correlations.shape[1]:
            continue
        num_near = _find_neighbours(spike, count, reach, overlaps, places, numbers[0], near)
        for attempt in range(-1, num_near):
            members = spike, near[attempt] if attempt >= 0 else -1
            if not _find_better_pair(correlations, blocked, overlaps, limits, members, places, numbers, sizes, room):
                continue
            if members[1] < 0 and total == len(places):
                continue
            for which in range(2):
                member = members[which]
                if member >= 0:
                    old = numbers[0, member], places[member], numbers[1, member], sizes[member]
                    _change(correlations, overlaps, np.float32(-1.0), *old, weights)
                else:
                    member, total = total, total + 1
                unit, place, jitter, size = units[which], spikes[0, which], spikes[1, which], amplitudes[which]
                _change(correlations, overlaps, np.float32(1.0), unit, place, jitter, size, weights)
                blocked[unit, max(0, place - refractory) : place + refractory + 1] = True
                numbers[0, member], places[member], numbers[1, member], sizes[member] = unit, place, jitter, size
                is_new[member] = True
            break
    return total
