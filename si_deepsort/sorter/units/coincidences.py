"""How often the spikes of two units coincide, and how often they would by chance."""

import numpy as np

# Width of the window from which chance coincidences are estimated, relative to that of the coincidences themselves:
# wide enough for a precise estimate, short enough (.05 s at a reach of 1.8 ms) that firing rates hardly change.
CHANCE_WINDOW = 25


def count_coincidences(first: np.ndarray, second: np.ndarray, reach: float) -> int:
    """
    Number of pairs of spikes, one of each train, that are at most `reach` frames apart.

    Parameters
    ----------
    first, second : np.ndarray, int
        Sorted absolute times, see `spike_vectors.absolute_times`.
    reach : float
        In frames.
    """
    return int(np.sum(np.searchsorted(second, first + reach, "right") - np.searchsorted(second, first - reach, "left")))


def expected_coincidences(first: np.ndarray, second: np.ndarray, reach: float) -> float:
    """
    Number of coincidences that chance explains, from the pairs that are somewhat farther apart.

    Slow changes of the firing rates, which both units may share, do not matter. Parameters as in `count_coincidences`.
    """
    wide = CHANCE_WINDOW * reach
    later = count_coincidences(first, second, wide) - count_coincidences(first, second, reach)
    return later * reach / (wide - reach)
