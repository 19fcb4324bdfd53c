"""
Calibrate a predictor: shrink its output towards the constant rate as far as held-out blocks demand.

A flexible model always finds something in its training data. Here its gain is the one with the highest lower bound
of the improvement over blocks of time that were not trained on. Where no gain has a lower bound above 0, the gain is
0 and the predictor says the constant rate, that is, nothing.
"""

from itertools import product

import numpy as np

from ...lfp.metrics import block_sums, gain_per_bin
from ...lfp.windows import to_rate

# Gains that are tried. Some are above 1, since the mean of several shrunken members is flatter than any of them.
GAINS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)


def calibrate(
    output: np.ndarray,
    counts: np.ndarray,
    folds: np.ndarray,
    *,
    likelihood: str,
    block_bins: int,
    caution: float,
    min_bits: float,
) -> dict:
    """
    Gain and offset of one output from predictions for blocks that were held out.

    Parameters
    ----------
    output : np.ndarray, shape (num_bins, num_parts)
        Parts of the log rate per bin or logit, each predicted by a member that did not see the bin.
    counts : np.ndarray, shape (num_bins,)
    folds : np.ndarray, shape (num_bins,), int
        Which held-out block each bin belongs to; each is centred, so that members may disagree about the level.
    likelihood : "poisson" | "bernoulli"
    block_bins : int
        Bins per block over which the scatter is measured.
    caution : float
        Standard errors between the improvement and its lower bound.
    min_bits : float
        An improvement of fewer bits per spike counts as none.

    Returns
    -------
    dict
        gain (list, one per part), offset, evidence (standard errors of the score test), held_out_bits (per spike).
    """
    base = log_base(counts, likelihood)
    best = dict(gain=[0.0] * output.shape[1], offset=base, evidence=0.0, held_out_bits=0.0)
    if counts.sum() == 0 or np.ptp(output, axis=0).max() < 1e-9:
        return best
    centred = output - _fold_means(output, folds)
    best["evidence"] = _score_evidence(centred.sum(axis=1), counts, folds, block_bins)
    reference, highest = to_rate(base, likelihood), 0.0
    choices = [GAINS if np.ptp(part) > 1e-9 else (0.0,) for part in centred.T]
    for gain in product(*choices):
        level = centred @ np.array(gain)
        offset = _level_offset(level, counts, likelihood)
        improvement = block_sums(
            gain_per_bin(counts, to_rate(level + offset, likelihood), reference, likelihood), block_bins
        )
        bits = improvement.sum() / counts.sum()
        lower = bits - caution * improvement.std() * np.sqrt(len(improvement)) / counts.sum()
        if lower > highest and bits >= min_bits:
            highest = lower
            shift = float(output.mean(axis=0) @ np.array(gain))
            best |= dict(gain=list(gain), offset=offset - shift, held_out_bits=float(bits))
    return best


def log_base(counts, likelihood) -> float:
    """Log rate (or logit) of the constant; half a spike is added so that silence has a logarithm."""
    counts = counts if likelihood == "poisson" else np.minimum(counts, 1)
    mean = (counts.sum() + 0.5) / (len(counts) + 1)
    return float(np.log(mean) if likelihood == "poisson" else np.log(mean / (1 - mean)))


def _level_offset(level, counts, likelihood) -> float:
    """What is added to the output so that its mean rate is the observed one."""
    base = log_base(counts, likelihood)
    if likelihood == "poisson":
        return base - float(np.log(np.mean(np.exp(level))))
    offset, target = base, to_rate(base, likelihood)
    for _ in range(8):
        probability = to_rate(level + offset, likelihood)
        slope = max(float(np.mean(probability * (1 - probability))), 1e-9)
        offset += np.clip((target - probability.mean()) / slope, -1, 1)
    return float(offset)


def _fold_means(output, folds):
    means = np.empty_like(output)
    for fold in np.unique(folds):
        means[folds == fold] = output[folds == fold].mean(axis=0)
    return means


def _score_evidence(centred, counts, folds, block_bins) -> float:
    """
    Score test, robust to whatever is correlated within a block: do spikes fall where the prediction is high?

    Its statistic has mean 0 without coupling however much the members overfitted, and slow drift of the rate between
    folds does not enter.
    """
    pieces = []
    for fold in np.unique(folds):
        inside = folds == fold
        pieces.append(block_sums((counts[inside] - counts[inside].mean()) * centred[inside], block_bins))
    scores = np.concatenate(pieces)
    error = np.sqrt(np.sum(scores**2))
    return float(scores.sum() / error) if error > 0 else 0.0
