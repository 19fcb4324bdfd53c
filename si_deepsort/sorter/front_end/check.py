"""Refuse recordings that cannot be sorted, before anything is computed."""

import warnings

import numpy as np
from spikeinterface.core import BaseRecording

from ...geometry import recording_geometry

# Recordings shorter than this, in s, are sorted with a warning.
SHORT_S = 1.0
# A segment with fewer frames than this is shorter than a waveform.
MIN_FRAMES = 64


def check_recording(recording: BaseRecording) -> None:
    """
    Refuse recordings that cannot be sorted.

    Parameters
    ----------
    recording : BaseRecording

    Raises
    ------
    ValueError
        If there is no probe, positions are missing, two channels of a shank have the same position, or a segment is
        shorter than 64 frames.

    Warns
    -----
    UserWarning
        If the recording is shorter than 1 s.
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
            f"A segment has fewer than {MIN_FRAMES} frames, too few to hold a spike. Leave it out, or concatenate "
            "segments with si.concatenate_recordings([...])."
        )
    duration = recording.get_total_duration()
    if duration < SHORT_S:
        warnings.warn(
            f"The recording lasts {duration:.3f} s, less than {SHORT_S:g} s: the estimate of the noise is inexact, and "
            "units with few spikes are not found. Sort a longer stretch, or concatenate recordings of the same "
            "session with si.concatenate_recordings([...]).",
            stacklevel=2,
        )
