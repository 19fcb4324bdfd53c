"""Split numbers into the two most compact groups, by the criterion of Otsu (1979)."""

import numpy as np


def most_compact_split(ordered: np.ndarray, *, fewest: int = 1) -> int:
    """
    Split sorted numbers where the means of the two groups differ most for their sizes.

    Parameters
    ----------
    ordered : np.ndarray, shape (num_values,), float
        Sorted, at least `2 * fewest` of them.
    fewest : int, default: 1
        Fewest values of a group.

    Returns
    -------
    int
        Number of values in the lower group.
    """
    num_lower = np.arange(1, len(ordered))
    num_upper = num_lower[::-1]
    sums = np.cumsum(ordered)
    lower_mean, upper_mean = sums[:-1] / num_lower, (sums[-1] - sums[:-1]) / num_upper
    spread = (upper_mean - lower_mean) ** 2 * num_lower * num_upper
    return int(spread[fewest - 1 : len(ordered) - fewest].argmax()) + fewest
