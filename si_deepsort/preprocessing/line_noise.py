"""
Line noise: narrow lines of the spectrum, such as the mains and its harmonics, are fitted in tiles and subtracted.

A band-pass leaves a part of them, and a short filter that whitens noise cannot see them.
"""

from functools import cached_property

import numpy as np
from scipy.ndimage import maximum_filter1d
from spikeinterface.core import BaseRecording
from spikeinterface.core.core_tools import define_function_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..chunks import tiles

# Length of a tile in s in which amplitude and phase of the lines are fitted; they may change from tile to tile.
TILE_S = 0.5
# Amplitude and phase may change within a tile as polynomials of this degree. The mains differ from their nominal
# frequency by up to 0.05 Hz, their ninth harmonic by 0.45 Hz: its phase then moves by 1.4 rad in a tile, and what a
# parabola leaves of it is below 2 %.
DEGREE = 2
# Frames at which most channels exceed this, in noise levels that include the line noise, do not count in the fit: an
# artefact, or a spike that all channels of a small probe show. A sine exceeds its own level by a factor of 1 only.
LOUD_LEVEL = 8.0
# Frames at which no channel exceeds this, in the same levels, for twice the reach are still: somebody has blanked them,
# and there is no line noise in them.
STILL_LEVEL = 0.1
# Frames this close to loud ones, in ms, do not count either: the band-pass rings.
LOUD_REACH_MS, STILL_REACH_MS = 10.0, 1.0
# Smallest share of a tile that must count. In tiles with less, nothing is subtracted: the fit would be inexact.
MIN_COUNTED_SHARE = 0.25


class RemoveLinesRecording(BasePreprocessor):
    """
    Lazily subtracts line noise; float32.

    Amplitude and phase are fitted by least squares in tiles of half a second that overlap by half, so that about 6 Hz
    are lost around each line.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed traces in any unit.
    frequencies_hz : list of float
        Frequencies of the lines.
    levels : list of float
        Noise level of each channel in the unit of the traces, line noise included; 0 for a dead channel.
    """

    def __init__(self, recording: BaseRecording, frequencies_hz: list[float], levels: list[float]):
        BasePreprocessor.__init__(self, recording, dtype="float32")
        fit = LineFit(frequencies_hz, levels, recording.get_sampling_frequency())
        for segment in recording.segments:
            self.add_recording_segment(_RemoveLinesSegment(segment, fit))
        self._kwargs = dict(
            recording=recording, frequencies_hz=list(map(float, frequencies_hz)), levels=list(map(float, levels))
        )


