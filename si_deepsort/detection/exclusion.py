"""One peak per spike: the largest of several peaks that are close in time and space stays."""

from dataclasses import dataclass

import numpy as np

from ..geometry import channel_distances

# Default exclusion: the radius in um over which a spike has similar heights, and the time in ms between its trough and
# the flanks on other channels. Tuned on generated recordings of the bundled detectors.
RADIUS_UM, EXCLUSIVE_MS = 75.0, 0.35
# A large spike is seen at the same moment, much smaller, on channels this far away in um...
FLANK_UM = 200.0
# ...with less than this part of its height.
FLANK_SHARE = 0.7


@dataclass(frozen=True)
class Exclusion:
    """
    When one of two peaks is dropped because both are the same spike.

    Attributes
    ----------
    distances_um : np.ndarray, shape (num_channels, num_channels), float
        Infinite between shanks.
    radius_um : float
        The larger of two peaks on channels this close stays...
    frames : int
        ...if they are this close in time.
    flank_um : float
        On channels this close...
    flank_share : float
        ...a peak that is smaller than this part of another one at the same moment is taken for its far flank.
    """

    distances_um: np.ndarray
    radius_um: float
    frames: int
    flank_um: float = FLANK_UM
    flank_share: float = FLANK_SHARE


def make_exclusion(
    channel_locations: np.ndarray,
    sampling_frequency: float,
    *,
    radius_um: float = RADIUS_UM,
    exclusive_ms: float = EXCLUSIVE_MS,
    shanks: np.ndarray | None = None,
) -> Exclusion:
    """
    Exclusion of a probe at a sampling rate.

    Parameters
    ----------
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um.
    sampling_frequency : float
        In Hz.
    radius_um, exclusive_ms : float
        The largest of several peaks this close in space and time stays.
    shanks : np.ndarray | None, shape (num_channels,), default: None
        Peaks on different shanks do not exclude each other.
    """
    distances_um = channel_distances(channel_locations)
    if shanks is not None:
        distances_um[shanks[:, None] != shanks[None]] = np.inf
    return Exclusion(distances_um, radius_um, max(1, round(exclusive_ms * sampling_frequency / 1000)))


def largest_in_reach(frames: np.ndarray, channels: np.ndarray, heights: np.ndarray, exclusion: Exclusion) -> np.ndarray:
    """
    Which peaks have no larger peak within reach in time and space.

    Parameters
    ----------
    frames, channels : np.ndarray, shape (num_peaks,), int
        Ordered by frame.
    heights : np.ndarray, shape (num_peaks,), float
    exclusion : Exclusion

    Returns
    -------
    np.ndarray, shape (num_peaks,), bool
        The earlier of two peaks of equal height stays.
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
