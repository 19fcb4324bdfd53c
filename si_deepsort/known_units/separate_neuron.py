"""
Separate the spikes of the one neuron on a channel from the background, without labels of this channel.

Between channels, the ranking that a classifier gives transfers; its threshold does not. Each channel therefore finds
its own border: the neuron is one Gaussian in the channel's own principal components, the background is a mixture of
several Gaussians and a broad one for artefacts, and the classifier's log-odds, if there are any, tilt the decision.
All waveforms are in noise levels, so one setting serves all channels.
"""

import logging

import numpy as np

from ..components import principal_components
from ..noise import MAD_TO_SD
from ..two_groups import most_compact_split

logger = logging.getLogger(__name__)

# Fewest waveforms of a class: about those that three means and a covariance in three dimensions need.
MIN_CLASS_SIZE = 15
# The mixture stops after so many iterations, or once fewer than this part of the waveforms change their class.
MOST_ITERATIONS, FEW_CHANGES = 60, 1e-4
# Starts of k-means for the background.
NUM_KMEANS_STARTS = 2
# Variance of the artefacts' Gaussian relative to that of all waveforms, and its share of them.
ARTEFACT_SPREAD, ARTEFACT_SHARE = 5.0, 0.03
# Variance that is added to that of each Gaussian, in squared noise levels: a class is never narrower than about half a
# noise level.
LEAST_VARIANCE = 0.3
# One in so many samples at either end of a waveform is left out where its size is measured: other spikes lie there.
EDGE_PART = 5
# Log-odds from which on a waveform is the neuron's, 1 to 4: other spikes change some of its waveforms more than a
# Gaussian expects. Chosen on the four labelled channels of a zebra finch; on each the best border is at or below it.
BORDER = -1.4
# What is added before a logarithm or a division.
NEGLIGIBLE = 1e-9


def scale_to_noise(waveforms: np.ndarray, num_quiet_samples: int = 8) -> np.ndarray:
    """
    Divide the waveforms of a channel by its robust noise level, estimated from the samples before the spikes.

    Parameters
    ----------
    waveforms : np.ndarray, shape (num_spikes, num_samples), float
        In any unit.
    num_quiet_samples : int, default: 8
        Samples at the start of a waveform that hold only noise in most waveforms.

    Returns
    -------
    np.ndarray, shape (num_spikes, num_samples), float32
        In noise levels.

    Raises
    ------
    ValueError
        If the quiet samples are constant.
    """
    quiet = np.asarray(waveforms, dtype=float)[:, :num_quiet_samples]
    offset = np.median(quiet)
    level = MAD_TO_SD * np.median(np.abs(quiet - offset))
    if not level > 0:
        raise ValueError(
            f"The first {num_quiet_samples} samples of the {len(waveforms)} waveforms have noise level {level}: a dead "
            "channel, or waveforms that start with padding. Leave it out or give waveforms that start earlier."
        )
    return ((waveforms - offset) / level).astype("float32")


def separate_neuron(
    waveforms: np.ndarray,
    *,
    scores: np.ndarray | None = None,
    score_weight: float = 0.2,
    num_components: int = 3,
    num_background: int = 3,
    seed: int = 0,
) -> np.ndarray:
    """
    Log-odds that a waveform belongs to the neuron and not to the background, adapted to the channel without labels.

    A mixture has several optima. With scores it is fitted from several starts: the scores' own border, the most compact
    split of the scores, as many of the highest scores as there are large waveforms, and the large waveforms. The result
    is the fit that agrees best with the other fits and with the order of the scores.

    Parameters
    ----------
    waveforms : np.ndarray, shape (num_spikes, num_samples), float
        Waveforms of one channel in noise levels, see `scale_to_noise`.
    scores : np.ndarray | None, shape (num_spikes,), float, default: None
        Log-odds of a classifier. None starts from the size of the waveforms: large ones belong to the neuron.
    score_weight : float, default: 0.2
        Weight of the scores beside the channel's own distribution.
    num_components : int, default: 3
        Number of principal components.
    num_background : int, default: 3
        Number of Gaussians of the background.
    seed : int, default: 0
        Random seed of the starts of the background.

    Returns
    -------
    np.ndarray, shape (num_spikes,), float
        Positive for the neuron: log-odds against a border of 1 to 4. If one of the two classes has hardly a waveform,
        there is nothing to adapt to, and the scores themselves are returned (or the sizes, around their own border).

    Raises
    ------
    ValueError
        If waveforms or scores are not finite, or their numbers differ.
    """
    waveforms = np.asarray(waveforms)
    _check_finite(waveforms, scores)
    if len(waveforms) == 0:
        return np.zeros(0)
    sizes = _size_scores(waveforms)
    scores = sizes if scores is None else np.asarray(scores, dtype=float)
    is_guided = scores is not sizes
    features = principal_components(waveforms, num_components)
    tilt = score_weight * scores if is_guided else 0.0
    starts = _starts(scores, sizes) if is_guided else [sizes > 0]
    fits = [
        _adapt(features, start, tilt, num_background, seed) for start in starts if _is_enough(start, num_background)
    ]
    fits = [fit for fit in fits if fit is not None]
    if not fits or not _is_enough(scores > 0, num_background):
        logger.warning("%d of %d waveforms are the neuron's: scores are not adapted", (scores > 0).sum(), len(scores))
        return scores
    return fits[_most_agreed([fit > 0 for fit in fits], scores)] - BORDER


