"""Waveform directions that the units of a recording share, and the finer ones that its large units need beside them."""

import numpy as np

# Waveform directions on which all templates are projected. Tuned on generated development recordings (seeds 1-5).
TEMPLATE_DIRECTIONS = 12
# Channels of each unit, those where it is largest, from which the shared directions are computed.
DIRECTION_CHANNELS = 4
# Units count for the shared directions by the square root of their number of spikes; more than these count no more.
MOST_WEIGHTED_SPIKES = 200
# Details are directions whose eigenvalue is this many times larger than the largest that noise has: averages of white
# traces that hold the spikes of other units are noisier than white noise.
DETAIL_MARGIN = 2.0
# Directions of details, at most: overlaps of templates cost their square.
MOST_DETAILS = 24
# Noise has a largest eigenvalue beyond this quantile of the Tracy-Widom distribution (real numbers) with probability
# 0.01 (Johnstone, 2001).
TRACY_WIDOM_99 = 2.02


def shared_directions(averages: np.ndarray, num_spikes: np.ndarray) -> np.ndarray:
    """
    Waveforms that the averages of all units are made of, by a singular value decomposition.

    Parameters
    ----------
    averages : np.ndarray, shape (num_units, num_samples, num_channels), float32
    num_spikes : np.ndarray, shape (num_units,), int

    Returns
    -------
    np.ndarray, shape (num_directions, num_samples), float32
        Orthonormal, the most important first.
    """
    rows = []
    for average, count in zip(averages, num_spikes, strict=True):
        sizes = np.linalg.norm(average, axis=0)
        best = np.argsort(-sizes)[:DIRECTION_CHANNELS]
        rows.append(average[:, best].T / max(sizes.max(), 1e-9) * np.sqrt(min(count, MOST_WEIGHTED_SPIKES)))
    _, _, right = np.linalg.svd(np.concatenate(rows), full_matrices=False)
    return right[:TEMPLATE_DIRECTIONS]


def detail_directions(
    averages: np.ndarray, differences: np.ndarray, directions: np.ndarray, visible: np.ndarray, num_spikes: np.ndarray
) -> np.ndarray:
    """
    Waveforms beyond the shared ones in which two halves of the spikes of units agree more than noise would.

    The averages are scaled to noise of variance 1. The sum over units and channels of the products of their two
    halves then has eigenvalues in a semicircle if there is only noise (Wigner, 1958); those beyond it are details.

    Parameters
    ----------
    averages, differences : np.ndarray, shape (num_units, num_samples, num_channels), float32
        Averages in noise standard deviations, and half the differences between two halves of the spikes.
    directions : np.ndarray, shape (num_directions, num_samples), float32
        Shared directions, orthonormal.
    visible : np.ndarray, shape (num_units, num_channels), bool
        Channels where each unit is visible.
    num_spikes : np.ndarray, shape (num_units,), int
        Number of spikes in each average.

    Returns
    -------
    np.ndarray, shape (num_details, num_samples), float32
        Orthonormal, and orthogonal to the shared directions. There may be none.
    """
    owners, channels = np.nonzero(visible)
    scales = np.sqrt(num_spikes[owners])[:, None]
    rows, errors = (part[owners, :, channels] * scales for part in (averages, differences))
    rows, errors = (part - (part @ directions.T) @ directions for part in (rows, errors))
    eigenvalues, vectors = np.linalg.eigh(rows.T @ rows - errors.T @ errors)
    largest_of_noise = np.sqrt(8.0 * len(rows) * rows.shape[1])
    kept = np.flatnonzero(eigenvalues > DETAIL_MARGIN * largest_of_noise)[::-1][:MOST_DETAILS]
    return vectors[:, kept].T.astype("float32")


def directions_of_spikes(products: np.ndarray, num_rows: int) -> np.ndarray:
    """
    Waveforms in which single spikes vary more than noise can.

    No label is used. Templates do not serve here: a template of few spikes holds their noise, by which matching has
    chosen them, and in directions that hold this noise two parts of one unit lie as far apart as two units.

    The largest eigenvalue of noise of variance 1 follows the law of Tracy and Widom (Johnstone, 2001).

    Parameters
    ----------
    products : np.ndarray, shape (num_samples, num_samples), float64
        Products of all pairs of samples, summed over spikes and channels; white traces.
    num_rows : int
        Number of spikes and channels that were summed.

    Returns
    -------
    np.ndarray, shape (num_directions, num_samples), float32
        Orthonormal, the most important first; at least one.
    """
    root_rows, root_samples = np.sqrt(max(num_rows, 1)), np.sqrt(len(products))
    center = (root_rows + root_samples) ** 2
    scale = (root_rows + root_samples) * (1 / root_rows + 1 / root_samples) ** (1 / 3)
    eigenvalues, vectors = np.linalg.eigh(products)
    count = int(np.sum(eigenvalues > center + TRACY_WIDOM_99 * scale))
    return vectors[:, ::-1][:, : max(1, min(count, TEMPLATE_DIRECTIONS))].T.astype("float32")
