"""
Units that hold two fall apart: the spikes of each matched unit are clustered again on their own.

Overlapping spikes would fill the principal components, so only those that are nearly alone are looked at. What is known
to differ between spikes of one unit, its size and where it lies between two samples, is scaled down to the noise; then
components in which spikes vary no more than noise does are left out, often all of them.
"""

from functools import partial

import numpy as np
from sklearn.cluster import KMeans

from ...channel_mixture import principal_components
from ...spike_vectors import in_order
from ..units.spike_features import SpikeFeatures, read_spike_features
from ..units.templates import UnitTemplates
from .cluster import METHODS, NUM_COMPONENTS, split_recursively

# Spikes of a unit that are looked at, and the energy that others may add to them: less than what two units differ by.
MOST_SPLIT_SPIKES = 500
SPLIT_ISOLATED_OVERLAP = 10.0
# Variance of the time between a spike and the nearest sample.
JITTER_VARIANCE = 1 / 12
# A component counts if its variance is this much larger than the largest that noise alone has (Marchenko & Pastur).
ABOVE_NOISE = 1.1


def split_units(traces, spikes: np.ndarray, templates: UnitTemplates, settings) -> np.ndarray:
    """
    The spikes with a new unit for each part of a unit.

    Parameters
    ----------
    traces : BaseRecording
        White, cached.
    spikes : np.ndarray
        Spike vector of the units, sorted.
    templates : UnitTemplates
        Of the units.
    settings : DeepSortSettings

    Returns
    -------
    np.ndarray
        Sorted spike vector. A unit that stays whole keeps all of its spikes; of one that falls apart those that were
        not looked at are left out.
    """
    min_size = settings.min_cluster_size
    limits = dict(most_spikes=MOST_SPLIT_SPIKES, most_overlap=SPLIT_ISOLATED_OVERLAP)
    features = read_spike_features(traces, spikes, templates, seed=settings.seed, **limits)
    partition = partial(parts_above_noise, method=settings.clustering, min_size=min_size, seed=settings.seed)
    labels = spikes["unit_index"].astype("int64").copy()
    next_label = len(templates.values)
    for unit, positions in enumerate(features.positions):
        steady = steady_features(features, unit, settings.amplitude_variance)
        parts = split_recursively(steady, partition, min_size=min_size)
        if parts.max(initial=0) > 0:
            labels[spikes["unit_index"] == unit] = -1
            labels[features.chosen[positions]] = np.where(parts >= 0, next_label + parts, -1)
            next_label += int(parts.max()) + 1
    kept = labels >= 0
    split = spikes[kept]
    split["unit_index"] = np.unique(labels[kept], return_inverse=True)[1]
    return in_order(split)


def steady_features(features: SpikeFeatures, unit: int, amplitude_variance: float) -> np.ndarray:
    """
    Features of the spikes of a unit in which its amplitude and its time between two samples vary like noise.

    Parameters
    ----------
    features : SpikeFeatures
    amplitude_variance : float
        Of a unit's spikes, relative to its template.

    Returns
    -------
    np.ndarray, shape (num_spikes, num_features), float32
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
    Part of each point; all are of part 0 unless some component varies more than noise.

    Where it does but the clustering sees one cluster, two are made: matching and `merge_similar` tell whether they are.
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
    The principal components in which points vary more than noise in as many features would make them.

    Returns
    -------
    np.ndarray, shape (num_points, num_components), float
        There may be no component.
    """
    if features.shape[1] == 0:
        return features
    components = principal_components(features, NUM_COMPONENTS)
    largest = features.var(axis=0).mean() * (1 + np.sqrt(features.shape[1] / len(features))) ** 2
    return components[:, components.var(axis=0) > ABOVE_NOISE * largest]
