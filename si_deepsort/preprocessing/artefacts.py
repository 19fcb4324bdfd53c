"""Artefacts: frames at which most channels are far louder than any spike."""

import numba
import numpy as np
from scipy.ndimage import maximum_filter1d

# If more than half of the channels exceed this level, in noise standard deviations, the frame is an artefact. A large
# unit may be seen on all channels of a small probe, such as a tetrode, hence the higher level there.
ARTEFACT_LEVEL = 30.0
ARTEFACT_LEVEL_FEW_CHANNELS = 150.0
FEW_CHANNELS = 8


def blank_artefacts(whitened: np.ndarray, reach: int, *, num_living: int) -> None:
    """
    Set artefacts to 0, in place: frames at which an amplifier saturates, or a stimulus is given.

    Parameters
    ----------
    whitened : np.ndarray, shape (num_frames, num_channels), float32
        White traces, in noise standard deviations.
    reach : int
        Frames before and after an artefact that are blanked too.
    num_living : int
        Number of channels that are not dead in the whole recording. It is not counted here: a channel may be silent
        in one chunk and not in another.
    """
    level = ARTEFACT_LEVEL if num_living >= FEW_CHANNELS else ARTEFACT_LEVEL_FEW_CHANNELS
    is_loud = _count_loud(whitened, level) > num_living / 2
    if np.any(is_loud):
        whitened[maximum_filter1d(is_loud.astype("uint8"), 2 * reach + 1).astype(bool)] = 0


@numba.njit(cache=True, nogil=True)
def _count_loud(traces, level):
    """Count the channels that exceed a level, at each frame."""
    counts = np.zeros(len(traces), dtype=np.int64)
    for frame in range(len(traces)):
        for channel in range(traces.shape[1]):
            counts[frame] += abs(traces[frame, channel]) > level
    return counts
