"""
The flow of the sorter, on one screen: white traces, peaks, embeddings, clusters, templates, spikes.

Each step keeps its result in the sorter's folder; a run that was interrupted goes on from the last finished step.
"""

import logging
import shutil
from pathlib import Path

import numpy as np

from ..chunks import are_inside, spread_chunks
from ..geometry import channel_distances
from ..noise import noise_levels, sample_traces
from ..spike_vectors import in_order, main_channels, make_spike_vector, without_doubles
from .clusters.cluster import cluster_by_channel
from .clusters.embed import describe_peaks, peak_embeddings, select_peaks
from .clusters.split import split_units
from .front_end.cache import cache_traces
from .front_end.motion import find_drift, is_moving, load_drift, preset_motion, save_drift
from .front_end.whitening import filtered_recording, white_recording
from .matching.match import REFRACTORY_MS, match_templates
from .matching.residual_peaks import unexplained_peaks, worth_clustering
from .output import clean_units
from .peaks.find import find_spike_peaks
from .units.averages import average_units
from .units.background import measure_background
from .units.refine import RefinementValues, refine_along_drift, refine_clusters, refine_matched, refine_round
from .units.templates import peak_offsets

logger = logging.getLogger(__name__)

# A peak this close in time to a spike nearby is that spike.
EXPLAINED_MS = 1.0
# Seconds of a long recording, spread over all of it, that templates of clusters are matched in: few where any of their
# spikes do, many where small units are to be found among what is left. Only the last matching looks at everything.
MOST_CLUSTERED_S, MOST_LEARNT_S = 100.0, 300.0


def sort_recording(recording, settings, folder: Path, job_kwargs: dict):
    """
    Sort a recording.

    Parameters
    ----------
    recording : BaseRecording
    settings : DeepSortSettings
    folder : Path
        Where the results of the steps are kept.
    job_kwargs : dict
        Of SpikeInterface.

    Returns
    -------
    NumpySorting
        Units ordered by depth; properties `snr` and `main_channel_id`.
    """
    steps = folder / "steps"
    steps.mkdir(parents=True, exist_ok=True)
    white, traces, peaks = steady_traces_and_peaks(recording, settings, folder, job_kwargs)
    whitening = white.whitening
    noise_before = noise_levels(sample_traces(white.get_parent(), seed=settings.seed, chunk_s=0.1))
    values = refinement_values(settings, traces.get_sampling_frequency())
    background = measure_background(traces, num_samples=values.nbefore + values.nafter, seed=settings.seed)
    spikes = _step(steps / "clusters.npy", lambda: cluster_peaks(traces, whitening, peaks, settings))
    if settings.matching is not None:
        spikes = match_in_rounds(traces, whitening, background, peaks, spikes, settings, steps, job_kwargs)
        refine = refine_along_drift if follows_drift(settings, folder / "motion") else refine_matched
    else:
        # A unit makes clusters on several channels.
        refine = refine_clusters
    spikes, averages = refine(traces, spikes, background, values)
    if settings.matching is None:
        # One spike makes peaks on several channels.
        spikes = without_doubles(spikes, round(REFRACTORY_MS * traces.get_sampling_frequency() / 1000))
    sorting = clean_units(traces, whitening, noise_before, spikes, averages, settings)
    for name in ("traces", "traces_steady"):
        shutil.rmtree(folder / name, ignore_errors=True)
    logger.info("%d units, %d spikes", len(sorting.unit_ids), sorting.count_total_num_spikes())
    return sorting


def refinement_values(settings, sampling_frequency: float) -> RefinementValues:
    """The settings that refinements of units use, with times in samples."""
    return RefinementValues(
        nbefore=round(settings.ms_before * sampling_frequency / 1000),
        nafter=round(settings.ms_after * sampling_frequency / 1000),
        fewest_spikes=settings.min_cluster_size,
        merge_distance=settings.merge_distance,
        merge_separation=settings.merge_separation,
        amplitude_variance=settings.amplitude_variance,
        seed=settings.seed,
    )


def steady_traces_and_peaks(recording, settings, folder: Path, job_kwargs: dict):
    """White traces, lazy and cached, and their peaks; all three anew along the drift where there is any."""

    def start(name, motion=None):
        if settings.apply_preprocessing:
            filtered = filtered_recording(
                recording,
                freq_min=settings.freq_min,
                freq_max=settings.freq_max,
                with_reference=settings.common_reference,
            )
        else:
            filtered = recording.astype("float32")
        if settings.motion_correction not in ("auto", None):
            motion = preset_motion(filtered, preset=settings.motion_correction, folder=folder / "motion")
        white = white_recording(
            filtered,
            motion=motion,
            order=settings.whitening_order,
            radius_um=settings.whitening_radius_um,
            seed=settings.seed,
        )
        traces = cache_traces(white, mode=settings.cache, folder=folder / name, job_kwargs=job_kwargs)
        path = folder / "steps" / f"{name.replace('traces', 'peaks')}.npy"
        return white, traces, _step(path, lambda: find_spike_peaks(traces, white.whitening, settings, job_kwargs))

    if settings.motion_correction != "auto":
        return start("traces")
    motion, started = load_drift(folder / "motion"), None
    if motion is None:
        started = white, traces, peaks = start("traces")
        motion = find_drift(traces, white.whitening, peaks, seed=settings.seed)
        del white, traces, peaks
        save_drift(motion, folder / "motion")
    if not is_moving(motion):
        return started or start("traces")
    # Traces that are kept in memory are given back before there are others.
    del started
    shutil.rmtree(folder / "traces", ignore_errors=True)
    return start("traces_steady", motion)


