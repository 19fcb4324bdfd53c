"""
Clustering of peaks, channel by channel.

The peaks of each channel are clustered by themselves, in a few principal components of their embeddings, and every
cluster is clustered again. A unit that is visible on several channels makes several clusters; they are merged
afterwards, when their templates can be compared with much less noise (`units.merge`).
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.cluster import DBSCAN, HDBSCAN
from sklearn.neighbors import NearestNeighbors

from ...components import principal_components
from .isosplit import isosplit

# Principal components in which peaks are clustered. Tuned on generated development recordings (seeds 1-5).
NUM_COMPONENTS = 9
# How often clusters are clustered again.
MAX_DEPTH = 3
# Isosplit's statistic above which one cluster is cut into two (Magland & Barnett, 2015, arXiv:1508.04841). Lower than
# its default of 2: parts of a unit are merged again by their templates, but units in one cluster stay together.
ISOCUT_THRESHOLD = 1.5
# Largest number of clusters from which isosplit starts.
MOST_INITIAL_CLUSTERS = 20
# Percentile of the distances to the `min_size`-th neighbour that is DBSCAN's radius: most peaks are core points.
DBSCAN_PERCENTILE = 60


def cluster_by_channel(
    embeddings_of_channel: Callable[[int, np.ndarray], np.ndarray],
    peak_channels: np.ndarray,
    *,
    method: str,
    min_size: int,
    seed: int,
) -> np.ndarray:
    """
    Cluster the peaks of each channel.

    Parameters
    ----------
    embeddings_of_channel : callable
        Takes a channel index and the positions of its peaks, returns (num_positions, num_features) floats.
    peak_channels : np.ndarray, shape (num_peaks,), int
        Channel index of each peak.
    method : "isosplit" | "hdbscan" | "dbscan"
    min_size : int
        Smallest number of peaks of a cluster.
    seed : int
        Random seed.

    Returns
    -------
    np.ndarray, shape (num_peaks,), int
        Cluster of each peak; -1 for peaks of no cluster.
    """
    partition = partial(cluster_components, method=method, min_size=min_size, seed=seed)
    labels = np.full(len(peak_channels), -1)
    by_channel = [np.flatnonzero(peak_channels == channel) for channel in np.unique(peak_channels)]
    by_channel = [positions for positions in by_channel if len(positions) >= min_size]

    def cluster(positions):
        return split_recursively(
            embeddings_of_channel(peak_channels[positions[0]], positions), partition, min_size=min_size
        )

    # In one thread: partitions are many short calls, for which threads would wait for the interpreter longer than they
    # compute.
    for positions, local in zip(by_channel, map(cluster, by_channel), strict=True):
        labels[positions] = np.where(local >= 0, local + labels.max() + 1, -1)
    return labels


def split_recursively(
    embeddings: np.ndarray,
    partition: Callable[[np.ndarray], np.ndarray],
    *,
    min_size: int,
    depth: int = MAX_DEPTH,
) -> np.ndarray:
    """
    Partition points, then partition each part again, until nothing splits.

    Parameters
    ----------
    embeddings : np.ndarray, shape (num_peaks, num_features), float
    partition : callable
        Takes some of the embeddings, returns the part of each; -1 for none.
    min_size : int
        Groups of fewer than twice as many points are not split.
    depth : int, default: MAX_DEPTH
        How often parts are partitioned again.

    Returns
    -------
    np.ndarray, shape (num_peaks,), int
        Part 0, 1, ... of each point; -1 for none.
    """
    labels = np.zeros(len(embeddings), dtype=int)
    if depth == 0 or len(embeddings) < 2 * min_size:
        return labels
    parts = partition(embeddings)
    if len(np.unique(parts[parts >= 0])) < 2:
        return np.where(parts >= 0, 0, -1) if np.any(parts >= 0) else labels
    labels[parts < 0] = -1
    next_label = 0
    for part in np.unique(parts[parts >= 0]):
        own = np.flatnonzero(parts == part)
        local = split_recursively(embeddings[own], partition, min_size=min_size, depth=depth - 1)
        labels[own] = np.where(local >= 0, local + next_label, -1)
        next_label = labels.max() + 1
    return labels


def cluster_components(embeddings: np.ndarray, *, method: str, min_size: int, seed: int) -> np.ndarray:
    """Cluster points in their first principal components; label of each point, (num_points,), -1 for none."""
    return METHODS[method](principal_components(embeddings, NUM_COMPONENTS), min_size, seed)


def _isosplit(components, min_size, seed):
    num_initial = int(np.clip(len(components) // (2 * min_size), 2, MOST_INITIAL_CLUSTERS))
    return isosplit(components, num_initial=num_initial, min_size=min_size, threshold=ISOCUT_THRESHOLD, seed=seed)


def _hdbscan(components, min_size, seed):
    return HDBSCAN(min_cluster_size=min_size, min_samples=max(5, min_size // 3), copy=True).fit_predict(components)


def _dbscan(components, min_size, seed):
    """
    DBSCAN with a radius at which most peaks have `min_size` neighbours.

    In white traces the peaks of a unit have unit variance whatever its amplitude, so one radius serves all units.
    """
    distances, _ = NearestNeighbors(n_neighbors=min_size).fit(components).kneighbors(components)
    radius = max(float(np.percentile(distances[:, -1], DBSCAN_PERCENTILE)), 1e-9)
    return DBSCAN(eps=radius, min_samples=min_size).fit_predict(components)


METHODS = {"isosplit": _isosplit, "hdbscan": _hdbscan, "dbscan": _dbscan}
