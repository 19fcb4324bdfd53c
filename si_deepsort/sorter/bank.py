"""Templates prepared for matching: their Fourier transforms, and how each pair of them overlaps."""

from dataclasses import dataclass

import numba
import numpy as np
import scipy.fft

JITTERS = 8
BLOCK_FRAMES = 8192


@dataclass(frozen=True)
class TemplateBank:
    """
    Templates, ready to be correlated with traces, and their overlaps.

    Attributes
    ----------
    num_samples : int
        Of a template.
    norms : np.ndarray, shape (num_units,), float32
        Squared norms.
    channels : list of np.ndarray, int
        Channels on which each unit is visible.
    spectra : list of np.ndarray, shape (num_visible_channels, BLOCK_FRAMES // 2 + 1), complex64
        Conjugate Fourier transform of each unit's template.
    overlap_units : np.ndarray, shape (num_units, max_overlapping), int
        Units whose templates share channels with each unit (itself included), padded with -1.
    overlaps : np.ndarray, shape (num_units, max_overlapping, JITTERS, 2 * num_samples - 1), float32
        Correlation of unit k, delayed by (jitter / JITTERS - 1/2) samples, with each unit it overlaps with.
    """

    num_samples: int
    norms: np.ndarray
    channels: list
    spectra: list
    overlap_units: np.ndarray
    overlaps: np.ndarray


def make_template_bank(templates: np.ndarray) -> TemplateBank:
    """
    Fourier transforms and overlaps of templates.

    Parameters
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float
        In whitened units; exactly 0 on channels where a unit is not visible.
    """
    visible = np.any(templates != 0, axis=1)
    channels = [np.flatnonzero(row) for row in visible]
    spectra = [
        np.conj(scipy.fft.rfft(template[:, own].T.astype("float32"), BLOCK_FRAMES, axis=1))
        for template, own in zip(templates, channels, strict=True)
    ]
    delays = np.arange(JITTERS) / JITTERS - 0.5
    overlap_units, overlaps = template_overlaps(templates, max_lag=templates.shape[1] - 1, delays=delays)
    norms = np.sum(templates.astype("float64") ** 2, axis=(1, 2)).astype("float32")
    return TemplateBank(templates.shape[1], norms, channels, spectra, overlap_units, overlaps)


def template_overlaps(templates: np.ndarray, *, max_lag: int, delays=(0.0,)) -> tuple[np.ndarray, np.ndarray]:
    """
    Correlation of each template, delayed by part of a sample, with every template it shares channels with.

    Templates are made of few waveform directions, so only the correlations of these are computed over lags and delays;
    the rest is small matrix products.

    Parameters
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
        Exactly 0 on channels where a unit is not visible.
    max_lag : int
        In samples; less than num_samples.
    delays : sequence of float
        In samples.

    Returns
    -------
    units : np.ndarray, shape (num_units, max_overlapping), int
        Units that share channels with each unit (itself included), padded with -1.
    overlaps : np.ndarray, shape (num_units, max_overlapping, num_delays, 2 * max_lag + 1), float32
        At [k, i, j, max_lag + lag]: unit units[k, i], read `lag` samples after a spike of unit k that comes delays[j]
        late.
    """
    num_units = len(templates)
    visible = np.any(templates != 0, axis=1)
    sharing = (visible.astype(int) @ visible.T.astype(int)) > 0
    np.fill_diagonal(sharing, True)
    most = int(sharing.sum(axis=1).max(initial=1))
    units = np.full((num_units, most), -1, dtype="int64")
    overlaps = np.zeros((num_units, most, len(delays), 2 * max_lag + 1), dtype="float32")
    if num_units == 0:
        return units, overlaps
    directions = waveform_directions(templates)
    coefficients = np.einsum("ks,usc->ukc", directions, templates, optimize=True)
    kernel = _direction_correlations(directions, max_lag, np.asarray(delays))
    for unit in range(num_units):
        others = np.flatnonzero(sharing[unit])
        units[unit, : len(others)] = others
        own = np.flatnonzero(visible[unit])
        pairs = coefficients[unit][:, own] @ np.swapaxes(coefficients[others][:, :, own], 1, 2)
        product = pairs.reshape(len(others), -1) @ kernel
        overlaps[unit, : len(others)] = product.reshape(len(others), len(delays), -1)
    return units, overlaps


def waveform_directions(templates):
    """Orthonormal waveforms that the templates are made of, shape (num_directions, num_samples)."""
    rows = np.swapaxes(templates, 1, 2).reshape(-1, templates.shape[1]).astype("float64")
    values, vectors = np.linalg.eigh(rows.T @ rows)
    return vectors[:, values > 1e-9 * max(values[-1], 1e-30)].T.astype("float32")


def _direction_correlations(directions, max_lag, delays):
    """Correlation of each pair of directions; (num_directions ** 2, num_delays * num_lags), float32."""
    num_directions, num_samples = directions.shape
    size = scipy.fft.next_fast_len(2 * num_samples, real=True)
    spectra = scipy.fft.rfft(directions, size, axis=1)
    shift = np.exp(-2j * np.pi * scipy.fft.rfftfreq(size)[None] * delays[:, None])
    product = spectra[:, None] * np.conj(spectra[None])
    correlations = scipy.fft.irfft(product[:, :, None] * shift, size, axis=-1)
    lags = np.arange(-max_lag, max_lag + 1)
    return correlations[..., lags].reshape(num_directions**2, -1).astype("float32")


def correlate_templates(traces: np.ndarray, bank: TemplateBank) -> np.ndarray:
    """
    Inner product of every template with the traces at every start frame (overlap-save).

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32

    Returns
    -------
    np.ndarray, shape (num_units, num_frames - num_samples + 1), float32
    """
    num_starts = len(traces) - bank.num_samples + 1
    step = BLOCK_FRAMES - bank.num_samples + 1
    result = np.empty((len(bank.norms), num_starts), dtype="float32")
    for start in range(0, num_starts, step):
        block = np.ascontiguousarray(traces[start : start + BLOCK_FRAMES].T)
        spectrum = scipy.fft.rfft(block, BLOCK_FRAMES, axis=1)
        stop = min(start + step, num_starts)
        products = np.empty((len(bank.norms), spectrum.shape[1]), dtype="complex64")
        for unit, (channels, template) in enumerate(zip(bank.channels, bank.spectra, strict=True)):
            _sum_of_products(template, spectrum, channels, products[unit])
        result[:, start:stop] = scipy.fft.irfft(products, BLOCK_FRAMES, axis=1)[:, : stop - start]
    return result


@numba.njit(fastmath=True, cache=True, nogil=True)
def _sum_of_products(template, spectrum, channels, out):
    out[:] = 0
    for place in range(len(channels)):
        channel = channels[place]
        for frequency in range(len(out)):
            out[frequency] += template[place, frequency] * spectrum[channel, frequency]
