"""
Whether the tissue moves along the probe, and how far.

Peaks are localised by the most likely source in white noise; their depths over time are registered by DREDge. Traces
are touched only if the motion is large enough to matter, if two halves of the peaks tell of the same motion, and if
the contacts are dense enough that guessing what lies between them is better than leaving the motion as it is.
"""

import logging
from pathlib import Path

import numpy as np
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from scipy.ndimage import gaussian_filter
from spikeinterface.core import Motion
from spikeinterface.core.base import base_peak_dtype

from ...geometry import recording_geometry
from ...preprocessing.motion_interpolation import MovingKernels
from ...preprocessing.whitening import Whitening
from .source_depths import peak_depths

logger = logging.getLogger(__name__)

MIN_CHANNELS = 12
MIN_HEIGHT_UM = 150.0
# Smaller peaks are localised too badly to tell anything.
MIN_ENERGY = 9.0
MIN_PEAKS_PER_BIN = 20
# On probes higher than this in um, one per um.
MOST_PEAKS_PER_BIN = 500
BIN_S = 1.0
MIN_BINS, MOST_BINS = 8, 2000
# A motion whose range is smaller changes templates less than interpolation does.
MIN_RANGE_UM = 4.0
MIN_AGREEMENT = 0.8
# Of the sharpness of the map of depths. Units that come and go look like motion, but following it gains nothing.
MIN_GAIN = 1.1
# Of the error that drift makes, what interpolation may leave; contacts 20 um apart leave less than a tenth.
MOST_LEFT = 0.5
# Probes that are higher move differently at different depths.
RIGID_HEIGHT_UM = 1000.0
WINDOW_UM = 400.0

MAP_UM, MAP_LOG = 2.0, 0.3


def find_drift(traces, whitening: Whitening, peaks: np.ndarray, *, seed: int) -> Motion:
    """
    Motion of the tissue that should be corrected.

    Parameters
    ----------
    traces : BaseRecording
        White traces, cached.
    whitening : Whitening
        The whitening that made them white.
    peaks : np.ndarray
        SpikeInterface's peak dtype, sorted by segment and sample.

    Returns
    -------
    Motion
        Displacements around a median of 0; 0 throughout if there is no drift, or nothing to see it by.
    """
    locations, shanks = recording_geometry(traces)
    duration_s = traces.get_total_duration()
    if len(locations) < MIN_CHANNELS or np.ptp(locations[:, 1]) < MIN_HEIGHT_UM:
        logger.info("No search for drift: the probe is too small")
        return _as_motion(traces, None)
    rng = np.random.default_rng(seed)
    bin_s = max(BIN_S, duration_s / MOST_BINS)
    most = max(MOST_PEAKS_PER_BIN, round(np.ptp(locations[:, 1])))
    peaks = _some_per_bin(peaks, _times(traces, peaks), bin_s, most, rng)
    depths, energies = peak_depths(traces, whitening, peaks)
    is_large = energies >= MIN_ENERGY
    times_s, depths, energies = _times(traces, peaks)[is_large], depths[is_large], energies[is_large]
    bin_s = max(bin_s, duration_s * MIN_PEAKS_PER_BIN / max(1, len(depths)))
    if duration_s < MIN_BINS * bin_s:
        logger.info("No search for drift: only %d large peaks", len(depths))
        return _as_motion(traces, None)

    whole = _register(traces, times_s, depths, energies, bin_s)
    range_um = np.ptp(whole.displacement[0], axis=0).max()
    if range_um < MIN_RANGE_UM:
        logger.info("No drift: at most %.1f um", range_um)
        return _as_motion(traces, None)
    is_first = rng.random(len(depths)) < 0.5
    parts = [_register(traces, times_s[i], depths[i], energies[i], 2 * bin_s) for i in (is_first, ~is_first)]
    agreement = np.corrcoef(*(part.displacement[0].ravel() for part in parts))[0, 1]
    if not agreement >= MIN_AGREEMENT:
        logger.info("No drift: two halves of the peaks do not agree on it (correlation %.2f)", agreement)
        return _as_motion(traces, None)
    followed = depths - whole.get_displacement_at_time_and_depth(times_s, depths)
    gain = sharpness(followed, energies) / sharpness(depths, energies)
    if gain < MIN_GAIN:
        logger.info("No drift: following it would not draw the peaks of units together (gain %.2f)", gain)
        return _as_motion(traces, None)
    if not _is_worth_it(whole, MovingKernels(locations, shanks, np.ones(len(locations), dtype=bool))):
        logger.warning("Drift of %.0f um found, but the contacts are too far apart to interpolate traces", range_um)
        return _as_motion(traces, None)
    logger.info("Drift of %.0f um found: traces are interpolated", range_um)
    return _as_motion(traces, whole)


