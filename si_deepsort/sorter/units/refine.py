"""
Refinement of units: align, merge, and drop those that are none.

Each function below serves one situation in the flow of the sorter and is made of the same steps. What differs is how
far the spikes can be trusted: clusters hold few spikes of a unit, and may hold large peaks of one unit together with
side lobes of another; spikes that were matched with templates of such clusters are more, but no purer; only spikes that
were matched with templates of matched spikes are nearly complete and pure.
"""

from dataclasses import dataclass

import numpy as np

from ...spike_vectors import consecutive_labels, relabelled, trains_of
from .averages import UnitAverages, average_units
from .background import Background
from .collisions import find_collision_units
from .merge import (
    MergeRule,
    merge_similar,
    same_along_drift,
    same_by_refractory_period,
    same_by_spikes,
    same_by_templates,
    template_cosines,
    template_norms,
)
from .satellites import find_satellite_spikes
from .spike_features import read_spike_features
from .templates import peak_offsets, template_distances


@dataclass(frozen=True, kw_only=True)
class RefinementValues:
    """
    The values that all refinements share.

    Attributes
    ----------
    nbefore, nafter : int
        Samples of a template before and from the spike time on.
    fewest_spikes : int
        Units with fewer spikes are dropped.
    merge_distance : float
        Clusters whose templates are closer, in noise standard deviations, are one unit.
    merge_separation : float
        Units whose matched spikes are closer, in their own standard deviations, are one unit.
    match_threshold : float
        Smallest score of a matched spike: twice its log likelihood ratio.
    amplitude_variance : float
        Variance of the amplitudes of a unit's spikes, relative to its template.
    seed : int
        Seed of the choice of spikes.
    """

    nbefore: int
    nafter: int
    fewest_spikes: int
    merge_distance: float
    merge_separation: float
    match_threshold: float
    amplitude_variance: float
    seed: int


def refine_clusters(
    traces, spikes: np.ndarray, background: Background, values: RefinementValues
) -> tuple[np.ndarray, UnitAverages]:
    """
    Refine the units of clustered peaks.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    spikes : np.ndarray
        Sorted spike vector.
    background : Background
        Background of the traces.
    values : RefinementValues

    Returns
    -------
    spikes : np.ndarray
        Sorted spike vector of the refined units.
    averages : UnitAverages
        Their average waveforms.
    """
    spikes, averages = _aligned_units(traces, spikes, background, values)
    spikes, averages = merge_by_templates(traces, spikes, averages, values)
    is_collision = _find_collisions(traces, spikes, averages.templates(), values)
    return keep_units(spikes, averages, ~is_collision)


def refine_round(
    traces, spikes: np.ndarray, background: Background, values: RefinementValues
) -> tuple[np.ndarray, UnitAverages]:
    """
    Refine units that were matched with templates of clusters, and the new clusters beside them.

    Units have most of their spikes, whose number tells units from collisions; but the spikes are not pure enough to
    tell which units are one. Parameters and results as in `refine_clusters`.
    """
    spikes, averages = _aligned_units(traces, spikes, background, values)
    spikes, averages = merge_by_templates(traces, spikes, averages, values)
    is_collision = _find_collisions(traces, spikes, averages.templates(), values)
    return keep_units(spikes, averages, ~is_collision)


def refine_matched(
    traces, spikes: np.ndarray, background: Background, values: RefinementValues
) -> tuple[np.ndarray, UnitAverages]:
    """
    Refine units whose spikes are nearly complete and pure.

    Parameters and results as in `refine_clusters`.
    """
    spikes, averages = _aligned_units(traces, spikes, background, values)
    spikes, averages = merge_by_spikes(traces, spikes, averages, values)
    return drop_collisions_and_satellites(traces, spikes, averages, values)


def refine_along_drift(
    traces, spikes: np.ndarray, background: Background, values: RefinementValues
) -> tuple[np.ndarray, UnitAverages]:
    """
    Refine units of the last matching in traces that were interpolated along drift.

    Until then, parts of a unit that drift leaves different have templates of their own, each for its moments of the
    recording; here they become one unit. Parameters and results as in `refine_clusters`.
    """
    spikes, averages = _aligned_units(traces, spikes, background, values)
    spikes, averages = merge_parts_along_drift(traces, spikes, averages, values)
    return drop_collisions_and_satellites(traces, spikes, averages, values)


def align_to_peaks(spikes: np.ndarray, averages: UnitAverages) -> tuple[np.ndarray, UnitAverages]:
    """Move spike times to the largest peak of each template: a cluster may sit on a side lobe of its waveform."""
    offsets = peak_offsets(averages.templates())
    same = np.arange(len(offsets))
    return relabelled(spikes, same, offsets), averages.joined(same, offsets)


