"""
One channel, no labels: which of its threshold crossings belong to a neuron, and which are background?

Between channels, the ranking that a classifier gives transfers; its threshold does not. `separate_neuron` therefore
lets each channel draw its own border: a neuron is one Gaussian in the channel's own principal components, the
background is a mixture of several and of a broad one for artefacts, and a classifier's log-odds, if there are any, tilt
the decision. All waveforms are in noise levels, so one setting serves all channels.
"""

import logging

import numpy as np
import scipy.linalg

logger = logging.getLogger(__name__)

MIN_CLASS_SIZE = 15


def scale_to_noise(waveforms: np.ndarray, num_quiet_samples: int = 8) -> np.ndarray:
    """
    Divide a channel's waveforms by its robust noise level, estimated from the samples before the event.

    Parameters
    ----------
    waveforms : np.ndarray, shape (num_spikes, num_samples), float
        In any unit.
    num_quiet_samples : int, default: 8
        Samples at the start of each waveform that hold noise alone, in most waveforms.

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
    level = 1.4826 * np.median(np.abs(quiet - offset))
    if not level > 0:
        raise ValueError(
            f"The first {num_quiet_samples} samples of the {len(waveforms)} waveforms have noise level {level}: a dead "
            "channel, or waveforms that start with padding. Leave it out or give waveforms that start earlier."
        )
    return ((waveforms - offset) / level).astype("float32")


def principal_components(waveforms: np.ndarray, num_components: int) -> np.ndarray:
    """
    Project waveforms onto their own first principal components.

    Returns
    -------
    np.ndarray, shape (num_spikes, num_components), float
        In the unit of the waveforms; there are no more components than samples.
    """
    num_spikes, num_samples = np.shape(waveforms)
    num_components = min(num_components, num_samples)
    if num_spikes == 0 or num_components == 0:
        return np.zeros((num_spikes, num_components))
    centered = np.asarray(waveforms, dtype=float) - np.mean(waveforms, axis=0, dtype=float)
    # The products of spikes and those of samples have the same components; the fewer there are, the cheaper.
    if num_components <= num_spikes < num_samples:
        values, vectors = _largest_eigenpairs(centered @ centered.T, num_components)
        return np.ascontiguousarray(vectors) * np.sqrt(np.maximum(values, 0))
    _, vectors = _largest_eigenpairs(centered.T @ centered, num_components)
    return centered @ vectors


def _largest_eigenpairs(matrix, num_pairs):
    """Of a symmetric matrix, the largest first."""
    last = len(matrix) - 1
    values, vectors = scipy.linalg.eigh(matrix, subset_by_index=[last - num_pairs + 1, last], driver="evr")
    return values[::-1], vectors[:, ::-1]


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

    Parameters
    ----------
    waveforms : np.ndarray, shape (num_spikes, num_samples), float
        One channel's, in noise levels.
    scores : np.ndarray | None, shape (num_spikes,), float, default: None
        A classifier's log-odds. None starts from the size of the waveforms instead: large ones are the neuron's.
    score_weight : float, default: 0.2
        How much the scores count beside the channel's own distribution, once they have served as the start.
    num_components : int, default: 3
        Principal components to work in.
    num_background : int, default: 3
        Gaussians that describe the background.
    seed : int, default: 0

    Returns
    -------
    np.ndarray, shape (num_spikes,), float
        Positive for the neuron. The scores themselves (or the sizes, around their own threshold) where one of the
        two classes has hardly a waveform, which leaves nothing to adapt to.

    Raises
    ------
    ValueError
        If waveforms or scores are not finite, or their numbers differ.
    """
    waveforms = np.asarray(waveforms)
    _check_finite(waveforms, scores)
    if len(waveforms) == 0:
        return np.zeros(0)
    start = _size_scores(waveforms) if scores is None else np.asarray(scores, dtype=float)
    tilt = 0.0 if scores is None else score_weight * start
    features = principal_components(waveforms, num_components)
    adapted = _adapt(features, start > 0, tilt, num_background, seed)
    if adapted is None:
        logger.warning("%d of %d waveforms look like a neuron's: nothing to adapt to", (start > 0).sum(), len(start))
        return start
    return adapted


