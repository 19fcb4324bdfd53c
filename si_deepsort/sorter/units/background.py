"""The background of a waveform: noise, and the spikes of all other units."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from spikeinterface.core import BaseRecording

from ...geometry import channel_distances
from ...noise import sample_traces
from ...threads import each

# Frames of a block whose pairs of samples are averaged: many times the length of a template.
BACKGROUND_FRAMES = 8192
# Larger values, in noise standard deviations, are artefacts and are clipped: no spike is that large in white traces.
MOST_EXTREME = 200.0


@dataclass(frozen=True)
class Background:
    """
    Second-order statistics of white traces: what noise and the spikes of all units add to a single waveform.

    Attributes
    ----------
    autocovariances : np.ndarray, shape (num_channels, num_samples), float
        Autocovariance of each channel at lags of 0, 1, ... samples, in squared noise standard deviations.
    distances_um : np.ndarray, shape (num_channels, num_channels), float
        Distance between each pair of channels.
    """

    autocovariances: np.ndarray
    distances_um: np.ndarray

    def energy(self, directions: np.ndarray) -> np.ndarray:
        """
        Mean energy of the background in some waveform directions.

        Parameters
        ----------
        directions : np.ndarray, shape (num_directions, num_samples), float
            Orthonormal waveforms.

        Returns
        -------
        np.ndarray, shape (num_channels,), float
            In squared noise standard deviations.
        """
        num_samples = directions.shape[1]
        weights: Any = sum(np.correlate(one, one, "full")[num_samples - 1 :] for one in directions.astype("float64"))
        weights[1:] *= 2
        return np.maximum(self.autocovariances @ weights, 1e-3)


def measure_background(recording: BaseRecording, *, num_samples: int, seed: int) -> Background:
    """
    Measure the background in random chunks of a recording.

    Parameters
    ----------
    recording : BaseRecording
        White traces.
    num_samples : int
        Samples of a template.
    seed : int
        Seed of the choice of chunks.
    """
    traces = np.clip(sample_traces(recording, seed=seed, num_chunks=10), -MOST_EXTREME, MOST_EXTREME)
    num_blocks = max(1, math.ceil(len(traces) / BACKGROUND_FRAMES))
    length = len(traces) // num_blocks
    size = scipy.fft.next_fast_len(length + num_samples, real=True)

    def power_of(channel):
        blocks = channel[: num_blocks * length].reshape(num_blocks, length)
        return np.sum(np.abs(scipy.fft.rfft(blocks, size, axis=1)) ** 2, axis=0)

    power = list(each(power_of, traces.T))
    covariances = scipy.fft.irfft(power, size, axis=1)[:, :num_samples] / max(num_blocks * length, 1)
    return Background(covariances, channel_distances(recording.get_channel_locations()[:, :2]))
