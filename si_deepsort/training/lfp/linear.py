"""
The linear part of every predictor: a Poisson or Bernoulli GLM whose prior is learnt.

Each group of features (a kind of feature of one band, over all channels and lags) has a Gaussian prior of its own
width, set by maximising the evidence (MacKay 1992, "Bayesian interpolation", with the Laplace approximation). A band
that does not matter gets a width near 0, so a few hundred spikes are not spent on noise.
"""

import numpy as np

# Bins beyond this number are thinned (only bins without a spike), which bounds time and memory of the GLM.
MAX_ROWS = 150_000


def lagged(values: np.ndarray, num_lags: int, causal: bool) -> np.ndarray:
    """
    Features of the bins around each bin, earliest first within each feature; 0 outside.

    Parameters
    ----------
    values : np.ndarray, shape (num_bins, num_features)
    num_lags : int
    causal : bool
        Earlier bins only.

    Returns
    -------
    np.ndarray, shape (num_bins, num_features * num_taps)
    """
    if num_lags == 0:
        return values
    padded = np.pad(values, ((num_lags, 0 if causal else num_lags), (0, 0)))
    num_taps = num_lags * (1 if causal else 2) + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, num_taps, axis=0)
    return windows.reshape(len(values), -1)


def fit_glm(
    design: np.ndarray, counts: np.ndarray, groups: np.ndarray, *, likelihood: str, num_rounds: int = 12, seed: int = 0
) -> tuple[np.ndarray, float, np.ndarray]:
    """
    Weights of a GLM and the width of each group's prior.

    Parameters
    ----------
    design : np.ndarray, shape (num_bins, num_columns), float32
        Standardised.
    counts : np.ndarray, shape (num_bins,)
    groups : np.ndarray, shape (num_columns,), int
        Columns that share a prior.
    likelihood : "poisson" | "bernoulli"
    num_rounds : int, default: 12
        Updates of the prior; each is followed by two Newton steps.
    seed : int, default: 0
        Seed for drawing bins without a spike: beyond 150,000 bins only some are used, with more weight each.

    Returns
    -------
    weights : np.ndarray, shape (num_columns,)
    intercept : float
    prior_sd : np.ndarray, shape (num_groups,)
    """
    rows, row_weights = _choose_rows(counts, seed)
    design = np.column_stack([design[rows], np.ones(len(row_weights), dtype=np.float32)])
    counts = np.minimum(counts[rows], 1 if likelihood == "bernoulli" else np.inf).astype(float)
    weights = np.zeros(design.shape[1])
    mean = (row_weights @ counts + 0.5) / (row_weights.sum() + 1)
    weights[-1] = np.log(mean) if likelihood == "poisson" else np.log(mean / (1 - mean))
    precision = np.full(groups.max(initial=0) + 1, 100.0)
    for _ in range(num_rounds):
        penalty = np.append(precision[groups], 1e-6)
        for _ in range(2):
            weights, covariance = _newton_step(design, counts, row_weights, weights, penalty, likelihood)
        previous = precision
        precision = _update_precision(weights[:-1], np.diag(covariance)[:-1], precision, groups)
        if np.abs(np.log(precision / previous)).max() < 0.05:
            break
    return weights[:-1], float(weights[-1]), precision**-0.5


def _newton_step(design, counts, row_weights, weights, penalty, likelihood):
    def objective(candidate):
        level = design @ candidate.astype(np.float32)
        if likelihood == "poisson":
            value = row_weights @ (counts * level - np.exp(np.minimum(level, 20)))
        else:
            value = row_weights @ (counts * level - np.logaddexp(0, level))
        return value - 0.5 * penalty @ candidate**2

    level = design @ weights.astype(np.float32)
    rate = np.exp(np.minimum(level, 20)) if likelihood == "poisson" else 1 / (1 + np.exp(-level))
    curvature = row_weights * (rate if likelihood == "poisson" else rate * (1 - rate))
    gradient = design.T @ (row_weights * (counts - rate)).astype(np.float32) - penalty * weights
    hessian = (design * curvature[:, None].astype(np.float32)).T @ design
    covariance = np.linalg.inv(hessian.astype(float) + np.diag(penalty))
    step, start = covariance @ gradient, objective(weights)
    for _ in range(6):
        if objective(weights + step) >= start - 1e-6 * abs(start):
            return weights + step, covariance
        step = step / 2
    return weights, covariance


def _update_precision(weights, variance, precision, groups):
    updated = precision.copy()
    for group in np.unique(groups):
        inside = groups == group
        num_determined = inside.sum() - precision[group] * variance[inside].sum()
        updated[group] = max(num_determined, 1e-3) / max(float((weights[inside] ** 2).sum()), 1e-12)
    return updated.clip(1.0, 1e6)  # standardised features: no weight is larger than about 1


def _choose_rows(counts, seed):
    empty = np.flatnonzero(counts == 0)
    surplus = len(counts) - MAX_ROWS
    if surplus <= 0 or len(empty) <= surplus:
        return slice(None), np.ones(len(counts))
    kept = np.sort(np.random.default_rng(seed).choice(empty, len(empty) - surplus, replace=False))
    rows = np.sort(np.concatenate([np.flatnonzero(counts > 0), kept]))
    return rows, np.where(counts[rows] > 0, 1.0, len(empty) / len(kept))
