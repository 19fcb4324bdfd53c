"""
Times of spikes: the sample at which the waveform of a candidate is largest.

The energy of a candidate is largest where its window holds most of the waveform. For a neuron whose spike has several
phases this is up to half a millisecond away from the main one, which is what others call the time of a spike.
"""

import numpy as np

from .energy import EnergyFilters


def extremum_frames(traces: np.ndarray, filters: EnergyFilters, frames: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """
    Frames at which waveforms are largest, without the noise beyond the directions of spikes.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
        White traces.
    filters : EnergyFilters
    frames, channels : np.ndarray, shape (num_candidates,), int
        Where the energy is largest; the windows of the filters around them lie inside the traces.

    Returns
    -------
    np.ndarray, shape (num_candidates,), int
    """
    result = np.array(frames)
    samples = np.arange(filters.directions.shape[1]) - filters.nbefore
    if filters.is_signed:
        return result + samples[np.abs(filters.directions[0]).argmax()]
    for channel in np.unique(channels):
        mine = np.flatnonzero(channels == channel)
        profiles = filters.profiles[:, channel]
        reached = np.flatnonzero(profiles.any(axis=0))
        windows = traces[frames[mine][:, None, None] + samples[:, None], reached]
        # (num_candidates, num_profiles, num_directions): the profile that holds most energy counts.
        seen = np.swapaxes(windows @ profiles[:, reached].T, 1, 2) @ filters.directions.T
        best = (seen**2).sum(axis=2).argmax(axis=1)
        waveforms = seen[np.arange(len(mine)), best] @ filters.directions
        result[mine] += samples[np.abs(waveforms).argmax(axis=1)]
    return result
