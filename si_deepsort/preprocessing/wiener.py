"""
Blind prediction in closed form: the spatio-temporal Wiener filter of a recording (Wiener 1949).

Fourier transforms give the covariance at each lag; each channel is then one small linear system. The solution
initialises the filters over time and the linear part of an interpolator before training.
"""

import numpy as np
import scipy.linalg


def lagged_covariance(traces: np.ndarray, max_lag: int, *, window_frames: int = 512) -> np.ndarray:
    """
    Covariance of each pair of channels at each lag.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
        Traces centred on 0.
    max_lag : int
        Largest lag in frames, below `window_frames`.
    window_frames : int, default: 512
        Traces are cut into windows of this length, so that the memory does not grow with the recording.

    Returns
    -------
    np.ndarray, shape (num_channels, num_channels, 2 * max_lag + 1), float32
        `[i, j, max_lag + lag]` is the mean of `x_i(t) x_j(t + lag)`.
    """
    window_frames = max(min(window_frames, len(traces)), max_lag + 1)
    num_windows = max(1, len(traces) // window_frames)
    windows = np.zeros((num_windows, window_frames, traces.shape[1]), dtype="float32")
    used = traces[: num_windows * window_frames]
    windows.reshape(-1, traces.shape[1])[: len(used)] = used
    num_fft = scipy.fft.next_fast_len(window_frames + max_lag, real=True)
    spectra = scipy.fft.rfft(windows, num_fft, axis=1).transpose(1, 0, 2)
    cross = np.matmul(spectra.conj().transpose(0, 2, 1), spectra)
    covariance = scipy.fft.irfft(cross, num_fft, axis=0)
    lags = np.arange(-max_lag, max_lag + 1)
    covariance = covariance[lags] / (num_windows * (window_frames - np.abs(lags)))[:, None, None]
    return covariance.transpose(1, 2, 0).astype("float32")


def filter_gram(covariance: np.ndarray, filters: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """
    Covariance between the filtered traces of some channels.

    Parameters
    ----------
    covariance : np.ndarray, shape (num_channels, num_channels, 2 * max_lag + 1)
        From `lagged_covariance`, with `max_lag` at least `num_taps - 1`.
    filters : np.ndarray, shape (num_filters, num_taps)
    channels : np.ndarray, shape (num_used,), int

    Returns
    -------
    np.ndarray, shape (num_used * num_filters, num_used * num_filters), float64
    """
    num_taps = filters.shape[1]
    max_lag = covariance.shape[-1] // 2
    toeplitz = max_lag + np.arange(num_taps)[None] - np.arange(num_taps)[:, None]
    pairs = covariance[np.ix_(channels, channels)]
    gram = np.einsum("qa,ijab,rb->iqjr", filters, pairs[:, :, toeplitz], filters, optimize=True)
    size = len(channels) * len(filters)
    return gram.reshape(size, size).astype("float64")


def wiener_filters(covariance: np.ndarray, channel: int, channels: np.ndarray, seen_lags: np.ndarray, ridge: float):
    """
    Best linear prediction of one channel from frames of some channels around it.

    Parameters
    ----------
    seen_lags : np.ndarray, shape (num_seen,), int
        Lags of the frames that may be used, the same for all channels.
    ridge : float
        Added to the diagonal, in units of the variance.

    Returns
    -------
    np.ndarray, shape (num_used, num_seen), float64
    """
    max_lag = covariance.shape[-1] // 2
    between = max_lag + seen_lags[None] - seen_lags[:, None]
    gram = covariance[np.ix_(channels, channels)][:, :, between].transpose(0, 2, 1, 3)
    size = len(channels) * len(seen_lags)
    target = covariance[channels, channel][:, max_lag - seen_lags].reshape(size)
    return solve_ridge(gram.reshape(size, size).astype("float64"), target, ridge).reshape(len(channels), -1)


def solve_ridge(gram: np.ndarray, target: np.ndarray, ridge: float) -> np.ndarray:
    """Solve `(gram + ridge * mean variance * identity) weights = target`; a larger ridge if that is singular."""
    variance = max(np.trace(gram) / max(len(gram), 1), 1e-12)
    for factor in (1.0, 100.0, 10_000.0):
        try:
            regular = gram + factor * ridge * variance * np.eye(len(gram))
            return scipy.linalg.solve(regular, target, assume_a="pos")
        except np.linalg.LinAlgError:
            continue
    return np.zeros_like(target, dtype="float64")


def leading_filters(weights: np.ndarray, num_filters: int) -> np.ndarray:
    """
    The few filters over time whose combinations come closest to many given filters.

    Parameters
    ----------
    weights : np.ndarray, shape (num_examples, num_taps)
    num_filters : int

    Returns
    -------
    np.ndarray, shape (num_filters, num_taps), float64
        Orthonormal rows; rows of 0 if fewer are independent.
    """
    _, _, components = np.linalg.svd(weights, full_matrices=False)
    filters = np.zeros((num_filters, weights.shape[1]))
    filters[: len(components)] = components[:num_filters]
    return filters
