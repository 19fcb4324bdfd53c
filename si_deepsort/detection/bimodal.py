"""
Tell spikes that stand out from the multi-unit background of their channel, without labels.

On a single wire the spikes of many far neurons form a continuum of small events, and the probability of a spike cannot
tell which of them to keep. The heights of the events can: if their logarithms fall into two well separated groups, the
upper group holds the spikes of near neurons.
"""

import numpy as np

from ..two_groups import most_compact_split

# Two groups whose means differ by less than this, in standard deviations, count as one. Two halves of one Gaussian
# differ by 2.6 of their own standard deviations.
SEPARATION = 4.0
# Fewest events of a group.
FEWEST_EVENTS = 10
# Smallest height whose logarithm is taken, in noise levels, and smallest standard deviation of logarithms.
NEGLIGIBLE = 1e-6


def standing_out(heights: np.ndarray, channels: np.ndarray, num_channels: int) -> np.ndarray:
    """
    Which events belong to the upper of two separate groups of their channel; all if the channel has one group.

    Parameters
    ----------
    heights : np.ndarray, shape (num_events,), float
        Positive, in noise levels.
    channels : np.ndarray, shape (num_events,), int
    num_channels : int

    Returns
    -------
    np.ndarray, shape (num_events,), bool
    """
    keep = np.ones(len(heights), dtype=bool)
    for channel in range(num_channels):
        mine = np.flatnonzero(channels == channel)
        keep[mine] = heights[mine] >= dividing_height(heights[mine])
    return keep


def dividing_height(heights: np.ndarray) -> float:
    """
    Height between the two groups of events of a channel.

    Parameters
    ----------
    heights : np.ndarray, shape (num_events,), float
        In noise levels.

    Returns
    -------
    float
        In noise levels; 0 if there is only one group.
    """
    ordered = np.sort(heights)
    values = np.log(np.maximum(ordered, NEGLIGIBLE))
    if len(values) < 2 * FEWEST_EVENTS:
        return 0.0
    split = most_compact_split(values, fewest=FEWEST_EVENTS)
    lower, upper = values[:split], values[split:]
    spread = np.sqrt((lower.var() + upper.var()) / 2)
    if upper.mean() - lower.mean() < SEPARATION * max(spread, NEGLIGIBLE):
        return 0.0
    return float(np.sqrt(ordered[split - 1] * ordered[split]))
