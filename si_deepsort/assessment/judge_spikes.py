"""Judge single spikes of explained traces against everything else that could explain them."""

from dataclasses import dataclass

import numba
import numpy as np

from ..compiled import COMPILED, INNER
from .explain import add_template, fit_template, template_products
from .templates import AMPLITUDE_VARIANCE, Neighbours, WhiteTemplates

# Samples around the best lag of two templates at which a neighbour is tried for a spike.
NEIGHBOUR_MOVE = 3


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
        templates.slopes,
        templates.channels,
        *templates.energies,
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


@numba.njit(fastmath=True, **COMPILED)
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
    norms,
    slope_norms,
    neighbours,
    lags,
    directions,
    precision,
    numbers,
    others,
    remainders,
):
    num_samples, num_kept = values.shape[1], channels.shape[1]
    last = residual.shape[0] - num_samples
    for row in range(len(chosen)):
        spike = chosen[row]
        unit = units[spike]
        first = frames[spike] + moves[spike]
        own_channels = channels[unit]
        _describe_window(traces, residual, first, own_channels, directions, numbers[row], remainders[row])
        add_template(residual, first, values[unit], slopes[unit], own_channels, amplitudes[spike], delays[spike])
        own, sloped = template_products(residual, first, values[unit], slopes[unit], own_channels)
        score, _, _ = fit_template(own, sloped, norms[unit], slope_norms[unit], precision)
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
                own, sloped = template_products(residual, place, values[other], slopes[other], channels[other])
                score, _, _ = fit_template(own, sloped, norms[other], slope_norms[other], precision)
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
        add_template(residual, first, values[unit], slopes[unit], own_channels, -amplitudes[spike], delays[spike])


@numba.njit(fastmath=True, **INNER)
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
