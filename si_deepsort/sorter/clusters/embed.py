"""
Step 2 of the sorter: each peak becomes a short vector that tells units apart.

The waveform around a peak is described on the neighbouring channels, each by its coefficients in the directions that
spikes share. In white traces the noise of every coefficient has the same variance, so distances between embeddings
are distances in noise units.
"""

from dataclasses import dataclass

import numpy as np
import scipy.signal

from ...geometry import channels_within
from ...preprocessing.whitening import Whitening
from ..peaks.energy import make_energy_filters, spike_shapes
from ..waveforms import read_waveforms

# Of coefficients, in noise standard deviations: half-precision floats end there.
LARGEST = 6e4


def select_peaks(peaks: np.ndarray, *, most_per_channel: int, seed: int) -> np.ndarray:
    """
    A random subset with at most so many peaks of each channel, in order of time.

    Parameters
    ----------
    peaks : np.ndarray
        SpikeInterface's peak dtype.
    """
    rng = np.random.default_rng(seed)
    kept = []
    for channel in np.unique(peaks["channel_index"]):
        own = np.flatnonzero(peaks["channel_index"] == channel)
        kept.append(own if len(own) <= most_per_channel else rng.choice(own, most_per_channel, replace=False))
    return peaks[np.sort(np.concatenate(kept))] if kept else peaks[:0]


ALIGN_SAMPLES = 5
# More than the detector needs: units of the same site differ in the fine shape of their waveforms.
NUM_DIRECTIONS = 8
# Together with these, waveforms that come a few samples early or late are described as well.
NUM_SHIFTED_DIRECTIONS = 10
# Samples of the waveforms that the bundled autoencoder knows: 0.7 ms before the peak, 1 ms after it, at 30 kHz.
AUTOENCODER_SAMPLES = 51


@dataclass
class PeakDescriptions:
    """
    What is kept of the waveforms around peaks: coefficients in few directions, on the channels around each peak.

    Attributes
    ----------
    coefficients : np.ndarray, shape (num_peaks, num_directions, max_neighbors), float16
    directions : np.ndarray, shape (num_directions, num_samples + 2 * ALIGN_SAMPLES), float32
        Orthonormal. The first `NUM_DIRECTIONS` are those of aligned spikes, 0 in the margins.
    peaks : np.ndarray
        SpikeInterface's peak dtype.
    neighbors : np.ndarray, shape (num_channels, max_neighbors), int
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
        When each peak fits the average of its cluster best.

        Parameters
        ----------
        labels : np.ndarray, shape (num_peaks,), int
            All peaks of a cluster are of the same channel; -1 for none.

        Returns
        -------
        np.ndarray, shape (num_peaks,), int
            Its sample_index, moved by a few samples.
        """
        frames = self.peaks["sample_index"].copy()
        by_label = np.argsort(labels, kind="stable")
        for own in np.split(by_label, np.flatnonzero(np.diff(labels[by_label])) + 1):
            if len(own) > 0 and labels[own[0]] >= 0:
                coefficients = self.of_channel(self.peaks["channel_index"][own[0]], own)
                frames[own] += self._lags_to_mean(coefficients)
        return frames

    def _lags_to_mean(self, coefficients):
        num_samples = self.directions.shape[1] - 2 * ALIGN_SAMPLES
        mean = np.einsum("kc,ks->sc", coefficients.mean(axis=0), self.directions)
        mean = mean[ALIGN_SAMPLES : ALIGN_SAMPLES + num_samples]
        moved = [self.directions[:, lag : lag + num_samples] @ mean for lag in range(2 * ALIGN_SAMPLES + 1)]
        fits = np.einsum("nkc,lkc->nl", coefficients, np.array(moved), optimize=True)
        return fits.argmax(axis=1) - ALIGN_SAMPLES


