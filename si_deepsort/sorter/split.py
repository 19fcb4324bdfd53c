"""
Units that hold two fall apart: the spikes of each matched unit are clustered again on their own.

Whatever else fires within a spike's window makes its features differ by more than two similar units do, and would fill
the principal components. Matching has told when other units fire, so only spikes that are nearly alone are looked at.
What is known to differ between spikes of one unit, its size and where it lies between two samples, is scaled down to
the noise; then components in which spikes vary no more than noise does are left out, often all of them.
"""

from functools import partial

import numba
import numpy as np
from sklearn.cluster import KMeans

from ..geometry import channel_distances
from .cluster import METHODS, principal_components, split_recursively
from .separation import RADIUS_UM, read_spike_features
from .templates import UnitTemplates
from .units import in_order

# Spikes of a unit that are looked at.
MOST_SPIKES = 500
# A spike is alone if the templates of all others have less energy than this on its samples and channels.
MOST_OVERLAP = 10.0
# Where hardly any spike is alone, those that are so most nearly are looked at, this many times the smallest cluster.
FEWEST_CLUSTERS = 4
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
    energies = overlap_energies(spikes, templates, traces.get_channel_locations()[:, :2], RADIUS_UM)
    alone = np.flatnonzero(_are_alone(spikes["unit_index"], energies, FEWEST_CLUSTERS * min_size))
    features = read_spike_features(traces, spikes[alone], templates, seed=settings.seed, most_spikes=MOST_SPIKES)
    partition = partial(parts_above_noise, method=settings.clustering, min_size=min_size, seed=settings.seed)
    labels = spikes["unit_index"].astype("int64").copy()
    next_label = len(templates.values)
    for unit, positions in enumerate(features.positions):
        steady = steady_features(features, unit, settings.amplitude_variance)
        parts = split_recursively(steady, partition, min_size=min_size)
        if parts.max(initial=0) > 0:
            labels[spikes["unit_index"] == unit] = -1
            labels[alone[features.chosen[positions]]] = np.where(parts >= 0, next_label + parts, -1)
            next_label += int(parts.max()) + 1
    kept = labels >= 0
    split = spikes[kept]
    split["unit_index"] = np.unique(labels[kept], return_inverse=True)[1]
    return in_order(split)


def steady_features(features, unit: int, amplitude_variance: float) -> np.ndarray:
    """
    Features of the spikes of a unit in which its amplitude and its time between two samples vary like noise.

    Returns
    -------
    np.ndarray, shape (num_spikes, num_features), float32
    """
    spikes = features.of_unit(unit)
    if len(spikes) == 0:
        return spikes
    early, late = (features.mean_moved(unit, lag) for lag in (1, -1))
    for variation, variance in ((spikes.mean(axis=0), amplitude_variance), ((late - early) / 2, JITTER_VARIANCE)):
        squared = float(variation @ variation)
        excess = 1 - 1 / np.sqrt(1 + variance * squared)
        spikes = spikes - excess / max(squared, 1e-9) * np.outer(spikes @ variation, variation)
    return spikes


def parts_above_noise(features: np.ndarray, *, method: str, min_size: int, seed: int) -> np.ndarray:
    """
    Part of each point; all are of part 0 unless some component varies more than noise.

    Where it does but the clustering sees one cluster, two are made: matching and `merge_similar` tell whether they are.
    """
    components = components_above_noise(features, seed)
    if components.shape[1] == 0:
        return np.zeros(len(features), dtype=int)
    parts = METHODS[method](components, min_size, seed)
    if len(np.unique(parts[parts >= 0])) < 2:
        parts = KMeans(2, n_init=3, random_state=seed).fit_predict(components)
        parts[np.bincount(parts, minlength=2)[parts] < min_size] = -1
    return parts


def components_above_noise(features: np.ndarray, seed: int) -> np.ndarray:
    """
    The principal components in which points vary more than noise in as many features would make them.

    Returns
    -------
    np.ndarray, shape (num_points, num_components), float
        There may be no component.
    """
    components = principal_components(features, seed)
    largest = features.var(axis=0).mean() * (1 + np.sqrt(features.shape[1] / len(features))) ** 2
    return components[:, components.var(axis=0) > ABOVE_NOISE * largest]


def overlap_energies(spikes: np.ndarray, templates: UnitTemplates, locations: np.ndarray, radius_um: float):
    """
    Energy that the templates of other spikes have in the window of each spike, near the main channel of its unit.

    Parameters
    ----------
    spikes : np.ndarray
        Spike vector, sorted.
    templates : UnitTemplates
    locations : np.ndarray, shape (num_channels, 2), float
        In um.
    radius_um : float
        Channels this close to the main one count.

    Returns
    -------
    np.ndarray, shape (num_spikes,), float
        In squared noise standard deviations.
    """
    energies = np.zeros(len(spikes))
    # Segments are laid end to end, far apart.
    times = spikes["sample_index"].astype("int64") + spikes["segment_index"].astype("int64") * 2**40
    units = spikes["unit_index"].astype("int64")
    is_near = channel_distances(locations) <= radius_um
    main_channels = np.abs(templates.values).max(axis=1).argmax(axis=1)
    visible = np.any(templates.values != 0, axis=1)
    places = np.full(len(templates.values), -1)
    for unit, main_channel in enumerate(main_channels):
        channels = is_near[main_channel]
        others = np.flatnonzero(np.any(visible[:, channels], axis=1))
        per_sample = np.sum(templates.values[others][:, :, channels] ** 2, axis=2, dtype="float64")
        cumulative = np.pad(np.cumsum(per_sample, axis=1), ((0, 0), (1, 0)))
        places[:] = -1
        places[others] = np.arange(len(others))
        _add_overlaps(energies, times, units, unit, places, cumulative)
    return energies


@numba.njit(cache=True, nogil=True)
def _add_overlaps(energies, times, units, unit, places, cumulative):
    """Add, for each spike of one unit, the energy of templates, summed up over samples, that lies in its window."""
    num_samples = cumulative.shape[1] - 1
    for spike in np.flatnonzero(units == unit):
        for step in (-1, 1):
            other = spike + step
            while 0 <= other < len(times) and abs(times[other] - times[spike]) < num_samples:
                lag = times[other] - times[spike]
                place = places[units[other]]
                if place >= 0:
                    inside = cumulative[place, min(num_samples, num_samples - lag)] - cumulative[place, max(0, -lag)]
                    energies[spike] += inside
                other += step


def _are_alone(units, energies, fewest):
    """Which spikes are nearly alone; of each unit at least so many."""
    order = np.lexsort((energies, units))
    ranks = np.arange(len(units)) - np.searchsorted(units[order], units[order])
    alone = energies < MOST_OVERLAP
    alone[order[ranks < fewest]] = True
    return alone
