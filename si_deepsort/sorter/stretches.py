"""
The stretches of a long recording from which units are learnt.

Learning needs some minutes of a recording, however long it is: the stretches, spread over all of it, become the
segments of a shorter recording. Only the last matching then reads every second, and nothing as large as the recording
is ever written.
"""

import numpy as np
import spikeinterface.core as si
from spikeinterface.core import BaseRecording

from ..chunks import spread_chunks

# Seconds of a long recording from which units are learnt: many enough to find small units among the peaks that no spike
# of the others explains. Tuned on generated development recordings (seeds 1-5).
MOST_LEARNT_S = 300.0

# Segment, first frame and end of each stretch, in the order of the recording; None for the whole recording.
Stretches = list[tuple[int, int, int]] | None


def spread_stretches(recording: BaseRecording, most_s: float) -> Stretches:
    """
    Choose stretches that are spread evenly over a recording.

    Parameters
    ----------
    recording : BaseRecording
    most_s : float
        Duration of all stretches together in s.

    Returns
    -------
    list of tuple | None
        Segment, first frame and end of each stretch; None if the recording is not longer than `most_s`.
    """
    chunks = spread_chunks(recording, most_s)
    if chunks is None:
        return None
    stretches: list[tuple[int, int, int]] = []
    for segment, start, stop in chunks:
        # Chunks that follow each other are one stretch: spikes are cut at the ends of stretches.
        if stretches and stretches[-1][0] == segment and stretches[-1][2] == start:
            start = stretches.pop()[1]
        stretches.append((segment, start, stop))
    return stretches


def join_stretches(recording: BaseRecording, stretches: Stretches) -> BaseRecording:
    """The recording that has the stretches as its segments; the recording itself if `stretches` is None."""
    if stretches is None:
        return recording
    segments = [recording.select_segments([index]) for index in range(recording.get_num_segments())]
    return si.append_recordings([segments[index].frame_slice(start, stop) for index, start, stop in stretches])


def inside_stretches(events: np.ndarray, stretches: Stretches) -> tuple[np.ndarray, np.ndarray]:
    """
    Events of a recording that lie in its stretches, as events of the joined stretches.

    Parameters
    ----------
    events : np.ndarray, shape (num_events,)
        Peaks or spikes with the fields segment_index and sample_index, sorted by them.
    stretches : list of tuple | None
        From `spread_stretches`.

    Returns
    -------
    inside : np.ndarray
        The events inside, in the same order, with segments and samples of the joined recording.
    positions : np.ndarray, int
        Position of each of them in `events`.
    """
    if stretches is None:
        return events, np.arange(len(events))
    parts, positions = [events[:0]], [np.zeros(0, dtype=int)]
    for number, (segment, start, stop) in enumerate(stretches):
        first, last = np.searchsorted(events["segment_index"], [segment, segment + 1])
        first, last = np.searchsorted(events["sample_index"][first:last], [start, stop]) + first
        part = events[first:last].copy()
        part["segment_index"], part["sample_index"] = number, part["sample_index"] - start
        parts.append(part)
        positions.append(np.arange(first, last))
    return np.concatenate(parts), np.concatenate(positions)


def times_in_recording(events: np.ndarray, stretches: Stretches, recording: BaseRecording) -> np.ndarray:
    """
    Times of events of the joined stretches in the recording, as if its segments followed each other without a gap.

    Parameters
    ----------
    events : np.ndarray, shape (num_events,)
        Peaks or spikes of the joined stretches.
    stretches : list of tuple | None
    recording : BaseRecording
        The whole recording.

    Returns
    -------
    np.ndarray, shape (num_events,), float
        In s.
    """
    lengths = [recording.get_num_frames(index) for index in range(recording.get_num_segments())]
    starts = np.cumsum([0, *lengths[:-1]])
    if stretches is not None:
        starts = np.array([starts[segment] + start for segment, start, _ in stretches])
    return (events["sample_index"] + starts[events["segment_index"]]) / recording.get_sampling_frequency()
