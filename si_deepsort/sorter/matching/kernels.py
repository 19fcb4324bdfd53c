"""
The compiled part of matching: spikes are subtracted where they explain most, then moved to where they fit best.

numba's cache on disk notices changes of a function's own file alone: what is called here is here.
`joint_fits` and `pair_fits` use some of it: delete the cache after a change.
"""

import heapq

import numba
import numpy as np

from ...compiled import COMPILED, INNER

# Delays between two places that are distinguished: the error, at most half of one, changes the height by .1 %.
JITTERS = 16
# Lags to either side of a lag from which overlaps at delays of part of a place are interpolated.
INTERPOLATION_REACH = 4
# Places whose spikes are searched for together, so that their correlations stay in the processor's cache, and places
# that are skipped at once where no correlation is high enough. Chosen by speed; results do not depend on them.
BLOCK_PLACES, PUSHED_PLACES = 2048, 256
# Smallest correlation with a template one frame away from a spike, relative to its height at the spike: spikes hold
# next to nothing at higher frequencies.
LEAST_A_FRAME_AWAY = 0.9
# Frames to either side of a spike within which it may be moved once its neighbours are known.
SECOND_THOUGHTS_FRAMES = 4
# Change of the size of a spike, in noise standard deviations, below which it is not subtracted again.
NEGLIGIBLE_CHANGE = 0.02


@numba.njit(**INNER)
def _spike_score(correlation, norm, precision):
    """Twice the log likelihood ratio of a spike, whose amplitude is normally distributed around 1, against no spike."""
    top = correlation + precision
    if top <= 0:
        return np.float32(-1e9)
    return top * top / (norm + precision) - precision


@numba.njit(**COMPILED)
def peak_between(before, center, after):
    """
    Position between places (in jitter steps) and height of a local maximum, from the sine through three places.

    Residuals of subtracted spikes are no sines and could give any height: spikes that are not there would be
    subtracted and leave still larger residuals. The height is therefore bounded by that of a spike between two places.
    """
    if center <= 0 or before > center or after > center or before + after <= -2 * center:
        return JITTERS // 2, center
    frequency = np.arccos(min((before + after) / (2 * center), np.float32(0.9999)))
    phase = np.arctan2(after - before, 2 * center * np.sin(frequency))
    delay = min(max(phase / frequency, np.float32(-0.5)), np.float32(0.5))
    jitter = min(int(np.floor((delay + 0.5) * JITTERS + 0.5)), JITTERS - 1)
    return jitter, np.float32(center / max(np.cos(frequency * delay), np.float32(LEAST_A_FRAME_AWAY)))


@numba.njit(**INNER)
def _places_beside(place, num_places):
    """The places before and after a place; at the ends, where one is missing, the other one twice: no delay."""
    return abs(place - 1), num_places - 1 - abs(num_places - 2 - place)


@numba.njit(fastmath=True, **INNER)
def _highest_of(row):
    """The largest of some correlations; the compiler vectorises this, but not max()."""
    highest = np.float32(-np.inf)
    for value in row:
        if value > highest:
            highest = value
    return highest


@numba.njit(fastmath=True, **INNER)
def _subtract(correlations, overlaps, num_lags, place, weights):
    """Subtract a spike from the correlations of a unit; weights: its amplitude times `TemplateOverlaps.delays`."""
    first = place - num_lags + 1
    begin, end = max(0, -first), min(2 * num_lags - 1, len(correlations) - first)
    changed = correlations[first + begin : first + end]
    overlap = overlaps[begin : end + 2 * INTERPOLATION_REACH]
    for lag in range(len(changed)):
        delayed = np.float32(0.0)
        for tap in range(2 * INTERPOLATION_REACH + 1):
            delayed += weights[tap] * overlap[lag + tap]
        changed[lag] -= delayed


@numba.njit(**INNER)
def subtract_from_all(correlations, starts, others, values, num_lags, unit, place, weights):
    """Subtract a spike of a unit from all correlations."""
    for pair in range(starts[unit], starts[unit + 1]):
        _subtract(correlations[others[pair]], values[pair], num_lags, place, weights)


@numba.njit(**INNER)
def weigh(weights, amplitude, delays):
    """Write the weights that subtract a spike: its amplitude times those of its delay."""
    for tap in range(len(weights)):
        weights[tap] = amplitude * delays[tap]


