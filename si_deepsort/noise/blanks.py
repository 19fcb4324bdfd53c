"""Blanks: stretches in which all channels keep their values, because somebody has set them to a constant."""

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
    stays = np.zeros(len(traces), dtype=bool)
    candidates = np.flatnonzero(traces[1:, 0] == traces[:-1, 0]) + 1
    stays[candidates] = (traces[candidates] == traces[candidates - 1]).all(axis=1)
    # Runs of frames, all but the first of which stay.
    lengths = np.diff(np.flatnonzero(~stays), append=len(stays))
    return np.repeat(lengths >= num_frames, lengths)
