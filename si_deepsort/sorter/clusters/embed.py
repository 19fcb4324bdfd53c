"""Embeddings of peaks: the features in which they are clustered."""

from collections.abc import Callable

import numpy as np
from scipy.interpolate import CubicSpline

from ...detection.energy import MS_BEFORE
from ...geometry import channel_distances
from ...nets.denoising_autoencoder import DenoisingAutoencoder
from .describe import ALIGN_SAMPLES, EMBEDDING_DIRECTIONS, PeakDescriptions

# Samples of the waveforms that the bundled autoencoder was trained on: .7 ms before the peak, 1 ms after it, at 30 kHz,
# with a margin at either end.
AUTOENCODER_SAMPLES, AUTOENCODER_MARGIN, AUTOENCODER_FREQUENCY = 51, 5, 30_000.0
# Fewest channels around a peak with which the autoencoder describes it. On fewer, neurons differ by details of their
# waveforms that its code of a channel leaves out: of 24 neurons of three generated development tetrodes (seeds 1-3) it
# lost three that principal components found.
FEWEST_CHANNELS = 5
# Peaks per call of the network. It bounds the memory and does not change the result.
BATCH = 1024


def peak_embeddings(
    descriptions: PeakDescriptions, embedding: str, *, channel_locations: np.ndarray, sampling_frequency: float
) -> Callable[[int, np.ndarray], np.ndarray]:
    """
    Make the function that embeds peaks, for `cluster.cluster_by_channel`.

    Parameters
    ----------
    descriptions : PeakDescriptions
    embedding : "pca" | "autoencoder"
        "pca" takes the coefficients of the waveforms, of which the clustering takes principal components;
        "autoencoder" takes the codes of the bundled network where at least `FEWEST_CHANNELS` channels describe a peak,
        and the coefficients elsewhere.
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um.
    sampling_frequency : float
        Sampling rate of the described waveforms in Hz.

    Returns
    -------
    callable
        Takes a channel index and the positions of some of its peaks; returns (num_positions, num_features) floats.
    """

    def coefficients(channel, positions):
        return descriptions.of_channel(channel, positions)[:, :EMBEDDING_DIRECTIONS].reshape(len(positions), -1)

    if embedding == "pca" or (descriptions.neighbors >= 0).sum(axis=1).max(initial=0) < FEWEST_CHANNELS:
        return coefficients
    encode = autoencoder()
    distances_um = channel_distances(channel_locations)

    def embed(channel, positions):
        used = descriptions.neighbors[channel] >= 0
        if used.sum() < FEWEST_CHANNELS:
            return coefficients(channel, positions)
        waveforms = as_waveforms(descriptions, positions, sampling_frequency)[:, used]
        own_um = distances_um[channel, descriptions.neighbors[channel][used]]
        return encode(waveforms, own_um).reshape(len(positions), -1)

    return embed


def as_waveforms(descriptions: PeakDescriptions, positions: np.ndarray, sampling_frequency: float) -> np.ndarray:
    """
    Described waveforms as the bundled autoencoder takes them, at its sampling rate.

    Parameters
    ----------
    descriptions : PeakDescriptions
    positions : np.ndarray, shape (num_positions,), int
    sampling_frequency : float
        Sampling rate of the described waveforms in Hz.

    Returns
    -------
    np.ndarray, shape (num_positions, max_neighbors, AUTOENCODER_SAMPLES + 2 * AUTOENCODER_MARGIN), float32
    """
    directions = descriptions.directions
    if sampling_frequency != AUTOENCODER_FREQUENCY:
        directions = _resampled(directions, sampling_frequency)
    coefficients = descriptions.coefficients[positions].astype("float32")
    return np.einsum("nkc,ks->ncs", coefficients, directions, optimize=True)


def _resampled(directions, sampling_frequency):
    """Directions at the rate and on the window of the network."""
    start = _first_sample(AUTOENCODER_FREQUENCY) - AUTOENCODER_MARGIN
    times = (start + np.arange(AUTOENCODER_SAMPLES + 2 * AUTOENCODER_MARGIN)) / AUTOENCODER_FREQUENCY
    own = (_first_sample(sampling_frequency) - ALIGN_SAMPLES + np.arange(directions.shape[1])) / sampling_frequency
    found = CubicSpline(own, directions, axis=1, extrapolate=False)(times)
    # In noise standard deviations, a waveform has the same energy with fewer or more samples.
    return np.nan_to_num(found).astype("float32") * np.float32(np.sqrt(sampling_frequency / AUTOENCODER_FREQUENCY))


def _first_sample(sampling_frequency):
    """First sample of the window of the energy, relative to the peak."""
    return -round(MS_BEFORE * sampling_frequency / 1000)


def autoencoder() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """
    Load the bundled autoencoder as a function of waveforms.

    Returns
    -------
    callable
        Takes waveforms (num_peaks, num_channels, num_samples) and the distances of the channels in um,
        (num_channels,); returns codes (num_peaks, num_channels, code_dimension).
    """
    import torch

    net = load_autoencoder()

    def encode(waveforms, distances_um):
        codes = []
        with torch.inference_mode():
            distances = torch.from_numpy(distances_um.astype("float32"))[None]
            for batch in torch.from_numpy(waveforms).split(BATCH):
                codes.append(net.encode(batch, distances.expand(len(batch), -1)).numpy())
        return np.concatenate(codes)

    return encode


def load_autoencoder() -> DenoisingAutoencoder:
    """Load the bundled autoencoder."""
    from ...zoo import load_network

    return load_network("waveform-autoencoder", (DenoisingAutoencoder,), purpose="embedding")
