"""
Learn from a labelled recording what the sorter needs to find its units in another one: templates and thresholds.

Templates are least squares averages in the white traces of the sorter's front end. The threshold of each unit is the
one at which its labelled spikes are found best, beside all the spikes of neurons that have no label.
"""

import logging
from pathlib import Path

import numpy as np
from scipy.special import ndtr
from spikeinterface.core import BaseRecording, BaseSorting

from ...known_units.labelled_units import LabelledUnits
from ...preprocessing.whitening import Whitening
from ...sorter.front_end.cache import cache_traces
from ...sorter.front_end.whitening import filtered_recording, white_recording
from ...sorter.matching.correlate import squared_norms
from ...sorter.matching.match import match_with_amplitudes, noise_scales
from ...sorter.pipeline import matching_values, refinement_values
from ...sorter.settings import DeepSortSettings
from ...sorter.stretches import MOST_LEARNT_S, inside_stretches, join_stretches, spread_stretches
from ...sorter.units.averages import average_units
from ...sorter.units.background import measure_background
from ...sorter.units.least_squares import least_squares_averages
from ...sorter.units.refine import align_to_peaks
from ...sorter.units.templates import UnitTemplates
from ...spike_vectors import absolute_times, in_order

logger = logging.getLogger(__name__)

# Multiples of the sorter's threshold that are tried: below the smallest most matches are noise, and units that need
# more than the largest are hidden by noise at any threshold.
THRESHOLD_FACTORS = np.geomspace(0.4, 2.5, 38)
# Options of SpikeInterface's jobs: labelled recordings are short.
ONE_JOB = dict(n_jobs=1, progress_bar=False, chunk_duration="1s")
# A match is that of a labelled spike if it is this close in ms: less than the shortest interval of a neuron.
HIT_MS = 0.5


def learn_templates(
    recording: BaseRecording, sorting: BaseSorting, unit_ids: list, *, offset_frames: int, seed: int
) -> LabelledUnits:
    """
    Learn templates and thresholds of labelled units.

    Parameters
    ----------
    recording : BaseRecording
        Unfiltered, or marked as filtered.
    sorting : BaseSorting
        Spikes of all labelled units: those that are not learnt are explained as well, so that they spoil no template.
    unit_ids : list
        The units that are learnt.
    offset_frames : int
        Peak minus label.
    seed : int
        Seed of the choice of spikes and of the stretches in which noise is measured.

    Returns
    -------
    LabelledUnits
    """
    settings = DeepSortSettings(seed=seed)
    frequency = recording.get_sampling_frequency()
    values = refinement_values(settings, 1, frequency)
    white = white_recording(
        _filtered(recording, settings),
        motion=None,
        order=settings.whitening_order,
        radius_um=settings.whitening_radius_um,
        seed=seed,
    )
    whitening, stretches = white.whitening, spread_stretches(white, MOST_LEARNT_S)
    traces = join_stretches(white, stretches)
    if stretches is None:
        # Traces are read six times; those of a long recording are filtered anew each time.
        traces = cache_traces(traces, mode="memory", folder=Path(), job_kwargs=ONE_JOB)
    spikes, _ = inside_stretches(_inside(recording, sorting, offset_frames), stretches)
    background = measure_background(traces, num_samples=values.nbefore + values.nafter, seed=seed)
    averages = average_units(traces, spikes, background, nbefore=values.nbefore, nafter=values.nafter, seed=seed)
    averages = least_squares_averages(traces, spikes, averages, seed=seed)
    spikes, averages = align_to_peaks(spikes, averages)
    templates = averages.templates()
    factors = _threshold_factors(traces, templates, spikes, settings)
    kept = [list(sorting.unit_ids).index(unit) for unit in unit_ids]
    gains = recording.get_channel_gains() if recording.has_scaleable_traces() else np.ones(len(whitening.space_matrix))
    return LabelledUnits(
        templates=templates.values[kept],
        nbefore=templates.nbefore,
        num_spikes=templates.num_spikes[kept],
        threshold_factors=factors[kept].astype("float32"),
        # With gains, it whitens traces in uV.
        whitening=Whitening(whitening.time_filter, whitening.space_matrix / gains[:, None]),
        unit_ids=list(unit_ids),
        channel_ids=list(recording.channel_ids),
        is_in_uV=recording.has_scaleable_traces(),
    )


