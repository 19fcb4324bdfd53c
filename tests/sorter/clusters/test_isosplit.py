"""Isosplit: one peak is not cut, two are cut between them, rising fits are the closest."""

import numpy as np
import pytest
from scipy.optimize import isotonic_regression
from sklearn.metrics import adjusted_rand_score

from si_deepsort.sorter.clusters.isosplit import _pool, cut_of_projection, isosplit


def rng(seed=0):
    return np.random.default_rng(seed)


def clustered(points, seed=0, threshold=2.0):
    return isosplit(points, num_initial=12, min_size=15, threshold=threshold, seed=seed)


@pytest.mark.parametrize("num_values", [0, 1, 2, 50, 400])
def test_rising_fit_is_that_of_scipy_for_every_beginning(num_values):
    values = np.cumsum(rng(num_values).standard_normal(num_values))
    fit, errors = np.empty((2, num_values))
    _pool(values, fit, errors, np.empty(num_values, dtype="int64"))
    for length in range(1, num_values + 1):
        expected = isotonic_regression(values[:length]).x
        np.testing.assert_allclose(errors[length - 1], np.sum((values[:length] - expected) ** 2), atol=1e-9)
    if num_values:
        np.testing.assert_allclose(fit, expected, atol=1e-12)
        assert np.all(np.diff(fit) >= 0)


@pytest.mark.parametrize("draw", ["standard_normal", "random"])
def test_one_peak_is_not_cut(draw):
    statistics = [cut_of_projection(getattr(rng(seed), draw)(400))[0] for seed in range(40)]
    assert np.mean(np.array(statistics) > 2.0) <= 0.05


@pytest.mark.parametrize("counts", [(300, 300), (600, 40), (40, 600)])
def test_two_peaks_are_cut_between_them(counts):
    points = np.concatenate([rng(1).normal(0, 1, counts[0]), rng(2).normal(8, 1, counts[1])])
    statistic, cut = cut_of_projection(points)
    assert statistic > 2.0 and 2.0 < cut < 6.0
    turned, other_cut = cut_of_projection(-points)
    np.testing.assert_allclose([turned, other_cut], [statistic, -cut], rtol=1e-9)
    scaled, scaled_cut = cut_of_projection(1e-3 * points + 5)
    np.testing.assert_allclose([scaled, scaled_cut], [statistic, 1e-3 * cut + 5], rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_clusters_of_unequal_size_and_shape_are_found(seed):
    sizes, spreads = [60, 900, 200], np.array([[1, 1, 1], [4, 1, 1], [1, 3, 0.5]])
    centers = np.array([[0, 0, 0], [0, 12, 0], [0, 0, 14]])
    truth = np.repeat(np.arange(3), sizes)
    points = centers[truth] + spreads[truth] * rng(seed).standard_normal((len(truth), 3))
    assert adjusted_rand_score(truth, clustered(points, seed)) > 0.98
    order = rng(seed).permutation(len(truth))
    assert adjusted_rand_score(truth[order], clustered(points[order], seed)) > 0.98, "the order does not matter"


def test_labels_are_numbered_and_the_points_are_left_as_they_are():
    points = np.concatenate([rng().standard_normal((100, 4)) + center for center in (0, 30)])
    before = points.copy()
    labels = clustered(points)
    assert sorted(set(labels)) == [0, 1]
    np.testing.assert_array_equal(points, before)


@pytest.mark.parametrize("points", [np.zeros((60, 3)), np.repeat(np.eye(3), 40, axis=0), np.arange(60.0)[:, None]])
def test_points_without_a_spread_do_not_fail(points):
    assert len(clustered(points)) == len(points)


def test_clusters_that_are_too_small_are_merged():
    points = np.concatenate([rng().standard_normal((200, 2)), rng(1).standard_normal((8, 2)) + 50])
    assert set(clustered(points)) == {0}
