"""
The flow of the sorter: white traces, peaks, clusters, matched spikes, units.

Each step keeps its result in the folder of the run; an interrupted run goes on after the last finished step.
"""

import logging
from pathlib import Path

from spikeinterface.core import BaseRecording, BaseSorting

from ..noise import noise_levels, sample_traces
from ..spike_vectors import without_doubles
from .clusters.find import ClusteringValues, cluster_peaks
from .matching.match import REFRACTORY_MS, MatchingValues
from .output import UnitLimits, make_sorting
from .prepare import prepare_traces
from .rounds import MatchingRounds
from .run_folder import RunFolder
from .settings import DeepSortSettings
from .units.background import measure_background
from .units.refine import RefinementValues, refine_along_drift, refine_clusters, refine_matched

logger = logging.getLogger(__name__)


def sort_recording(recording: BaseRecording, settings: DeepSortSettings, folder: Path, job_kwargs: dict) -> BaseSorting:
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

    Returns
    -------
    BaseSorting
        Units ordered by depth, with the properties `snr` and `main_channel_id`.
    """
    run = RunFolder(folder)
    clustering = clustering_values(settings)
    refinement = refinement_values(settings, recording.get_sampling_frequency())

    prepared = prepare_traces(recording, settings, run, job_kwargs)
    traces, peaks, whitening = prepared.traces, prepared.peaks, prepared.white.whitening
    background = measure_background(traces, num_samples=refinement.nbefore + refinement.nafter, seed=settings.seed)

    spikes = run.keep("clusters", lambda: cluster_peaks(traces, whitening, peaks, clustering))
    if settings.matching is None:
        units = refine_clusters(traces, spikes, background, refinement)
        # One spike has peaks, and therefore clusters, on several channels.
        doubles_reach = round(REFRACTORY_MS * traces.get_sampling_frequency() / 1000)
        units = units._replace(spikes=without_doubles(units.spikes, doubles_reach))
    else:
        matching = matching_values(settings)
        rounds = MatchingRounds(traces, whitening, background, peaks, clustering, refinement, matching, run, job_kwargs)
        spikes = rounds.matched_spikes(spikes, settings.num_rounds)
        refine = refine_along_drift if prepared.is_corrected else refine_matched
        units = refine(traces, spikes, background, refinement)

    noise_before = noise_levels(sample_traces(prepared.white.get_parent(), seed=settings.seed, chunk_s=0.1))
    sorting, dropped = make_sorting(traces, whitening, noise_before, units, unit_limits(settings))
    run.save_table("dropped", dropped)
    run.remove_traces()
    logger.info("%d units, %d spikes", len(sorting.unit_ids), sorting.count_total_num_spikes())
    return sorting


def clustering_values(settings: DeepSortSettings) -> ClusteringValues:
    """The settings that clustering uses."""
    return ClusteringValues(
        most_per_channel=settings.max_peaks_per_channel,
        radius_um=settings.embedding_radius_um,
        embedding=settings.embedding,
        method=settings.clustering,
        min_size=settings.min_cluster_size,
        seed=settings.seed,
    )


def refinement_values(settings: DeepSortSettings, sampling_frequency: float) -> RefinementValues:
    """The settings that refinements of units use, with times in samples; sampling_frequency in Hz."""
    return RefinementValues(
        nbefore=round(settings.ms_before * sampling_frequency / 1000),
        nafter=round(settings.ms_after * sampling_frequency / 1000),
        fewest_spikes=settings.min_cluster_size,
        merge_distance=settings.merge_distance,
        merge_separation=settings.merge_separation,
        match_threshold=settings.match_threshold,
        amplitude_variance=settings.amplitude_variance,
        seed=settings.seed,
    )


def matching_values(settings: DeepSortSettings) -> MatchingValues:
    """The settings that template matching uses."""
    return MatchingValues(
        method=settings.matching,
        threshold=settings.match_threshold,
        amplitude_variance=settings.amplitude_variance,
        seed=settings.seed,
    )


def unit_limits(settings: DeepSortSettings) -> UnitLimits:
    """The settings that decide which units are kept."""
    return UnitLimits(
        firing_rate_hz=settings.min_firing_rate,
        snr=settings.min_amplitude,
        spike_size=settings.min_spike_size,
        seed=settings.seed,
    )
