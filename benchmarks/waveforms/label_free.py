"""Clusterings and embeddings of a channel's waveforms that need no labels; `classification.py` runs them."""

import numpy as np
import torch
from sklearn.cluster import DBSCAN, HDBSCAN, KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier

from si_deepsort.components import principal_components
from si_deepsort.known_units.separate_neuron import separate_neuron
from si_deepsort.training.embedding.train import AutoencoderTrainingSettings, fit_autoencoder, reconstruction_errors

# Principal components, or numbers of an embedding, in which waveforms are clustered.
COMPONENTS = 3


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
        Random seed of the sample of at most 2,500 points on which clusters are found.

    Returns
    -------
    labels : np.ndarray, shape (num_spikes,), int
        All 0 if no radius separates anything.
    eps : float
        The radius, in noise levels.
    """
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


def study_clusters(pair, channel) -> dict:
    """Adjusted Rand index of clusterings of one channel, in principal components and in an autoencoder's embedding."""
    waveforms, labels = pair
    settings = AutoencoderTrainingSettings(
        embedding_dimension=COMPONENTS, num_epochs=8, progress_bar=False, device="cpu"
    )
    net = fit_autoencoder(waveforms, settings=settings)
    with torch.no_grad():
        embedding = net.encode(torch.from_numpy(waveforms)[:, None]).numpy()
    result = {"channel": channel, "num_waveforms": len(labels)}
    for space, features in (("PCA", principal_components(waveforms, COMPONENTS)), ("autoencoder", embedding)):
        found, eps = cluster_by_density(features)
        result[f"DBSCAN, {space}"] = adjusted_rand_score(labels, found)
        result[f"DBSCAN eps, {space}"] = eps
        hdbscan = HDBSCAN(min_cluster_size=max(5, len(features) // 50), copy=True)
        result[f"HDBSCAN, {space}"] = adjusted_rand_score(labels, hdbscan.fit_predict(features))
        result[f"KMeans, {space}"] = adjusted_rand_score(
            labels, KMeans(2, n_init=5, random_state=0).fit_predict(features)
        )
        gmm = GaussianMixture(2, n_init=3, random_state=0)
        result[f"GMM, {space}"] = adjusted_rand_score(labels, gmm.fit_predict(features))
    result["neuron/background mixture"] = adjusted_rand_score(labels, separate_neuron(waveforms) > 0)
    return result


def study_autoencoder(pair, channel, dimensions=(3, 5)) -> dict:
    """Reconstruction error on held-out waveforms, autoencoder and PCA of the same dimension."""
    waveforms = pair[0][:, None]
    rng = np.random.default_rng(0)
    part = rng.choice(3, len(waveforms), p=[0.65, 0.15, 0.2])  # learnt from, stops the training, scored
    result = {"channel": channel}
    for dimension in dimensions:
        settings = AutoencoderTrainingSettings(
            embedding_dimension=dimension, num_epochs=15, progress_bar=False, device="cpu"
        )
        seen = waveforms[part < 2]
        net = fit_autoencoder(seen, is_held_out=part[part < 2] == 1, settings=settings)
        errors = reconstruction_errors(net, seen, waveforms[part == 2])
        result[f"PCA, {dimension}"] = errors["pca_error"]
        result[f"autoencoder, {dimension}"] = errors["autoencoder_error"]
    return result
