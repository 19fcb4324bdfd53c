"""Where a trace says nothing: NaN, a saturated amplifier, what the user excluded; these frames become a line."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import stored
from .stored import Frames

# A trace that rests at its extreme for more than this part of its time has no noise; it is not saturated.
MOST_SATURATED = 0.3
# A stretch that does not change at all for this long, in ms, and at least this many frames, may be saturation.
SHORTEST_SATURATION_MS, SHORTEST_SATURATION_FRAMES = 1.0, 5


class FlatRuns:
    """Stretches of a trace at its smallest and largest value, from one chunk to the next."""

    def __init__(self, sampling_frequency: float):
        self.shortest = max(SHORTEST_SATURATION_FRAMES, SHORTEST_SATURATION_MS * sampling_frequency / 1000)
        self.lowest, self.highest = np.inf, -np.inf
        self.runs = np.zeros((0, 3))

    def add(self, traces: np.ndarray, first_frame: int) -> None:
        """Look at the next chunk, shape (num_frames,); chunks may overlap."""
        self.lowest, self.highest = min(self.lowest, traces.min()), max(self.highest, traces.max())
        runs = np.concatenate([self.runs, _flat_runs(traces, self.shortest, first_frame)])
        self.runs = runs[(runs[:, 2] <= self.lowest) | (runs[:, 2] >= self.highest)]

    def saturated(self, num_frames: int) -> list[tuple[int, int]]:
        """First frame and frame after the last of the stretches in which a segment of this length is saturated."""
        found = []
        for extreme in (self.lowest, self.highest):
            at = self.runs[self.runs[:, 2] == extreme, :2].astype(int)
            if (at[:, 1] - at[:, 0]).sum() < MOST_SATURATED * num_frames:
                found += [(int(first), int(stop)) for first, stop in at]
        return found


def is_excluded(
    exclude_s: Sequence[tuple[float, float]], first_frame: int, stop_frame: int, sampling_frequency: float
) -> np.ndarray:
    """True at the frames that lie in one of the intervals, shape (num_frames,), bool."""
    times = np.arange(first_frame, stop_frame) / sampling_frequency
    is_inside = np.zeros(len(times), dtype=bool)
    for start, stop in exclude_s:
        is_inside |= (times >= start) & (times < stop)
    return is_inside


def bridge(values: np.ndarray, is_bad: np.ndarray) -> None:
    """Put a line over the bad frames, in place; 0 where there are no others."""
    if is_bad.any():
        frames = np.flatnonzero(~is_bad)
        values[is_bad] = _line(np.flatnonzero(is_bad), frames, values[frames])


def bridge_stored(values: Any, is_valid: Frames) -> None:
    """Put a line over the frames that are not valid, in place and piece by piece; 0 where there are no others."""
    before = after = np.zeros(0, dtype=int)  # the nearest valid frame on each side of a piece, if there is one
    looked_up_to = 0
    for start in range(0, len(values), stored.CHUNK_FRAMES):
        stop = min(start + stored.CHUNK_FRAMES, len(values))
        valid = is_valid[start:stop]
        known = start + np.flatnonzero(valid) if not valid.all() else np.array([stop - 1])
        if not valid.all():
            if looked_up_to < stop:
                after = _next_valid(is_valid, stop)
                looked_up_to = int(after[0]) if len(after) else len(values)
            piece = np.array(values[start:stop])
            beside = [values[frame : frame + 1] for frame in (*before, *after)]
            heights = np.concatenate([*beside[: len(before)], piece[valid], *beside[len(before) :]])
            frames = np.concatenate([before, known, after])
            piece[~valid] = _line(start + np.flatnonzero(~valid), frames, heights)
            values[start:stop] = piece
        before = known[-1:] if len(known) else before


def _next_valid(is_valid, start):
    """The first valid frame from `start` on, shape (1,), or (0,) if there is none."""
    for first in range(start, len(is_valid), stored.CHUNK_FRAMES):
        valid = is_valid[first : first + stored.CHUNK_FRAMES]
        if valid.any():
            return np.array([first + int(valid.argmax())])
    return np.zeros(0, dtype=int)


def _line(frames, known, heights):
    return np.interp(frames, known, heights) if len(known) else 0.0


def _flat_runs(traces, shortest, offset):
    """Rows (first frame, frame after the last, value) of stretches, not too short, that do not change at all."""
    changes = np.diff(np.concatenate([[0], np.diff(traces) == 0, [0]]).astype("int8"))
    first, stop = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1) + 1
    is_long = stop - first >= shortest
    first, stop = first[is_long], stop[is_long]
    return np.stack([first + offset, stop + offset, traces[first].astype(float)], axis=1)