def is_moving(motion: Motion) -> bool:
    """Whether there is anything to correct."""
    return any(np.any(displacement != 0) for displacement in motion.displacement)


def save_drift(motion: Motion, folder: Path) -> None:
    """Keep a motion in a folder that is whole or not there."""
    partial = folder.with_name(f"partial_{folder.name}")
    motion.save(partial, overwrite=True)
    partial.rename(folder)


def load_drift(folder: Path) -> Motion | None:
    """The kept motion, if there is one."""
    return Motion.load(folder) if folder.exists() else None


def preset_motion(recording: si.BaseRecording, *, preset: str, folder: Path) -> Motion:
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
    """
    if folder.exists():
        return spre.load_motion_info(folder)["motion"]
    return spre.compute_motion(recording, preset=preset, folder=folder)


def _times(traces, peaks):
    """In s from the start of the first segment, as if segments followed each other."""
    starts = np.cumsum([0, *(traces.get_num_frames(i) for i in range(traces.get_num_segments()))])
    return (peaks["sample_index"] + starts[peaks["segment_index"]]) / traces.get_sampling_frequency()


def _some_per_bin(peaks, times_s, bin_s, most, rng):
    order = rng.permutation(len(peaks))
    order = order[np.argsort(times_s[order] // bin_s, kind="stable")]
    bins = times_s[order] // bin_s
    rank = np.arange(len(bins)) - np.searchsorted(bins, bins)
    return peaks[np.sort(order[rank < most])]


def _register(traces, times_s, depths, energies, bin_s) -> Motion:
    """Motion by DREDge, all segments as one."""
    from spikeinterface.sortingcomponents.motion import estimate_motion

    peaks = np.zeros(len(times_s), dtype=base_peak_dtype)
    peaks["sample_index"], peaks["amplitude"] = times_s * traces.get_sampling_frequency(), energies
    places = np.zeros(len(times_s), dtype=[("x", "float64"), ("y", "float64")])
    places["y"] = depths
    return estimate_motion(
        si.concatenate_recordings([traces]),
        peaks,
        places,
        method="dredge_ap",
        rigid=bool(np.ptp(traces.get_channel_locations()[:, 1]) < RIGID_HEIGHT_UM),
        win_step_um=WINDOW_UM,
        win_scale_um=WINDOW_UM,
        bin_s=bin_s,
        device="cpu",
    )


def _as_motion(traces, whole: Motion | None) -> Motion:
    """A motion of all segments as one, cut into segments and centered; without one, no motion."""
    sampling_frequency = traces.get_sampling_frequency()
    bin_s = np.inf if whole is None else np.diff(whole.temporal_bins_s[0]).min()
    depths = np.zeros(1) if whole is None else whole.spatial_bins_um
    displacements, times, start_s = [], [], 0.0
    for index in range(traces.get_num_segments()):
        duration_s = traces.get_num_frames(index) / sampling_frequency
        num_bins = max(2, round(duration_s / bin_s))
        centers_s = (np.arange(num_bins) + 0.5) * duration_s / num_bins
        moved = np.zeros((num_bins, len(depths)))
        if whole is not None:
            places = np.repeat(start_s + centers_s, len(depths)), np.tile(depths, num_bins)
            moved = whole.get_displacement_at_time_and_depth(*places).reshape(moved.shape)
            moved -= np.median(whole.displacement[0], axis=0)
        displacements.append(moved)
        times.append(traces.sample_index_to_time(np.round(centers_s * sampling_frequency).astype(int), index))
        start_s += duration_s
    return Motion(displacements, times, depths)


def _is_worth_it(motion, kernels) -> bool:
    """Whether guesses between contacts are expected to be much nearer to the truth than the traces as they are."""
    depths = kernels.locations[:, 1]
    low, high = motion.temporal_bins_s[0][[0, -1]]
    errors = []
    for time_s in np.linspace(low, high, 20):
        moved = motion.get_displacement_at_time_and_depth(np.full(len(depths), time_s), depths)
        errors.append(kernels.errors(moved))
    guessed, as_they_are = np.mean(errors, axis=0)
    return guessed < MOST_LEFT * as_they_are


def sharpness(depths: np.ndarray, energies: np.ndarray) -> float:
    """How concentrated peaks are in depth and size: they are where units stay in place."""
    edges = np.arange(depths.min(), depths.max() + 2 * MAP_UM, MAP_UM), np.arange(0.0, 20.0, MAP_LOG)
    counts, _, _ = np.histogram2d(depths, np.log(energies), bins=edges)
    return np.sum(gaussian_filter(counts, 1.0) ** 2)