@numba.njit(**INNER)
def _push_peaks(heap, correlations, blocked, unit, first, stop, norm, precision, threshold, cost, floor):
    """Push the local maxima of a unit's correlation, from one place to another, whose score is high enough."""
    # The compiler vectorises slices that start at 0.
    row = correlations[first:stop]
    if _highest_of(row) < floor:
        return
    closed = blocked[first:stop]
    for offset in range(len(row)):
        value = row[offset]
        if value < floor or closed[offset]:
            continue
        place = first + offset
        if place > 0 and correlations[place - 1] > value:
            continue
        if place < len(correlations) - 1 and correlations[place + 1] >= value:
            continue
        score = _spike_score(_height(correlations, place)[1], norm, precision)
        if score > threshold:
            heapq.heappush(heap, (cost - score, unit, place))


@numba.njit(**INNER)
def _height(correlations, place):
    """Position between places and height of the local maximum at a place, see `peak_between`."""
    before, after = _places_beside(place, len(correlations))
    return peak_between(correlations[before], correlations[place], correlations[after])


@numba.njit(**INNER)
def _push_block(heap, correlations, blocked, settled, last, norms, precision, limits):
    """Push the local maxima of each unit, from the place up to which it is settled to the last one."""
    for unit in range(len(correlations)):
        own, closed = correlations[unit], blocked[unit]
        limit = norms[unit], precision, limits[0, unit], limits[1, unit], limits[2, unit]
        for start in range(settled[unit], last, PUSHED_PLACES):
            _push_peaks(heap, own, closed, unit, start, min(start + PUSHED_PLACES, last), *limit)


@numba.njit(**COMPILED)
def find_spikes(
    correlations, blocked, overlaps, limits, precision, refractory, settled, weights, places, numbers, sizes
):
    """
    Find spikes in the correlations of traces with templates, the most probable first; return their number.

    Parameters
    ----------
    correlations : np.ndarray, shape (num_units, num_places), float32
        Overwritten by what remains after subtracting all spikes.
    blocked : np.ndarray, shape (num_units, num_places), bool
        Places at which a unit has no spike: those within `refractory` places of its spikes are added.
    overlaps : tuple
        starts, units, values, num_lags, norms and delays of `TemplateOverlaps`.
    limits : np.ndarray, shape (3, num_units), float32
        Smallest score of a spike, what is taken from scores before units are compared, and the smallest correlation at
        a place that can belong to a spike: one comparison skips most places.
    precision : np.float32
        One over the variance of the amplitudes of a unit's spikes.
    settled, weights : np.ndarray
        Room for an integer, 0, for each unit, and for one row of the delays.
    places, numbers, sizes : np.ndarray, shapes (num_spikes,), (2, num_spikes), (num_spikes,)
        Filled with places, units and jitters, amplitudes: a spike is (jitter / JITTERS - 1/2) places after its place.
    """
    starts, others, values, reach, norms, delays = overlaps
    costs, num_places, count, stop = limits[1], correlations.shape[1], 0, 0
    heap = [(np.float32(0.0), 0, 0)]
    heapq.heappop(heap)
    while stop < num_places:
        stop = min(stop + BLOCK_PLACES, num_places)
        last = min(stop + reach, num_places)
        _push_block(heap, correlations, blocked, settled, last, norms, precision, limits)
        settled[:] = stop
        while len(heap) > 0:
            entry, unit, place = heapq.heappop(heap)
            jitter, height = _height(correlations[unit], place)
            if blocked[unit, place] or costs[unit] - _spike_score(height, norms[unit], precision) != entry:
                continue
            if place >= settled[unit]:
                # Near the end of a block: it, and all that it may overlap with, waits for the next block of places.
                for pair in range(starts[unit], starts[unit + 1]):
                    settled[others[pair]] = min(settled[others[pair]], max(0, place - reach))
                continue
            amplitude = np.float32((height + precision) / (norms[unit] + precision))
            places[count], numbers[0, count], numbers[1, count], sizes[count] = place, unit, jitter, amplitude
            count += 1
            blocked[unit, max(0, place - refractory) : place + refractory + 1] = True
            weigh(weights, amplitude, delays[jitter])
            first, end = max(place - reach, 0), min(place + reach + 1, last)
            for pair in range(starts[unit], starts[unit + 1]):
                own, closed, other = correlations[others[pair]], blocked[others[pair]], others[pair]
                _subtract(own, values[pair], reach, place, weights)
                limit = norms[other], precision, limits[0, other], costs[other], limits[2, other]
                _push_peaks(heap, own, closed, other, first, end, *limit)
    return count


@numba.njit(**INNER)
def _restored(correlations, overlaps, num_lags, place, weights, near):
    """The correlation at a place near a spike, had the spike not been subtracted."""
    value = correlations[near]
    first = num_lags - 1 + near - place
    for tap in range(2 * INTERPOLATION_REACH + 1):
        value += weights[tap] * overlaps[first + tap]
    return value