def _filtered(recording: BaseRecording, settings: DeepSortSettings) -> BaseRecording:
    if recording.is_filtered():
        return recording.astype("float32")
    return filtered_recording(
        recording,
        freq_min=settings.freq_min,
        freq_max=settings.freq_max,
        with_reference=settings.common_reference,
        seed=settings.seed,
    )


def _inside(recording: BaseRecording, sorting: BaseSorting, offset_frames: int) -> np.ndarray:
    """Sorted spike vector of the labels, moved to peaks; labels outside the recording and copies are left out."""
    spikes = sorting.to_spike_vector().copy()
    spikes["sample_index"] += offset_frames
    lengths = np.array([recording.get_num_frames(index) for index in range(recording.get_num_segments())])
    inside = (spikes["sample_index"] >= 0) & (spikes["sample_index"] < lengths[spikes["segment_index"]])
    return in_order(np.unique(spikes[inside]))


def _threshold_factors(
    traces: BaseRecording, templates: UnitTemplates, labels: np.ndarray, settings: DeepSortSettings
) -> np.ndarray:
    """
    For each unit, the multiple of the threshold at which the expected accuracy is best, shape (num_units,).

    The share of spikes that a threshold misses follows from the template and the noise: labelled spikes themselves
    fit the template better than others, since it was made from them. False matches are counted.
    """
    values, num_units = matching_values(settings), len(templates.values)
    scales = noise_scales(traces, templates.values, seed=settings.seed)
    found, amplitudes = match_with_amplitudes(
        traces,
        templates.values,
        templates.nbefore,
        values,
        job_kwargs=ONE_JOB,
        threshold_factors=np.full(num_units, THRESHOLD_FACTORS[0]),
    )
    precision = 1 / values.amplitude_variance
    energies = squared_norms(templates.values)
    scores = amplitudes**2 * (energies[found["unit_index"]] + precision) - precision
    is_false = ~_are_hits(found, labels, round(HIT_MS * traces.get_sampling_frequency() / 1000))
    errors = templates.squared_errors().sum(axis=1)
    factors = np.ones(num_units)
    for unit in range(num_units):
        num_labels = int(np.sum(labels["unit_index"] == unit))
        if num_labels == 0 or energies[unit] <= 0:
            continue
        thresholds = values.threshold * scales[unit] ** 2 * THRESHOLD_FACTORS
        false = np.sort(scores[is_false & (found["unit_index"] == unit)])
        num_false = len(false) - np.searchsorted(false, thresholds)
        # The correlation with the template that gives a score, and that of a spike: its energy and the noise.
        needed = np.sqrt((thresholds + precision) * (energies[unit] + precision)) - precision
        expected = max(energies[unit] - errors[unit], 0.0)
        found_share = ndtr((expected - needed) / (scales[unit] * np.sqrt(energies[unit])))
        accuracies = num_labels * found_share / (num_labels + num_false)
        # One spike more or less says nothing; of thresholds that are equally good, the sorter's own is nearest.
        as_good = np.flatnonzero(accuracies >= accuracies.max() - 1 / num_labels)
        factors[unit] = THRESHOLD_FACTORS[as_good[np.abs(np.log(THRESHOLD_FACTORS[as_good])).argmin()]]
    return factors


def _are_hits(found: np.ndarray, labels: np.ndarray, reach: int) -> np.ndarray:
    """Which found spikes have a label of their unit nearby."""
    hits = np.zeros(len(found), dtype=bool)
    times, label_times = absolute_times(found), absolute_times(labels)
    for unit in np.unique(labels["unit_index"]):
        own, true = np.flatnonzero(found["unit_index"] == unit), label_times[labels["unit_index"] == unit]
        after = np.searchsorted(true, times[own])
        nearest = [np.abs(true[np.clip(place, 0, len(true) - 1)] - times[own]) for place in (after, after - 1)]
        hits[own] = np.minimum(*nearest) <= reach
    return hits