def describe_peaks(traces, whitening: Whitening, peaks: np.ndarray, *, radius_um: float) -> PeakDescriptions:
    """
    Describe the waveforms around peaks.

    Parameters
    ----------
    traces : BaseRecording
        Cached white traces.
    whitening : Whitening
        The whitening that made them white.
    peaks : np.ndarray
        SpikeInterface's peak dtype, sorted by segment and sample.
    radius_um : float
        Channels this close to a peak describe it.
    """
    locations, sampling_frequency = traces.get_channel_locations()[:, :2], traces.get_sampling_frequency()
    filters = make_energy_filters(
        whitening, locations, sampling_frequency=sampling_frequency, num_directions=NUM_DIRECTIONS
    )
    nbefore, nafter = filters.nbefore, filters.directions.shape[1] - filters.nbefore
    directions = _with_shifted_directions(
        filters.directions, whitening.time_filter, sampling_frequency, nbefore=nbefore, nafter=nafter
    )
    neighbors = channels_within(locations, radius_um)
    coefficients = np.zeros((len(peaks), len(directions), neighbors.shape[1]), dtype="float16")
    reach = dict(nbefore=nbefore + ALIGN_SAMPLES, nafter=nafter + ALIGN_SAMPLES)
    for positions, waveforms in read_waveforms(traces, peaks, neighbors, **reach):
        found = np.einsum("nsc,ks->nkc", waveforms, directions, optimize=True)
        coefficients[positions] = np.clip(found, -LARGEST, LARGEST)
    return PeakDescriptions(coefficients, directions, peaks, neighbors)


def _with_shifted_directions(directions, time_filter, sampling_frequency, *, nbefore, nafter):
    """The directions with margins, and those that early and late waveforms need beside them."""
    reach = dict(nbefore=nbefore + 2 * ALIGN_SAMPLES, nafter=nafter + 2 * ALIGN_SAMPLES)
    shapes = spike_shapes(sampling_frequency, time_filter.astype(float), **reach)
    num_samples = nbefore + nafter + 2 * ALIGN_SAMPLES
    shifted = np.concatenate([shapes[:, lag : lag + num_samples] for lag in range(2 * ALIGN_SAMPLES + 1)])
    padded = np.pad(directions, ((0, 0), (ALIGN_SAMPLES, ALIGN_SAMPLES)))
    rest = shifted - (shifted @ padded.T) @ padded
    _, _, right = np.linalg.svd(rest, full_matrices=False)
    return np.concatenate([padded, right[:NUM_SHIFTED_DIRECTIONS]]).astype("float32")


def peak_embeddings(descriptions: PeakDescriptions, embedding: str, sampling_frequency: float):
    """
    The function that embeds peaks, for `cluster.cluster_by_channel`.

    Parameters
    ----------
    embedding : "pca" | "autoencoder"

    Returns
    -------
    callable
        (channel_index, positions) -> (num_positions, num_features) floats.
    """
    aligned_directions = descriptions.directions[:NUM_DIRECTIONS, ALIGN_SAMPLES:-ALIGN_SAMPLES]
    encode = None if embedding == "pca" else autoencoder(sampling_frequency)

    def embed(channel, positions):
        coefficients = descriptions.of_channel(channel, positions)[:, :NUM_DIRECTIONS]
        if encode is None:
            return coefficients.reshape(len(positions), -1)
        return encode(np.einsum("nkc,ks->nsc", coefficients, aligned_directions, optimize=True))

    return embed


def autoencoder(sampling_frequency: float):
    """
    The bundled autoencoder as a function of waveforms.

    Returns
    -------
    callable
        (num_peaks, num_samples, num_channels) -> (num_peaks, num_features)
    """
    from ...inference import predict_in_batches
    from ...zoo import load_model

    net = load_model("waveform-autoencoder")

    def encode(waveforms):
        # Each channel on its own, so one network serves every probe; resampled to the rate that it knows.
        num_peaks, num_samples = waveforms.shape[:2]
        if num_samples != AUTOENCODER_SAMPLES:
            waveforms = scipy.signal.resample(waveforms, AUTOENCODER_SAMPLES, axis=1)
        single = np.swapaxes(waveforms, 1, 2).reshape(-1, 1, AUTOENCODER_SAMPLES).astype("float32")
        return predict_in_batches(_Encoder(net), single).reshape(num_peaks, -1)

    return encode


class _Encoder:
    """The first half of an autoencoder, called like a network."""

    def __init__(self, net):
        self.net = net

    def __call__(self, waveforms):
        return self.net.encode(waveforms)