@numba.njit(**INNER)
def _best_fit(correlations, blocked, overlaps, costs, precision, reach, least, unit, place, jitter, size, weights):
    """Unit, place, jitter and height with which a spike fits best, had it not been subtracted."""
    starts, others, values, num_lags, norms, _, most_overlap = overlaps
    own_pair, num_places = starts[unit], correlations.shape[1]
    while others[own_pair] != unit:
        own_pair += 1
    best_score, best_unit, best_place, best_jitter, best_height = np.float32(-1e9), unit, place, jitter, np.float32(0.0)
    own = _restored(correlations[unit], values[own_pair], num_lags, place, weights, place)
    least_score = _spike_score(own, norms[unit], precision) - costs[unit]
    first, last = max(0, place - reach), min(num_places - 1, place + reach) + 1
    for pair in range(starts[unit], starts[unit + 1]):
        other = others[pair]
        if costs[other] == np.inf:
            continue
        # Skips most units: not even where they overlap most could the spike be theirs.
        row, overlap, norm, cost = correlations[other], values[pair], norms[other], costs[other]
        most = size * most_overlap[pair] / least
        most += _highest_of(row[first:last])
        if other != unit and _spike_score(most / least, norm, precision) - cost < least_score:
            continue
        highest, highest_place = np.float32(-1e9), -1
        for near in range(first, last):
            if other != unit and blocked[other, near]:
                continue
            value = _restored(row, overlap, num_lags, place, weights, near)
            if value > highest:
                highest, highest_place = value, near
        # Between places the correlation is higher by at most this factor.
        if _spike_score(highest / least, norm, precision) - cost <= best_score:
            continue
        before, after = _places_beside(highest_place, num_places)
        earlier = _restored(row, overlap, num_lags, place, weights, before)
        later = _restored(row, overlap, num_lags, place, weights, after)
        found, height = peak_between(earlier, highest, later)
        score = _spike_score(height, norm, precision) - cost
        if score > best_score:
            best_score, best_unit, best_place, best_jitter, best_height = score, other, highest_place, found, height
    return best_unit, best_place, best_jitter, best_height


@numba.njit(**COMPILED)
def reconsider_spikes(
    correlations, blocked, overlaps, costs, precision, reach, least, order, room, places, numbers, sizes
):
    """
    Take out each spike and put it back where it now fits best, as a unit that overlaps with its unit.

    Parameters
    ----------
    correlations, blocked, precision
        As `find_spikes` leaves them.
    overlaps : tuple
        starts, units, values, num_lags, norms, delays and highest of `TemplateOverlaps`.
    costs : np.ndarray, shape (num_units,), float32
        What is taken from scores before units are compared.
    reach : int
        Places by which a spike is moved at most.
    least : np.float32
        Correlation at the place nearest to a spike, relative to its height at the spike; at least this.
    order : np.ndarray, shape (num_spikes,), int
        Spikes, one after the other.
    room : np.ndarray, shape (3, 2 * INTERPOLATION_REACH + 1), float32
        Room for rows of the delays.
    places, numbers, sizes
        The spikes, as from `find_spikes`; changed in place.
    """
    starts, others, values, num_lags, norms, delays, _ = overlaps
    weights, new_weights, change = room[0], room[1], room[2]
    for spike in order:
        place, unit, jitter, size = places[spike], numbers[0, spike], numbers[1, spike], sizes[spike]
        weigh(weights, size, delays[jitter])
        best_unit, best_place, best_jitter, best_height = _best_fit(
            correlations, blocked, overlaps, costs, precision, reach, least, unit, place, jitter, size, weights
        )
        amplitude = np.float32((best_height + precision) / (norms[best_unit] + precision))
        weigh(new_weights, amplitude, delays[best_jitter])
        if best_unit != unit or best_place != place:
            weigh(change, np.float32(-1.0), weights)
            subtract_from_all(correlations, starts, others, values, num_lags, unit, place, change)
            subtract_from_all(correlations, starts, others, values, num_lags, best_unit, best_place, new_weights)
        elif best_jitter != jitter or abs(amplitude - size) * np.sqrt(norms[unit]) > NEGLIGIBLE_CHANGE:
            for tap in range(len(change)):
                change[tap] = new_weights[tap] - weights[tap]
            subtract_from_all(correlations, starts, others, values, num_lags, unit, place, change)
        else:
            continue
        places[spike], numbers[0, spike], numbers[1, spike], sizes[spike] = (
            best_place,
            best_unit,
            best_jitter,
            amplitude,
        )