def follows_drift(settings, motion_folder: Path) -> bool:
    """Whether traces are interpolated along drift."""
    if settings.motion_correction == "auto":
        return is_moving(load_drift(motion_folder))
    return settings.motion_correction is not None


def match_in_rounds(traces, whitening, background, peaks, spikes, settings, steps: Path, job_kwargs):
    """
    Matched spikes of the units of clustered peaks.

    In each round units that were missed are looked for, then all are matched with templates of clusters; at the end
    once more, with templates of what these matched. All but the last matching look at stretches of a long recording.
    """
    few, many = (spread_chunks(traces, most_s) for most_s in (MOST_CLUSTERED_S, MOST_LEARNT_S))

    values = refinement_values(settings, traces.get_sampling_frequency())

    def match(name, spikes, chunks, refine=refine_round):
        options = dict(refine=refine, chunks=chunks, job_kwargs=job_kwargs)
        return _step(steps / f"{name}.npy", lambda: rematch(traces, background, spikes, settings, **options))

    def look_again(number, spikes, chunks):
        def look():
            path = steps / f"clustered_{number - 1}.npy"
            before = np.load(path) if path.exists() else np.zeros(0, dtype=int)
            reach = dict(nbefore=values.nbefore, nafter=values.nafter)
            templates = average_units(traces, spikes, background, **reach, seed=settings.seed).templates()
            missed = np.flatnonzero(are_inside(peaks, chunks))
            missed = missed[are_missed(traces, templates, peaks[missed], spikes, settings)]
            chosen, clustered = worth_clustering(peaks["channel_index"], missed, before)
            found = with_new_units(traces, whitening, templates, peaks[chosen], spikes, settings)
            np.save(steps / f"clustered_{number}.npy", clustered)
            return found

        return _step(steps / f"clusters_{number}.npy", look)

    last = settings.num_rounds
    spikes = match("matched_clusters", spikes, few if last > 0 else None, refine_clusters)
    for number in range(1, last + 1):
        spikes = look_again(number, spikes, few if number == 1 else many)
        spikes = match(f"matched_clusters_{number}", spikes, few if number == last else many)
    if last > 0:
        spikes = match("matched", spikes, None, refine_matched)
    return spikes


def cluster_peaks(traces, whitening, peaks, settings):
    """Clustered peaks as a spike vector; peaks of no cluster are left out."""
    peaks = select_peaks(peaks, most_per_channel=settings.max_peaks_per_channel, seed=settings.seed)
    descriptions = describe_peaks(traces, whitening, peaks, radius_um=settings.embedding_radius_um)
    labels = cluster_by_channel(
        peak_embeddings(descriptions, settings.embedding, traces.get_sampling_frequency()),
        peaks["channel_index"],
        method=settings.clustering,
        min_size=settings.min_cluster_size,
        seed=settings.seed,
    )
    logger.info("%d clusters of %d peaks", labels.max(initial=-1) + 1, len(peaks))
    kept = labels >= 0
    units = np.unique(labels[kept], return_inverse=True)[1]
    return make_spike_vector(descriptions.aligned(labels)[kept], units, peaks["segment_index"][kept])


def are_missed(traces, templates, peaks, spikes, settings) -> np.ndarray:
    """Which peaks no spike explains: small units may be among them that larger ones had hidden."""
    offsets = peak_offsets(templates)
    return unexplained_peaks(
        peaks,
        spikes["sample_index"] + offsets[spikes["unit_index"]],
        main_channels(templates.values)[spikes["unit_index"]],
        spikes["segment_index"],
        channel_distances(traces.get_channel_locations()[:, :2]) <= settings.embedding_radius_um,
        reach=round(EXPLAINED_MS * traces.get_sampling_frequency() / 1000),
    )


def with_new_units(traces, whitening, templates, missed_peaks, spikes, settings):
    """The spikes, of units that fall apart those that show it alone, and the clusters of the missed peaks."""
    more = cluster_peaks(traces, whitening, missed_peaks, settings)
    spikes = split_units(traces, spikes, templates, settings)
    more["unit_index"] += spikes["unit_index"].max(initial=-1) + 1
    return in_order(np.concatenate([spikes, more]))


def rematch(traces, background, spikes, settings, *, refine, chunks, job_kwargs):
    """All spikes of some chunks matched anew, with the templates of the spikes so far."""
    _, averages = refine(traces, spikes, background, refinement_values(settings, traces.get_sampling_frequency()))
    return match_templates(
        traces,
        averages.templates().values,
        averages.nbefore,
        method=settings.matching,
        threshold=settings.match_threshold,
        amplitude_variance=settings.amplitude_variance,
        seed=settings.seed,
        chunks=chunks,
        job_kwargs=job_kwargs,
    )


def _step(path: Path, compute):
    """Result of a step: read if an earlier run finished it, else computed and kept."""
    if path.exists():
        logger.info("Step %s was finished before", path.stem)
        return np.load(path)
    result = compute()
    partial = path.with_name(f"partial_{path.name}")
    np.save(partial, result)
    partial.rename(path)
    return result
