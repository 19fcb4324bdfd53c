"""
The flow of the sorter: white traces, peaks, clusters, matched spikes, units.

Each step keeps its result in the folder of the run; an interrupted run goes on after the last finished step.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting

from ..preprocessing.shared_noise import own_noise_levels
from ..preprocessing.whitening import Whitening
from ..spike_vectors import without_doubles
from .cluster_stream import run_on_cluster
from .clusters.find import ClusteringValues, cluster_peaks
from .judge import JudgingValues, judge_units
from .matching.match import REFRACTORY_MS, MatchingValues
from .output import UnitLimits, make_sorting
from .prepare import prepare_traces
from .rounds import MatchingRounds, Refinement
from .run_folder import RunFolder
from .settings import DeepSortSettings
from .stretches import MOST_LEARNT_S
from .units.background import Background, measure_background
from .units.known import KnownUnits, refine_beside_known
from .units.reach import waveform_reach
from .units.refine import Refined, RefinementValues, refine_along_drift, refine_matched, refine_without_matching
from .units.refine_in_stretches import refine_in_stretches

if TYPE_CHECKING:  # imports PyTorch
    from ..known_units.labelled_units import LabelledUnits

logger = logging.getLogger(__name__)

# Firing rate in Hz of the rarest neurons whose spikes are to make a cluster in a short recording.
RARE_RATE_HZ = 0.25
# Limits of the smallest cluster: units with fewer than 5 spikes cannot be compared (`units.spike_features`), and 15 are
# what 60 s give at the rate above. Tuned on generated development recordings (seeds 1-5).
FEWEST_CLUSTERED, MOST_REQUIRED = 5, 15
# Units whose typical spike is this share of the smallest size, or more, are kept if they are judged to be good: in
# generated development recordings (seeds 1-6), of those from .9 on all were neurons, of smaller ones none.
DOUBTFUL_SHARE = 0.9


def sort_recording(
    recording: BaseRecording,
    settings: DeepSortSettings,
    folder: Path,
    job_kwargs: dict,
    begin: Callable[[str], None] | None = None,
    labelled: "LabelledUnits | None" = None,
) -> BaseSorting:
    """
    Sort a recording.

    Parameters
    ----------
    recording : BaseRecording
    settings : DeepSortSettings
    folder : Path
        Where the results of the steps are kept.
    job_kwargs : dict
        SpikeInterface's job_kwargs.
    begin : callable | None, default: None
        Is told the name of each step before it begins, see `progress.run_steps`.
    labelled : LabelledUnits | None, default: None
        Units that are known from a labelled recording, which are matched with their own templates and keep their ids.

    Returns
    -------
    BaseSorting
        Units ordered by depth, after the known ones, with the properties `snr` and `main_channel_id`.
    """
    run = RunFolder(folder, begin)
    sorting = _found_units(recording, settings, run, job_kwargs, labelled)
    run.remove_traces()
    logger.info("%d units, %d spikes", len(sorting.unit_ids), sorting.count_total_num_spikes())
    return sorting


def _found_units(
    recording: BaseRecording,
    settings: DeepSortSettings,
    run: RunFolder,
    job_kwargs: dict,
    labelled: "LabelledUnits | None",
) -> BaseSorting:
    """The steps of `sort_recording`; what reads the cached traces ends with this function."""
    min_size = smallest_unit(recording, settings)
    clustering = clustering_values(settings, min_size)
    refinement = refinement_values(settings, min_size, recording.get_sampling_frequency())
    prepared = prepare_traces(recording, settings, run, job_kwargs)
    traces, peaks, whitening = prepared.traces, prepared.peaks, prepared.white.whitening
    spikes = run.keep("clusters", lambda: cluster_peaks(traces, whitening, peaks, clustering))
    refinement = with_whole_waveforms(traces, spikes, refinement, settings)
    background = measure_background(traces, num_samples=refinement.nbefore + refinement.nafter, seed=settings.seed)
    if settings.matching is None:
        run.begin("units")
        units, spikes = units_of_peaks(traces, spikes, background, refinement)
    else:
        stream = cluster_stream(settings.dask_scheduler, job_kwargs)
        values = clustering, refinement, matching_values(settings), run, job_kwargs, stream
        known = known_templates(labelled, recording, whitening, refinement)
        rounds = MatchingRounds(prepared.whole, traces, whitening, background, peaks, *values, known)
        spikes = rounds.matched_spikes(spikes, settings.num_rounds)
        run.begin("units")
        refine = last_refinement(known, is_corrected=prepared.is_corrected)
        units, spikes = refine_in_stretches(refine, traces, spikes, prepared.stretches, background, refinement)
    noise_before = own_noise_levels(prepared.white.get_parent(), seed=settings.seed)
    made = noise_before, units, spikes, unit_limits(settings), labelled.unit_ids if labelled else ()
    sorting, dropped = make_sorting(prepared.whole, traces, prepared.noise, whitening, *made)
    run.save_table("dropped", dropped)
    if settings.assess:
        limits = judging_values(settings, labelled)
        sorting = judge_units(sorting, prepared.whole, whitening, noise_before, run, limits)
    return sorting


def units_of_peaks(
    traces: BaseRecording, spikes: np.ndarray, background: Background, values: RefinementValues
) -> tuple[Refined, np.ndarray]:
    """Units of clustered peaks and their spikes, where no matching follows."""
    units = refine_without_matching(traces, spikes, background, values)
    # One spike has peaks, and therefore clusters, on several channels.
    spikes = without_doubles(units.spikes, round(REFRACTORY_MS * traces.get_sampling_frequency() / 1000))
    return replace(units, spikes=spikes), spikes


def last_refinement(known: KnownUnits | None, *, is_corrected: bool) -> Refinement:
    """The refinement of the spikes of the last matching: in traces corrected for drift, and beside known units."""
    refine = refine_along_drift if is_corrected else refine_matched
    return refine if known is None else partial(refine_beside_known, refine, known)


def known_templates(
    labelled: "LabelledUnits | None", recording: BaseRecording, whitening: Whitening, values: RefinementValues
) -> KnownUnits | None:
    """Templates of labelled units in the white traces of a recording, as long as those of the units that are found."""
    if labelled is None:
        return None
    templates = labelled.templates_in(recording, whitening, nbefore=values.nbefore, nafter=values.nafter)
    return KnownUnits(templates, labelled.num_spikes, labelled.threshold_factors)


def cluster_stream(scheduler: str | None, job_kwargs: dict) -> Callable[..., np.ndarray] | None:
    """What runs a node on the workers of a dask scheduler, by its address; None without one."""
    if scheduler is None:
        return None
    return partial(run_on_cluster, scheduler=scheduler, progress_bar=job_kwargs.get("progress_bar", False))


def smallest_unit(recording: BaseRecording, settings: DeepSortSettings) -> int:
    """Smallest number of spikes of a unit in the seconds from which units are learnt; told in the log."""
    learnt_s = min(recording.get_total_duration(), np.inf if settings.matching is None else MOST_LEARNT_S)
    min_size = smallest_cluster(learnt_s) if settings.min_cluster_size is None else settings.min_cluster_size
    tell_rarest(min_size, settings.min_firing_rate, learnt_s)
    return min_size


def smallest_cluster(duration_s: float) -> int:
    """Smallest number of spikes of a cluster in a recording of some seconds: those of a rare neuron, within limits."""
    return min(max(math.ceil(RARE_RATE_HZ * duration_s), FEWEST_CLUSTERED), MOST_REQUIRED)


def tell_rarest(min_size: int, min_rate_hz: float, duration_s: float) -> None:
    """Say in the log which firing rates the smallest number of spikes and the smallest rate of a unit leave out."""
    logger.info(
        "Neurons that fire less than %.2g Hz cannot be found: a unit needs %d spikes in these %.3g s",
        max(min_size / max(duration_s, 1e-9), min_rate_hz),
        max(min_size, math.ceil(min_rate_hz * duration_s)),
        duration_s,
    )


def clustering_values(settings: DeepSortSettings, min_size: int) -> ClusteringValues:
    """The settings that clustering uses; `min_size` is the smallest number of spikes of a cluster."""
    return ClusteringValues(
        most_per_channel=settings.max_peaks_per_channel,
        radius_um=settings.embedding_radius_um,
        embedding=settings.embedding,
        method=settings.clustering,
        min_size=min_size,
        seed=settings.seed,
    )


def refinement_values(settings: DeepSortSettings, min_size: int, sampling_frequency: float) -> RefinementValues:
    """The settings that refinements use, with times in samples; a unit has `min_size` spikes; frequency in Hz."""
    return RefinementValues(
        nbefore=round(settings.ms_before * sampling_frequency / 1000),
        nafter=round(settings.ms_after * sampling_frequency / 1000),
        fewest_spikes=min_size,
        merge_distance=settings.merge_distance,
        merge_separation=settings.merge_separation,
        match_threshold=settings.match_threshold,
        amplitude_variance=settings.amplitude_variance,
        seed=settings.seed,
    )


def with_whole_waveforms(
    traces: BaseRecording, spikes: np.ndarray, values: RefinementValues, settings: DeepSortSettings
) -> RefinementValues:
    """The values with longer templates if the waveforms of the clustered peaks are longer."""
    nbefore, nafter = waveform_reach(
        traces,
        spikes,
        nbefore=values.nbefore,
        nafter=values.nafter,
        least_size=settings.min_spike_size,
        seed=settings.seed,
    )
    if (nbefore, nafter) != (values.nbefore, values.nafter):
        logger.info(
            "Waveforms outlast ms_before and ms_after: templates have %.1f ms before and %.1f ms after the spike",
            *(samples * 1000 / traces.get_sampling_frequency() for samples in (nbefore, nafter)),
        )
    return replace(values, nbefore=nbefore, nafter=nafter)


def matching_values(settings: DeepSortSettings) -> MatchingValues:
    """The settings that template matching uses."""
    assert settings.matching is not None
    return MatchingValues(
        method=settings.matching,
        threshold=settings.match_threshold,
        amplitude_variance=settings.amplitude_variance,
        seed=settings.seed,
        device=settings.device,
    )


def unit_limits(settings: DeepSortSettings) -> UnitLimits:
    """The settings that decide which units are kept; somewhat smaller ones are kept until they are judged."""
    return UnitLimits(
        firing_rate_hz=settings.min_firing_rate,
        snr=settings.min_amplitude,
        spike_size=settings.min_spike_size * (DOUBTFUL_SHARE if settings.assess else 1.0),
        seed=settings.seed,
    )


def judging_values(settings: DeepSortSettings, labelled: "LabelledUnits | None") -> JudgingValues:
    """The settings that decide which units are left out because of what they were judged to be."""
    known_ids = labelled.unit_ids if labelled else ()
    return JudgingValues(
        known_ids=known_ids,
        spike_size=settings.min_spike_size,
        drop_fragments=settings.drop_fragments,
        seed=settings.seed,
    )
