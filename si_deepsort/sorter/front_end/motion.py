"""
Find drift: motion of the tissue along the probe.

The depths of peaks over time are registered by DREDge (Windolf et al. 2025). The motion is corrected only if it is
large enough to matter, if two halves of the peaks show the same motion, and if the contacts are dense enough that
interpolation is better than leaving the motion uncorrected. All thresholds were tuned on generated development
recordings (seeds 1-5) with and without drift.
"""

import logging
import math
from pathlib import Path

import numpy as np
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from scipy.ndimage import gaussian_filter
from spikeinterface.core import BaseRecording, Motion
from spikeinterface.core.base import base_peak_dtype

from ...geometry import recording_geometry
from ...preprocessing.motion_interpolation import MovingKernels
from ...preprocessing.whitening import Whitening
from .source_depths import peak_depths

logger = logging.getLogger(__name__)

# Fewest channels and smallest height of a probe, in um, on which drift is searched.
MIN_CHANNELS = 12
MIN_HEIGHT_UM = 150.0
# Smallest energy of a peak, in noise standard deviations; the depths of smaller peaks are too inexact.
MIN_ENERGY = 9.0
# Time bins are lengthened until each holds this many peaks on average.
MIN_PEAKS_PER_BIN = 20
# Most peaks that are used in a time bin; on probes higher than this in um, one per um.
MOST_PEAKS_PER_BIN = 500
# Shortest duration of a time bin in s.
BIN_S = 1.0
# Fewest and most time bins of a recording.
MIN_BINS, MOST_BINS = 8, 2000
# Smallest range of a motion in um; a smaller motion changes templates less than interpolation does.
MIN_RANGE_UM = 4.0
# Smallest correlation between the motions that two halves of the peaks show.
MIN_AGREEMENT = 0.8
# Smallest ratio between the sharpness of the map of depths after and before the correction. Units that appear or
# disappear resemble motion, but correcting it does not sharpen the map.
MIN_GAIN = 1.1
# Largest error after interpolation, relative to the error without it. Contacts 20 um apart leave less than a tenth.
MOST_LEFT = 0.5
# Tissue along probes higher than this, in um, moves differently at different depths; it is registered in windows of
# the given height.
RIGID_HEIGHT_UM = 1000.0
WINDOW_UM = 400.0
# Options of presets that SpikeInterface 0.105.3 refuses, as its own method calls them.
PRESET_REPAIRS = {"dredge": dict(batching_mode="full")}
# Bins of the map of depths (in um) and sizes (in log energy) whose sharpness is measured.
MAP_UM, MAP_LOG = 2.0, 0.3


