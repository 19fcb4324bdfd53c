"""
Scores of predicted rates, with intervals from blocks of time.

The main score is bits per spike: the log-likelihood gained over the constant rate of the training data, divided by the
spikes of the test data. A predictor that gives the constant rate scores exactly 0, whatever its accuracy.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d


def log_likelihood(counts: np.ndarray, rate: np.ndarray, likelihood: str = "poisson") -> np.ndarray:
    """
    Log-likelihood of each bin, without the term that no predictor changes.

    Parameters
    ----------
    counts : np.ndarray, shape (num_bins,)
    rate : np.ndarray, shape (num_bins,) or float
        Expected spikes per bin, or probability of a spike.
    likelihood : "poisson" | "bernoulli", default: "poisson"

    Returns
    -------
    np.ndarray, shape (num_bins,), nats
    """
    rate = np.maximum(rate, 1e-12)
    if likelihood == "poisson":
        return counts * np.log(rate) - rate
    rate = np.minimum(rate, 1 - 1e-9)
    return np.where(np.asarray(counts) > 0, np.log(rate), np.log1p(-rate))


def gain_per_bin(counts, rate, reference, likelihood: str = "poisson") -> np.ndarray:
    """Log-likelihood of `rate` less that of `reference` (an array or a constant), bin by bin, in bits."""
    gain = log_likelihood(counts, rate, likelihood) - log_likelihood(counts, reference, likelihood)
    return gain / np.log(2)


def bits_per_spike(
    counts, rate, reference, *, bin_s: float, likelihood: str = "poisson", block_s: float = 10.0, seed: int = 0
) -> dict:
    """
    Bits per spike against a reference, with a 95 % interval from blocks of time.

    Parameters
    ----------
    counts : np.ndarray, shape (num_bins,)
    rate : np.ndarray, shape (num_bins,)
        Expected spikes per bin.
    reference : np.ndarray, shape (num_bins,) or float
        The constant rate of the training data, or another predictor's rate.
    bin_s : float
        Width of a bin, s.
    likelihood : "poisson" | "bernoulli", default: "poisson"
    block_s : float, default: 10.0
        Whole blocks are drawn again, so that slow correlations stay inside a block; shorter if there is little data.
    seed : int, default: 0

    Returns
    -------
    dict
        bits_per_spike, low, high, num_spikes.
    """
    gain = gain_per_bin(counts, rate, reference, likelihood)
    block = max(1, min(round(block_s / bin_s), len(gain) // 20))
    return bits_of_blocks(block_sums(gain, block), block_sums(np.asarray(counts, dtype=float), block), seed=seed)


def bits_of_blocks(gain_of_blocks, spikes_of_blocks, *, num_draws: int = 2000, seed: int = 0) -> dict:
    """Bits per spike and its 95 % interval from sums over blocks (or trials); the spikes of a draw divide its gain."""
    num_blocks = len(gain_of_blocks)
    total = float(np.sum(spikes_of_blocks))
    if total == 0 or num_blocks == 0:
        return dict(bits_per_spike=float("nan"), low=float("nan"), high=float("nan"), num_spikes=0)
    draws = np.random.default_rng(seed).integers(0, num_blocks, (num_draws, num_blocks))
    spikes = np.maximum(np.asarray(spikes_of_blocks)[draws].sum(axis=1), 1)
    low, high = np.percentile(np.asarray(gain_of_blocks)[draws].sum(axis=1) / spikes, [2.5, 97.5])
    value = float(np.sum(gain_of_blocks)) / total
    return dict(bits_per_spike=value, low=float(low), high=float(high), num_spikes=int(total))


def block_sums(values: np.ndarray, block: int) -> np.ndarray:
    """Sum over consecutive blocks of bins; the last one takes the rest."""
    num_blocks = max(1, len(values) // block)
    return np.add.reduceat(values, np.arange(num_blocks) * block) if len(values) else np.zeros(0)


def classification_scores(counts, rate, *, threshold: float | None = None) -> dict:
    """
    Scores of the question "is there a spike in this bin?".

    Parameters
    ----------
    counts : np.ndarray, shape (num_bins,)
    rate : np.ndarray, shape (num_bins,)
        Expected spikes per bin or probability.
    threshold : float | None, default: None
        A bin at least this high counts as a predicted spike. None takes the mean predicted rate; choose any other
        value on training data.

    Returns
    -------
    dict
        roc_auc, average_precision, sensitivity, specificity, accuracy, base_rate_accuracy (of never predicting a
        spike), base_rate, log_loss (nats per bin).
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    has_spike = np.asarray(counts) > 0
    predicted = np.asarray(rate) >= (np.mean(rate) if threshold is None else threshold)
    both = 0 < has_spike.sum() < len(has_spike)
    probability = np.clip(rate, 1e-9, 1 - 1e-9)
    return dict(
        roc_auc=float(roc_auc_score(has_spike, rate)) if both else float("nan"),
        average_precision=float(average_precision_score(has_spike, rate)) if both else float("nan"),
        sensitivity=float(predicted[has_spike].mean()) if both else float("nan"),
        specificity=float(1 - predicted[~has_spike].mean()) if both else float("nan"),
        accuracy=float((predicted == has_spike).mean()),
        base_rate_accuracy=float(max(has_spike.mean(), 1 - has_spike.mean())),
        base_rate=float(has_spike.mean()),
        log_loss=float(-np.mean(log_likelihood(has_spike, probability, "bernoulli"))),
    )


