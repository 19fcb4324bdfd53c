"""
Explain white traces by the spikes of a sorting, then judge each spike against everything else that could explain it.

All spikes are subtracted; then each is taken out and put back where it fits best, until all of them fit together. In
white noise the score of a spike is twice the log likelihood ratio of "spike" against "no spike", with an amplitude that
is normally distributed around 1. The scores of two units for the same spike can be compared.
"""

from dataclasses import dataclass

import numba
import numpy as np

from .templates import AMPLITUDE_VARIANCE, Neighbours, WhiteTemplates

# Spike times lie anywhere between two samples: the inverse variance of their distance to the nearest one.
DELAY_PRECISION = 12.0
# Samples by which a spike may be moved: sorters put the spikes of a unit at slightly different places.
MOST_MOVE = 2
# Samples around the best lag of two templates at which a neighbour is tried for a spike.
NEIGHBOUR_MOVE = 3
# How often each spike is taken out and put back. After two rounds amplitudes change by less than 1 % (generated
# development recordings, seeds 1-5).
NUM_ROUNDS = 2


@dataclass(frozen=True)
class JudgedSpikes:
    """
    What single spikes tell.

    Attributes
    ----------
    positions : np.ndarray, shape (num_spikes,), int
        Position of each spike in the spike vector of the sorting.
    scores : np.ndarray, shape (num_spikes,), float32
        Score of the spike, all others being subtracted.
    other_scores : np.ndarray, shape (num_spikes,), float32
        Largest score of a neighbour in its place; -1e9 where there is none.
    others : np.ndarray, shape (num_spikes,), int
        That neighbour as a unit; -1 for none.
    amplitudes : np.ndarray, shape (num_spikes,), float32
        Relative to the template.
    moves : np.ndarray, shape (num_spikes,), float32
        Samples by which the template fits better later.
    misfits : np.ndarray, shape (num_spikes,), float32
        Mean square of what is left in the window; 1 in white noise.
    collisions : np.ndarray, shape (num_spikes,), float32
        Energy of other spikes in the window, relative to that of the template.
    remainders : np.ndarray, shape (num_spikes, num_directions * num_kept), float32
        What is left in the window, as coefficients of the directions of the templates.
    """

    positions: np.ndarray
    scores: np.ndarray
    other_scores: np.ndarray
    others: np.ndarray
    amplitudes: np.ndarray
    moves: np.ndarray
    misfits: np.ndarray
    collisions: np.ndarray
    remainders: np.ndarray