def _starts(scores, sizes) -> list[np.ndarray]:
    """First guesses of the neuron's waveforms, (num_spikes,) bool each."""
    is_large = sizes > 0
    as_many = np.quantile(scores, 1 - is_large.mean())
    return [scores > 0, scores > _border(scores), scores > as_many, is_large]


def _most_agreed(classes: list[np.ndarray], scores: np.ndarray) -> int:
    """Which classes agree best with the others on average, plus with the best cut through the ordered scores."""
    order = np.argsort(-scores)
    num_above = np.arange(1, len(scores) + 1)
    agreements = []
    for number, own in enumerate(classes):
        others = [_f1(own, other) for place, other in enumerate(classes) if place != number]
        along_scores = 2 * np.cumsum(own[order]) / (num_above + own.sum())
        agreements.append((np.mean(others) if others else 0.0) + along_scores.max())
    return int(np.argmax(agreements))


def _f1(first, second) -> float:
    return 2 * (first & second).sum() / max(1, first.sum() + second.sum())


def _is_enough(is_neuron, num_background) -> bool:
    """Whether the neuron and each Gaussian of the background have enough waveforms."""
    return min(is_neuron.sum(), (~is_neuron).sum() / num_background) >= MIN_CLASS_SIZE


def _adapt(features, is_neuron, tilt, num_background, seed):
    """Log-odds once the two classes and their distributions agree; None if a class loses nearly all waveforms."""
    membership = _split_background(features, ~is_neuron, num_background, seed).T
    points = np.ascontiguousarray(features.T, dtype=float)  # a row for each component: products of rows are fast
    artefacts = _log_artefact(points)
    for _ in range(MOST_ITERATIONS):
        if not _is_enough(is_neuron, num_background):
            return None
        background = np.stack([_log_gaussian(points, weights) for weights in membership * ~is_neuron])
        largest = np.maximum(background.max(axis=0), artefacts)
        membership = np.exp(background - largest)
        sums = membership.sum(axis=0) + np.exp(artefacts - largest)
        membership /= sums
        log_odds = _log_gaussian(points, is_neuron.astype(float)) - largest - np.log(sums) + tilt
        num_changed = ((log_odds > 0) != is_neuron).sum()
        is_neuron = log_odds > 0
        if num_changed < FEW_CHANGES * len(features):
            break
    return log_odds


def _check_finite(waveforms, scores):
    if not np.isfinite(waveforms).all() or (scores is not None and not np.isfinite(scores).all()):
        raise ValueError("The waveforms or scores hold NaN or infinite values. Remove those waveforms.")
    if scores is not None and len(scores) != len(waveforms):
        raise ValueError(f"Got {len(scores)} scores for {len(waveforms)} waveforms, expected one score each.")


def _size_scores(waveforms):
    """Logarithm of the peak-to-peak in the middle of each waveform, minus the border between the two groups."""
    num_samples = waveforms.shape[1]
    margin = num_samples // EDGE_PART
    sizes = np.log(np.ptp(waveforms[:, margin : num_samples - margin], axis=1) + NEGLIGIBLE)
    return sizes - _border(sizes)


def _border(values):
    """The largest value of the lower of the two most compact groups; above all if there is only one value."""
    if len(values) < 2:
        return values.max() + 1.0
    ordered = np.sort(values)
    return ordered[most_compact_split(ordered) - 1]


def _split_background(features, is_background, num_background, seed):
    from sklearn.cluster import KMeans

    membership = np.zeros((len(features), num_background))
    members = np.flatnonzero(is_background)
    if len(members) >= num_background:
        kmeans = KMeans(num_background, n_init=NUM_KMEANS_STARTS, random_state=seed).fit(features[members])
        membership[members, kmeans.labels_] = 1.0
    return membership


def _log_artefact(points):
    """
    Log density of a fixed broad Gaussian, times its share.

    It takes the few huge waveforms, so that the neuron's Gaussian does not widen until it holds nothing else.
    """
    centered = points - points.mean(axis=1, keepdims=True)
    covariance = ARTEFACT_SPREAD * (centered @ centered.T / points.shape[1] + LEAST_VARIANCE * np.eye(len(points)))
    return _log_density(centered, covariance) + np.log(ARTEFACT_SHARE)


def _log_gaussian(points, weights):
    """Log density of a Gaussian fitted to weighted points, times its share of all points."""
    total = weights.sum() + NEGLIGIBLE
    centered = points - (points @ weights / total)[:, None]
    covariance = (weights * centered) @ centered.T / total + LEAST_VARIANCE * np.eye(len(points))
    return _log_density(centered, covariance) + np.log(total / points.shape[1])


def _log_density(centered, covariance):
    factor = np.linalg.cholesky(covariance)
    whitened = np.linalg.inv(factor) @ centered
    return -0.5 * np.einsum("cn,cn->n", whitened, whitened) - np.log(np.diag(factor)).sum()
