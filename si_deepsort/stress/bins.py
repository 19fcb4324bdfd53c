"""How well injected units were found, by SNR, depth or firing rate, with intervals."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import binomtest

from ..benchmarking.score import bootstrap_interval

# Edges of the bins of SNR: as in the benchmarks' tables, with one more for large units.
SNR_EDGES = (3.0, 5.0, 8.0, 12.0, 20.0)
# Edges of the bins of firing rate in Hz.
RATE_EDGES = (0.0, 1.0, 3.0, 10.0, 30.0)
# Depth is divided into this many bins of equal height.
NUM_DEPTHS = 4
# Normal prior of the slopes of the log odds of recall over the logarithms of SNR and firing rate: mean and standard
# deviation. The means are those of the 126 true units of six development recordings (seeds 1-3); a stress test alone
# has too few units to tell how steep the rise is.
SLOPES, SLOPE_SDS = np.array([5.5, 0.5]), np.array([1.0, 0.3])
# Sizes below this share of the smallest injected unit's were not tested: the curve says nothing of them but its slope.
TESTED_SHARE = 0.9
# Resamples of injected units for the interval of the expected recall.
NUM_RESAMPLES = 200
# Confidence of all intervals.
CONFIDENCE = 0.9


def bin_edges(values: np.ndarray, edges: tuple[float, ...]) -> np.ndarray:
    """The edges, the outer ones moved outwards where values lie beyond them."""
    return np.array([min(edges[0], values.min()), *edges[1:-1], max(edges[-1], np.nextafter(values.max(), np.inf))])


def depth_edges(depths_um: np.ndarray) -> np.ndarray:
    """Edges of bins of equal height over all depths; one bin if all depths are the same."""
    low, high = depths_um.min(), np.nextafter(depths_um.max(), np.inf)
    return np.linspace(low, high, NUM_DEPTHS + 1) if high - low > 1.0 else np.array([low, high])


def scores_by(units: pd.DataFrame, column: str, edges: np.ndarray) -> pd.DataFrame:
    """
    Scores of units in bins.

    Parameters
    ----------
    units : pandas.DataFrame
        A row for each sorter and injected unit, see `StressTest.units`.
    column : str
        By which units are binned.
    edges : np.ndarray, shape (num_bins + 1,), float64
        Each bin holds its lower edge.

    Returns
    -------
    pandas.DataFrame
        A row for each sorter and bin with units: `sorter`, `from`, `to`, `num_units`, then `detection` (share of units
        that were found), `recall` (mean over all units, 0 for those that were not found) and `precision` (mean over
        those found; NaN if none was), each with `_low` and `_high`.
    """
    rows = []
    for sorter in dict.fromkeys(units["sorter"]):
        own = units[units["sorter"] == sorter]
        for low, high in pairwise(edges.tolist()):
            inside = own[(own[column] >= low) & (own[column] < high)]
            if len(inside):
                rows.append({"sorter": sorter, "from": float(low), "to": float(high), **scores_of(inside)})
    return pd.DataFrame(rows)


def scores_of(units: pd.DataFrame) -> dict[str, float]:
    """
    Scores of a group of units with their intervals.

    Parameters
    ----------
    units : pandas.DataFrame
        At least one row.

    Returns
    -------
    dict
        `num_units`, and `detection` (Wilson interval), `recall` and `precision` (bootstrap over units), each with
        `_low` and `_high`.
    """
    found = units["is_found"].to_numpy(bool)
    wilson = binomtest(int(found.sum()), len(found)).proportion_ci(CONFIDENCE, method="wilson")
    scores = dict(
        num_units=len(units), detection=float(found.mean()), detection_low=wilson.low, detection_high=wilson.high
    )
    for name, values in (("recall", units["recall"]), ("precision", units["precision"].dropna())):
        low, high, mean = np.nan, np.nan, np.nan
        if len(values):
            mean = float(values.mean())
            low, high = mean_interval(values.to_numpy(float))
        scores |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    return scores


@dataclass(frozen=True, eq=False)
class RecallCurve:
    """
    Recall of units by size and rate: a logistic curve over the logarithms of both.

    Attributes
    ----------
    weights : np.ndarray, shape (3,), float64
        Log odds at the middle, and slopes over the logarithms of SNR and firing rate.
    middle : np.ndarray, shape (2,), float64
        Logarithms of SNR and firing rate.
    """

    weights: np.ndarray
    middle: np.ndarray

    @classmethod
    def fit(cls, units: pd.DataFrame) -> "RecallCurve":
        """The curve of injected units of one sorter, at least one; with `snr`, `firing_rate` in Hz, and `recall`."""
        recall = units["recall"].to_numpy(float)
        known = np.log(units[["snr", "firing_rate"]].to_numpy(float))
        middle = known.mean(axis=0)
        if recall.max() == 0 or recall.min() == 1:
            return cls(np.array([np.inf if recall[0] else -np.inf, 0.0, 0.0]), middle)

        def surprise(weights):
            # Each unit is a success with the weight of its recall, and a failure with the rest.
            log_odds = weights[0] + (known - middle) @ weights[1:]
            far = ((weights[1:] - SLOPES) / SLOPE_SDS) ** 2
            return np.sum(np.logaddexp(0, log_odds) - recall * log_odds) + far.sum() / 2

        return cls(minimize(surprise, np.concatenate([[0.0], SLOPES])).x, middle)

    def at(self, snr: np.ndarray, firing_rate: np.ndarray) -> np.ndarray:
        """Recall of units of given sizes and rates in Hz, (num_units,), float64."""
        wanted = np.log(np.maximum(np.stack([snr, firing_rate], axis=1), 1e-3))
        return expit(self.weights[0] + (wanted - self.middle) @ self.weights[1:])


def resampled_curves(units: pd.DataFrame, num_resamples: int, *, seed: int = 0) -> list[RecallCurve]:
    """
    Curves of a bootstrap over injected units, which tell how far chance has decided about the curve.

    Parameters
    ----------
    units : pandas.DataFrame
        See `RecallCurve.fit`.
    num_resamples : int
    seed : int, default: 0
    """
    rng = np.random.default_rng(seed)
    return [RecallCurve.fit(units.iloc[rng.integers(0, len(units), len(units))]) for _ in range(num_resamples)]


def recall_bounds(units: pd.DataFrame, snr: np.ndarray, firing_rate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    The 90 % interval of the mean recall of units of given sizes and rates.

    It begins at 0 for units that are smaller than all injected ones, and ends at 1 for larger ones.

    Parameters
    ----------
    units : pandas.DataFrame
        See `RecallCurve.fit`.
    snr, firing_rate : np.ndarray, shape (num_units,), float64
        Rates in Hz.

    Returns
    -------
    low, high : np.ndarray, shape (num_units,), float64
    """
    expected, unseen = RecallCurve.fit(units).at(snr, firing_rate), unseen_share(len(units))
    resamples = [curve.at(snr, firing_rate) for curve in resampled_curves(units, NUM_RESAMPLES)]
    low, high = np.quantile(resamples, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    # Where all units are alike, resamples are, too.
    low, high = np.minimum(low, expected * (1 - unseen)), np.maximum(high, expected + (1 - expected) * unseen)
    smallest, largest = units["snr"].min() * TESTED_SHARE, units["snr"].max() / TESTED_SHARE
    return np.where(snr < smallest, 0.0, low), np.where(snr > largest, 1.0, high)


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """
    Interval of the mean of values from 0 to 1.

    Percentiles of the bootstrap, widened where all units are alike: few equal values do not prove that all are.

    Parameters
    ----------
    values : np.ndarray, shape (num_units,), float64

    Returns
    -------
    low, high : float
    """
    low, high = bootstrap_interval(values, confidence=CONFIDENCE)
    mean, unseen = float(values.mean()), unseen_share(len(values))
    return min(low, mean * (1 - unseen)), max(high, mean + (1 - mean) * unseen)


def unseen_share(num_units: int) -> float:
    """The share of units that may fail although none of some units did: Wilson's interval for n of n."""
    return 1 - float(binomtest(num_units, num_units).proportion_ci(CONFIDENCE, method="wilson").low)