def explain_traces(
    traces: np.ndarray, frames: np.ndarray, units: np.ndarray, templates: WhiteTemplates
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """
    Fit all spikes to the traces together.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
        White traces; they are not changed.
    frames : np.ndarray, shape (num_spikes,), int
        First row of the template of each spike; templates lie inside the traces.
    units : np.ndarray, shape (num_spikes,), int
    templates : WhiteTemplates

    Returns
    -------
    residual : np.ndarray, shape (num_frames, num_channels), float32
        Traces without the fitted spikes.
    amplitudes, delays : np.ndarray, shape (num_spikes,), float32
        Amplitude relative to the template, and part of a sample by which it is later.
    moves : np.ndarray, shape (num_spikes,), int
        Samples by which it is later beside that.
    """
    residual = traces.copy()
    amplitudes, delays = np.ones(len(frames), dtype="float32"), np.zeros(len(frames), dtype="float32")
    moves = np.zeros(len(frames), dtype="int64")
    slopes = np.ascontiguousarray(-np.gradient(templates.values, axis=1))
    order = np.argsort(-templates.norms[units], kind="stable")
    _fit_together(
        residual,
        frames,
        units,
        order,
        templates.values,
        slopes,
        templates.channels,
        amplitudes,
        delays,
        moves,
        np.float32(1 / AMPLITUDE_VARIANCE),
    )
    return residual, amplitudes, delays, moves


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add(residual, first, template, slope, channels, amplitude, delay):
    for sample in range(template.shape[0]):
        row = residual[first + sample]
        for kept in range(len(channels)):
            if channels[kept] >= 0:
                row[channels[kept]] += amplitude * (template[sample, kept] + delay * slope[sample, kept])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _products(residual, first, template, slope, channels):
    """Inner products of the residual with a template and its slope."""
    own, sloped = np.float32(0), np.float32(0)
    for sample in range(template.shape[0]):
        row = residual[first + sample]
        for kept in range(len(channels)):
            if channels[kept] >= 0:
                value = row[channels[kept]]
                own += value * template[sample, kept]
                sloped += value * slope[sample, kept]
    return own, sloped


@numba.njit(cache=True, nogil=True)
def _fitted(own, sloped, norm, slope_norm, precision):
    """Score, amplitude and delay of a template in the residual; template and slope are taken as orthogonal."""
    amplitude = max((own + precision) / (norm + precision), np.float32(0.05))
    delay = sloped / (amplitude * slope_norm + np.float32(DELAY_PRECISION) / max(amplitude, np.float32(0.2)))
    delay = min(max(delay, np.float32(-0.7)), np.float32(0.7))
    score = (own + precision) ** 2 / (norm + precision) - precision
    score += sloped**2 / (slope_norm + np.float32(DELAY_PRECISION) / amplitude**2)
    return score, amplitude, delay


@numba.njit(cache=True, nogil=True, fastmath=True)
def _fit_together(residual, frames, units, order, values, slopes, channels, amplitudes, delays, moves, precision):
    norms, slope_norms = np.zeros(len(values), np.float32), np.zeros(len(values), np.float32)
    for unit in range(len(values)):
        norms[unit], slope_norms[unit] = np.sum(values[unit] ** 2), np.sum(slopes[unit] ** 2)
    last = residual.shape[0] - values.shape[1]
    for spike in range(len(frames)):
        unit = units[spike]
        _add(residual, frames[spike], values[unit], slopes[unit], channels[unit], np.float32(-1), np.float32(0))
    for _ in range(NUM_ROUNDS):
        for spike in order:
            unit = units[spike]
            template, slope, own_channels = values[unit], slopes[unit], channels[unit]
            first = frames[spike] + moves[spike]
            _add(residual, first, template, slope, own_channels, amplitudes[spike], delays[spike])
            best = np.float32(-1e30)
            for move in range(-MOST_MOVE, MOST_MOVE + 1):
                place = frames[spike] + move
                if place < 0 or place > last:
                    continue
                own, sloped = _products(residual, place, template, slope, own_channels)
                score, amplitude, delay = _fitted(own, sloped, norms[unit], slope_norms[unit], precision)
                if score > best:
                    best = score
                    amplitudes[spike], delays[spike], moves[spike] = amplitude, delay, move
            first = frames[spike] + moves[spike]
            _add(residual, first, template, slope, own_channels, -amplitudes[spike], delays[spike])


def judge_spikes(
    traces: np.ndarray,
    residual: np.ndarray,
    fitted: tuple[np.ndarray, np.ndarray, np.ndarray],
    frames: np.ndarray,
    units: np.ndarray,
    chosen: np.ndarray,
    templates: WhiteTemplates,
    neighbours: Neighbours,
) -> JudgedSpikes:
    """
    Judge some spikes of explained traces.

    Parameters
    ----------
    traces, residual : np.ndarray, shape (num_frames, num_channels), float32
        Before and after `explain_traces`; they are not changed.
    fitted : tuple of np.ndarray
        Amplitudes, delays and moves from `explain_traces`.
    frames, units : np.ndarray, shape (num_spikes,), int
        As in `explain_traces`.
    chosen : np.ndarray, int
        Spikes that are judged, as positions in `frames`; they become `positions`.
    templates : WhiteTemplates
    neighbours : Neighbours
    """
    num_kept, num_directions = templates.channels.shape[1], len(templates.directions)
    numbers = np.zeros((len(chosen), 6), dtype="float32")
    others = np.full(len(chosen), -1)
    remainders = np.zeros((len(chosen), num_directions * num_kept), dtype="float32")
    _judge(
        traces,
        residual.copy(),
        *fitted,
        frames,
        units,
        chosen,
        templates.values,
        np.ascontiguousarray(-np.gradient(templates.values, axis=1)),
        templates.channels,
        neighbours.units,
        neighbours.lags,
        templates.directions,
        np.float32(1 / AMPLITUDE_VARIANCE),
        numbers,
        others,
        remainders,
    )
    scores, other_scores, misfits, collisions = numbers.T[:4]
    amplitudes, delays, moves = (values[chosen] for values in fitted)
    moves = (moves + delays).astype("float32")
    return JudgedSpikes(chosen, scores, other_scores, others, amplitudes, moves, misfits, collisions, remainders)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _judge(
    traces,
    residual,
    amplitudes,
    delays,
    moves,
    frames,
    units,
    chosen,
    values,
    slopes,
    channels,
    neighbours,
    lags,
    directions,
    precision,
    numbers,
    others,
    remainders,
):
    norms, slope_norms = np.zeros(len(values), np.float32), np.zeros(len(values), np.float32)
    for unit in range(len(values)):
        norms[unit], slope_norms[unit] = np.sum(values[unit] ** 2), np.sum(slopes[unit] ** 2)
    num_samples, num_kept = values.shape[1], channels.shape[1]
    last = residual.shape[0] - num_samples
    for row in range(len(chosen)):
        spike = chosen[row]
        unit = units[spike]
        first = frames[spike] + moves[spike]
        own_channels = channels[unit]
        _describe_window(traces, residual, first, own_channels, directions, numbers[row], remainders[row])
        _add(residual, first, values[unit], slopes[unit], own_channels, amplitudes[spike], delays[spike])
        own, sloped = _products(residual, first, values[unit], slopes[unit], own_channels)
        score, _, _ = _fitted(own, sloped, norms[unit], slope_norms[unit], precision)
        numbers[row, 0] = score
        best = np.float32(-1e9)
        for rank in range(neighbours.shape[1]):
            other = neighbours[unit, rank]
            if other < 0:
                break
            for move in range(-NEIGHBOUR_MOVE, NEIGHBOUR_MOVE + 1):
                place = first + lags[unit, rank] + move
                if place < 0 or place > last:
                    continue
                own, sloped = _products(residual, place, values[other], slopes[other], channels[other])
                score, _, _ = _fitted(own, sloped, norms[other], slope_norms[other], precision)
                if score > best:
                    best = score
                    others[row] = other
        numbers[row, 1] = best
        # Energy of other spikes: what was subtracted in the window beside the spike itself.
        energy = np.float32(0)
        for sample in range(num_samples):
            for kept in range(num_kept):
                channel = own_channels[kept]
                if channel >= 0:
                    energy += (traces[first + sample, channel] - residual[first + sample, channel]) ** 2
        numbers[row, 3] = energy / max(norms[unit], np.float32(1e-6))
        _add(residual, first, values[unit], slopes[unit], own_channels, -amplitudes[spike], delays[spike])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _describe_window(traces, residual, first, channels, directions, numbers, remainder):
    """Mean square of the residual in a window, and its coefficients in the directions."""
    num_directions, num_samples = directions.shape
    total, count = np.float32(0), 0
    for kept in range(len(channels)):
        channel = channels[kept]
        if channel < 0:
            continue
        for sample in range(num_samples):
            value = residual[first + sample, channel]
            total += value * value
            for direction in range(num_directions):
                remainder[direction * len(channels) + kept] += value * directions[direction, sample]
        count += num_samples
    numbers[2] = total / max(count, 1)