class _RemoveLinesSegment(BasePreprocessorSegment):
    def __init__(self, parent_segment, fit):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.fit = fit

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Traces without lines, (num_frames, num_channels), float32; the same whatever the chunks."""
        fit, half, num_frames = self.fit, self.fit.half, self.get_num_samples()
        first = max(start_frame // half - 1, 0) * half
        last = min((-(-end_frame // half) + 1) * half, num_frames)
        traces = self.parent_recording_segment.get_traces(first, last, slice(None)).astype("float32", copy=False)
        cleaned = traces[start_frame - first : end_frame - first].copy()
        before = None
        for at, in_tile, in_chunk in tiles(start_frame, end_frame, half):
            if before is None:
                before = self._lines_from(at - half, traces, first)
            after = self._lines_from(at, traces, first)
            lines = fit.fade[::-1, None] * before[half:] + fit.fade[:, None] * after[:half]
            cleaned[in_chunk] -= lines[in_tile]
            before = after
        return cleaned if channel_indices is None else cleaned[:, channel_indices]

    def _lines_from(self, begin, traces, first):
        """Lines in the tile that begins at a frame; `first` is the first frame of the traces."""
        stretch = traces[max(begin - first, 0) : begin - first + 2 * self.fit.half]
        return self.fit.lines(stretch, max(-begin, 0))


class LineFit:
    """
    Fits lines in a tile.

    Parameters
    ----------
    frequencies_hz : sequence of float
        Frequencies of the lines.
    levels : sequence of float
        Noise level of each channel, line noise included.
    sampling_frequency : float
        In Hz.
    tile_s : float, default: 0.5
        Length of a tile in s.
    """

    def __init__(self, frequencies_hz, levels, sampling_frequency: float, tile_s: float = TILE_S):
        self.frequencies_hz = np.asarray(frequencies_hz, dtype="float64")
        self.sampling_frequency = sampling_frequency
        levels = np.asarray(levels, dtype="float32")
        self.is_living = levels > 0
        self.scale = np.where(self.is_living, 1 / np.where(self.is_living, levels, 1), 0).astype("float32")
        self.half = max(1, round(tile_s * sampling_frequency / 2))
        self.fade = ((np.arange(self.half) + 0.5) / self.half).astype("float32")

    @cached_property
    def basis(self) -> np.ndarray:
        """Sines and cosines of each line times polynomials, (2 * half, num_lines * 2 * (DEGREE + 1)), float32."""
        times = (np.arange(2 * self.half) + 0.5) / self.half - 1
        phases = 2 * np.pi * np.outer(times * self.half / self.sampling_frequency, self.frequencies_hz)
        waves = np.stack([np.cos(phases), np.sin(phases)], axis=-1)
        powers = np.polynomial.legendre.legvander(times, DEGREE)
        basis = waves[..., None] * powers[:, None, None]
        return basis.reshape(len(times), -1).astype("float32")

    @cached_property
    def gram(self) -> np.ndarray:
        """Products of the functions of the basis over a whole tile, float64."""
        return self._gram(np.ones(len(self.basis), dtype=bool))

    def _gram(self, counts):
        own = self.basis[counts].astype("float64")
        return own.T @ own

    def lines(self, stretch: np.ndarray, place: int = 0) -> np.ndarray:
        """
        Lines in a tile.

        Parameters
        ----------
        stretch : np.ndarray, shape (num_frames, num_channels), float32
            The part of the tile that lies in the recording.
        place : int, default: 0
            First frame of the stretch, counted from the start of the tile.

        Returns
        -------
        np.ndarray, shape (2 * half, num_channels), float32
            0 where nothing is to be subtracted.
        """
        coefficients, is_still = self.coefficients(stretch, place)
        lines = self.basis @ coefficients
        lines[is_still] = 0
        return lines

    def coefficients(self, stretch: np.ndarray, place: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """
        Coefficients of the functions of the basis, (num_functions, num_channels) float32, and still frames.

        Parameters as those of `lines`. Still frames, (2 * half,) bool, hold no line noise.
        """
        counts, is_still = np.zeros(2 * self.half, dtype=bool), np.zeros(2 * self.half, dtype=bool)
        inside = slice(place, place + len(stretch))
        counts[inside], is_still[inside] = self.counted(stretch)
        # Always products of a whole tile: on some machines the last bits of a result depend on the number of rows.
        whole = np.zeros((len(counts), stretch.shape[1]), dtype="float32")
        whole[inside] = stretch
        whole[~counts] = 0
        return self.solved(counts, self.basis.T @ whole), is_still

    def solved(self, counts: np.ndarray, products: np.ndarray) -> np.ndarray:
        """
        Coefficients, (num_functions, num_channels) float32, of the functions of the basis.

        Parameters
        ----------
        counts : np.ndarray, shape (2 * half,), bool
            Frames that count. With too few of them the coefficients are 0.
        products : np.ndarray, shape (num_functions, num_channels), float32
            Products of the basis with the traces at these frames.
        """
        num_counted = int(counts.sum())
        if num_counted < MIN_COUNTED_SHARE * len(counts):
            return np.zeros(products.shape, dtype="float32")
        gram = self.gram if num_counted == len(counts) else self._gram(counts)
        return _solve(gram, products).astype("float32")

    def powers(self, coefficients: np.ndarray) -> np.ndarray:
        """Mean squares of each line alone, (num_lines, num_channels), float64."""
        size = 2 * (DEGREE + 1)
        parts = [slice(first, first + size) for first in range(0, len(coefficients), size)]
        return np.array(
            [
                np.einsum("ic,ij,jc->c", coefficients[p], self.gram[p, p], coefficients[p]) / len(self.basis)
                for p in parts
            ]
        ).reshape(len(parts), -1)

    def counted(self, stretch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Frames that count in the fit, and still frames, both (num_frames,) bool."""
        sizes = np.abs(stretch) * self.scale
        is_loud = 2 * (sizes > LOUD_LEVEL).sum(axis=1) > self.is_living.sum()
        is_loud = _spread(is_loud, round(LOUD_REACH_MS * self.sampling_frequency / 1000))
        reach = round(STILL_REACH_MS * self.sampling_frequency / 1000)
        is_still = _spread(~_spread(sizes.max(axis=1, initial=0) > STILL_LEVEL, reach), reach)
        return ~(is_loud | is_still), is_still


def _spread(is_true, reach):
    """Frames within a reach of true ones, (num_frames,) bool."""
    return maximum_filter1d(is_true.astype("uint8"), 2 * reach + 1, mode="constant").astype(bool)


def _solve(gram, products):
    """Solve the normal equations; functions that the counted frames cannot tell apart share what they explain."""
    values, vectors = np.linalg.eigh(gram)
    kept = values > 1e-6 * values.max(initial=0)
    return (vectors[:, kept] / values[kept]) @ (vectors[:, kept].T @ products.astype("float64"))


remove_lines = define_function_from_class(source_class=RemoveLinesRecording, name="remove_lines")
