"""
The matrix that decorrelates each channel from its neighbours: zero-phase component analysis of the local covariance.
"""

import numpy as np

from ..threads import each

# Smallest eigenvalue of the covariance between neighbours, relative to the largest: it keeps
# the matrix from amplifying what neighbours hardly hold.
SMALLEST_EIGENVALUE = 1e-3
# Power relative to the largest below which a direction holds rounding alone: a reference has removed it from all
# neighbours. One of this many frames is looked at.
NOTHING, NOTHING_STEP = 1e-7, 8
# Channels whose noise differs more than by this factor from the median are scaled to it before they are decorrelated:
# the smallest eigenvalue would take a quiet channel beside a very noisy one for one without a signal.
MOST_LEVEL_RATIO = 4.0
# Frames whose products are summed at once, which bounds the memory.
BLOCK_FRAMES = 20_000


def local_whitening_matrix(traces: np.ndarray, quiet: np.ndarray, nearby: np.ndarray) -> np.ndarray:
    """
    Matrix that decorrelates each channel from its neighbours (zero-phase component analysis of the local covariance).

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
    quiet : np.ndarray, shape (num_frames, num_living_channels), bool
        Frames of each living channel that count.
    nearby : np.ndarray, shape (num_channels, num_channels), bool
        Which channels are decorrelated from which; the row of a dead channel is False throughout.

    Returns
    -------
    np.ndarray, shape (num_channels, num_channels), float
        Multiplies traces (frames, channels) from the right; rows and columns of dead channels are 0.
    """
    num_channels = traces.shape[1]
    alive = np.diag(nearby)
    sums, pairs = np.zeros((2, num_channels, num_channels))
    living = np.ix_(alive, alive)
    for start in range(0, len(traces), BLOCK_FRAMES):
        block = slice(start, start + BLOCK_FRAMES)
        counts = quiet[block].astype("float32")
        masked = counts * traces[block, alive]
        sums[living] += masked.T @ masked
        pairs[living] += counts.T @ counts
    covariance = sums / np.maximum(pairs, 1.0)
    scales = _scales_of_outliers(np.sqrt(np.diag(covariance)))
    covariance /= np.outer(scales, scales)
    matrix, powers = np.zeros((2, num_channels, num_channels))
    some = traces[::NOTHING_STEP, alive] / scales[alive]
    powers[living] = some.T @ some

    def decorrelate(channel):
        members = np.flatnonzero(nearby[channel])
        values, vectors = np.linalg.eigh(covariance[np.ix_(members, members)])
        values = np.maximum(values, SMALLEST_EIGENVALUE * values.max())
        root = (vectors / np.sqrt(values)) @ vectors.T
        weights = root[:, np.searchsorted(members, channel)]
        return members, _without_nothing(weights, powers[np.ix_(members, members)])

    own = np.flatnonzero(alive)
    for channel, (members, weights) in zip(own, each(decorrelate, own), strict=True):
        matrix[members, channel] = weights
    return matrix / scales[:, None]


def _without_nothing(weights, powers):
    """Weights (num_channels,) without the directions in which traces, whose products are given, hold nothing."""
    values, vectors = np.linalg.eigh(powers)
    empty = vectors[:, values <= NOTHING * values.max()]
    return weights - empty @ (empty.T @ weights) if empty.shape[1] else weights


def _scales_of_outliers(levels):
    """Factors that bring the levels of channels near their median; exactly 1 for those that are near, and for 0."""
    alive = levels > 0
    scales = np.ones(len(levels))
    if alive.any():
        median = np.median(levels[alive])
        near = np.clip(levels[alive], median / MOST_LEVEL_RATIO, median * MOST_LEVEL_RATIO)
        scales[alive] = levels[alive] / near
    return scales
