"""One peak per spike: of peaks near each other in time and space only the largest stays."""

from dataclasses import dataclass

import numpy as np

from ..geometry import channel_distances


@dataclass(frozen=True)
class Exclusion:
    """
    When one of two peaks is dropped, because both are the same spike.

    Attributes
    ----------
    distances_um : np.ndarray, shape (num_channels, num_channels), float
        Infinite between shanks.
    radius_um : float
        On channels this close the larger of two peaks stays...
    frames : int
        ...if they are this close in time.
    flank_um : float
        On channels this close...
    flank_share : float
        ...a peak that is smaller than this share of another one at the same moment is seen as its far flank.
    """

    distances_um: np.ndarray
    radius_um: float
    frames: int
    flank_um: float = 200.0
    flank_share: float = 0.7


def make_exclusion(channel_locations, sampling_frequency: float, *, radius_um=75.0, exclusive_ms=0.35, shanks=None):
    """The `Exclusion` of a probe; arguments as in `find_peaks`."""
    distances_um = channel_distances(channel_locations)
    if shanks is not None:
        distances_um[shanks[:, None] != shanks[None]] = np.inf
    return Exclusion(distances_um, radius_um, max(1, round(exclusive_ms * sampling_frequency / 1000)))


def largest_in_reach(frames, channels, heights, exclusion: Exclusion) -> np.ndarray:
    """
    Which peaks are not outdone by a larger one within reach in time and space.

    Parameters
    ----------
    frames, channels : np.ndarray, shape (num_peaks,), int
        Ordered by frame.
    heights : np.ndarray, shape (num_peaks,), float
    exclusion : Exclusion

    Returns
    -------
    np.ndarray, shape (num_peaks,), bool
        Of two equal heights the earlier peak stays.
    """
    keep = np.ones(len(frames), dtype=bool)
    for shift in range(1, len(frames)):
        earlier, later = slice(None, -shift), slice(shift, None)
        lag = frames[later] - frames[earlier]
        if not (lag <= exclusion.frames).any():
            break
        apart = exclusion.distances_um[channels[earlier], channels[later]]
        small, large = np.minimum(heights[earlier], heights[later]), np.maximum(heights[earlier], heights[later])
        near = (apart <= exclusion.radius_um) & (lag <= exclusion.frames)
        is_flank = (apart <= exclusion.flank_um) & (lag <= exclusion.frames // 3)
        near |= is_flank & (small < exclusion.flank_share * large)
        later_wins = heights[later] > heights[earlier]
        keep[earlier] &= ~(near & later_wins)
        keep[later] &= ~(near & ~later_wins)
    return keep
