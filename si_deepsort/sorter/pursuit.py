"""
Greedy template matching in whitened traces, with second thoughts.

Every template is correlated with the traces once; afterwards only these correlations are updated, by the precomputed
overlap of each pair of templates at sub-sample shifts, so a spike costs the same however long the recording is. A
spike is accepted where it explains most, over all units and times. When nothing above the threshold is left, each
spike is taken out again and put back where it fits best: overlapping spikes that stole each other's energy are undone.

In white noise of variance 1 the score of a spike is twice its log likelihood ratio against "no spike", with the
amplitude drawn from a normal distribution around 1. The threshold of a unit that fires at rate r is therefore
2 log(sampling_frequency / r): the prior odds.

Where templates hold nothing above a quarter of the sampling rate, correlations at every second frame say everything:
what lies between two places is read from the sine through three of them.
"""

import heapq

import numba
import numpy as np

from .correlate import MatchedFilters, correlate_templates
from .overlaps import INTERPOLATION_REACH, JITTERS, TemplateOverlaps

# Places that are passed over at once where no correlation is high enough for a spike.
PUSHED_PLACES = 256
# A frame away from a spike, the correlation with its template is at least this part of its height.
LEAST_A_FRAME_AWAY = 0.9
# Frames to either side of a spike at which it may fit better once its neighbours are known.
SECOND_THOUGHTS_FRAMES = 4
# A spike whose size changes by less, in standard deviations of noise, stays as it is.
NEGLIGIBLE = 0.02


def pursue_spikes(
    traces: np.ndarray,
    filters: MatchedFilters,
    overlaps: TemplateOverlaps,
    *,
    thresholds: np.ndarray,
    amplitude_variance: float,
    refractory_frames: int,
):
    """
    Spikes in a chunk of whitened traces.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
    filters : MatchedFilters
    overlaps : TemplateOverlaps
        Of the same templates, with the same stride.
    thresholds : np.ndarray, shape (num_units,), float
        Smallest score of a spike of each unit.
    amplitude_variance : float
        Of the amplitudes of a unit's spikes, relative to its template.
    refractory_frames : int
        A unit does not fire twice within this many frames.

    Returns
    -------
    frames : np.ndarray, shape (num_spikes,), int
        First frame of the template, to the frame whatever the stride.
    units : np.ndarray, shape (num_spikes,), int
    amplitudes : np.ndarray, shape (num_spikes,), float32
        Relative to the template.
    scores : np.ndarray, shape (num_spikes,), float32
    """
    if len(traces) < filters.num_samples or len(filters.norms) == 0:
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0, "float32"), np.zeros(0, "float32")
    return pursue_correlations(
        correlate_templates(traces.astype("float32", copy=False), filters),
        overlaps,
        thresholds=thresholds,
        amplitude_variance=amplitude_variance,
        refractory_frames=refractory_frames,
    )


def pursue_correlations(correlations, overlaps: TemplateOverlaps, *, thresholds, amplitude_variance, refractory_frames):
    """As `pursue_spikes`, given the inner products of templates and traces, which are used up."""
    places, jitters, units, amplitudes, scores = _pursue(
        correlations,
        overlaps,
        thresholds.astype("float32"),
        np.float32(1.0 / amplitude_variance),
        max(1, round(refractory_frames / overlaps.stride)),
    )
    frames = places * overlaps.stride + np.rint((jitters / JITTERS - 0.5) * overlaps.stride).astype(int)
    order = np.lexsort((units, frames))
    return frames[order], units[order], amplitudes[order], scores[order]


@numba.njit(cache=True, nogil=True, inline="always")
def _score(correlation, norm, precision):
    top = correlation + precision
    if top <= 0:
        return np.float32(-1e9)
    return top * top / (norm + precision) - precision


@numba.njit(cache=True, nogil=True)
def _peak(before, center, after):
    """
    Position between places (in jitter steps) and height of a local maximum, by the sine through three places.

    What subtraction left over is no sine of a spike and could make it any height: then spikes would be taken off that
    are not there, and leave over more. So it is at most as much higher as a spike between two places can be.
    """
    if center <= 0 or before > center or after > center or before + after <= -2 * center:
        return JITTERS // 2, center
    frequency = np.arccos(min((before + after) / (2 * center), np.float32(0.9999)))
    phase = np.arctan2(after - before, 2 * center * np.sin(frequency))
    delay = min(max(phase / frequency, np.float32(-0.5)), np.float32(0.5))
    jitter = min(int(np.floor((delay + 0.5) * JITTERS + 0.5)), JITTERS - 1)
    return jitter, np.float32(center / max(np.cos(frequency * delay), np.float32(LEAST_A_FRAME_AWAY)))


