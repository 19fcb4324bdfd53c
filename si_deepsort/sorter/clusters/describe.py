"""
Descriptions of peaks: the waveform around each peak on the channels near it, in few numbers.

Each channel is described by its coefficients in the waveform directions that spikes share. In white traces the noise of
every coefficient has the same variance, so distances between descriptions are distances in noise standard deviations.
"""

from dataclasses import dataclass

import numpy as np
from spikeinterface.core import BaseRecording

from ...detection.energy import make_energy_filters, spike_shapes
from ...geometry import channels_within
from ...preprocessing.whitening import Whitening
from ..waveforms import read_waveforms

# Largest absolute coefficient in noise standard deviations: the range of half-precision floats.
LARGEST_COEFFICIENT = 6e4
# Farthest that a peak is moved, in samples, when it is aligned to its cluster.
ALIGN_SAMPLES = 5
# Waveform directions of aligned spikes. More than for detection, because units on the same site differ in the fine
# shape of their waveforms. Tuned on generated development recordings (seeds 1-5).
EMBEDDING_DIRECTIONS = 8
# Further directions that describe what waveforms have outside of these when they come early or late.
SHIFTED_DIRECTIONS = 10


@dataclass(frozen=True)
class PeakDescriptions:
    """
    Waveforms around peaks, each channel of them as coefficients in few waveform directions.

    Attributes
    ----------
    coefficients : np.ndarray, shape (num_peaks, num_directions, max_neighbors), float16
        In noise standard deviations.
    directions : np.ndarray, shape (num_directions, num_samples + 2 * ALIGN_SAMPLES), float32
        Orthonormal waveforms. The first `EMBEDDING_DIRECTIONS` are those of aligned spikes and 0 in the margins.
    peaks : np.ndarray, shape (num_peaks,)
        SpikeInterface's peak dtype.
    neighbors : np.ndarray, shape (num_channels, max_neighbors), int
        Channels around each channel; -1 where there are fewer.
    """

    coefficients: np.ndarray
    directions: np.ndarray
    peaks: np.ndarray
    neighbors: np.ndarray

    def of_channel(self, channel: int, positions: np.ndarray) -> np.ndarray:
        """Coefficients of some peaks of a channel, (num_positions, num_directions, num_neighbors), float32."""
        return self.coefficients[positions][:, :, self.neighbors[channel] >= 0].astype("float32")

    def aligned(self, labels: np.ndarray) -> np.ndarray:
        """
        Align each peak to the mean waveform of its cluster.

        Parameters
        ----------
        labels : np.ndarray, shape (num_peaks,), int
            Cluster of each peak, all of whose peaks are on the same channel; -1 for peaks of no cluster.

        Returns
        -------
        np.ndarray, shape (num_peaks,), int
            The sample_index of each peak, moved by at most `ALIGN_SAMPLES`.
        """
        frames = self.peaks["sample_index"].copy()
        by_label = np.argsort(labels, kind="stable")
        for own in np.split(by_label, np.flatnonzero(np.diff(labels[by_label])) + 1):
            if len(own) > 0 and labels[own[0]] >= 0:
                coefficients = self.of_channel(self.peaks["channel_index"][own[0]], own)
                frames[own] += self._lags_to_mean(coefficients)
        return frames

    def _lags_to_mean(self, coefficients):
        """Lag in samples at which each waveform fits the mean waveform best."""
        num_samples = self.directions.shape[1] - 2 * ALIGN_SAMPLES
        mean = np.einsum("kc,ks->sc", coefficients.mean(axis=0), self.directions)
        mean = mean[ALIGN_SAMPLES : ALIGN_SAMPLES + num_samples]
        moved = [self.directions[:, lag : lag + num_samples] @ mean for lag in range(2 * ALIGN_SAMPLES + 1)]
        fits = np.einsum("nkc,lkc->nl", coefficients, np.array(moved), optimize=True)
        return fits.argmax(axis=1) - ALIGN_SAMPLES


def describe_peaks(
    traces: BaseRecording, whitening: Whitening, peaks: np.ndarray, *, radius_um: float
) -> PeakDescriptions:
    """
    Describe the waveforms around peaks.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    whitening : Whitening
        The whitening of the traces.
    peaks : np.ndarray, shape (num_peaks,)
        SpikeInterface's peak dtype, sorted by segment and sample.
    radius_um : float
        Channels within this radius of a peak describe it.
    """
    locations, sampling_frequency = traces.get_channel_locations()[:, :2], traces.get_sampling_frequency()
    filters = make_energy_filters(
        whitening, locations, sampling_frequency=sampling_frequency, num_directions=EMBEDDING_DIRECTIONS
    )
    nbefore, nafter = filters.nbefore, filters.directions.shape[1] - filters.nbefore
    directions = _with_shifted_directions(
        filters.directions, whitening.time_filter, sampling_frequency, nbefore=nbefore, nafter=nafter
    )
    neighbors = channels_within(locations, radius_um)
    coefficients = np.zeros((len(peaks), len(directions), neighbors.shape[1]), dtype="float16")
    reach = dict(nbefore=nbefore + ALIGN_SAMPLES, nafter=nafter + ALIGN_SAMPLES)

    def describe(_, waveforms):
        found = np.einsum("nsc,ks->nkc", waveforms, directions, optimize=True)
        return np.clip(found, -LARGEST_COEFFICIENT, LARGEST_COEFFICIENT).astype("float16")

    for positions, found in read_waveforms(traces, peaks, neighbors, **reach, describe=describe):
        coefficients[positions] = found
    return PeakDescriptions(coefficients, directions, peaks, neighbors)


def _with_shifted_directions(directions, time_filter, sampling_frequency, *, nbefore, nafter):
    """The directions with margins, and further ones that describe waveforms which come early or late."""
    reach = dict(nbefore=nbefore + 2 * ALIGN_SAMPLES, nafter=nafter + 2 * ALIGN_SAMPLES)
    shapes = spike_shapes(sampling_frequency, time_filter.astype(float), **reach)
    num_samples = nbefore + nafter + 2 * ALIGN_SAMPLES
    shifted = np.concatenate([shapes[:, lag : lag + num_samples] for lag in range(2 * ALIGN_SAMPLES + 1)])
    padded = np.pad(directions, ((0, 0), (ALIGN_SAMPLES, ALIGN_SAMPLES)))
    rest = shifted - (shifted @ padded.T) @ padded
    _, _, right = np.linalg.svd(rest, full_matrices=False)
    return np.concatenate([padded, right[:SHIFTED_DIRECTIONS]]).astype("float32")
