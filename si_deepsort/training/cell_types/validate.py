"""Judge a classifier of cell types on animals that it never saw; the animals, not the cells, are the sample."""

from collections.abc import Callable

import numpy as np
from scipy.stats import binomtest

from .cells import KnownCells

# Bootstrap samples of animals, enough for two digits of an interval, and the level of all intervals.
NUM_RESAMPLES = 2000
CONFIDENCE = 0.95


def leave_one_animal_out(cells: KnownCells, fit: Callable[[np.ndarray, np.ndarray], Callable]) -> np.ndarray:
    """
    Predict each cell by a classifier that was fitted to the cells of the other animals.

    Parameters
    ----------
    cells : KnownCells
    fit : callable
        (features, is_excitatory) -> a function from features to probabilities.

    Returns
    -------
    np.ndarray, shape (num_cells,), float64
        Probability that the cell is excitatory.
    """
    probabilities = np.zeros(len(cells.animals))
    for animal in np.unique(cells.animals):
        held_out = cells.animals == animal
        predict = fit(cells.features[~held_out], cells.is_excitatory[~held_out])
        probabilities[held_out] = predict(cells.features[held_out])
    return probabilities


def balanced_accuracy(is_right: np.ndarray, is_excitatory: np.ndarray) -> float:
    """Mean of the shares of excitatory and of inhibitory cells that are right."""
    return float((is_right[is_excitatory].mean() + is_right[~is_excitatory].mean()) / 2)


def accuracy_interval(is_right: np.ndarray, cells: KnownCells, *, seed: int = 0) -> dict[str, float]:
    """
    Balanced accuracy with an interval over animals.

    A bootstrap over animals, within each type; and because a bootstrap of two animals that are both right knows no
    doubt, the interval reaches at least as far down as Wilson's for the share of right animals of each type, an animal
    being as right as its cells are on average.

    Parameters
    ----------
    is_right : np.ndarray, shape (num_cells,), bool
    cells : KnownCells
    seed : int, default: 0

    Returns
    -------
    dict
        `value`, `low`, `high`, `bootstrap_low`, `bootstrap_high`.
    """
    rng = np.random.default_rng(seed)
    means, lows = [], []
    for kind in (True, False):
        own = cells.is_excitatory == kind
        animals = np.unique(cells.animals[own])
        counts = np.array([(own & (cells.animals == animal)).sum() for animal in animals])
        right = np.array([is_right[own & (cells.animals == animal)].sum() for animal in animals])
        drawn = rng.integers(0, len(animals), (NUM_RESAMPLES, len(animals)))
        means.append(right[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
        num_right = int(np.floor((right / counts).sum()))
        lows.append(binomtest(num_right, len(animals)).proportion_ci(CONFIDENCE, method="wilson").low)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.mean(means, axis=0), [tail, 1 - tail])
    return dict(
        value=balanced_accuracy(is_right, cells.is_excitatory),
        low=float(min(low, np.mean(lows))),
        high=float(high),
        bootstrap_low=float(low),
        bootstrap_high=float(high),
    )
