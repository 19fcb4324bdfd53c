"""Noise with the spectrum and covariance of a recording, and the rate at which noise crosses a threshold."""

import numpy as np
import scipy.fft

from ..noise import noise_levels

# Traces are clipped at this many noise levels before their spectrum is measured, so that spikes hardly change it.
CLIP_NOISE_LEVELS = 3.0


def phase_randomized(traces: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """
    Noise with the spectrum of each channel and the covariance of all pairs of channels, but without events.

    Each frequency gets one random phase for all channels (Prichard & Theiler 1994).

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
    seed : int, default: 0

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels), float32
        In the unit of the traces.
    """
    spectrum = scipy.fft.rfft(np.nan_to_num(traces), axis=0)
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(spectrum))
    phases[0] = 0
    turned = spectrum * np.exp(1j * phases).astype(spectrum.dtype)[:, None]
    return scipy.fft.irfft(turned, len(traces), axis=0).astype("float32")


def noise_like(traces: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """
    Noise with the spectrum and covariance of a recording, without its spikes.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
        In noise levels.
    seed : int, default: 0

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels), float32
        In noise levels.
    """
    return phase_randomized(clipped_at_noise(traces), seed=seed)


def clipped_at_noise(traces: np.ndarray) -> np.ndarray:
    """Clip traces, in noise levels, so that spikes hardly change their spectrum."""
    return np.clip(traces, -CLIP_NOISE_LEVELS, CLIP_NOISE_LEVELS)


def noise_crossings(traces: np.ndarray, threshold: float, sampling_frequency: float) -> float:
    """Rate of troughs below `threshold` noise levels, per channel and second; noise levels are those of the traces."""
    scaled = traces / np.maximum(noise_levels(traces), 1e-12)
    inner = scaled[1:-1]
    troughs = (inner < -threshold) & (inner <= scaled[:-2]) & (inner < scaled[2:])
    return float(troughs.sum() / traces.shape[1] / (len(traces) / sampling_frequency))
