"""Selection of the peaks that are clustered."""

import numpy as np


def select_peaks(peaks: np.ndarray, *, most_per_channel: int, seed: int) -> np.ndarray:
    """
    Choose at most `most_per_channel` random peaks of each channel.

    SpikeInterface's `select_peaks` makes the same choice with other random numbers, but fails if there are no peaks.

    Parameters
    ----------
    peaks : np.ndarray, shape (num_peaks,)
        SpikeInterface's peak dtype, in any order.
    most_per_channel : int
    seed : int

    Returns
    -------
    np.ndarray
        The chosen peaks, in the order in which they came.
    """
    rng = np.random.default_rng(seed)
    kept = []
    for channel in np.unique(peaks["channel_index"]):
        own = np.flatnonzero(peaks["channel_index"] == channel)
        kept.append(own if len(own) <= most_per_channel else rng.choice(own, most_per_channel, replace=False))
    return peaks[np.sort(np.concatenate(kept))] if kept else peaks[:0]
