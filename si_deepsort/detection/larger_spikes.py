"""
What larger spikes make of the matches around them, and the matches without it.

The match with the typical waveform rises and falls for two milliseconds around a large spike, on all channels nearby.
It hides smaller spikes there, and its humps look like spikes. The mean of what large spikes do to the matches is learnt
from the recording and subtracted, the largest spikes first.
"""

from dataclasses import dataclass

import numba
import numpy as np

from ..compiled import COMPILED

# Spikes whose response is subtracted are larger than this, in noise standard deviations. Those of half the size have
# side lobes below the noise.
LARGE_SIZE = 10.0
# Reach of a response in ms and um: the slow phases of a spike last so long, and the profiles of a far one are so wide.
REACH_MS, REACH_UM = 2.0, 150.0
# Spikes of a channel from which its response is learnt, at most. Fewer than the second number count less than the mean
# over all channels at the same distances, in steps of the third in um.
MOST_SPIKES, PRIOR_SPIKES, STEP_UM = 30, 10, 20.0
# Single responses are clipped to this share of the size of the spike: more is another spike.
LARGEST_SHARE = 1.0


@dataclass(frozen=True)
class Responses:
    """
    Expected responses of the matches to a spike of size 1.

    Attributes
    ----------
    neighbors : np.ndarray, shape (num_channels, max_neighbors), int
        Channels around each channel; -1 where there are fewer.
    values : np.ndarray, shape (num_channels, max_neighbors, 2, 2 * reach + 1), float32
        Through the nearest and the farthest profile of each of them, in places before and after the spike.
    """

    neighbors: np.ndarray
    values: np.ndarray

    @property
    def reach(self) -> int:
        """Places before and after a spike."""
        return self.values.shape[3] // 2


def learn_responses(
    matches: np.ndarray,
    places: np.ndarray,
    channels: np.ndarray,
    sizes: np.ndarray,
    neighbors: np.ndarray,
    distances_um: np.ndarray,
    reach: int,
) -> Responses:
    """
    Learn what large spikes make of the matches around them.

    Parameters
    ----------
    matches : np.ndarray, shape (2, num_channels, num_places), float32
        From `energy.spike_matches`.
    places, channels : np.ndarray, shape (num_spikes,), int
        Large spikes of the typical polarity without larger ones around.
    sizes : np.ndarray, shape (num_spikes,), float32
        In noise standard deviations.
    neighbors : np.ndarray, shape (num_channels, max_neighbors), int
        Channels within `REACH_UM` of each channel; -1 where there are fewer.
    distances_um : np.ndarray, shape (num_channels, num_channels), float32
    reach : int
        In places.
    """
    values = np.zeros((*neighbors.shape, 2, 2 * reach + 1), dtype="float32")
    num_spikes = np.zeros(len(neighbors))
    is_inside = (places >= reach) & (places < matches.shape[2] - reach)
    for channel in np.unique(channels[is_inside]):
        own = np.flatnonzero(is_inside & (channels == channel))
        own = own[:: len(own) // MOST_SPIKES + 1]
        num_spikes[channel] = len(own)
        _add_responses(matches, places[own], sizes[own], neighbors[channel], values[channel])
    # On channels with few spikes the mean over all channels at this distance takes over.
    steps = np.round(distances_um[np.arange(len(neighbors))[:, None], neighbors] / STEP_UM).astype(int)
    sums, weights = np.zeros((steps.max(initial=0) + 1, *values.shape[2:])), np.zeros(steps.max(initial=0) + 1)
    is_there = neighbors >= 0
    np.add.at(sums, steps[is_there], values[is_there])
    np.add.at(weights, steps[is_there], np.broadcast_to(num_spikes[:, None], steps.shape)[is_there])
    prior = PRIOR_SPIKES * sums / np.maximum(weights, 1.0)[:, None, None]
    values = (values + prior[steps]) / (num_spikes + PRIOR_SPIKES)[:, None, None, None]
    values[~is_there] = 0
    return Responses(neighbors, values.astype("float32"))


@numba.njit(**COMPILED)
def _add_responses(matches, places, sizes, neighbors, values):
    """Add the responses to some spikes of a channel, relative to their sizes."""
    reach = values.shape[2] // 2
    for spike in range(len(places)):
        for row in range(len(neighbors)):
            if neighbors[row] < 0:
                break
            for profile in range(2):
                for lag in range(values.shape[2]):
                    share = matches[profile, neighbors[row], places[spike] - reach + lag] / sizes[spike]
                    values[row, profile, lag] += min(max(share, -LARGEST_SHARE), LARGEST_SHARE)


@numba.njit(fastmath=True, **COMPILED)
def subtract_responses(matches: np.ndarray, mixing, channels, places, neighbors, values, is_changed, sizes):
    """
    Subtract the expected responses of large spikes from the matches, one after the other.

    Parameters
    ----------
    matches : np.ndarray, shape (2, num_channels, num_places), float32
        Changed.
    mixing : np.ndarray, shape (num_channels, 2), float32
        See `EnergyFilters`.
    channels, places : np.ndarray, shape (num_spikes,), int
        Peaks of the matches, the largest first.
    neighbors, values : np.ndarray
        See `Responses`.
    is_changed : np.ndarray, shape (num_channels, num_places), bool
        Set where something was subtracted.
    sizes : np.ndarray, shape (num_spikes,), float32
        Filled: size of each peak when its turn came; 0 if it was not large any more, and nothing was subtracted.
    """
    reach, num_places = values.shape[3] // 2, matches.shape[2]
    for spike in range(len(channels)):
        channel, place = channels[spike], places[spike]
        near, far = matches[0, channel, place], matches[1, channel, place]
        size = max(near, far, mixing[channel, 0] * near + mixing[channel, 1] * far)
        sizes[spike] = np.float32(0.0)
        if size < LARGE_SIZE:
            continue
        sizes[spike] = size
        first, last = max(0, place - reach), min(num_places, place + reach + 1)
        for row in range(neighbors.shape[1]):
            neighbor = neighbors[channel, row]
            if neighbor < 0:
                break
            for profile in range(2):
                expected = values[channel, row, profile, first - place + reach :]
                changed = matches[profile, neighbor, first:last]
                for position in range(len(changed)):
                    changed[position] -= size * expected[position]
            is_changed[neighbor, first:last] = True
