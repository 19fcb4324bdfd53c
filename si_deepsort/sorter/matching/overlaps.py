"""Overlaps of templates: what a spike of one unit adds to the correlation of traces with every other template."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np
import scipy.fft
import scipy.linalg

from ...compiled import COMPILED
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
# Units that a thread correlates with all others one after the other. Chosen by speed.
UNITS_TOGETHER = 4


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
    # The overlap of a pair in the other order is the same, backwards.
    wanted = np.triu(np.ones((len(templates), len(templates)), dtype=bool))
    pairs = list(correlate_pairs(templates, max_lag=(num_lags - 1) * stride, stride=stride, wanted=wanted))
    one = np.repeat(np.arange(len(templates)), [len(others) for others, _ in pairs])
    other = np.concatenate([np.zeros(0, dtype=int), *(others for others, _ in pairs)])
    values = np.concatenate([np.zeros((0, 2 * num_lags - 1), dtype="float32"), *(found[:, 0] for _, found in pairs)])
    largest = np.maximum(values.max(axis=1), -values.min(axis=1))
    turned = np.flatnonzero(one != other)
    places = np.concatenate([np.arange(len(one)), turned])
    units, others = np.concatenate([one, other[turned]]), np.concatenate([other, one[turned]])
    kept = np.flatnonzero((largest[places] >= smallest[others]) | (units == others))
    kept = kept[np.lexsort((others[kept], units[kept]))]
    padded = np.zeros((len(kept), 2 * num_lags - 1 + 2 * INTERPOLATION_REACH), dtype="float32")
    inner, is_turned = padded[:, INTERPOLATION_REACH:-INTERPOLATION_REACH], kept >= len(one)
    inner[~is_turned], inner[is_turned] = values[places[kept[~is_turned]]], values[places[kept[is_turned]], ::-1]
    starts = np.searchsorted(units[kept], np.arange(len(templates) + 1))
    weights = _delay_weights(templates, stride)
    return TemplateOverlaps(num_lags, stride, norms, starts, others[kept], padded, largest[places[kept]], weights)


def correlate_pairs(
    templates: np.ndarray,
    *,
    max_lag: int,
    stride: int = 1,
    delays: Sequence[float] = (0.0,),
    wanted: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """
    Correlations of each template, delayed by part of a sample, with all templates that it shares channels with.

    Templates are transformed once. The products of their transforms, summed over the channels that two templates share,
    are transformed back by one matrix product, at the lags and delays that are asked for alone.

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
    wanted : np.ndarray | None, shape (num_units, num_units), bool, default: None
        Pairs that are correlated, of those that share channels; None correlates all.

    Yields
    ------
    others : np.ndarray, shape (num_others,), int
        Units that share channels with this one, itself included, and are wanted; ascending.
    correlations : np.ndarray, shape (num_others, num_delays, 2 * max_lag // stride + 1), float32
        Value at [i, j, k]: correlation with the template of unit others[i], k * stride - max_lag samples after a spike
        of this unit that comes delays[j] late.
    """
    if len(templates) == 0:
        return
    visible = np.any(templates != 0, axis=1)
    sharing = (visible.astype("float32") @ visible.T.astype("float32")) > 0
    np.fill_diagonal(sharing, True)
    if wanted is not None:
        sharing &= wanted
    size = scipy.fft.next_fast_len(2 * templates.shape[1], real=True)
    units, channels = np.nonzero(visible)
    starts = np.searchsorted(units, np.arange(len(templates) + 1))
    row_of = np.full(visible.shape, -1)
    row_of[units, channels] = np.arange(len(units))
    spectrum = scipy.fft.rfft(templates[units, :, channels].astype("float32", copy=False), size, axis=1)
    spectra = np.stack([spectrum.real, spectrum.imag])
    kernel = _inverse_transform(size, max_lag, stride, tuple(delays))

    def correlate(unit):
        others = np.flatnonzero(sharing[unit])
        products = np.zeros((len(others), 2, spectra.shape[2]), dtype="float32")
        _add_products(products, spectra, starts, channels, row_of[unit], others)
        return others, (products.reshape(len(others), -1) @ kernel).reshape(len(others), len(delays), -1)

    yield from each(correlate, range(len(templates)), together=UNITS_TOGETHER)


@numba.njit(fastmath=True, **COMPILED)
def _add_products(products, spectra, starts, channels, own_rows, others):
    """
    Add the products of the spectra of a unit and the conjugate ones of others, summed over channels, to `products`.

    `own_rows` (num_channels,) are the rows of the unit in `spectra` (2, num_rows, num_frequencies), -1 for channels
    where it is not visible; those of other units are from starts[other] to starts[other + 1], on `channels`.
    """
    for place in range(len(others)):
        real, imaginary = products[place, 0], products[place, 1]
        for row in range(starts[others[place]], starts[others[place] + 1]):
            own = own_rows[channels[row]]
            if own < 0:
                continue
            own_real, own_imaginary = spectra[0, own], spectra[1, own]
            other_real, other_imaginary = spectra[0, row], spectra[1, row]
            for frequency in range(len(real)):
                real[frequency] += own_real[frequency] * other_real[frequency]
                real[frequency] += own_imaginary[frequency] * other_imaginary[frequency]
                imaginary[frequency] += own_imaginary[frequency] * other_real[frequency]
                imaginary[frequency] -= own_real[frequency] * other_imaginary[frequency]


@lru_cache(maxsize=8)
def _inverse_transform(size, max_lag, stride, delays):
    """
    Matrix (2 * num_frequencies, num_delays * num_lags), float32, that turns spectra into correlations.

    Rows are for the real parts of the spectrum of `size` real numbers, then for the imaginary parts.
    """
    frequencies, lags = np.arange(size // 2 + 1), np.arange(-max_lag, max_lag + 1, stride)
    # All frequencies but the lowest, and the highest of an even size, stand for two.
    weights = np.where((frequencies == 0) | (2 * frequencies == size), 1.0, 2.0) / size
    times = (lags - np.asarray(delays)[:, None]).ravel()
    phases = np.multiply.outer(2 * np.pi / size * frequencies, times)
    waves = np.concatenate([np.cos(phases), -np.sin(phases)])
    return (np.tile(weights, 2)[:, None] * waves).astype("float32")


def waveform_directions(templates: np.ndarray) -> np.ndarray:
    """Orthonormal waveforms (num_directions, num_samples) of which all templates are combinations, float32."""
    values, vectors = np.linalg.eigh(_sample_products(templates))
    return vectors[:, values > LEAST_EIGENVALUE * max(values[-1], 1e-30)].T.astype("float32")


def _delay_weights(templates, stride):
    """Weights of the best linear interpolation of overlaps with the templates' mean spectrum (simple kriging)."""
    size, num_samples = 8 * scipy.fft.next_fast_len(templates.shape[1], real=True), templates.shape[1]
    products = _sample_products(templates)
    distances = np.abs(np.arange(num_samples)[:, None] - np.arange(num_samples))
    autocovariances = np.bincount(distances.ravel(), weights=products.ravel())
    autocovariances[1:] /= 2  # the transform of one side is doubled below
    power = np.maximum(2 * scipy.fft.rfft(autocovariances, size).real - autocovariances[0], 0)
    # An overlap is the product of two templates' spectra.
    weights = power**2 / max(np.sum(power**2), 1e-30)
    of_taps, of_delays = (part @ weights for part in _delay_waves(size, stride))
    between_taps = of_taps + RIDGE * np.eye(len(of_taps))
    return scipy.linalg.solve(between_taps, of_delays, assume_a="pos").T.astype("float32", order="C")


@lru_cache(maxsize=8)
def _delay_waves(size, stride):
    """Cosines between each two taps, and between taps and delays, at all frequencies of a transform; slow, so kept."""
    taps, delays = np.arange(-INTERPOLATION_REACH, INTERPOLATION_REACH + 1), np.arange(JITTERS) / JITTERS - 0.5
    frequencies = 2 * np.pi * stride * scipy.fft.rfftfreq(size)
    lags = taps[:, None] - taps, taps[:, None] + delays
    return tuple(np.cos(np.multiply.outer(own, frequencies)) for own in lags)


def _sample_products(templates):
    """Products of all pairs of samples, summed over units and channels, (num_samples, num_samples), float64."""
    rows = np.swapaxes(templates, 1, 2)[np.any(templates != 0, axis=1)].astype("float64")
    return rows.T @ rows
