"""
Splitting of units: the isolated spikes of each matched unit are clustered by themselves.

Overlapping spikes would dominate the principal components, so only isolated spikes are used. The known variation
between the spikes of one unit, in amplitude and in time between two samples, is scaled down to the noise level; then
principal components in which spikes vary no more than noise are left out, which often leaves none.
"""

from functools import partial

import numpy as np
from sklearn.cluster import KMeans
from spikeinterface.core import BaseRecording

from ...components import principal_components
from ...spike_vectors import in_order
from ..matching.overlaps import waveform_directions
from ..units.spike_features import SpikeFeatures, read_spike_features
from ..units.templates import UnitTemplates
from .cluster import METHODS, NUM_COMPONENTS, split_recursively

# Isolated spikes of each unit that are clustered, at most.
MOST_SPLIT_SPIKES = 500
# Energy that other spikes may add to them, in squared noise standard deviations: less than two units differ by.
SPLIT_ISOLATED_OVERLAP = 10.0
# Variance, in squared samples, of the time between a spike and the nearest sample: that of a uniform distribution.
JITTER_VARIANCE = 1 / 12
# A component counts if its variance is this much larger than the largest that noise alone has in theory (Marchenko &
# Pastur, 1967). Tuned on generated development recordings (seeds 1-5).
ABOVE_NOISE = 1.1


def split_units(
    traces: BaseRecording,
    spikes: np.ndarray,
    templates: UnitTemplates,
    *,
    method: str,
    min_size: int,
    amplitude_variance: float,
    seed: int,
) -> np.ndarray:
    """
    Split units whose isolated spikes form several clusters.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    spikes : np.ndarray
        Sorted spike vector of the units.
    templates : UnitTemplates
        Templates of the units.
    method : "isosplit" | "hdbscan" | "dbscan"
        Clustering method.
    min_size : int
        Smallest number of spikes of a part.
    amplitude_variance : float
        Variance of the amplitudes of a unit's spikes, relative to its template.
    seed : int
        Random seed.

    Returns
    -------
    np.ndarray
        Sorted spike vector. A unit that stays whole keeps all of its spikes; a unit that is split keeps only the
        isolated spikes that show its parts.
    """
    features = _features(traces, spikes, templates, seed)
    partition = partial(parts_above_noise, method=method, min_size=min_size, seed=seed)
    labels = spikes["unit_index"].astype("int64").copy()
    next_label = len(templates.values)

    def parts_of(unit: int) -> np.ndarray:
        scaled = without_known_variation(features, unit, amplitude_variance)
        return split_recursively(scaled, partition, min_size=min_size)

    # In one thread, as in `cluster_by_channel`.
    for unit, parts in enumerate(map(parts_of, range(len(features.positions)))):
        positions = features.positions[unit]
        if parts.max(initial=0) > 0:
            labels[spikes["unit_index"] == unit] = -1
            labels[features.chosen[positions]] = np.where(parts >= 0, next_label + parts, -1)
            next_label += int(parts.max()) + 1
    kept = labels >= 0
    split = spikes[kept]
    split["unit_index"] = np.unique(labels[kept], return_inverse=True)[1]
    return in_order(split)


def _features(traces: BaseRecording, spikes: np.ndarray, templates: UnitTemplates, seed: int) -> SpikeFeatures:
    """Features in the directions of the templates: no part of a unit has a template whose noise they could hold."""
    return read_spike_features(
        traces,
        spikes,
        templates,
        seed=seed,
        most_spikes=MOST_SPLIT_SPIKES,
        most_overlap=SPLIT_ISOLATED_OVERLAP,
        directions=waveform_directions(templates.values),
    )


def without_known_variation(features: SpikeFeatures, unit: int, amplitude_variance: float) -> np.ndarray:
    """
    Features of the spikes of a unit whose variation in amplitude and time is scaled down to the noise level.

    Parameters
    ----------
    features : SpikeFeatures
    unit : int
    amplitude_variance : float
        Variance of the amplitudes of a unit's spikes, relative to its template.

    Returns
    -------
    np.ndarray, shape (num_spikes, num_features), float32
        In noise standard deviations.
    """
    spikes = features.of_unit(unit)
    if len(spikes) == 0:
        return spikes
    mean = spikes.mean(axis=0)
    slope = (features.moved(-1) - features.moved(1)) / 2 @ mean.reshape(len(features.directions), -1)
    for variation, variance in ((mean, amplitude_variance), (slope.ravel(), JITTER_VARIANCE)):
        squared = float(variation @ variation)
        excess = 1 - 1 / np.sqrt(1 + variance * squared)
        spikes = spikes - excess / max(squared, 1e-9) * np.outer(spikes @ variation, variation)
    return spikes


def parts_above_noise(features: np.ndarray, *, method: str, min_size: int, seed: int) -> np.ndarray:
    """
    Cluster points in the principal components that vary more than noise.

    If there are such components but only one cluster, it is cut in two: matching and merging then decide whether both
    are units.

    Parameters
    ----------
    features : np.ndarray, shape (num_points, num_features), float
    method, min_size, seed
        See `split_units`.

    Returns
    -------
    np.ndarray, shape (num_points,), int
        Part of each point: all 0 if no component varies more than noise, -1 for points of no part.
    """
    components = components_above_noise(features)
    if components.shape[1] == 0:
        return np.zeros(len(features), dtype=int)
    parts = METHODS[method](components, min_size, seed)
    if len(np.unique(parts[parts >= 0])) < 2:
        parts = KMeans(2, n_init=3, random_state=seed).fit_predict(components)
        parts[np.bincount(parts, minlength=2)[parts] < min_size] = -1
    return parts


def components_above_noise(features: np.ndarray) -> np.ndarray:
    """
    Principal components in which points vary more than they would by noise in as many features.

    Parameters
    ----------
    features : np.ndarray, shape (num_points, num_features), float

    Returns
    -------
    np.ndarray, shape (num_points, num_components), float
        Often without any component.
    """
    if features.shape[1] == 0:
        return features
    components = principal_components(features, NUM_COMPONENTS)
    largest = features.var(axis=0).mean() * (1 + np.sqrt(features.shape[1] / len(features))) ** 2
    return components[:, components.var(axis=0) > ABOVE_NOISE * largest]
