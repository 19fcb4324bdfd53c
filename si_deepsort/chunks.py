"""Stretches of a recording: as long as memory serves well, or spread over a long one."""

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
