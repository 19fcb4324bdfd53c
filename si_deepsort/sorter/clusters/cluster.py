"""
Step 3 of the sorter: peaks of the same unit get the same label.

The peaks of each channel are clustered on their own, in a few principal components of their embeddings, and every
cluster is tried again for parts. A unit seen on several channels makes several clusters; they are joined afterwards,
where their templates can be compared with much less noise (`merge.merge_similar`).
"""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from sklearn.cluster import DBSCAN, HDBSCAN
from sklearn.neighbors import NearestNeighbors

from ...channel_mixture import principal_components

NUM_COMPONENTS = 9
MAX_DEPTH = 3
# Isosplit's statistic above which one cluster is cut into two (Magland & Barnett, 2015). Lower than its usual 2: parts
# of a unit are joined again by their templates, but units in one cluster stay together.
ISOCUT_THRESHOLD = 1.5


def cluster_by_channel(embeddings_of_channel, peak_channels: np.ndarray, *, method: str, min_size: int, seed: int):
    """
    Label of each peak.

    Parameters
    ----------
    embeddings_of_channel : callable
        Takes a channel index and the positions of its peaks, returns (num_positions, num_features) floats.
    peak_channels : np.ndarray, shape (num_peaks,), int
        Channel index of each peak.
    method : "isosplit" | "hdbscan" | "dbscan"
    min_size : int
        Fewer peaks are no cluster.
    seed : int

    Returns
    -------
    np.ndarray, shape (num_peaks,), int
        -1 where a peak belongs to no cluster.
    """
    partition = partial(cluster_components, method=method, min_size=min_size, seed=seed)
    labels = np.full(len(peak_channels), -1)
    for channel in np.unique(peak_channels):
        positions = np.flatnonzero(peak_channels == channel)
        if len(positions) < min_size:
            continue
        embeddings = embeddings_of_channel(channel, positions)
        local = split_recursively(embeddings, partition, min_size=min_size)
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
    Partition, then partition each part again, until nothing splits.

    Parameters
    ----------
    embeddings : np.ndarray, shape (num_peaks, num_features), float
    partition : callable
        Takes some of the embeddings, returns the part of each, -1 for none.
    min_size : int
        Fewer than twice as many stay whole.

    Returns
    -------
    np.ndarray, shape (num_peaks,), int
        0, 1, ... or -1 for none.
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
    """Cluster of each point, (num_points,), in the first principal components; -1 for none."""
    return METHODS[method](principal_components(embeddings, NUM_COMPONENTS), min_size, seed)


@cache
def _compiled_isosplit():
    """Isosplit whose compiled code is kept on disk: SpikeInterface compiles it anew, for 20 s, in each process."""
    from spikeinterface.sortingcomponents.clustering import isosplit_isocut

    for function in vars(isosplit_isocut).values():
        if hasattr(function, "enable_caching"):
            function.enable_caching()
    return isosplit_isocut.isosplit


def _isosplit(components, min_size, seed):
    isosplit = _compiled_isosplit()
    num_initial = int(np.clip(len(components) // (2 * min_size), 2, 20))
    return isosplit(
        components,
        n_init=num_initial,
        min_cluster_size=min_size,
        max_iterations_per_pass=500,
        isocut_threshold=ISOCUT_THRESHOLD,
        seed=seed,
    )


def _hdbscan(components, min_size, seed):
    return HDBSCAN(min_cluster_size=min_size, min_samples=max(5, min_size // 3), copy=True).fit_predict(components)


def _dbscan(components, min_size, seed):
    """
    DBSCAN whose radius follows the density of the data.

    In white traces a unit is a ball of unit variance whatever its size; the radius at which most of its peaks have
    `min_size` neighbours is read from the distances themselves.
    """
    distances, _ = NearestNeighbors(n_neighbors=min_size).fit(components).kneighbors(components)
    radius = max(float(np.percentile(distances[:, -1], 60)), 1e-9)
    return DBSCAN(eps=radius, min_samples=min_size).fit_predict(components)


METHODS = {"isosplit": _isosplit, "hdbscan": _hdbscan, "dbscan": _dbscan}