def cluster_by_density(features: np.ndarray, *, min_fraction: float = 0.02, seed: int = 0) -> tuple[np.ndarray, float]:
    """
    DBSCAN whose radius is found on the channel itself, in noise levels.

    The radius is lowered from 6 noise levels until more than one cluster stands apart; a core point has 1 % of the
    points within the radius. Points outside every cluster go to the nearest one.

    Parameters
    ----------
    features : np.ndarray, shape (num_spikes, num_features), float
        In noise levels (principal components or an autoencoder's embedding of waveforms in noise levels).
    min_fraction : float, default: 0.02
        Smaller clusters do not count.
    seed : int, default: 0
        Of the sample of at most 2,500 points that the clusters are found on.

    Returns
    -------
    labels : np.ndarray, shape (num_spikes,), int
        All 0 if no radius separates anything.
    eps : float
        The radius, in noise levels.
    """
    from sklearn.cluster import DBSCAN
    from sklearn.neighbors import KNeighborsClassifier

    labels, eps = np.zeros(len(features), dtype=int), 6.0
    rng = np.random.default_rng(seed)
    sample = features if len(features) <= 2500 else features[rng.choice(len(features), 2500, replace=False)]
    min_samples = max(5, round(0.01 * len(sample)))
    while len(sample) >= 2 * min_samples and eps > 0.3:
        found = DBSCAN(eps=eps, min_samples=min_samples).fit_predict(sample)
        sizes = np.bincount(found[found >= 0], minlength=1)
        large = np.flatnonzero(sizes >= min_fraction * len(sample))
        if len(large) > 1:
            kept = np.isin(found, large)
            nearest = KNeighborsClassifier(1).fit(sample[kept], np.searchsorted(large, found[kept]))
            return nearest.predict(features), eps
        eps *= 0.93
    return labels, eps


def _adapt(features, is_neuron, tilt, num_background, seed):
    """Log-odds after the two classes and their distributions agree; None if a class dwindles."""
    membership = _split_background(features, ~is_neuron, num_background, seed)
    artefacts = _log_artefact(features)
    for _ in range(60):
        if min(is_neuron.sum(), (~is_neuron).sum() / num_background) < MIN_CLASS_SIZE:
            return None
        weights = membership * ~is_neuron[:, None]
        background = [_log_gaussian(features, weights[:, k]) for k in range(num_background)]
        total = np.logaddexp.reduce([*background, artefacts], axis=0)
        membership = np.exp(np.stack(background, axis=1) - total[:, None])
        log_odds = _log_gaussian(features, is_neuron.astype(float)) - total + tilt
        num_changed = ((log_odds > 0) != is_neuron).sum()
        is_neuron = log_odds > 0
        if num_changed < 1e-4 * len(features):
            break
    return log_odds


def _check_finite(waveforms, scores):
    if not np.isfinite(waveforms).all() or (scores is not None and not np.isfinite(scores).all()):
        raise ValueError("The waveforms or scores hold NaN or infinite values. Remove those waveforms.")
    if scores is not None and len(scores) != len(waveforms):
        raise ValueError(f"Got {len(scores)} scores for {len(waveforms)} waveforms, expected one score each.")


def _size_scores(waveforms):
    """Log peak-to-peak in the middle of each waveform, minus the border between the two most compact groups (Otsu)."""
    num_samples = waveforms.shape[1]
    middle = waveforms[:, num_samples // 5 : num_samples - num_samples // 5]
    sizes = np.log(np.ptp(middle, axis=1) + 1e-9)
    ordered = np.sort(sizes)
    counts = np.arange(1, len(ordered))
    if len(counts) == 0:
        return np.full(len(sizes), -1.0)
    sums = np.cumsum(ordered)
    low, high = sums[:-1] / counts, (sums[-1] - sums[:-1]) / counts[::-1]
    return sizes - ordered[np.argmax((high - low) ** 2 * counts * counts[::-1])]


def _split_background(features, is_background, num_background, seed):
    from sklearn.cluster import KMeans

    membership = np.zeros((len(features), num_background))
    members = np.flatnonzero(is_background)
    if len(members) >= num_background:
        kmeans = KMeans(num_background, n_init=2, random_state=seed).fit(features[members])
        membership[members, kmeans.labels_] = 1.0
    return membership


def _log_artefact(features):
    """
    Log density of a fixed broad Gaussian, times a share of 3 %.

    It keeps the few huge waveforms, so that the neuron's Gaussian does not widen until it holds nothing else.
    """
    centered = features - features.mean(axis=0)
    covariance = 5.0 * (centered.T @ centered / len(features) + 0.3 * np.eye(features.shape[1]))
    return _log_density(centered, covariance) + np.log(0.03)


def _log_gaussian(features, weights):
    """Log density of a Gaussian fitted to weighted points, times its share of all points."""
    total = weights.sum() + 1e-9
    centered = features - (weights @ features) / total
    # 0.3: a class is never narrower than about half a noise level
    covariance = (weights[:, None] * centered).T @ centered / total + 0.3 * np.eye(features.shape[1])
    return _log_density(centered, covariance) + np.log(total / len(features))


def _log_density(centered, covariance):
    factor = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(factor, centered.T)
    return -0.5 * (whitened**2).sum(axis=0) - np.log(np.diag(factor)).sum()
