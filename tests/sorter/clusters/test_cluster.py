"""
Clustering: separate clouds get separate labels, one cloud stays nearly one, noise and small groups get none.

Isosplit's threshold is low on purpose: a cloud may lose its tails, which the templates join again, but two clouds must
not share a label.
"""

from functools import partial

import numpy as np
import pytest

from si_deepsort.sorter.clusters.cluster import METHODS, cluster_by_channel, cluster_components, split_recursively

NUM_FEATURES = 12


def clouds(num_clouds, num_points=150, distance=14.0, seed=0):
    rng = np.random.default_rng(seed)
    centers = distance * np.eye(NUM_FEATURES)[:num_clouds]
    points = np.concatenate([center + rng.standard_normal((num_points, NUM_FEATURES)) for center in centers])
    return points.astype("float32"), np.repeat(np.arange(num_clouds), num_points)


def clusters(points, method, seed=0):
    return split_recursively(points, partial(cluster_components, method=method, min_size=15, seed=seed), min_size=15)


def agreement(labels, truth):
    from sklearn.metrics import adjusted_rand_score

    return adjusted_rand_score(truth[labels >= 0], labels[labels >= 0])


@pytest.mark.parametrize("method", METHODS)
def test_separate_clouds_are_told_apart(method):
    points, truth = clouds(4)
    labels = clusters(points, method)
    assert agreement(labels, truth) > (0.9 if method == "isosplit" else 0.95)
    for label in np.unique(labels[labels >= 0]):
        counts = np.bincount(truth[labels == label])
        assert counts.max() > 0.97 * counts.sum(), "no label holds two clouds"
    assert np.mean(labels >= 0) > 0.6


@pytest.mark.parametrize("method", ["isosplit", "dbscan"])
def test_one_cloud_stays_one(method):
    points, _ = clouds(1, num_points=500)
    labels = clusters(points, method)
    counts = np.bincount(labels[labels >= 0])
    assert counts.max() > (0.8 if method == "isosplit" else 0.9) * counts.sum() and len(counts) <= 4


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_gives_the_same_labels(method):
    points, _ = clouds(3, distance=5.0)
    first, second = (clusters(points, method, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_channels_share_no_label_and_few_peaks_are_no_cluster():
    points, _ = clouds(2)
    channels = np.concatenate([np.zeros(300, int), np.full(300, 3), [5, 5]])
    everything = np.concatenate([points, points, points[:2]])
    labels = cluster_by_channel(
        lambda channel, positions: everything[positions], channels, method="hdbscan", min_size=15, seed=0
    )
    assert not set(labels[channels == 0]) & set(labels[channels == 3]) - {-1}
    assert np.all(labels[channels == 5] == -1)
    assert sorted(set(labels) - {-1}) == list(range(labels.max() + 1))


def test_no_peaks_give_no_labels():
    assert len(cluster_by_channel(None, np.zeros(0, int), method="isosplit", min_size=15, seed=0)) == 0


@pytest.mark.parametrize("method", METHODS)
def test_identical_peaks_do_not_crash(method):
    labels = clusters(np.ones((100, 5), "float32"), method)
    assert len(labels) == 100
