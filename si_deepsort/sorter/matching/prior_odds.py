"""Prior odds of the spikes of a unit: a rare event needs more evidence than a frequent one."""

import numpy as np

# Firing rate in Hz of a unit whose smallest score is the threshold that is set: at 30 kHz the default of 18 is the
# prior odds of such a unit, 2 log(30000 / 3.7).
USUAL_RATE_HZ = 3.7


def prior_costs_of(num_spikes: np.ndarray, duration_s: float) -> np.ndarray:
    """
    What the firing rate of each unit adds to the smallest score of its spikes: twice a difference of log prior odds.

    Parameters
    ----------
    num_spikes : np.ndarray, shape (num_units,), int
        Spikes of each unit that were found before.
    duration_s : float
        Seconds in which they were found.

    Returns
    -------
    np.ndarray, shape (num_units,), float
        Negative for units that fire more than `USUAL_RATE_HZ`.
    """
    # One spike more than was seen: a rate estimated from no spike is not 0.
    rates = (num_spikes + 1) / duration_s
    return 2 * np.log(USUAL_RATE_HZ / rates)
