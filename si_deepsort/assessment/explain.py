"""
Explain white traces as a sum of the spikes of a sorting.

All spikes are subtracted; then each is taken out and put back where it fits best, until all of them fit together. In
white noise the score of a spike is twice the log likelihood ratio of "spike" against "no spike", with an amplitude that
is normally distributed around 1. The scores of two units for the same spike can be compared.
"""

import numba
import numpy as np

from ..compiled import COMPILED, INNER
from .templates import AMPLITUDE_VARIANCE, WhiteTemplates

# Spike times lie anywhere between two samples: the inverse variance of their distance to the nearest one.
DELAY_PRECISION = 12.0
# Samples by which a spike may be moved: sorters put the spikes of a unit at slightly different places.
MOST_MOVE = 2
# How often each spike is taken out and put back. After two rounds amplitudes change by less than 1 % (generated
# development recordings, seeds 1-5).
NUM_ROUNDS = 2


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
    order = np.argsort(-templates.norms[units], kind="stable")
    _fit_together(
        residual,
        frames,
        units,
        order,
        templates.values,
        templates.slopes,
        templates.channels,
        *templates.energies,
        amplitudes,
        delays,
        moves,
        np.float32(1 / AMPLITUDE_VARIANCE),
    )
    return residual, amplitudes, delays, moves


@numba.njit(fastmath=True, **INNER)
def add_template(residual, first, template, slope, channels, amplitude, delay):
    """Add a template and its slope, which moves it by a part of a sample, to the residual in place."""
    for sample in range(template.shape[0]):
        row = residual[first + sample]
        for kept in range(len(channels)):
            if channels[kept] >= 0:
                row[channels[kept]] += amplitude * (template[sample, kept] + delay * slope[sample, kept])


@numba.njit(fastmath=True, **INNER)
def template_products(residual, first, template, slope, channels):
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


@numba.njit(**INNER)
def fit_template(own, sloped, norm, slope_norm, precision):
    """Score, amplitude and delay of a template in the residual; template and slope are taken as orthogonal."""
    amplitude = max((own + precision) / (norm + precision), np.float32(0.05))
    delay = sloped / (amplitude * slope_norm + np.float32(DELAY_PRECISION) / max(amplitude, np.float32(0.2)))
    delay = min(max(delay, np.float32(-0.7)), np.float32(0.7))
    score = (own + precision) ** 2 / (norm + precision) - precision
    score += sloped**2 / (slope_norm + np.float32(DELAY_PRECISION) / amplitude**2)
    return score, amplitude, delay


@numba.njit(fastmath=True, **COMPILED)
def _fit_together(
    residual,
    frames,
    units,
    order,
    values,
    slopes,
    channels,
    norms,
    slope_norms,
    amplitudes,
    delays,
    moves,
    precision,
):
    last = residual.shape[0] - values.shape[1]
    for spike in range(len(frames)):
        unit = units[spike]
        add_template(residual, frames[spike], values[unit], slopes[unit], channels[unit], np.float32(-1), np.float32(0))
    for _ in range(NUM_ROUNDS):
        for spike in order:
            unit = units[spike]
            template, slope, own_channels = values[unit], slopes[unit], channels[unit]
            first = frames[spike] + moves[spike]
            add_template(residual, first, template, slope, own_channels, amplitudes[spike], delays[spike])
            best = np.float32(-1e30)
            for move in range(-MOST_MOVE, MOST_MOVE + 1):
                place = frames[spike] + move
                if place < 0 or place > last:
                    continue
                own, sloped = template_products(residual, place, template, slope, own_channels)
                score, amplitude, delay = fit_template(own, sloped, norms[unit], slope_norms[unit], precision)
                if score > best:
                    best = score
                    amplitudes[spike], delays[spike], moves[spike] = amplitude, delay, move
            first = frames[spike] + moves[spike]
            add_template(residual, first, template, slope, own_channels, -amplitudes[spike], delays[spike])
