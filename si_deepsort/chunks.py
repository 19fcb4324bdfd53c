"""Stretches of a recording: as long as memory serves well, or spread over a long one."""

from collections.abc import Iterator

import numpy as np

# Samples that are read at once. Larger arrays are given back to the system each time, which costs as much as what is
# done with them.
MOST_SAMPLES = 5_000_000
# Frames that are filtered or referenced at once, so that they stay in the processor's cache.
CACHED_FRAMES = 2000


def chunk_frames(recording, most_s: float) -> int:
    """Frames of a recording that are read at once: so many seconds, or fewer where there are many channels."""
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


def spread_chunks(recording, most_s: float, chunk_s: float = 1.0) -> list[tuple[int, int, int]] | None:
    """
    Chunks spread evenly over a recording.

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


def are_inside(events: np.ndarray, chunks: list[tuple[int, int, int]] | None) -> np.ndarray:
    """Which events, with fields segment_index and sample_index and sorted by them, lie inside of some chunks."""
    inside = np.full(len(events), chunks is None)
    for segment, start, stop in chunks or []:
        first, last = np.searchsorted(events["segment_index"], [segment, segment + 1])
        bounds = np.searchsorted(events["sample_index"][first:last], [start, stop]) + first
        inside[slice(*bounds)] = True
    return inside