def find_drift(
    recording: BaseRecording,
    traces: BaseRecording,
    whitening: Whitening,
    peaks: np.ndarray,
    times_s: np.ndarray,
    *,
    seed: int,
) -> Motion:
    """
    Find the motion of the tissue that should be corrected.

    Parameters
    ----------
    recording : BaseRecording
        The recording that moves; only its duration and its channels count.
    traces : BaseRecording
        White traces of its stretches, cached; motion that is faster than they follow each other is not seen.
    whitening : Whitening
        The whitening that made the traces white.
    peaks : np.ndarray, shape (num_peaks,)
        Peaks in the traces: SpikeInterface's peak dtype, sorted by segment and sample.
    times_s : np.ndarray, shape (num_peaks,), float
        Times of the peaks in the recording in s, as if its segments followed each other without a gap.
    seed : int
        Random seed of the choice of peaks and of their halves.

    Returns
    -------
    Motion
        Displacements in um around a median of 0; 0 throughout if there is no drift, or if it cannot be measured.
    """
    locations, shanks = recording_geometry(traces)
    duration_s, rng = recording.get_total_duration(), np.random.default_rng(seed)
    if len(locations) < MIN_CHANNELS or np.ptp(locations[:, 1]) < MIN_HEIGHT_UM:
        logger.info("Drift is not searched: the probe has too few channels or is too short")
        return _as_motion(recording, None)
    bin_s = max(BIN_S * math.ceil(duration_s / traces.get_total_duration()), duration_s / MOST_BINS)
    most = max(MOST_PEAKS_PER_BIN, round(np.ptp(locations[:, 1])))
    some = _some_per_bin(times_s, bin_s, most, rng)
    peaks, times_s = peaks[some], times_s[some]
    depths, energies = peak_depths(traces, whitening, peaks)
    times_s, depths, energies = (part[energies >= MIN_ENERGY] for part in (times_s, depths, energies))
    bin_s = max(bin_s, duration_s * MIN_PEAKS_PER_BIN / max(1, len(depths)))
    if duration_s < MIN_BINS * bin_s:
        logger.info("Drift is not searched: there are only %d large peaks", len(depths))
        return _as_motion(recording, None)

    whole = _register(recording, times_s, depths, energies, bin_s)
    range_um = np.ptp(whole.displacement[0], axis=0).max()
    if range_um < MIN_RANGE_UM:
        logger.info("No drift: the range of the motion is at most %.1f um", range_um)
        return _as_motion(recording, None)
    if not _is_confirmed(whole, recording, times_s, depths, energies, bin_s, rng):
        return _as_motion(recording, None)
    if not _is_worth_it(whole, MovingKernels(locations, shanks, np.ones(len(locations), dtype=bool))):
        logger.warning("Drift of %.0f um found, not corrected: the contacts are too far apart for it", range_um)
        return _as_motion(recording, None)
    logger.info("Drift of %.0f um found: traces are interpolated", range_um)
    return _as_motion(recording, whole)


def _is_confirmed(whole: Motion, recording: BaseRecording, times_s, depths, energies, bin_s, rng) -> bool:
    """Whether two halves of the peaks show the same motion, and correcting it brings peaks of units together."""
    is_first = rng.random(len(depths)) < 0.5
    parts = [_register(recording, times_s[i], depths[i], energies[i], 2 * bin_s) for i in (is_first, ~is_first)]
    agreement = np.corrcoef(*(part.displacement[0].ravel() for part in parts))[0, 1]
    if not agreement >= MIN_AGREEMENT:
        logger.info("No drift: two halves of the peaks show different motions (correlation %.2f)", agreement)
        return False
    followed = depths - whole.get_displacement_at_time_and_depth(times_s, depths)
    gain = sharpness(followed, energies) / sharpness(depths, energies)
    if gain < MIN_GAIN:
        logger.info("No drift: correcting it would not bring the peaks of units together (gain %.2f)", gain)
    return bool(gain >= MIN_GAIN)


def is_moving(motion: Motion) -> bool:
    """Whether a motion moves at all."""
    return any(np.any(displacement != 0) for displacement in motion.displacement)


def save_drift(motion: Motion, folder: Path) -> None:
    """Save a motion. An interrupted run leaves no folder, rather than part of one."""
    partial = folder.with_name(f"partial_{folder.name}")
    motion.save(partial, overwrite=True)
    partial.rename(folder)


def load_drift(folder: Path) -> Motion | None:
    """Load a saved motion, or None if the folder does not exist."""
    return Motion.load(folder) if folder.exists() else None


def preset_motion(recording: si.BaseRecording, *, preset: str, folder: Path, seed: int, job_kwargs: dict) -> Motion:
    """
    Motion by one of SpikeInterface's presets; read if an interrupted run has estimated it.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed traces.
    preset : str
        A preset of SpikeInterface's `compute_motion`.
    folder : Path
        Where the motion is kept.
    seed : int
        Seed of the chunks in which noise is measured.
    job_kwargs : dict
        SpikeInterface's job_kwargs.
    """
    if folder.exists():
        return spre.load_motion_info(folder)["motion"]
    # compute_motion takes noise levels that are known; its own would be those of other chunks in each run.
    si.get_noise_levels(recording, return_in_uV=False, random_slices_kwargs=dict(seed=seed))
    options = dict(estimate_motion_kwargs=PRESET_REPAIRS[preset]) if preset in PRESET_REPAIRS else {}
    return spre.compute_motion(recording, preset=preset, folder=folder, **options, **job_kwargs)


