"""Embeddings of peaks: the features in which they are clustered."""

from collections.abc import Callable

import numpy as np
import scipy.signal

from .describe import ALIGN_SAMPLES, EMBEDDING_DIRECTIONS, PeakDescriptions

# Samples of the waveforms that the bundled autoencoder was trained on: .7 ms before the peak, 1 ms after it, at 30 kHz.
AUTOENCODER_SAMPLES = 51


def peak_embeddings(descriptions: PeakDescriptions, embedding: str) -> Callable[[int, np.ndarray], np.ndarray]:
    """
    Make the function that embeds peaks, for `cluster.cluster_by_channel`.

    Parameters
    ----------
    descriptions : PeakDescriptions
    embedding : "pca" | "autoencoder"
        "pca" takes the coefficients of the waveforms, of which the clustering takes principal components;
        "autoencoder" takes the codes of the bundled network.

    Returns
    -------
    callable
        Takes a channel index and the positions of some of its peaks; returns (num_positions, num_features) floats.
    """
    aligned_directions = descriptions.directions[:EMBEDDING_DIRECTIONS, ALIGN_SAMPLES:-ALIGN_SAMPLES]
    encode = None if embedding == "pca" else autoencoder()

    def embed(channel, positions):
        coefficients = descriptions.of_channel(channel, positions)[:, :EMBEDDING_DIRECTIONS]
        if encode is None:
            return coefficients.reshape(len(positions), -1)
        return encode(np.einsum("nkc,ks->nsc", coefficients, aligned_directions, optimize=True))

    return embed


def autoencoder() -> Callable[[np.ndarray], np.ndarray]:
    """
    Load the bundled autoencoder as a function of waveforms.

    Returns
    -------
    callable
        Takes waveforms (num_peaks, num_samples, num_channels), returns codes (num_peaks, num_features).
    """
    from ...inference import predict_in_batches
    from ...zoo import load_model

    net = load_model("waveform-autoencoder")

    def encode(waveforms):
        # Each channel is encoded by itself, so that one network serves every probe, at the rate that it was trained on.
        num_peaks, num_samples = waveforms.shape[:2]
        if num_samples != AUTOENCODER_SAMPLES:
            waveforms = scipy.signal.resample(waveforms, AUTOENCODER_SAMPLES, axis=1)
        single = np.swapaxes(waveforms, 1, 2).reshape(-1, 1, AUTOENCODER_SAMPLES).astype("float32")
        return predict_in_batches(_Encoder(net), single).reshape(num_peaks, -1)

    return encode


class _Encoder:
    """The encoder of an autoencoder, called like a network."""

    def __init__(self, net):
        self.net = net

    def __call__(self, waveforms):
        return self.net.encode(waveforms)
