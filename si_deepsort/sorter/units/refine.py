"""
Refinement of units: align, merge, and drop false units.

Each function below serves one situation in the flow of the sorter and is made of the same steps. What differs is how
far the spikes can be trusted: clusters hold few spikes of a unit, and may hold large peaks of one unit together with
side lobes of another; spikes that were matched with templates of such clusters are more, but no purer; only spikes that
were matched with templates of matched spikes are nearly complete and pure.
"""

from dataclasses import dataclass, replace

import numpy as np
from spikeinterface.core import BaseRecording

from ...spike_vectors import apart_from, consecutive_labels, in_order, relabelled, trains_of, without_doubles
from .averages import UnitAverages, average_units
from .background import Background
from .bursts import burst_parts
from .changes import parts_of_changing_neurons
from .collisions import find_redundant_units
from .dropped import COLLISION, FEW_SPIKES, MERGED, SATELLITE, DroppedUnit, dropped_units
from .merge import (
    REFRACTORY_S,
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
        Units whose matched spikes are not significantly farther apart, in their own standard deviations, are one unit.
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


@dataclass(frozen=True)
class Refined:
    """
    Refined units.

    Attributes
    ----------
    spikes : np.ndarray
        Sorted spike vector.
    averages : UnitAverages
        Average waveforms of the units.
    dropped : list of DroppedUnit
        Units that were merged or dropped.
    """

    spikes: np.ndarray
    averages: UnitAverages
    dropped: list[DroppedUnit]


def refine_clusters(
    traces: BaseRecording, spikes: np.ndarray, background: Background, values: RefinementValues
) -> Refined:
    """
    Refine the units of clustered peaks, and of spikes that were matched with templates of such clusters.

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
    Refined
    """
    # Under one name, so that averages of many units are given back once they are joined.
    units = _aligned_units(traces, spikes, background, values)
    units = merge_by_templates(units, values)
    return drop_redundant(traces, units, values, fewest_others=2)


def refine_without_matching(
    traces: BaseRecording, spikes: np.ndarray, background: Background, values: RefinementValues
) -> Refined:
    """
    Refine the units of clustered peaks that no matching will follow, where one unit has clusters on several channels.

    Units of similar shape that share a refractory period become one here: no later step could join them. Parameters
    and result as in `refine_clusters`.
    """
    aligned = _aligned_units(traces, spikes, background, values)
    templates = aligned.averages.templates()
    distances, lags = template_distances(templates)
    rules = [
        same_by_templates(distances, values.merge_distance),
        same_by_refractory_period(
            template_cosines(template_norms(templates), distances), traces.get_sampling_frequency()
        ),
    ]
    merged = _merge(aligned, rules, distances, lags, values.fewest_spikes)
    return drop_redundant(traces, merged, values, fewest_others=1)


def refine_matched(
    traces: BaseRecording, spikes: np.ndarray, background: Background, values: RefinementValues
) -> Refined:
    """Refine units whose spikes are nearly complete and pure. Parameters and result as in `refine_clusters`."""
    units = join_parts(traces, _aligned_units(traces, spikes, background, values), values)
    units = merge_by_spikes(traces, units, values)
    return drop_satellites(traces, drop_redundant(traces, units, values, fewest_others=2), values)


def refine_before_last_matching(
    traces: BaseRecording, spikes: np.ndarray, background: Background, values: RefinementValues
) -> Refined:
    """
    Refine as `refine_matched`, and drop units that a single other one explains as well: it takes their spikes.

    Parameters and result as in `refine_clusters`.
    """
    merged = merge_by_spikes(traces, _aligned_units(traces, spikes, background, values), values)
    return drop_satellites(traces, drop_redundant(traces, merged, values, fewest_others=1), values)


def refine_along_drift(
    traces: BaseRecording, spikes: np.ndarray, background: Background, values: RefinementValues
) -> Refined:
    """
    Refine units of the last matching in traces that were interpolated along drift.

    Until then, parts of a unit that drift leaves different have templates of their own, each for its moments of the
    recording; here they become one unit. Parameters and result as in `refine_clusters`.
    """
    units = join_parts(traces, _aligned_units(traces, spikes, background, values), values)
    units = merge_parts_along_drift(traces, units, values)
    return drop_satellites(traces, drop_redundant(traces, units, values, fewest_others=2), values)


def align_to_peaks(spikes: np.ndarray, averages: UnitAverages) -> tuple[np.ndarray, UnitAverages]:
    """Move spike times to the largest peak of each template: a cluster may sit on a side lobe of its waveform."""
    offsets = peak_offsets(averages.templates())
    same = np.arange(len(offsets))
    return relabelled(spikes, same, offsets), averages.joined(same, offsets)


def merge_by_templates(units: Refined, values: RefinementValues) -> Refined:
    """
    Merge units whose templates are close; drop units with few spikes.

    Clusters never hold all spikes of a unit: peaks beside larger ones are not detected, and parts of a unit that was
    split are made of isolated spikes. They seem to avoid each other, so a common refractory period says nothing yet.
    """
    distances, lags = template_distances(units.averages.templates())
    rules = [same_by_templates(distances, values.merge_distance)]
    return _merge(units, rules, distances, lags, values.fewest_spikes)


def merge_by_spikes(traces: BaseRecording, units: Refined, values: RefinementValues) -> Refined:
    """Merge units whose spikes are close, or which share a refractory period; drop units with few spikes."""
    templates = units.averages.templates()
    distances, lags = template_distances(templates)
    cosines = template_cosines(template_norms(templates), distances)
    rules = [
        _rule_by_spikes(traces, units.spikes, templates, lags, values),
        same_by_refractory_period(cosines, traces.get_sampling_frequency()),
    ]
    return _merge(units, rules, distances, lags, values.fewest_spikes)


def merge_parts_along_drift(traces: BaseRecording, units: Refined, values: RefinementValues) -> Refined:
    """Merge as `merge_by_spikes`, and parts of a drifting unit as well."""
    templates = units.averages.templates()
    distances, lags = template_distances(templates)
    norms = template_norms(templates)
    cosines = template_cosines(norms, distances)
    rules = [
        _rule_by_spikes(traces, units.spikes, templates, lags, values),
        same_along_drift(cosines, norms, traces.get_sampling_frequency()),
        same_by_refractory_period(cosines, traces.get_sampling_frequency()),
    ]
    return _merge(units, rules, distances, lags, values.fewest_spikes)


def join_parts(traces: BaseRecording, units: Refined, values: RefinementValues) -> Refined:
    """Join units that are parts of one neuron, whose spikes shrink in bursts or change slowly."""
    templates, sampling_frequency = units.averages.templates(), traces.get_sampling_frequency()
    trains, separation = trains_of(units.spikes, len(templates.values)), values.merge_separation
    joined = _join(units, *burst_parts(templates, trains, sampling_frequency=sampling_frequency), sampling_frequency)
    templates = joined.averages.templates()
    parts = parts_of_changing_neurons(traces, joined.spikes, templates, merge_separation=separation, seed=values.seed)
    return _join(joined, *parts, sampling_frequency)


def drop_redundant(traces: BaseRecording, units: Refined, values: RefinementValues, *, fewest_others: int) -> Refined:
    """Drop units whose spikes others explain as well, see `find_redundant_units`."""
    is_redundant = find_redundant_units(
        traces,
        units.spikes,
        units.averages.templates(),
        fewest_others=fewest_others,
        threshold=values.match_threshold,
        amplitude_variance=values.amplitude_variance,
        seed=values.seed,
    )
    return keep_units(units, ~is_redundant, COLLISION)


def drop_satellites(traces: BaseRecording, units: Refined, values: RefinementValues) -> Refined:
    """Drop spikes that larger units leave over, and units that then have few spikes."""
    templates = units.averages.templates()
    is_left_over = find_satellite_spikes(templates, units.spikes, traces.get_sampling_frequency())
    counts = np.bincount(units.spikes["unit_index"][~is_left_over], minlength=len(templates.values))
    kept = keep_units(units, counts >= values.fewest_spikes, SATELLITE)
    is_left_over = is_left_over[counts[units.spikes["unit_index"]] >= values.fewest_spikes]
    return replace(kept, spikes=kept.spikes[~is_left_over])


def keep_units(units: Refined, is_kept: np.ndarray, reason: str) -> Refined:
    """Keep some units, `is_kept` of shape (num_units,), and number them anew; the others are dropped for a reason."""
    labels = consecutive_labels(np.where(is_kept, np.arange(len(is_kept)), -1))
    dropped = units.dropped + dropped_units(units.spikes, units.averages, ~is_kept, reason)
    return Refined(relabelled(units.spikes, labels), units.averages.joined(labels), dropped)


def _aligned_units(traces: BaseRecording, spikes, background, values) -> Refined:
    averages = average_units(traces, spikes, background, nbefore=values.nbefore, nafter=values.nafter, seed=values.seed)
    return Refined(*align_to_peaks(spikes, averages), [])


def _rule_by_spikes(traces: BaseRecording, spikes, templates, lags, values) -> MergeRule:
    features = read_spike_features(traces, spikes, templates, seed=values.seed)
    return same_by_spikes(
        features, lags, merge_separation=values.merge_separation, amplitude_variance=values.amplitude_variance
    )


def _join(units: Refined, representative, shifts, sampling_frequency) -> Refined:
    """Join parts of neurons; of spikes found with two parts, that of the larger one stays."""
    is_joined = representative != np.arange(len(representative))
    labels = consecutive_labels(representative)
    reach, spikes = round(REFRACTORY_S * sampling_frequency), relabelled(units.spikes, labels, shifts)
    kept = spikes[~np.isin(spikes["unit_index"], labels[is_joined])]
    for part in np.argsort(-template_norms(units.averages.templates()), kind="stable"):
        if labels[part] in labels[is_joined]:
            own = without_doubles(relabelled(units.spikes[units.spikes["unit_index"] == part], labels, shifts), reach)
            kept = in_order(np.concatenate([kept, apart_from(own, kept, reach)]))
    dropped = units.dropped + dropped_units(units.spikes, units.averages, is_joined, MERGED)
    return Refined(kept, units.averages.joined(labels, shifts), dropped)


def _merge(units: Refined, rules, distances, lags, fewest_spikes) -> Refined:
    """Apply merge rules; drop merged units that have fewer than `fewest_spikes` spikes."""
    trains = trains_of(units.spikes, len(distances))
    representative, shifts = merge_similar(units.averages.templates(), trains, rules, distances=distances, lags=lags)
    counts = np.bincount(representative[units.spikes["unit_index"]], minlength=len(representative))
    is_many = counts[representative] >= fewest_spikes
    is_merged = representative != np.arange(len(representative))
    labels = consecutive_labels(np.where(is_many, representative, -1))
    dropped = [
        *units.dropped,
        *dropped_units(units.spikes, units.averages, is_merged & is_many, MERGED),
        *dropped_units(units.spikes, units.averages, ~is_many, FEW_SPIKES),
    ]
    return Refined(relabelled(units.spikes, labels, shifts), units.averages.joined(labels, shifts), dropped)
