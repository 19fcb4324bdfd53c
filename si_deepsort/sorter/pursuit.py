"""
Greedy template matching in whitened traces, with second thoughts.

Every template is correlated with the traces once; afterwards only these correlations are updated, by the precomputed
overlap of each pair of templates at sub-sample shifts, so a spike costs the same however long the recording is. A
spike is accepted where it explains most, over all units and times. When nothing above the threshold is left, each
spike is taken out again and put back where it fits best: overlapping spikes that stole each other's energy are undone.

In white noise of variance 1 the score of a spike is twice its log likelihood ratio against "no spike", with the
amplitude drawn from a normal distribution around 1. The threshold of a unit that fires at rate r is therefore
2 log(sampling_frequency / r): the prior odds.
"""

import heapq

import numba
import numpy as np

from .correlate import MatchedFilters, correlate_templates
from .overlaps import INTERPOLATION_REACH, JITTERS, TemplateOverlaps

# Frames that are passed over at once where no correlation is high enough for a spike.
PUSHED_FRAMES = 256
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
        Of the same templates.
    thresholds : np.ndarray, shape (num_units,), float
        Smallest score of a spike of each unit.
    amplitude_variance : float
        Of the amplitudes of a unit's spikes, relative to its template.
    refractory_frames : int
        A unit does not fire twice within this many frames.

    Returns
    -------
    frames : np.ndarray, shape (num_spikes,), int
        First frame of the template.
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
    frames, units, amplitudes, scores = _pursue(
        correlations,
        overlaps,
        thresholds.astype("float32"),
        np.float32(1.0 / amplitude_variance),
        refractory_frames,
    )
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
    """Sub-sample position (in jitter steps) and height of a local maximum, by a parabola through three samples."""
    curvature = before - 2 * center + after
    if curvature >= 0:
        return JITTERS // 2, center
    delay = 0.5 * (before - after) / curvature
    delay = min(max(delay, -0.5), 0.4999)
    jitter = int(np.floor((delay + 0.5) * JITTERS + 0.5))
    if jitter >= JITTERS:
        jitter = JITTERS - 1
    return jitter, center - 0.25 * (before - after) * delay


@numba.njit(cache=True, nogil=True, inline="always")
def _beside(frame, num_frames):
    """The frames before and after a frame; at the ends, where one is missing, twice the other one: no delay."""
    return abs(frame - 1), num_frames - 1 - abs(num_frames - 2 - frame)


@numba.njit(fastmath=True, cache=True, nogil=True)
def _highest(row):
    highest = np.float32(-np.inf)
    for value in row:
        highest = max(highest, value)
    return highest


@numba.njit(cache=True, nogil=True)
def _push_peaks(heap, correlations, blocked, unit, start, stop, norm, precision, threshold):
    first, stop = max(start, 0), min(stop, correlations.shape[1])
    # Slices that count from 0 are what the compiler makes fast.
    row, closed = correlations[unit, first:stop], blocked[unit, first:stop]
    # The smallest correlation that scores above the threshold: most frames are passed over by one comparison.
    floor = np.float32(np.sqrt((threshold + precision) * (norm + precision)) - precision)
    if _highest(row) < floor:
        return
    for place in range(len(row)):
        value = row[place]
        if value < floor or closed[place]:
            continue
        frame = first + place
        if frame > 0 and correlations[unit, frame - 1] > value:
            continue
        if frame < correlations.shape[1] - 1 and correlations[unit, frame + 1] >= value:
            continue
        score = _score(value, norm, precision)
        if score > threshold:
            heapq.heappush(heap, (-score, unit, frame))


@numba.njit(fastmath=True, cache=True, nogil=True)
def _subtract(correlations, overlaps, unit, frame, weights):
    """Take a spike of a unit off all correlations; weights are its amplitude times `overlaps.delays` of its delay."""
    first = frame - overlaps.num_samples + 1
    begin = max(0, -first)
    end = min(2 * overlaps.num_samples - 1, correlations.shape[1] - first)
    for pair in range(overlaps.starts[unit], overlaps.starts[unit + 1]):
        changed = correlations[overlaps.units[pair], first + begin : first + end]
        for tap in range(2 * INTERPOLATION_REACH + 1):
            overlap = overlaps.values[pair, begin + tap : end + tap]
            for lag in range(len(changed)):
                changed[lag] -= weights[tap] * overlap[lag]


