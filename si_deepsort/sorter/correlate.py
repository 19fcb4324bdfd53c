"""Every template correlated with the traces, by Fourier transforms."""

from dataclasses import dataclass

import numba
import numpy as np
import scipy.fft

# A block holds this many templates end to end: longer ones cost memory, shorter ones are mostly overlap.
TEMPLATES_PER_BLOCK = 20
# Blocks for which a template's transform is read at once.
BLOCKS_AT_ONCE = 4


@dataclass(frozen=True)
class MatchedFilters:
    """
    Templates, ready to be correlated with traces.

    Attributes
    ----------
    num_samples : int
        Of a template.
    block_frames : int
        Of traces that are transformed together.
    norms : np.ndarray, shape (num_units,), float32
        Squared norms of the templates.
    channels : list of np.ndarray, int
        Channels on which each unit is visible.
    spectra : list of np.ndarray, shape (2, num_visible_channels, block_frames // 2 + 1), float32
        Real and imaginary part of the conjugate Fourier transform of each unit's template.
    """

    num_samples: int
    block_frames: int
    norms: np.ndarray
    channels: list
    spectra: list


def make_matched_filters(templates: np.ndarray) -> MatchedFilters:
    """
    Fourier transforms of templates.

    Parameters
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float
        In whitened units; exactly 0 on channels where a unit is not visible.
    """
    num_samples = templates.shape[1]
    block_frames = scipy.fft.next_fast_len(TEMPLATES_PER_BLOCK * num_samples, real=True)
    channels = [np.flatnonzero(row) for row in np.any(templates != 0, axis=1)]
    spectra = [
        _parts(np.conj(scipy.fft.rfft(template[:, own].T.astype("float32"), block_frames, axis=1)))
        for template, own in zip(templates, channels, strict=True)
    ]
    return MatchedFilters(num_samples, block_frames, squared_norms(templates), channels, spectra)


def squared_norms(templates: np.ndarray) -> np.ndarray:
    """Of templates (num_units, num_samples, num_channels); float32."""
    return np.einsum("usc,usc->u", templates, templates, dtype="float64").astype("float32")


def correlate_templates(traces: np.ndarray, filters: MatchedFilters) -> np.ndarray:
    """
    Inner product of every template with the traces at every start frame (overlap-save).

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32

    Returns
    -------
    np.ndarray, shape (num_units, num_frames - num_samples + 1), float32
    """
    num_starts = len(traces) - filters.num_samples + 1
    step = filters.block_frames - filters.num_samples + 1
    result = np.empty((len(filters.spectra), num_starts), dtype="float32")
    for first in range(0, num_starts, BLOCKS_AT_ONCE * step):
        starts = range(first, min(first + BLOCKS_AT_ONCE * step, num_starts), step)
        blocks = np.zeros((len(starts), traces.shape[1], filters.block_frames), dtype="float32")
        for block, start in zip(blocks, starts, strict=True):
            stretch = traces[start : start + filters.block_frames]
            block[:, : len(stretch)] = stretch.T
        spectra = _parts(scipy.fft.rfft(blocks, axis=2))
        products = np.empty((len(result), len(starts), spectra.shape[3]), dtype="complex64")
        for unit, (channels, template) in enumerate(zip(filters.channels, filters.spectra, strict=True)):
            _sum_of_products(template, spectra, channels, products[unit])
        found = scipy.fft.irfft(products, filters.block_frames, axis=2, overwrite_x=True)[:, :, :step]
        stop = min(first + len(starts) * step, num_starts)
        result[:, first:stop] = found.reshape(len(result), -1)[:, : stop - first]
    return result


def _parts(spectra):
    """Real and imaginary parts on a new first axis: products of these are what the compiler makes fast."""
    return np.stack([spectra.real, spectra.imag])


@numba.njit(fastmath=True, cache=True, nogil=True)
def _sum_of_products(template, spectra, channels, out):
    real, imaginary = np.empty((2, out.shape[1]), dtype=np.float32)
    for block in range(len(out)):
        real[:] = 0
        imaginary[:] = 0
        for place in range(len(channels)):
            own_real, own_imaginary = template[0, place], template[1, place]
            other_real, other_imaginary = spectra[0, block, channels[place]], spectra[1, block, channels[place]]
            for frequency in range(len(real)):
                real[frequency] += own_real[frequency] * other_real[frequency]
                real[frequency] -= own_imaginary[frequency] * other_imaginary[frequency]
                imaginary[frequency] += own_real[frequency] * other_imaginary[frequency]
                imaginary[frequency] += own_imaginary[frequency] * other_real[frequency]
        for frequency in range(len(real)):
            out[block, frequency] = complex(real[frequency], imaginary[frequency])
