"""Correlation of every template with the traces, by fast Fourier transforms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numba
import numpy as np
import scipy.fft

from ...compiled import COMPILED
from ...preprocessing.half_precision import to_single_precision
from ...threads import each

# Length of a block in templates: what is computed for longer blocks leaves the processor's fastest caches, and shorter
# ones are mostly overlap. Chosen by speed.
TEMPLATES_PER_BLOCK = 14
# Blocks that are multiplied at once with the transform of a template. Chosen by speed.
BLOCKS_AT_ONCE = 4
# Waveforms of templates on one channel that are transformed at once: it bounds the memory. Chosen by speed.
ROWS_AT_ONCE = 128


class CorrelatesTemplates(Protocol):
    """Templates that can be correlated with traces, here or on a device."""

    @property
    def num_samples(self) -> int:
        """Samples of a template."""

    @property
    def norms(self) -> np.ndarray:
        """Squared norms of the templates, (num_units,), float32."""

    def correlate(self, traces: np.ndarray) -> np.ndarray:
        """Inner products with traces, see `correlate_templates`."""


@dataclass(frozen=True)
class MatchedFilters:
    """
    Fourier transforms of templates.

    Attributes
    ----------
    num_samples : int
        Samples of a template.
    stride : int
        Frames between two places at which templates are correlated with traces.
    block_frames : int
        Frames of traces that are transformed together; a multiple of the stride.
    norms : np.ndarray, shape (num_units,), float32
        Squared norms of the templates.
    starts : np.ndarray, shape (num_units + 1,), int
        The rows of unit k, one for each channel on which it is visible, are those from starts[k] to starts[k + 1].
    channels : np.ndarray, shape (num_rows,), int
        Channel of each row.
    spectra : np.ndarray, shape (2, num_rows, block_frames // stride // 2 + 1), float32
        Real and imaginary part of the conjugate Fourier transform of a template on a channel, up to the highest
        frequency that correlations at every `stride`-th frame can show.
    """

    num_samples: int
    stride: int
    block_frames: int
    norms: np.ndarray
    starts: np.ndarray
    channels: np.ndarray
    spectra: np.ndarray

    def correlate(self, traces: np.ndarray) -> np.ndarray:
        """Inner products with traces, see `correlate_templates`."""
        return correlate_templates(traces, self)


def make_matched_filters(templates: np.ndarray, stride: int = 1, *, block_frames: int | None = None) -> MatchedFilters:
    """
    Compute the Fourier transforms of templates.

    Parameters
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float
        In noise standard deviations; exactly 0 on channels where a unit is not visible.
    stride : int, default: 1
        Frames between two places at which templates are to be correlated with traces. What templates hold above half
        of the resulting rate is ignored.
    block_frames : int | None, default: None
        Fewest frames that are transformed together; None chooses a number that is fast for long traces.
    """
    num_samples = templates.shape[1]
    block_frames = TEMPLATES_PER_BLOCK * num_samples if block_frames is None else block_frames
    places = scipy.fft.next_fast_len(block_frames // stride, real=True)
    units, channels = np.nonzero(np.any(templates != 0, axis=1))
    starts = np.searchsorted(units, np.arange(len(templates) + 1))
    spectra = np.empty((2, len(units), places // 2 + 1), dtype="float32")

    def transform(first):
        rows = slice(first, first + ROWS_AT_ONCE)
        waveforms = templates[units[rows], :, channels[rows]].astype("float32", copy=False)
        spectrum = scipy.fft.rfft(waveforms, places * stride, axis=1)
        # The inverse transform divides by the number of places instead of frames.
        spectrum = np.conj(spectrum[:, : places // 2 + 1]) / np.float32(stride)
        # The compiler vectorises products of real and imaginary parts, but not those of complex numbers.
        spectra[:, rows] = spectrum.real, spectrum.imag

    for _ in each(transform, range(0, len(units), ROWS_AT_ONCE)):
        pass
    return MatchedFilters(num_samples, stride, places * stride, squared_norms(templates), starts, channels, spectra)


def squared_norms(templates: np.ndarray) -> np.ndarray:
    """Squared norm of each template (num_units, num_samples, num_channels), as float32."""
    return np.einsum("usc,usc->u", templates, templates, dtype="float64").astype("float32")


def correlate_templates(traces: np.ndarray, filters: MatchedFilters) -> np.ndarray:
    """
    Inner product of every template with the traces at every `filters.stride`-th start frame (overlap-save).

    Templates hold next to nothing above half of the rate of the places, and neither do correlations with them: only the
    frequencies below are multiplied and transformed back, so that a stride of 2 halves the cost.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32 | float16
        White traces. Half-precision numbers are converted block by block, while they are in the processor's cache.
    filters : MatchedFilters

    Returns
    -------
    np.ndarray, shape (num_units, (num_frames - num_samples) // stride + 1), float32
    """
    stride = filters.stride
    num_starts = (len(traces) - filters.num_samples) // stride + 1
    step = (filters.block_frames - filters.num_samples) // stride + 1
    result = np.empty((len(filters.norms), num_starts), dtype="float32")

    def correlate(first):
        starts = range(first, min(first + BLOCKS_AT_ONCE * step, num_starts), step)
        blocks = [traces[start * stride : start * stride + filters.block_frames] for start in starts]
        if traces.dtype == np.float16:
            blocks = [to_single_precision(block) for block in blocks]
        found = correlate_blocks(blocks, filters)
        for own, start in enumerate(starts):
            stop = min(start + step, num_starts)
            result[:, start:stop] = found[:, own, : stop - start]

    for _ in each(correlate, range(0, num_starts, BLOCKS_AT_ONCE * step)):
        pass
    return result


def correlate_blocks(blocks: Sequence[np.ndarray] | np.ndarray, filters: MatchedFilters) -> np.ndarray:
    """
    Inner product of every template with each block of traces at every `filters.stride`-th start frame.

    Parameters
    ----------
    blocks : sequence of np.ndarray, shape (num_frames, num_channels), float32
        White traces, of at most `filters.block_frames` frames each; or one array of all blocks, if they are equally
        long. Frames that are missing at the end are 0.
    filters : MatchedFilters

    Returns
    -------
    np.ndarray, shape (num_units, num_blocks, filters.block_frames // stride), float32
        A template that reaches beyond the end of a block goes on at its start.
    """
    places = filters.block_frames // filters.stride
    spectra = np.empty((2, len(blocks), blocks[0].shape[1], places // 2 + 1), dtype="float32")
    # The transform reads along time without a transposed copy; small blocks are transformed together.
    of_all = [(slice(None), blocks)] if isinstance(blocks, np.ndarray) else enumerate(blocks)
    for own, block in of_all:
        spectrum = scipy.fft.rfft(block.swapaxes(-1, -2), filters.block_frames)[..., : places // 2 + 1]
        spectra[0, own], spectra[1, own] = spectrum.real, spectrum.imag
    products = np.empty((len(filters.norms), len(blocks), spectra.shape[3]), dtype="complex64")
    room = np.empty((2, spectra.shape[3]), dtype="float32")
    _sum_products(filters.spectra, filters.starts, filters.channels, spectra, room, products)
    return scipy.fft.irfft(products, places, axis=2, overwrite_x=True)


@numba.njit(fastmath=True, **COMPILED)
def _sum_products(templates, starts, channels, traces: np.ndarray, room, out):
    """Write products of the spectra of templates and traces, summed over the channels of each unit, to `out`."""
    real, imaginary = room[0], room[1]
    for unit in range(len(out)):
        for block in range(out.shape[1]):
            real[:] = 0
            imaginary[:] = 0
            for row in range(starts[unit], starts[unit + 1]):
                own_real, own_imaginary = templates[0, row], templates[1, row]
                other_real, other_imaginary = traces[0, block, channels[row]], traces[1, block, channels[row]]
                for frequency in range(len(real)):
                    real[frequency] += own_real[frequency] * other_real[frequency]
                    real[frequency] -= own_imaginary[frequency] * other_imaginary[frequency]
                    imaginary[frequency] += own_real[frequency] * other_imaginary[frequency]
                    imaginary[frequency] += own_imaginary[frequency] * other_real[frequency]
            for frequency in range(len(real)):
                out[unit, block, frequency] = complex(real[frequency], imaginary[frequency])
