"""Artefacts: moments at which most channels are far louder than any spike."""

import numba
import numpy as np
from scipy.ndimage import maximum_filter1d

# A frame on which more than half of the channels are louder than this, in noise levels, belongs to no spike. With few
# channels a large unit may be seen on all of them.
ARTEFACT_LEVEL = 30.0
ARTEFACT_LEVEL_FEW_CHANNELS = 150.0
FEW_CHANNELS = 8


def blank_artefacts(whitened: np.ndarray, reach: int) -> None:
    """
    Set frames to 0, in place, at which most channels are far louder than any spike: a saturated amplifier, a stimulus.

    Parameters
    ----------
    whitened : np.ndarray, shape (num_frames, num_channels), float
        In noise levels; channels that are 0 throughout do not count.
    reach : int
        Frames to either side that are blanked too.
    """
    num_channels = _count_living(whitened)
    level = ARTEFACT_LEVEL if num_channels >= FEW_CHANNELS else ARTEFACT_LEVEL_FEW_CHANNELS
    is_loud = _count_loud(whitened, level) > num_channels / 2
    if np.any(is_loud):
        whitened[maximum_filter1d(is_loud.astype("uint8"), 2 * reach + 1).astype(bool)] = 0


@numba.njit(cache=True, nogil=True)
def _count_living(traces):
    """How many channels are not 0 throughout; a few frames tell of most."""
    is_living = np.zeros(traces.shape[1], dtype=np.bool_)
    for frame in range(len(traces)):
        for channel in range(traces.shape[1]):
            is_living[channel] |= traces[frame, channel] != 0
        if is_living.all():
            break
    return is_living.sum()


@numba.njit(cache=True, nogil=True)
def _count_loud(traces, level):
    """How many channels are louder than a level, at each frame."""
    counts = np.zeros(len(traces), dtype=np.int64)
    for frame in range(len(traces)):
        for channel in range(traces.shape[1]):
            counts[frame] += abs(traces[frame, channel]) > level
    return counts
