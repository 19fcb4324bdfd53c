"""Refuse a recording that is not the one that was sorted."""

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting


def check_belongs(sorting: BaseSorting, recording: BaseRecording) -> None:
    """
    Check that a sorting can be of a recording.

    Parameters
    ----------
    sorting : BaseSorting
    recording : BaseRecording

    Raises
    ------
    ValueError
        If they differ in sampling frequency or number of segments, or a spike lies outside of the recording.
    """
    remedy = "Give the recording that was sorted."
    rates = sorting.get_sampling_frequency(), recording.get_sampling_frequency()
    if not np.isclose(*rates, rtol=1e-6):
        raise ValueError(f"The sorting is sampled at {rates[0]:g} Hz, the recording at {rates[1]:g} Hz. {remedy}")
    num_segments = sorting.get_num_segments(), recording.get_num_segments()
    if num_segments[0] != num_segments[1]:
        raise ValueError(f"The sorting has {num_segments[0]} segments, the recording {num_segments[1]}. {remedy}")
    spikes = sorting.to_spike_vector()
    for segment in range(num_segments[1]):
        frames = spikes["sample_index"][spikes["segment_index"] == segment]
        num_frames = recording.get_num_frames(segment)
        if frames.max(initial=-1) >= num_frames or frames.min(initial=0) < 0:
            outside = frames.max() if frames.max(initial=-1) >= num_frames else frames.min()
            raise ValueError(
                f"Segment {segment} of the recording has {num_frames} frames, but the sorting has a spike at frame "
                f"{outside}. {remedy}"
            )
