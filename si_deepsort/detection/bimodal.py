"""
Which spikes stand out from the multi-unit background of their channel, told without labels.

On a single wire the spikes of many far neurons form a continuum of small events, in which a probability alone cannot
draw a line. The heights of a channel's own events can: where their logarithms fall into two well separated groups,
the upper one holds the spikes of near neurons.
"""

import numpy as np

# Distance between the two groups, in units of their spread, below which they count as one.
SEPARATION = 4.0
FEWEST_EVENTS = 10


def standing_out(heights: np.ndarray, channels: np.ndarray, num_channels: int) -> np.ndarray:
    """
    Events that belong to the upper of two separate groups of their channel; all where there is one group.

    Parameters
    ----------
    heights : np.ndarray, shape (num_events,), float
        In noise levels, positive.
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
    Height between the two groups of events of a channel, 0 if there is only one group.

    The division is the one with the least spread within the two groups (Otsu 1979), of the logarithms.
    """
    ordered = np.sort(heights)
    values = np.log(np.maximum(ordered, 1e-6))
    if len(values) < 2 * FEWEST_EVENTS:
        return 0.0
    number = np.arange(1, len(values))
    sums, squares = np.cumsum(values)[:-1], np.cumsum(values**2)[:-1]
    rest, rest_squares = values.sum() - sums, (values**2).sum() - squares
    within = squares - sums**2 / number + rest_squares - rest**2 / (len(values) - number)
    allowed = slice(FEWEST_EVENTS - 1, len(values) - FEWEST_EVENTS)
    split = int(within[allowed].argmin()) + FEWEST_EVENTS
    lower, upper = values[:split], values[split:]
    spread = np.sqrt((lower.var() + upper.var()) / 2)
    if upper.mean() - lower.mean() < SEPARATION * max(spread, 1e-6):
        return 0.0
    return float(np.sqrt(ordered[split - 1] * ordered[split]))
