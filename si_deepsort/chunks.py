"""Stretches of a recording: chunks that suit the memory, tiles of fixed length, chunks spread over a recording."""

from collections.abc import Iterator

import numpy as np
from spikeinterface.core import BaseRecording

# Most samples (frames times channels) that are read at once. Larger arrays are returned to the operating system after
# each use, and to obtain them again costs as much time as to process them.
MOST_SAMPLES = 5_000_000
# Frames that are whitened or referenced at once, so that they stay in the processor's cache. Chosen by speed with 384
# channels; with up to 64 it makes no difference.
CACHED_FRAMES = 500


def chunk_frames(recording: BaseRecording, most_s: float) -> int:
    """
    Number of frames that are read at once.

    Parameters
    ----------
    recording : BaseRecording
    most_s : float
        Longest duration in s; it is shorter if there are many channels.
    """
    frames = round(most_s * recording.get_sampling_frequency())
    return max(1, min(frames, MOST_SAMPLES // recording.get_num_channels()))


def tiles(start_frame: int, end_frame: int, tile_frames: int) -> Iterator[tuple[int, slice, slice]]:
    """
    Tiles of fixed length that cover a stretch of frames.

    Tiles start at multiples of their length, so that a frame lies at the same place of the same tile whichever stretch
    is read. What is computed tile by tile is then the same in every chunk, to the last bit.

    Parameters
    ----------
    start_frame, end_frame : int
        The stretch; frames before the start of a recording are negative.
    tile_frames : int
        Length of a tile.

    Yields
    ------
    first_frame : int
        First frame of the tile.
    in_tile : slice
        Wanted frames, counted from the start of the tile.
    in_stretch : slice
        The same frames, counted from the start of the stretch.
    """
    for first in range(start_frame // tile_frames * tile_frames, end_frame, tile_frames):
        start, end = max(first, start_frame), min(first + tile_frames, end_frame)
        yield first, slice(start - first, end - first), slice(start - start_frame, end - start_frame)


def spread_chunks(recording: BaseRecording, most_s: float, chunk_s: float = 1.0) -> list[tuple[int, int, int]] | None:
    """
    Choose chunks that are spread evenly over a recording.

    Parameters
    ----------
    recording : BaseRecording
    most_s : float
        Duration of all chunks together in s.
    chunk_s : float, default: 1.0
        Duration of a chunk in s.

    Returns
    -------
    list of tuple | None
        Segment, first frame and end of each chunk; None if the recording is not longer than `most_s`.
    """
    if recording.get_total_duration() <= most_s:
        return None
    size = round(chunk_s * recording.get_sampling_frequency())
    lengths = [recording.get_num_frames(segment) for segment in range(recording.get_num_segments())]
    chunks = [
        (segment, start, min(start + size, length))
        for segment, length in enumerate(lengths)
        for start in range(0, length, size)
    ]
    chosen = np.linspace(0, len(chunks) - 1, round(most_s / chunk_s)).round().astype(int)
    return [chunks[index] for index in np.unique(chosen)]


def duration_of(recording: BaseRecording, chunks: list[tuple[int, int, int]] | None) -> float:
    """Duration of some chunks of a recording in s, of all of it for None; see `spread_chunks`."""
    if chunks is None:
        return recording.get_total_duration()
    return sum(stop - start for _, start, stop in chunks) / recording.get_sampling_frequency()


def are_inside(events: np.ndarray, chunks: list[tuple[int, int, int]] | None) -> np.ndarray:
    """
    Whether each event lies in one of some chunks.

    Parameters
    ----------
    events : np.ndarray, shape (num_events,)
        Peaks or spikes with the fields segment_index and sample_index, sorted by them.
    chunks : list of tuple | None
        From `spread_chunks`; None means the whole recording.

    Returns
    -------
    np.ndarray, shape (num_events,), bool
    """
    inside = np.full(len(events), chunks is None)
    for segment, start, stop in chunks or []:
        first, last = np.searchsorted(events["segment_index"], [segment, segment + 1])
        bounds = np.searchsorted(events["sample_index"][first:last], [start, stop]) + first
        inside[slice(*bounds)] = True
    return inside