def merge_by_templates(
    traces, spikes: np.ndarray, averages: UnitAverages, values: RefinementValues
) -> tuple[np.ndarray, UnitAverages]:
    """Merge units whose templates are close, or which share a refractory period; drop units with few spikes."""
    templates = averages.templates()
    distances, lags = template_distances(templates)
    cosines = template_cosines(template_norms(templates), distances)
    rules = [
        same_by_templates(distances, values.merge_distance),
        same_by_refractory_period(cosines, traces.get_sampling_frequency()),
    ]
    return _merge(spikes, averages, templates, rules, distances, lags, values.fewest_spikes)


def merge_by_spikes(
    traces, spikes: np.ndarray, averages: UnitAverages, values: RefinementValues
) -> tuple[np.ndarray, UnitAverages]:
    """Merge units whose spikes are close, or which share a refractory period; drop units with few spikes."""
    templates = averages.templates()
    distances, lags = template_distances(templates)
    cosines = template_cosines(template_norms(templates), distances)
    rules = [
        _rule_by_spikes(traces, spikes, templates, lags, values),
        same_by_refractory_period(cosines, traces.get_sampling_frequency()),
    ]
    return _merge(spikes, averages, templates, rules, distances, lags, values.fewest_spikes)


def merge_parts_along_drift(
    traces, spikes: np.ndarray, averages: UnitAverages, values: RefinementValues
) -> tuple[np.ndarray, UnitAverages]:
    """Merge as `merge_by_spikes`, and parts of a drifting unit as well."""
    templates = averages.templates()
    distances, lags = template_distances(templates)
    norms = template_norms(templates)
    cosines = template_cosines(norms, distances)
    rules = [
        _rule_by_spikes(traces, spikes, templates, lags, values),
        same_along_drift(cosines, norms, traces.get_sampling_frequency()),
        same_by_refractory_period(cosines, traces.get_sampling_frequency()),
    ]
    return _merge(spikes, averages, templates, rules, distances, lags, values.fewest_spikes)


def drop_collisions_and_satellites(
    traces, spikes: np.ndarray, averages: UnitAverages, values: RefinementValues
) -> tuple[np.ndarray, UnitAverages]:
    """Drop collisions, spikes that larger units leave over, and units that then have few spikes."""
    templates, sampling_frequency = averages.templates(), traces.get_sampling_frequency()
    num_units = len(templates.values)
    is_kept = ~_find_collisions(traces, spikes, templates, values)
    spikes = spikes[~find_satellite_spikes(templates, spikes, sampling_frequency)]
    is_kept &= np.bincount(spikes["unit_index"], minlength=num_units) >= values.fewest_spikes
    return keep_units(spikes, averages, is_kept)


def keep_units(spikes: np.ndarray, averages: UnitAverages, is_kept: np.ndarray) -> tuple[np.ndarray, UnitAverages]:
    """Keep some units, `is_kept` of shape (num_units,), and number them 0, 1, ..."""
    labels = consecutive_labels(np.where(is_kept, np.arange(len(is_kept)), -1))
    return relabelled(spikes, labels), averages.joined(labels)


def _aligned_units(traces, spikes, background, values):
    averages = average_units(traces, spikes, background, nbefore=values.nbefore, nafter=values.nafter, seed=values.seed)
    return align_to_peaks(spikes, averages)


def _find_collisions(traces, spikes, templates, values):
    return find_collision_units(
        traces,
        spikes,
        templates,
        threshold=values.match_threshold,
        amplitude_variance=values.amplitude_variance,
        seed=values.seed,
    )


def _rule_by_spikes(traces, spikes, templates, lags, values) -> MergeRule:
    features = read_spike_features(traces, spikes, templates, seed=values.seed)
    return same_by_spikes(
        features, lags, merge_separation=values.merge_separation, amplitude_variance=values.amplitude_variance
    )


def _merge(spikes, averages, templates, rules, distances, lags, fewest_spikes):
    """Apply merge rules; drop merged units that have fewer than `fewest_spikes` spikes."""
    trains = trains_of(spikes, len(distances))
    representative, shifts = merge_similar(templates, trains, rules, distances=distances, lags=lags)
    counts = np.bincount(representative[spikes["unit_index"]], minlength=len(representative))
    labels = consecutive_labels(np.where(counts[representative] >= fewest_spikes, representative, -1))
    return relabelled(spikes, labels, shifts), averages.joined(labels, shifts)
