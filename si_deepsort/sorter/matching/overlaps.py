"""Overlaps of templates: what a spike of one unit adds to the correlation of traces with every other template."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.linalg

from ...threads import each
from .correlate import squared_norms
from .kernels import INTERPOLATION_REACH, JITTERS

# An overlap is left out if it changes the correlation with the other template by less than this, in standard deviations
# of that correlation in white noise.
NEGLIGIBLE_OVERLAP = 0.3
# Smallest eigenvalue, relative to the largest, of waveform directions that count: smaller ones are rounding errors.
LEAST_EIGENVALUE = 1e-9
# Added to the diagonal of the covariance matrix of interpolation, relative to the variance, so that it can be inverted.
RIDGE = 1e-9


class TemplateOverlaps(NamedTuple):
    """
    Correlations of templates that share channels, and weights that delay them by part of a stride.

    Attributes
    ----------
    num_lags : int
        Number of lags, from 0 on, at which two templates overlap.
    stride : int
        Frames between two lags.
    norms : np.ndarray, shape (num_units,), float32
        Squared norms.
    starts : np.ndarray, shape (num_units + 1,), int
        The overlaps of unit k are those from starts[k] to starts[k + 1].
    units : np.ndarray, shape (num_pairs,), int
        The other unit of each overlap; each unit overlaps with itself.
    values : np.ndarray, shape (num_pairs, 2 * num_lags - 1 + 2 * INTERPOLATION_REACH), float32
        Value at [pair, INTERPOLATION_REACH + num_lags - 1 + lag]: correlation with the other template `lag` strides
        after a spike of unit k.
    highest : np.ndarray, shape (num_pairs,), float32
        Largest absolute value of each overlap.
    delays : np.ndarray, shape (JITTERS, 2 * INTERPOLATION_REACH + 1), float32
        Weights of neighbouring lags that delay an overlap by (jitter / JITTERS - 1/2) strides.
    """

    num_lags: int
    stride: int
    norms: np.ndarray
    starts: np.ndarray
    units: np.ndarray
    values: np.ndarray
    highest: np.ndarray
    delays: np.ndarray


def make_template_overlaps(templates: np.ndarray, stride: int = 1) -> TemplateOverlaps:
    """
    Compute the overlaps of templates.

    Parameters
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float
        In noise standard deviations; exactly 0 on channels where a unit is not visible.
    stride : int, default: 1
        Frames between two lags, as in `correlate.make_matched_filters`.
    """
    num_samples, norms = templates.shape[1], squared_norms(templates)
    num_lags = (num_samples - 1) // stride + 1
    smallest = NEGLIGIBLE_OVERLAP * np.sqrt(norms)
    units, values = [np.zeros(0, dtype=int)], [np.zeros((0, 2 * num_lags - 1), dtype="float32")]
    pairs = correlate_pairs(templates, max_lag=(num_lags - 1) * stride, stride=stride)
    for unit, (others, correlations) in enumerate(pairs):
        kept = (np.abs(correlations).max(axis=(1, 2)) >= smallest[others]) | (others == unit)
        units.append(others[kept])
        values.append(correlations[kept, 0])
    starts = np.cumsum([len(others) for others in units])
    padded = np.pad(np.concatenate(values), ((0, 0), (INTERPOLATION_REACH,) * 2))
    highest, weights = np.abs(padded).max(axis=1), _delay_weights(templates, stride)
    return TemplateOverlaps(num_lags, stride, norms, starts, np.concatenate(units), padded, highest, weights)


def correlate_pairs(
    templates: np.ndarray, *, max_lag: int, stride: int = 1, delays: Sequence[float] = (0.0,)
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """
    Correlations of each template, delayed by part of a sample, with all templates that it shares channels with.

    Templates are combinations of few waveform directions: only the correlations of these directions are computed over
    lags and delays, and small matrix products do the rest.

    Parameters
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
        Exactly 0 on channels where a unit is not visible.
    max_lag : int
        Largest lag in samples; less than num_samples, and a multiple of the stride.
    stride : int, default: 1
        Samples between two lags.
    delays : sequence of float, default: (0.0,)
        Delays of the first template in samples.

    Yields
    ------
    others : np.ndarray, shape (num_others,), int
        Units that share channels with this one, itself included, ascending.
    correlations : np.ndarray, shape (num_others, num_delays, 2 * max_lag // stride + 1), float32
        Value at [i, j, k]: correlation with the template of unit others[i], k * stride - max_lag samples after a spike
        of this unit that comes delays[j] late.
    """
    if len(templates) == 0:
        return
    visible = np.any(templates != 0, axis=1)
    sharing = (visible.astype("float32") @ visible.T.astype("float32")) > 0
    np.fill_diagonal(sharing, True)
    directions = waveform_directions(templates)
    coefficients = np.ascontiguousarray(np.swapaxes(directions @ templates, 1, 2))
    kernel = _direction_correlations(directions, np.arange(-max_lag, max_lag + 1, stride), np.asarray(delays))

    def correlate(unit):
        others, own = np.flatnonzero(sharing[unit]), np.flatnonzero(visible[unit])
        products = coefficients[unit, own].T @ coefficients[others[:, None], own]
        return others, (products.reshape(len(others), -1) @ kernel).reshape(len(others), len(delays), -1)

    yield from each(correlate, range(len(templates)))


def waveform_directions(templates: np.ndarray) -> np.ndarray:
    """Orthonormal waveforms (num_directions, num_samples) of which all templates are combinations, float32."""
    values, vectors = np.linalg.eigh(_sample_products(templates))
    return vectors[:, values > LEAST_EIGENVALUE * max(values[-1], 1e-30)].T.astype("float32")


def _direction_correlations(directions, lags, delays):
    """Correlation of each pair of directions, (num_directions ** 2, num_delays * num_lags), float32."""
    num_directions, num_samples = directions.shape
    size = scipy.fft.next_fast_len(2 * num_samples, real=True)
    spectra = scipy.fft.rfft(directions, size, axis=1)
    shift = np.exp(-2j * np.pi * scipy.fft.rfftfreq(size)[None] * delays[:, None])
    product = spectra[:, None] * np.conj(spectra[None])
    correlations = scipy.fft.irfft(product[:, :, None] * shift, size, axis=-1)
    return correlations[..., lags].reshape(num_directions**2, -1).astype("float32")


def _delay_weights(templates, stride):
    """Weights of the best linear interpolation of overlaps with the templates' mean spectrum (simple kriging)."""
    taps = np.arange(-INTERPOLATION_REACH, INTERPOLATION_REACH + 1)
    delays = np.arange(JITTERS) / JITTERS - 0.5
    size = 8 * scipy.fft.next_fast_len(templates.shape[1], real=True)
    values, vectors = np.linalg.eigh(_sample_products(templates))
    power = np.maximum(values, 0) @ np.abs(scipy.fft.rfft(vectors.T, size, axis=1)) ** 2
    # An overlap is the product of two templates' spectra.
    frequencies, weights = 2 * np.pi * stride * scipy.fft.rfftfreq(size), power**2 / max(np.sum(power**2), 1e-30)

    def covariance(lags):
        return np.cos(np.multiply.outer(lags, frequencies)) @ weights

    between_taps = covariance(taps[:, None] - taps) + RIDGE * np.eye(len(taps))
    return scipy.linalg.solve(between_taps, covariance(taps[:, None] + delays), assume_a="pos").T.astype("float32")


def _sample_products(templates):
    """Products of all pairs of samples, summed over units and channels, (num_samples, num_samples), float64."""
    rows = np.swapaxes(templates, 1, 2)[np.any(templates != 0, axis=1)].astype("float64")
    return rows.T @ rows
