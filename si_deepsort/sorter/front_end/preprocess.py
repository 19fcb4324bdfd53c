"""Step 0 of the sorter: traces that are band-passed, referenced, corrected for motion, white, and cached once."""

import logging
import warnings
from pathlib import Path

import numpy as np
import spikeinterface.core as si
import spikeinterface.preprocessing as spre

from ...geometry import recording_geometry
from ...preprocessing.band_pass import band_pass_forth_and_back, subtract_medians
from ...preprocessing.half_precision import single_precision
from ...preprocessing.motion_interpolation import follow_motion
from ...preprocessing.whiten import whiten_time_space

logger = logging.getLogger(__name__)

# The median of fewer channels than this is made of spikes rather than of common noise.
MIN_CHANNELS_FOR_REFERENCE = 32
SHORT_S = 1.0
MIN_FRAMES = 64
SHANK_DISTANCE_UM = 10_000.0


def check_recording(recording) -> None:
    """
    Complain about recordings that cannot be sorted, before anything is computed.

    Raises
    ------
    ValueError
        If there is no probe, two channels lie at the same place, or a segment is hardly there.
    """
    locations, shanks = recording_geometry(recording)
    places = [tuple(row) for row in np.column_stack([locations, shanks])]
    doubled = sorted({place for place in places if places.count(place) > 1})
    if doubled:
        channels = [str(c) for c, place in zip(recording.channel_ids, places, strict=True) if place == doubled[0]]
        raise ValueError(
            f"Channels {', '.join(channels)} have the same location {doubled[0][:2]} um. Each contact needs its own: "
            "correct the probe, or keep one of them with recording.remove_channels([...])."
        )
    if min(recording.get_num_frames(i) for i in range(recording.get_num_segments())) < MIN_FRAMES:
        raise ValueError(
            f"A segment has fewer than {MIN_FRAMES} frames, which is no recording. Leave it out, or concatenate "
            "segments with si.concatenate_recordings([...])."
        )
    duration = recording.get_total_duration()
    if duration < SHORT_S:
        warnings.warn(
            f"The recording lasts {duration:.3f} s, less than {SHORT_S:g} s: noise is estimated badly, and units with "
            "too few spikes are not found, maybe none. Sort a longer stretch, or concatenate recordings of the same "
            "session with si.concatenate_recordings([...]).",
            stacklevel=2,
        )


def preprocess(recording, settings, motion_folder: Path | None = None, motion=None):
    """
    White traces, lazily.

    Parameters
    ----------
    recording : BaseRecording
        Raw, or already band-passed if `settings.apply_preprocessing` is False.
    settings : DeepSortSettings
    motion_folder : Path | None, default: None
        Where the motion that a preset estimates is kept.
    motion : Motion | None, default: None
        Followed if there is one; else that of the preset, if one is chosen.

    Returns
    -------
    BaseRecording
        float32, noise of standard deviation 1 on each channel.
    """
    recording = si.ChannelSliceRecording(recording) if not recording.has_channel_location() else recording
    if not recording.has_channel_location():
        recording.set_dummy_probe_from_locations(np.zeros((1, 2)))
    if settings.apply_preprocessing:
        recording = band_pass(recording, settings.freq_min, settings.freq_max)
        if settings.common_reference:
            recording = common_reference(recording)
    else:
        recording = recording.astype("float32")
    if motion is None and settings.motion_correction not in ("auto", None):
        motion = preset_motion(recording, settings.motion_correction, motion_folder)
    if motion is not None:
        recording = follow_motion(recording, motion, seed=settings.seed)
    white = whiten_time_space(
        recording, order=settings.whitening_order, radius_um=settings.whitening_radius_um, seed=settings.seed
    )
    place_shanks_apart(white)
    return white


def place_shanks_apart(recording) -> None:
    """Move the shanks of a recording so far apart that distance alone tells them apart in all later steps."""
    locations, shanks = recording_geometry(recording)
    if shanks.max() > 0:
        apart = locations + np.outer(shanks, [SHANK_DISTANCE_UM, 0.0])
        recording.set_dummy_probe_from_locations(apart)


def band_pass(recording, freq_min: float, freq_max: float):
    """Bessel band-pass of order 2; the upper edge gives way where the sampling rate is low."""
    freq_max = min(freq_max, 0.45 * recording.get_sampling_frequency())
    return band_pass_forth_and_back(recording, freq_min=freq_min, freq_max=freq_max)


def common_reference(recording):
    """Subtract the median of each shank that has enough channels."""
    _, shanks = recording_geometry(recording)
    groups = [np.flatnonzero(shanks == shank) for shank in np.unique(shanks)]
    large = [group for group in groups if len(group) >= MIN_CHANNELS_FOR_REFERENCE]
    return subtract_medians(recording, groups=large) if large else recording


def preset_motion(recording, preset: str, folder: Path | None):
    """Motion by one of SpikeInterface's presets; the estimate is kept in a folder."""
    if folder is not None and folder.exists():
        return spre.load_motion_info(folder)["motion"]
    return spre.compute_motion(recording, preset=preset, folder=folder)


def cache_traces(recording, mode: str, folder: Path, job_kwargs: dict):
    """
    Compute the white traces once.

    Parameters
    ----------
    mode : "folder" | "memory" | "none"
        "folder" writes half-precision floats and bounds the memory however long the recording is; "memory" keeps
        them in memory; "none" computes them anew in each step.
    """
    if mode == "none":
        return recording
    if mode == "memory":
        return recording.save(format="memory", sharedmem=True, **job_kwargs)
    if not ((folder / "si_folder.json").exists() or (folder / "binary.json").exists()):
        partial = folder.with_name(folder.name + "_partial")
        recording.astype("float16").save(folder=partial, overwrite=True, **job_kwargs)
        partial.rename(folder)
    return single_precision(si.load(folder))