def _some_per_bin(times_s, bin_s, most, rng):
    """Positions of randomly selected peaks, ascending, at most so many in each time bin."""
    order = rng.permutation(len(times_s))
    order = order[np.argsort(times_s[order] // bin_s, kind="stable")]
    bins = times_s[order] // bin_s
    rank = np.arange(len(bins)) - np.searchsorted(bins, bins)
    return np.sort(order[rank < most])


def _register(recording: BaseRecording, times_s, depths, energies, bin_s) -> Motion:
    """Motion by DREDge, with all segments joined into one."""
    from spikeinterface.sortingcomponents.motion import estimate_motion

    peaks = np.zeros(len(times_s), dtype=base_peak_dtype)
    peaks["sample_index"], peaks["amplitude"] = times_s * recording.get_sampling_frequency(), energies
    places = np.zeros(len(times_s), dtype=[("x", "float64"), ("y", "float64")])
    places["y"] = depths
    return estimate_motion(
        si.concatenate_recordings([recording]),
        peaks,
        places,
        method="dredge_ap",
        rigid=bool(np.ptp(recording.get_channel_locations()[:, 1]) < RIGID_HEIGHT_UM),
        win_step_um=WINDOW_UM,
        win_scale_um=WINDOW_UM,
        bin_s=bin_s,
        device="cpu",
    )


def _as_motion(recording: BaseRecording, whole: Motion | None) -> Motion:
    """Cut a motion of joined segments into its segments and center it. None becomes a motion of 0 throughout."""
    sampling_frequency = recording.get_sampling_frequency()
    bin_s = np.inf if whole is None else np.diff(whole.temporal_bins_s[0]).min()
    depths = np.zeros(1) if whole is None else whole.spatial_bins_um
    displacements, times, start_s = [], [], 0.0
    for index in range(recording.get_num_segments()):
        duration_s = recording.get_num_frames(index) / sampling_frequency
        num_bins = max(2, round(duration_s / bin_s))
        centers_s = (np.arange(num_bins) + 0.5) * duration_s / num_bins
        moved = np.zeros((num_bins, len(depths)))
        if whole is not None:
            places = np.repeat(start_s + centers_s, len(depths)), np.tile(depths, num_bins)
            moved = whole.get_displacement_at_time_and_depth(*places).reshape(moved.shape)
            moved -= np.median(whole.displacement[0], axis=0)
        displacements.append(moved)
        times.append(recording.sample_index_to_time(np.round(centers_s * sampling_frequency).astype(int), index))
        start_s += duration_s
    return Motion(displacements, times, depths)


def _is_worth_it(motion, kernels) -> bool:
    """Whether interpolated traces are expected to be much more exact than uncorrected ones."""
    depths = kernels.locations[:, 1]
    low, high = motion.temporal_bins_s[0][[0, -1]]
    errors = []
    for time_s in np.linspace(low, high, 20):
        moved = motion.get_displacement_at_time_and_depth(np.full(len(depths), time_s), depths)
        errors.append(kernels.errors(moved))
    interpolated, uncorrected = np.mean(errors, axis=0)
    return interpolated < MOST_LEFT * uncorrected


def sharpness(depths: np.ndarray, energies: np.ndarray) -> float:
    """
    Sharpness of the map of depths and sizes of peaks; it is high if units stay in place.

    Parameters
    ----------
    depths : np.ndarray, shape (num_peaks,), float
        In um.
    energies : np.ndarray, shape (num_peaks,), float
        In noise standard deviations.
    """
    edges = np.arange(depths.min(), depths.max() + 2 * MAP_UM, MAP_UM), np.arange(0.0, 20.0, MAP_LOG)
    counts, _, _ = np.histogram2d(depths, np.log(energies), bins=edges)
    return np.sum(gaussian_filter(counts, 1.0) ** 2)
