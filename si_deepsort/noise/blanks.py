"""Blanks: stretches in which all channels keep their values, because somebody has set them to a constant."""

import numba
import numpy as np
from spikeinterface.core import BaseRecording

# Shortest blank in ms: all channels keep their values for this long, and at least for so many frames. A neural signal
# changes from frame to frame.
SHORTEST_MS, FEWEST_FRAMES = 1.0, 10


def shortest_blank(recording: BaseRecording) -> int:
    """Frames of the shortest blank."""
    return max(FEWEST_FRAMES, round(SHORTEST_MS * recording.get_sampling_frequency() / 1000))


def blank_frames(traces: np.ndarray, num_frames: int) -> np.ndarray:
    """
    Frames of stretches in which no channel changes.

    Parameters
    ----------
    traces : np.ndarray, shape (num_read, num_channels)
    num_frames : int
        Shortest stretch.

    Returns
    -------
    np.ndarray, shape (num_read,), bool
    """
    if len(traces) < num_frames or traces.shape[1] == 0:
        return np.zeros(len(traces), dtype=bool)
    # Frames that equal the one before on all channels.
    stays = np.zeros(len(traces), dtype="uint8")
    candidates = np.flatnonzero(traces[1:, 0] == traces[:-1, 0]) + 1
    stays[candidates] = (traces[candidates] == traces[candidates - 1]).all(axis=1)
    return _long_runs(stays, num_frames)


@numba.njit(cache=True, nogil=True)
def _long_runs(stays, shortest):
    """Frames of runs of at least `shortest` frames, all but the first of which stay, (num_frames,) bool."""
    is_long = np.zeros(len(stays), dtype=np.bool_)
    start = 0
    for frame in range(1, len(stays) + 1):
        if frame == len(stays) or stays[frame] == 0:
            if frame - start >= shortest:
                is_long[start:frame] = True
            start = frame
    return is_long
