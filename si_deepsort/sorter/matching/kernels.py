"""
The compiled part of matching: spikes are subtracted where they explain most, then moved to where they fit best.

All of it is in one file, its constants included: numba's cache on disk notices changes of this file only.
"""

import heapq

import numba
import numpy as np

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


@numba.njit(cache=True, nogil=True, inline="always")
def _spike_score(correlation, norm, precision):
    """Twice the log likelihood ratio of a spike, whose amplitude is normally distributed around 1, against no spike."""
    top = correlation + precision
    if top <= 0:
        return np.float32(-1e9)
    return top * top / (norm + precision) - precision


@numba.njit(cache=True, nogil=True)
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


@numba.njit(cache=True, nogil=True, inline="always")
def _places_beside(place, num_places):
    """The places before and after a place; at the ends, where one is missing, the other one twice: no delay."""
    return abs(place - 1), num_places - 1 - abs(num_places - 2 - place)


@numba.njit(fastmath=True, cache=True, nogil=True)
def _highest_of(row):
    """The largest of some correlations; the compiler vectorises this, but not max()."""
    highest = np.float32(-np.inf)
    for value in row:
        if value > highest:
            highest = value
    return highest


@numba.njit(cache=True, nogil=True, inline="always")
def _least_at_place(stride):
    """Correlation at the place nearest to a spike, relative to its height at the spike; at least this."""
    return np.float32(LEAST_A_FRAME_AWAY ** (stride // 2))


@numba.njit(fastmath=True, cache=True, nogil=True)
def _subtract(correlations, overlaps, pair, place, weights):
    """Subtract a spike from the correlation of one unit; weights: its amplitude times `overlaps.delays[jitter]`."""
    first = place - overlaps.num_lags + 1
    begin, end = max(0, -first), min(2 * overlaps.num_lags - 1, correlations.shape[1] - first)
    changed = correlations[overlaps.units[pair], first + begin : first + end]
    overlap = overlaps.values[pair, begin : end + 2 * INTERPOLATION_REACH]
    for lag in range(len(changed)):
        delayed = np.float32(0.0)
        for tap in range(2 * INTERPOLATION_REACH + 1):
            delayed += weights[tap] * overlap[lag + tap]
        changed[lag] -= delayed


@numba.njit(cache=True, nogil=True)
def _subtract_from_all(correlations, overlaps, unit, place, weights):
    """Subtract a spike of a unit from all correlations."""
    for pair in range(overlaps.starts[unit], overlaps.starts[unit + 1]):
        _subtract(correlations, overlaps, pair, place, weights)


@numba.njit(cache=True, nogil=True)
def _push_peaks(heap, correlations, blocked, unit, bounds, norms, precision, thresholds, costs, floors):
    """Push the local maxima of a unit's correlation, from place bounds[0] to bounds[1], whose score is high enough."""
    first, stop = bounds
    # The compiler vectorises slices that start at 0.
    row, floor = correlations[unit, first:stop], floors[unit]
    if _highest_of(row) < floor:
        return
    closed = blocked[unit, first:stop]
    for offset in range(len(row)):
        value = row[offset]
        if value < floor or closed[offset]:
            continue
        place = first + offset
        if place > 0 and correlations[unit, place - 1] > value:
            continue
        if place < correlations.shape[1] - 1 and correlations[unit, place + 1] >= value:
            continue
        score = _spike_score(_height(correlations, unit, place)[1], norms[unit], precision)
        if score > thresholds[unit]:
            heapq.heappush(heap, (costs[unit] - score, unit, place))


@numba.njit(cache=True, nogil=True)
def _push_block(heap, correlations, blocked, settled, last, norms, precision, thresholds, costs, floors):
    """Push the local maxima of each unit, from the place up to which it is settled to the last one."""
    for unit in range(len(norms)):
        for start in range(settled[unit], last, PUSHED_PLACES):
            bounds = start, min(start + PUSHED_PLACES, last)
            _push_peaks(heap, correlations, blocked, unit, bounds, norms, precision, thresholds, costs, floors)


@numba.njit(cache=True, nogil=True, inline="always")
def _height(correlations, unit, place):
    """Position between places and height of the local maximum at a place, see `peak_between`."""
    before, after = _places_beside(place, correlations.shape[1])
    return peak_between(correlations[unit, before], correlations[unit, place], correlations[unit, after])


@numba.njit(cache=True, nogil=True)
def _floors(overlaps, precision, thresholds):
    """Smallest correlation at a place that can belong to a spike: one comparison skips most places."""
    floors = np.sqrt((thresholds + precision) * (overlaps.norms + precision)) - precision
    return (floors * _least_at_place(overlaps.stride)).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _wait(settled, overlaps, unit, place):
    """Defer a spike near the end of a block, and all that it may overlap with, to the next block of places."""
    for other in overlaps.units[overlaps.starts[unit] : overlaps.starts[unit + 1]]:
        settled[other] = min(settled[other], max(0, place - overlaps.num_lags))


@numba.njit(cache=True, nogil=True)
def find_spikes(correlations, overlaps, thresholds, costs, precision, refractory):
    """
    Find spikes in the correlations of traces with templates; the most probable spikes come first.

    Parameters
    ----------
    correlations : np.ndarray, shape (num_units, num_places), float32
        Overwritten by what remains after subtracting all spikes.
    overlaps : TemplateOverlaps
    thresholds, costs : np.ndarray, shape (num_units,), float32
        Smallest score of a spike of each unit, and what is taken from its scores before they are compared with others'.
    precision : np.float32
        One over the variance of the amplitudes of a unit's spikes.
    refractory : int
        Places to either side of a spike at which its unit has no other spike.

    Returns
    -------
    places, jitters, units, amplitudes, scores : np.ndarray, shape (num_spikes,)
        A spike is (jitter / JITTERS - 1/2) places after its place.
    """
    num_places, norms, reach = correlations.shape[1], overlaps.norms, overlaps.num_lags
    floors, blocked = _floors(overlaps, precision, thresholds), np.zeros(correlations.shape, dtype=np.bool_)
    heap = [(np.float32(0.0), 0, 0)]
    places, units, jitters, amplitudes = [0], [0], [0], [np.float32(0.0)]
    settled, stop = np.zeros(len(norms), dtype=np.int64), 0
    while stop < num_places:
        stop = min(stop + BLOCK_PLACES, num_places)
        last = min(stop + reach, num_places)
        heap.clear()
        _push_block(heap, correlations, blocked, settled, last, norms, precision, thresholds, costs, floors)
        settled[:] = stop
        while len(heap) > 0:
            entry, unit, place = heapq.heappop(heap)
            jitter, height = _height(correlations, unit, place)
            if blocked[unit, place] or costs[unit] - _spike_score(height, norms[unit], precision) != entry:
                continue
            if place >= settled[unit]:
                _wait(settled, overlaps, unit, place)
                continue
            amplitude = np.float32((height + precision) / (norms[unit] + precision))
            places.append(place)
            units.append(unit)
            jitters.append(jitter)
            amplitudes.append(amplitude)
            blocked[unit, max(0, place - refractory) : place + refractory + 1] = True
            weights = amplitude * overlaps.delays[jitter]
            bounds = max(place - reach, 0), min(place + reach + 1, last)
            for pair in range(overlaps.starts[unit], overlaps.starts[unit + 1]):
                other = overlaps.units[pair]
                _subtract(correlations, overlaps, pair, place, weights)
                _push_peaks(heap, correlations, blocked, other, bounds, norms, precision, thresholds, costs, floors)
    found, owners = np.array(places)[1:], np.array(units)[1:]
    steps, sizes = np.array(jitters)[1:], np.array(amplitudes)[1:]
    _push_in_order(heap, found)
    _second_thoughts(heap, correlations, blocked, overlaps, costs, precision, found, owners, steps, sizes)
    scores = _scores(correlations, overlaps, precision, found, owners, sizes)
    keep = scores > thresholds[owners]
    return found[keep], steps[keep], owners[keep], sizes[keep], scores[keep]


@numba.njit(cache=True, nogil=True)
def _push_in_order(heap, places):
    """Push spikes, to be popped in the order of their places: np.argsort takes numba two seconds to compile."""
    for spike in range(len(places)):
        heapq.heappush(heap, (np.float32(0.0), places[spike], spike))


@numba.njit(cache=True, nogil=True)
def _scores(correlations, overlaps, precision, places, units, amplitudes):
    """Score of each spike after all other spikes have been subtracted."""
    scores = np.empty(len(places), dtype=np.float32)
    for spike in range(len(places)):
        norm = overlaps.norms[units[spike]]
        # The residual at the place, and the height of the spike itself, wherever between places it is.
        own = correlations[units[spike], places[spike]] + amplitudes[spike] * norm
        scores[spike] = _spike_score(own, norm, precision)
    return scores


@numba.njit(cache=True, nogil=True, inline="always")
def _restored(correlations, overlaps, pair, place, weights, near):
    """The correlation at a place near a spike, had the spike not been subtracted."""
    value = correlations[overlaps.units[pair], near]
    first = overlaps.num_lags - 1 + near - place
    for tap in range(2 * INTERPOLATION_REACH + 1):
        value += weights[tap] * overlaps.values[pair, first + tap]
    return value


@numba.njit(cache=True, nogil=True)
def _second_thoughts(heap, correlations, blocked, overlaps, costs, precision, places, units, jitters, amplitudes):
    """Take out each spike and put it back where it now fits best, as a unit that overlaps with its unit."""
    # Overlaps reach no farther than a template.
    reach = min(max(1, SECOND_THOUGHTS_FRAMES // overlaps.stride), overlaps.num_lags - 2)
    norms, num_places, least = overlaps.norms, correlations.shape[1], _least_at_place(overlaps.stride)
    while len(heap) > 0:
        spike = heapq.heappop(heap)[2]
        unit, place = units[spike], places[spike]
        weights = amplitudes[spike] * overlaps.delays[jitters[spike]]
        own_pair = overlaps.starts[unit] + np.searchsorted(
            overlaps.units[overlaps.starts[unit] : overlaps.starts[unit + 1]], unit
        )
        best_score, best_pair, best_place = np.float32(-1e9), own_pair, place
        best_jitter, best_height = jitters[spike], np.float32(0.0)
        own = _restored(correlations, overlaps, own_pair, place, weights, place)
        least_score = _spike_score(own, norms[unit], precision) - costs[unit]
        first, last = max(0, place - reach), min(num_places - 1, place + reach) + 1
        for pair in range(overlaps.starts[unit], overlaps.starts[unit + 1]):
            other = overlaps.units[pair]
            if costs[other] == np.inf:
                continue
            # Skips most units: not even where they overlap most could the spike be theirs.
            most = amplitudes[spike] * overlaps.highest[pair] / least
            most += _highest_of(correlations[other, first:last])
            if other != unit and _spike_score(most / least, norms[other], precision) - costs[other] < least_score:
                continue
            highest, highest_place = np.float32(-1e9), -1
            for near in range(first, last):
                if other != unit and blocked[other, near]:
                    continue
                value = _restored(correlations, overlaps, pair, place, weights, near)
                if value > highest:
                    highest, highest_place = value, near
            # Between places the correlation is higher by at most this factor.
            if _spike_score(highest / least, norms[other], precision) - costs[other] <= best_score:
                continue
            before, after = _places_beside(highest_place, num_places)
            jitter, height = peak_between(
                _restored(correlations, overlaps, pair, place, weights, before),
                highest,
                _restored(correlations, overlaps, pair, place, weights, after),
            )
            score = _spike_score(height, norms[other], precision) - costs[other]
            if score > best_score:
                best_score, best_pair, best_place, best_jitter, best_height = score, pair, highest_place, jitter, height
        best_unit = overlaps.units[best_pair]
        amplitude = np.float32((best_height + precision) / (norms[best_unit] + precision))
        new_weights = amplitude * overlaps.delays[best_jitter]
        change = abs(amplitude - amplitudes[spike]) * np.sqrt(norms[unit])
        if best_unit != unit or best_place != place:
            _subtract_from_all(correlations, overlaps, unit, place, -weights)
            _subtract_from_all(correlations, overlaps, best_unit, best_place, new_weights)
        elif best_jitter != jitters[spike] or change > NEGLIGIBLE_CHANGE:
            _subtract_from_all(correlations, overlaps, unit, place, new_weights - weights)
        else:
            continue
        units[spike], places[spike], jitters[spike], amplitudes[spike] = best_unit, best_place, best_jitter, amplitude