def calibration_curve(counts, rate, *, num_groups: int = 10) -> dict:
    """Mean predicted and mean observed spikes per bin, in groups of bins with equal predicted rate."""
    order = np.argsort(rate, kind="stable")
    groups = np.array_split(order, min(num_groups, len(order)))
    return dict(
        predicted=[float(np.mean(rate[group])) for group in groups],
        observed=[float(np.mean(counts[group])) for group in groups],
        num_bins=[len(group) for group in groups],
    )


def rate_correlation(counts, rate, *, bin_s: float, smooth_s: float = 0.1) -> float:
    """Correlation of spikes and prediction, both smoothed with the same Gaussian; 0 if either is constant."""
    observed = gaussian_filter1d(np.asarray(counts, dtype=float), smooth_s / bin_s)
    predicted = gaussian_filter1d(np.asarray(rate, dtype=float), smooth_s / bin_s)
    if observed.std() < 1e-12 or predicted.std() < 1e-9 * abs(predicted.mean()):
        return 0.0
    return float(np.corrcoef(observed, predicted)[0, 1])


def circular_shift_null(
    counts,
    rate,
    reference,
    *,
    bin_s: float,
    likelihood: str = "poisson",
    num_shifts: int = 200,
    min_shift_s: float = 5.0,
) -> dict:
    """
    Bits per spike when the spikes are shifted around the test block: what chance gives with the same rates and rhythms.

    Returns
    -------
    dict
        mean, low, high (95 % of shifts), p_value (share of shifts at least as good, the real one counted in).
    """
    counts = np.asarray(counts, dtype=float)
    num_bins, total = len(counts), max(counts.sum(), 1)
    first = min(round(min_shift_s / bin_s), num_bins // 4)
    shifts = np.unique(np.linspace(first, num_bins - first, num_shifts).astype(int))
    real = gain_per_bin(counts, rate, reference, likelihood).sum() / total
    null = np.array(
        [gain_per_bin(np.roll(counts, shift), rate, reference, likelihood).sum() / total for shift in shifts]
    )
    low, high = np.percentile(null, [2.5, 97.5])
    p_value = (1 + np.sum(null >= real)) / (1 + len(null))
    return dict(mean=float(null.mean()), low=float(low), high=float(high), p_value=float(p_value))