@numba.njit(cache=True, nogil=True)
def _pursue(correlations, overlaps, thresholds, precision, refractory):
    num_units, num_frames = correlations.shape
    norms, reach = overlaps.norms, overlaps.num_samples
    blocked = np.zeros((num_units, num_frames), dtype=np.bool_)
    heap = [(np.float32(0.0), 0, 0)]
    heap.pop()
    for unit in range(num_units):
        for start in range(0, num_frames, PUSHED_FRAMES):
            stop = start + PUSHED_FRAMES
            _push_peaks(heap, correlations, blocked, unit, start, stop, norms[unit], precision, thresholds[unit])
    frames = [0]
    units = [0]
    jitters = [0]
    amplitudes = [np.float32(0.0)]
    while len(heap) > 0:
        score, unit, frame = heapq.heappop(heap)
        current = _score(correlations[unit, frame], norms[unit], precision)
        if blocked[unit, frame] or current != -score:
            continue
        before, after = _beside(frame, num_frames)
        jitter, height = _peak(correlations[unit, before], correlations[unit, frame], correlations[unit, after])
        amplitude = np.float32((height + precision) / (norms[unit] + precision))
        frames.append(frame)
        units.append(unit)
        jitters.append(jitter)
        amplitudes.append(amplitude)
        _subtract(correlations, overlaps, unit, frame, amplitude * overlaps.delays[jitter])
        blocked[unit, max(0, frame - refractory) : frame + refractory + 1] = True
        for other in overlaps.units[overlaps.starts[unit] : overlaps.starts[unit + 1]]:
            start, stop = frame - reach, frame + reach + 1
            _push_peaks(heap, correlations, blocked, other, start, stop, norms[other], precision, thresholds[other])
    found, owners = np.array(frames)[1:], np.array(units)[1:]
    sizes = np.array(amplitudes)[1:]
    _second_thoughts(correlations, blocked, overlaps, precision, found, owners, np.array(jitters)[1:], sizes)
    scores = np.empty(len(found), dtype=np.float32)
    keep = np.empty(len(found), dtype=np.bool_)
    for spike in range(len(found)):
        unit = owners[spike]
        own = correlations[unit, found[spike]] + sizes[spike] * norms[unit]
        scores[spike] = _score(own, norms[unit], precision)
        keep[spike] = scores[spike] > thresholds[unit]
    return found[keep], owners[keep], sizes[keep], scores[keep]


@numba.njit(cache=True, nogil=True, inline="always")
def _restored(correlations, overlaps, pair, frame, weights, place):
    """The correlation at a place near a spike, had the spike not been taken off."""
    value = correlations[overlaps.units[pair], place]
    first = overlaps.num_samples - 1 + place - frame
    for tap in range(2 * INTERPOLATION_REACH + 1):
        value += weights[tap] * overlaps.values[pair, first + tap]
    return value


@numba.njit(cache=True, nogil=True)
def _second_thoughts(correlations, blocked, overlaps, precision, frames, units, jitters, amplitudes):
    """Take out each spike and put it back where it now fits best, among units that overlap with its first choice."""
    # Overlaps reach no farther than a template.
    reach = min(4, overlaps.num_samples - 2)
    norms, last = overlaps.norms, correlations.shape[1] - 1
    for spike in np.argsort(frames):
        unit, frame = units[spike], frames[spike]
        weights = amplitudes[spike] * overlaps.delays[jitters[spike]]
        own_pair = overlaps.starts[unit] + np.searchsorted(
            overlaps.units[overlaps.starts[unit] : overlaps.starts[unit + 1]], unit
        )
        best_score, best_pair, best_frame = np.float32(-1e9), own_pair, frame
        for pair in range(overlaps.starts[unit], overlaps.starts[unit + 1]):
            other = overlaps.units[pair]
            for candidate in range(max(0, frame - reach), min(last, frame + reach) + 1):
                if other != unit and blocked[other, candidate]:
                    continue
                value = _restored(correlations, overlaps, pair, frame, weights, candidate)
                score = _score(value, norms[other], precision)
                if score > best_score:
                    best_score, best_pair, best_frame = score, pair, candidate
        best_unit = overlaps.units[best_pair]
        before, after = _beside(best_frame, last + 1)
        jitter, height = _peak(
            _restored(correlations, overlaps, best_pair, frame, weights, before),
            _restored(correlations, overlaps, best_pair, frame, weights, best_frame),
            _restored(correlations, overlaps, best_pair, frame, weights, after),
        )
        amplitude = np.float32((height + precision) / (norms[best_unit] + precision))
        new_weights = amplitude * overlaps.delays[jitter]
        if best_unit != unit or best_frame != frame:
            _subtract(correlations, overlaps, unit, frame, -weights)
            _subtract(correlations, overlaps, best_unit, best_frame, new_weights)
        elif jitter != jitters[spike] or abs(amplitude - amplitudes[spike]) * np.sqrt(norms[unit]) > NEGLIGIBLE:
            _subtract(correlations, overlaps, unit, frame, new_weights - weights)
        else:
            continue
        units[spike], frames[spike], jitters[spike], amplitudes[spike] = best_unit, best_frame, jitter, amplitude
