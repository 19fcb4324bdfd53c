"""How the recording's own units fire, as far as its first sorting tells: synchrony with neighbours, and bursts."""

import numpy as np

from ..generation.synchrony import SYNCHRONY_MS

# Units with which a unit may fire together: the nearest ones, twice as many as the generator draws partners from.
NUM_NEAREST = 6
# Lags in ms between which two units are unrelated: longer than synaptic delays and bursts, shorter than slow changes of
# all rates, which are then no synchrony.
UNRELATED_MS = (10.0, 50.0)
# Excess of coincidences, in standard deviations of a Poisson count, from which on two units fire together: chance
# reaches it in one of 700 pairs.
LEAST_DEVIATIONS = 3.0
# Lags in ms within which a unit fires again in a burst (Ranck 1973: 3 to 10 ms), and the number of spikes there,
# relative to that at unrelated lags, from which on a unit is called bursting. Regular trains have less than 1.
BURST_MS, BURST_RATIO = (2.5, 12.0), 2.0
# With fewer pairs of spikes, chance could reach that ratio.
FEWEST_PAIRS = 8


def shares_of_neighbours(trains_s: list[np.ndarray], locations_um: np.ndarray) -> np.ndarray:
    """
    Share of the spikes of its most synchronous neighbour with which each unit fires.

    Parameters
    ----------
    trains_s : list of np.ndarray, shape (num_spikes,), float64
        Ascending, in s.
    locations_um : np.ndarray, shape (num_units, 2), float64

    Returns
    -------
    np.ndarray, shape (num_units,), float64
        From 0 to 1, beyond chance; 0 for units that fire with nobody more often than chance explains.
    """
    shares = np.zeros(len(trains_s))
    distances = np.linalg.norm(locations_um[:, None] - locations_um[None], axis=2)
    for unit, train in enumerate(trains_s):
        nearest = np.argsort(distances[unit], kind="stable")
        largest = 0.0
        for other in nearest[nearest != unit][:NUM_NEAREST]:
            partner = trains_s[other]
            together = _num_pairs(train, partner, 0.0, SYNCHRONY_MS)
            by_chance = _num_pairs(train, partner, *UNRELATED_MS) * SYNCHRONY_MS / np.diff(UNRELATED_MS)[0]
            deviations = (together - by_chance) / np.sqrt(max(by_chance, 1.0))
            if deviations >= LEAST_DEVIATIONS and deviations > largest:
                largest = deviations
                shares[unit] = min((together - by_chance) / len(partner), 1.0)
    return shares


def bursting_fraction(trains_s: list[np.ndarray]) -> float:
    """
    Share of the units that fire bursts.

    Parameters
    ----------
    trains_s : list of np.ndarray, shape (num_spikes,), float64
        Ascending, in s.

    Returns
    -------
    float
        0 if there are no units.
    """
    width = np.diff(BURST_MS)[0] / np.diff(UNRELATED_MS)[0]
    is_bursting = []
    for train in trains_s:
        in_bursts = _num_pairs(train, train, *BURST_MS)
        is_bursting.append(
            in_bursts >= FEWEST_PAIRS and in_bursts >= BURST_RATIO * width * _num_pairs(train, train, *UNRELATED_MS)
        )
    return float(np.mean(is_bursting)) if is_bursting else 0.0


def _num_pairs(train: np.ndarray, other: np.ndarray, low_ms: float, high_ms: float) -> int:
    """Pairs of spikes of two ascending trains whose absolute lag is from `low_ms` to `high_ms`."""
    low, high = low_ms / 1000, high_ms / 1000
    before = np.searchsorted(other, train - low, "right") - np.searchsorted(other, train - high, "left")
    after = np.searchsorted(other, train + high, "right") - np.searchsorted(other, train + low, "left")
    both = np.searchsorted(other, train, "right") - np.searchsorted(other, train, "left") if low == 0 else 0
    return int(np.sum(before + after - both))