@numba.njit(cache=True, nogil=True, inline="always")
def _beside(place, num_places):
    """The places before and after a place; at the ends, where one is missing, twice the other one: no delay."""
    return abs(place - 1), num_places - 1 - abs(num_places - 2 - place)


@numba.njit(fastmath=True, cache=True, nogil=True)
def _highest(row):
    highest = np.float32(-np.inf)
    for value in row:
        highest = max(highest, value)
    return highest


@numba.njit(cache=True, nogil=True, inline="always")
def _least_at_place(stride):
    """The part of a spike's height that is seen at the nearest place."""
    return np.float32(LEAST_A_FRAME_AWAY ** (stride // 2))


@numba.njit(cache=True, nogil=True)
def _push_peaks(heap, correlations, blocked, unit, start, stop, overlaps, precision, threshold):
    first, stop = max(start, 0), min(stop, correlations.shape[1])
    # Slices that count from 0 are what the compiler makes fast.
    row, closed = correlations[unit, first:stop], blocked[unit, first:stop]
    norm = overlaps.norms[unit]
    # The smallest correlation that can belong to a spike: most places are passed over by one comparison.
    floor = np.float32(np.sqrt((threshold + precision) * (norm + precision)) - precision)
    floor *= _least_at_place(overlaps.stride)
    if _highest(row) < floor:
        return
    for offset in range(len(row)):
        value = row[offset]
        if value < floor or closed[offset]:
            continue
        place = first + offset
        if place > 0 and correlations[unit, place - 1] > value:
            continue
        if place < correlations.shape[1] - 1 and correlations[unit, place + 1] >= value:
            continue
        score = _score(_height(correlations, unit, place)[1], norm, precision)
        if score > threshold:
            heapq.heappush(heap, (-score, unit, place))


@numba.njit(cache=True, nogil=True, inline="always")
def _height(correlations, unit, place):
    before, after = _beside(place, correlations.shape[1])
    return _peak(correlations[unit, before], correlations[unit, place], correlations[unit, after])


@numba.njit(fastmath=True, cache=True, nogil=True)
def _subtract(correlations, overlaps, unit, place, weights):
    """Take a spike of a unit off all correlations; weights are its amplitude times `overlaps.delays` of its delay."""
    first = place - overlaps.num_lags + 1
    begin = max(0, -first)
    end = min(2 * overlaps.num_lags - 1, correlations.shape[1] - first)
    for pair in range(overlaps.starts[unit], overlaps.starts[unit + 1]):
        changed = correlations[overlaps.units[pair], first + begin : first + end]
        for tap in range(2 * INTERPOLATION_REACH + 1):
            overlap = overlaps.values[pair, begin + tap : end + tap]
            for lag in range(len(changed)):
                changed[lag] -= weights[tap] * overlap[lag]


@numba.njit(cache=True, nogil=True)
def _pursue(correlations, overlaps, thresholds, precision, refractory):
    num_units, num_places = correlations.shape
    norms, reach = overlaps.norms, overlaps.num_lags
    blocked = np.zeros((num_units, num_places), dtype=np.bool_)
    heap = [(np.float32(0.0), 0, 0)]
    heap.pop()
    for unit in range(num_units):
        for start in range(0, num_places, PUSHED_PLACES):
            stop = start + PUSHED_PLACES
            _push_peaks(heap, correlations, blocked, unit, start, stop, overlaps, precision, thresholds[unit])
    places = [0]
    units = [0]
    jitters = [0]
    amplitudes = [np.float32(0.0)]
    while len(heap) > 0:
        score, unit, place = heapq.heappop(heap)
        jitter, height = _height(correlations, unit, place)
        if blocked[unit, place] or _score(height, norms[unit], precision) != -score:
            continue
        amplitude = np.float32((height + precision) / (norms[unit] + precision))
        places.append(place)
        units.append(unit)
        jitters.append(jitter)
        amplitudes.append(amplitude)
        _subtract(correlations, overlaps, unit, place, amplitude * overlaps.delays[jitter])
        blocked[unit, max(0, place - refractory) : place + refractory + 1] = True
        for other in overlaps.units[overlaps.starts[unit] : overlaps.starts[unit + 1]]:
            start, stop = place - reach, place + reach + 1
            _push_peaks(heap, correlations, blocked, other, start, stop, overlaps, precision, thresholds[other])
    found, owners = np.array(places)[1:], np.array(units)[1:]
    steps, sizes = np.array(jitters)[1:], np.array(amplitudes)[1:]
    _second_thoughts(correlations, blocked, overlaps, precision, found, owners, steps, sizes)
    scores = np.empty(len(found), dtype=np.float32)
    keep = np.empty(len(found), dtype=np.bool_)
    for spike in range(len(found)):
        unit = owners[spike]
        # What is left at the place, and the spike at its height, wherever between places it is.
        own = correlations[unit, found[spike]] + sizes[spike] * norms[unit]
        scores[spike] = _score(own, norms[unit], precision)
        keep[spike] = scores[spike] > thresholds[unit]
    return found[keep], steps[keep], owners[keep], sizes[keep], scores[keep]


@numba.njit(cache=True, nogil=True, inline="always")
def _restored(correlations, overlaps, pair, place, weights, near):
    """The correlation at a place near a spike, had the spike not been taken off."""
    value = correlations[overlaps.units[pair], near]
    first = overlaps.num_lags - 1 + near - place
    for tap in range(2 * INTERPOLATION_REACH + 1):
        value += weights[tap] * overlaps.values[pair, first + tap]
    return value


@numba.njit(cache=True, nogil=True)
def _second_thoughts(correlations, blocked, overlaps, precision, places, units, jitters, amplitudes):
    """Take out each spike and put it back where it now fits best, among units that overlap with its first choice."""
    # Overlaps reach no farther than a template.
    reach = min(max(1, SECOND_THOUGHTS_FRAMES // overlaps.stride), overlaps.num_lags - 2)
    norms, num_places, least = overlaps.norms, correlations.shape[1], _least_at_place(overlaps.stride)
    for spike in np.argsort(places):
        unit, place = units[spike], places[spike]
        weights = amplitudes[spike] * overlaps.delays[jitters[spike]]
        own_pair = overlaps.starts[unit] + np.searchsorted(
            overlaps.units[overlaps.starts[unit] : overlaps.starts[unit + 1]], unit
        )
        best_score, best_pair, best_place = np.float32(-1e9), own_pair, place
        best_jitter, best_height = jitters[spike], np.float32(0.0)
        for pair in range(overlaps.starts[unit], overlaps.starts[unit + 1]):
            other = overlaps.units[pair]
            highest, highest_place = np.float32(-1e9), -1
            for near in range(max(0, place - reach), min(num_places - 1, place + reach) + 1):
                if other != unit and blocked[other, near]:
                    continue
                value = _restored(correlations, overlaps, pair, place, weights, near)
                if value > highest:
                    highest, highest_place = value, near
            # Between places it may be higher by so much at most.
            if _score(highest / least, norms[other], precision) <= best_score:
                continue
            before, after = _beside(highest_place, num_places)
            jitter, height = _peak(
                _restored(correlations, overlaps, pair, place, weights, before),
                highest,
                _restored(correlations, overlaps, pair, place, weights, after),
            )
            score = _score(height, norms[other], precision)
            if score > best_score:
                best_score, best_pair, best_place = score, pair, highest_place
                best_jitter, best_height = jitter, height
        best_unit = overlaps.units[best_pair]
        amplitude = np.float32((best_height + precision) / (norms[best_unit] + precision))
        new_weights = amplitude * overlaps.delays[best_jitter]
        if best_unit != unit or best_place != place:
            _subtract(correlations, overlaps, unit, place, -weights)
            _subtract(correlations, overlaps, best_unit, best_place, new_weights)
        elif best_jitter != jitters[spike] or abs(amplitude - amplitudes[spike]) * np.sqrt(norms[unit]) > NEGLIGIBLE:
            _subtract(correlations, overlaps, unit, place, new_weights - weights)
        else:
            continue
        units[spike], places[spike], jitters[spike], amplitudes[spike] = best_unit, best_place, best_jitter, amplitude
