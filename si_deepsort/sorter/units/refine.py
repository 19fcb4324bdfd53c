"""Units of a spike vector: their average waveforms, and which of them are one."""

import numpy as np

from .averages import average_waveforms, some_of_each
from .isolated import are_alone
from .merge import find_leftovers, find_mixtures, merge_similar, trains_of
from .spike_features import read_spike_features
from .templates import MOST_SHIFT, Background, UnitAverages, clean_averages, peak_offsets, template_distances

# Spikes of a unit that tell roughly what it adds to those of others.
MOST_ROUGH = 50


def merge_units(
    traces, background, spikes, settings, *, are_matched: bool, are_complete: bool = True, follows_drift: bool = False
):
    """
    Similar units joined, mixtures of units and small units dropped.

    Parameters
    ----------
    are_matched : bool
        Whether the spikes are as pure as matching makes them. Clusters, and what their templates match, may hold the
        largest peaks of one unit and side lobes of another one.
    are_complete : bool, default: True
        Whether units have nearly all of their spikes, as after a matching; those of new clusters beside them are few.
    follows_drift : bool, default: False
        See `merge_similar`.

    Returns
    -------
    spikes : np.ndarray
        Spike vector.
    averages : UnitAverages
    """
    averages = average_units(traces, background, spikes, settings)
    # A cluster may sit on a side lobe of its waveform; templates are compared with their largest peaks aligned.
    offsets = peak_offsets(averages.templates())
    averages = averages.joined(np.arange(len(offsets)), offsets)
    spikes = _relabelled(spikes, np.arange(len(offsets)), offsets)
    templates = averages.templates()
    distances, lags = template_distances(templates)
    # Clusters, and what their templates match, are not so pure that spikes tell which units are one.
    if are_matched:
        features = read_spike_features(traces, spikes, templates, seed=settings.seed)

        def is_same(one, other):
            separation = features.separation(one, other, lags[one, other], settings.amplitude_variance)
            return separation < settings.merge_separation
    else:

        def is_same(one, other):
            return distances[one, other] < settings.merge_distance

    pairs = dict(distances=distances, lags=lags, is_same=is_same, follows_drift=follows_drift)
    representative, shifts = merge_similar(templates, spikes, traces.get_sampling_frequency(), **pairs)
    counts = np.bincount(representative[spikes["unit_index"]], minlength=len(representative))
    labels = _consecutive(np.where(counts[representative] >= settings.min_cluster_size, representative, -1))
    averages, spikes = averages.joined(labels, shifts), _relabelled(spikes, labels, shifts)
    templates = averages.templates()
    trains = trains_of(spikes, len(templates.values)) if are_complete else None
    is_none = find_mixtures(templates, trains, traces.get_sampling_frequency())
    # With templates of matched spikes, those that follow a larger unit are left over by it.
    if are_matched and settings.num_rounds > 0:
        spikes = spikes[~find_leftovers(templates, spikes, traces.get_sampling_frequency())]
        is_none |= np.bincount(spikes["unit_index"], minlength=len(is_none)) < settings.min_cluster_size
    labels = _consecutive(np.where(is_none, -1, np.arange(len(is_none))))
    shifts = np.zeros(len(labels), dtype=int)
    return _relabelled(spikes, labels, shifts), averages.joined(labels, shifts)


def template_samples(traces, settings) -> tuple[int, int]:
    """Samples of a template before and after the spike time."""
    sampling_frequency = traces.get_sampling_frequency()
    return round(settings.ms_before * sampling_frequency / 1000), round(settings.ms_after * sampling_frequency / 1000)


def average_units(traces, background: Background, spikes, settings) -> UnitAverages:
    """Average waveforms of the units of a spike vector, from spikes that are nearly alone."""
    nbefore, nafter = template_samples(traces, settings)
    num_units = int(spikes["unit_index"].max(initial=-1)) + 1

    def average(chosen, margin, main_channels=None):
        reach = dict(nbefore=nbefore + margin, nafter=nafter + margin)
        counts = np.bincount(chosen["unit_index"], minlength=num_units)
        options = dict(main_channels=main_channels, seed=settings.seed)
        return average_waveforms(traces, chosen, num_units, **reach, **options), counts

    some = spikes[some_of_each(spikes["unit_index"], MOST_ROUGH, settings.seed)]
    values, counts = average(some, 0)
    rough = clean_averages(values, counts, nbefore, background)
    alone = are_alone(spikes, rough, traces.get_channel_locations()[:, :2])
    values, counts = average(spikes[alone], MOST_SHIFT, np.abs(values).max(axis=1).argmax(axis=1))
    return UnitAverages(values, nbefore, counts, background)


def _relabelled(spikes, labels, shifts):
    """Spikes with a new label for each unit, -1 to drop it, their times moved by the shift of their unit."""
    spikes = spikes[labels[spikes["unit_index"]] >= 0].copy()
    spikes["sample_index"] += shifts[spikes["unit_index"]]
    spikes["unit_index"] = labels[spikes["unit_index"]]
    return in_order(spikes)


def _consecutive(labels):
    """Labels as 0, 1, ...; -1 stays."""
    values, positions = np.unique(labels, return_inverse=True)
    return positions - np.count_nonzero(values < 0)


def in_order(spikes: np.ndarray) -> np.ndarray:
    """A spike vector sorted by segment, sample and unit."""
    return spikes[np.lexsort((spikes["unit_index"], spikes["sample_index"], spikes["segment_index"]))]


def without_doubles(spikes: np.ndarray, reach: int) -> np.ndarray:
    """The spike vector without spikes that come at most `reach` frames after another one of their unit."""
    order = np.lexsort((spikes["sample_index"], spikes["segment_index"], spikes["unit_index"]))
    ordered = spikes[order]
    is_double = np.zeros(len(spikes), dtype=bool)
    is_double[1:] = np.diff(ordered["sample_index"]) <= reach
    for name in ("unit_index", "segment_index"):
        is_double[1:] &= np.diff(ordered[name]) == 0
    return in_order(ordered[~is_double])
