"""White traces and their peaks; both on motion-corrected traces if drift is found."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording, Motion

from ..detection.find_peaks import find_peaks
from ..preprocessing.even_noise import with_even_noise
from ..preprocessing.white_on_device import on_device
from ..preprocessing.whiten import WhitenTimeSpaceRecording
from .front_end.blanks import tell_blanks
from .front_end.cache import cache_traces
from .front_end.line_noise import warn_of_line_noise
from .front_end.motion import find_drift, is_moving, load_drift, preset_motion, save_drift
from .front_end.noise_over_time import NoiseOverTime, measure_noise_over_time, tell_loud_noise
from .front_end.steps import front_end_steps
from .front_end.whitening import filtered_recording, white_recording
from .reproducible import fixed_chunks
from .run_folder import RunFolder
from .settings import DeepSortSettings
from .stretches import MOST_LEARNT_S, Stretches, join_stretches, spread_stretches, times_in_recording

logger = logging.getLogger(__name__)

# Peaks beyond this size, in standard deviations of white noise, are told if they are more than this share of all. In
# generated recordings units of size 180 were found, and of three units of size 530 one was lost: what templates leave
# of such spikes is larger than noise, and passes for further spikes.
LARGEST_MATCHED, MOST_LARGER_SHARE = 250.0, 0.05


@dataclass(frozen=True)
class PreparedTraces:
    """
    What all later steps start from.

    Attributes
    ----------
    white : WhitenTimeSpaceRecording
        White traces, lazy; its parent holds the traces before whitening.
    whole : BaseRecording
        The same white traces as later steps read them: rounded to half precision.
    traces : BaseRecording
        The stretches of `whole` from which units are learnt, cached; all of it if the recording is short.
    noise : NoiseOverTime
        How loud the noise of `traces` is.
    stretches : list of tuple | None
        The stretches; None for the whole recording.
    peaks : np.ndarray, shape (num_peaks,)
        Peaks in `traces`: SpikeInterface's peak dtype, sorted by segment and sample. Sizes are relative to the noise of
        their time.
    is_corrected : bool
        Whether the traces are interpolated along drift.
    """

    white: WhitenTimeSpaceRecording
    whole: BaseRecording
    traces: BaseRecording
    noise: NoiseOverTime
    stretches: Stretches
    peaks: np.ndarray
    is_corrected: bool


def prepare_traces(
    recording: BaseRecording, settings: DeepSortSettings, run: RunFolder, job_kwargs: dict
) -> PreparedTraces:
    """
    Filter and whiten traces, cache those to learn from and find their peaks; if these show drift, do it again along it.

    Parameters
    ----------
    recording : BaseRecording
        Unfiltered traces, or filtered ones if `settings.apply_preprocessing` is False.
    settings : DeepSortSettings
    run : RunFolder
        Where traces, peaks and motion are kept.
    job_kwargs : dict
        SpikeInterface's job_kwargs. Chunks of their length are cached; spikes are detected in chunks of 1 s.
    """
    if settings.apply_preprocessing:
        filtered = filtered_recording(
            recording,
            freq_min=settings.freq_min,
            freq_max=settings.freq_max,
            with_reference=settings.common_reference,
            seed=settings.seed,
        )
    else:
        filtered = recording.astype("float32")
        warn_of_line_noise(filtered, seed=settings.seed)
    if settings.motion_correction is None:
        return _prepared(filtered, None, settings, run, job_kwargs)
    if settings.motion_correction != "auto":
        motion = preset_motion(
            filtered,
            preset=settings.motion_correction,
            folder=run.motion,
            seed=settings.seed,
            job_kwargs=fixed_chunks(job_kwargs),
        )
        return _prepared(filtered, motion, settings, run, job_kwargs)
    motion, uncorrected = load_drift(run.motion), None
    if motion is None:
        uncorrected = _prepared(filtered, None, settings, run, job_kwargs)
        times_s = times_in_recording(uncorrected.peaks, uncorrected.stretches, recording)
        motion = find_drift(
            uncorrected.whole,
            uncorrected.traces,
            uncorrected.white.whitening,
            uncorrected.peaks,
            times_s,
            seed=settings.seed,
        )
        save_drift(motion, run.motion)
    if not is_moving(motion):
        return uncorrected or _prepared(filtered, None, settings, run, job_kwargs)
    # Traces that are cached in memory are released before the corrected ones are cached.
    del uncorrected
    run.remove_uncorrected_traces()
    return _prepared(filtered, motion, settings, run, job_kwargs)


def _prepared(
    filtered: BaseRecording, motion: Motion | None, settings: DeepSortSettings, run: RunFolder, job_kwargs: dict
) -> PreparedTraces:
    white = white_recording(
        filtered,
        motion=motion,
        order=settings.whitening_order,
        radius_um=settings.whitening_radius_um,
        seed=settings.seed,
    )
    folder, name = _places(run, motion)
    run.begin("traces")
    # Without matching, the peaks are the result, and all of them are needed.
    stretches = None if settings.matching is None else spread_stretches(white, MOST_LEARNT_S)
    computed = on_device(white, settings.device)
    learnt = join_stretches(computed, stretches)
    traces = cache_traces(learnt, mode=settings.cache, folder=folder, job_kwargs=job_kwargs)
    whole = traces if stretches is None else cache_traces(computed, mode="none", folder=folder, job_kwargs=job_kwargs)
    tell_blanks(traces, seed=settings.seed)
    options: dict[str, Any] = dict(
        whitening=white.whitening,
        method=settings.detection,
        threshold=settings.detect_threshold,
        radius_um=settings.detect_radius_um,
        # Matching finds the times anew, and the units that second peaks make are merged.
        as_candidates=True,
        seed=settings.seed,
        job_kwargs=fixed_chunks(job_kwargs),
        applied_front_end=front_end_steps(settings),
        device=settings.device,
    )
    # Noise that is even needs no second measurement.
    even: list[NoiseOverTime] = []
    peaks = run.keep(name, lambda: _peaks_in_even_noise(traces, options, even))
    noise = even[0] if even else measure_noise_over_time(traces, peaks)
    tell_loud_noise(noise)
    tell_large_peaks(peaks["amplitude"])
    return PreparedTraces(white, whole, traces, noise, stretches, peaks, is_corrected=motion is not None)


def _peaks_in_even_noise(traces: BaseRecording, options: dict[str, Any], even: list[NoiseOverTime]) -> np.ndarray:
    """Peaks that stand out from the noise of their time, by the options of `find_peaks`; `even` takes even noise."""
    peaks = find_peaks(traces, **options)
    noise = measure_noise_over_time(traces, peaks)
    if noise.is_even:
        even.append(noise)
        return peaks
    return find_peaks(with_even_noise(traces, noise.chunk_frames, noise.levels), **options)


def tell_large_peaks(sizes: np.ndarray) -> None:
    """Say in the log if many peaks are too large to be matched, `sizes` in standard deviations of white noise."""
    share = np.mean(np.abs(sizes) > LARGEST_MATCHED) if len(sizes) else 0.0
    if share > MOST_LARGER_SHARE:
        logger.warning(
            "%.0f %% of the peaks exceed %g noise levels. If they are spikes, as in a recording generated with "
            "hardly any noise, units may be lost: add noise of a 50th of their amplitude to the recording. If they "
            "are artefacts, remove them, e.g. with spikeinterface.preprocessing.remove_artifacts(recording, ...).",
            100 * share,
            LARGEST_MATCHED,
        )


def _places(run: RunFolder, motion: Motion | None) -> tuple[Path, str]:
    """Folder of the traces and name of their peaks."""
    return (run.traces, "peaks") if motion is None else (run.corrected_traces, "peaks_corrected")
