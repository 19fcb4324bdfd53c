"""Separation: halves of one group are one however it was cut, two groups are two, and noise deceives nobody."""

import numpy as np
import pytest

from si_deepsort.sorter.units.discriminate import cross_validated_separation

NUM_FEATURES = 120
VARIANCE = 0.02


def cloud(mean, num_points, rng, spread=1.0):
    return mean + spread * rng.normal(size=(num_points, NUM_FEATURES))


@pytest.mark.parametrize("num_points", [(200, 200), (200, 20), (20, 20)])
@pytest.mark.parametrize("seed", range(5))
def test_two_groups_of_the_same_points_are_not_separate(num_points, seed):
    rng = np.random.default_rng(seed)
    mean = 10.0 * np.eye(NUM_FEATURES)[0]
    first, second = (cloud(mean, num, rng) for num in num_points)
    assert cross_validated_separation(first, second, VARIANCE) < 1.5
    # A naive comparison is deceived by the noise of the points that made the means
    line = first.mean(axis=0) - second.mean(axis=0)
    naive = ((first @ line).mean() - (second @ line).mean()) / np.linalg.norm(line)
    assert naive > cross_validated_separation(first, second, VARIANCE)


@pytest.mark.parametrize("cut", [0.0, 1.0])
def test_one_group_that_was_cut_in_two_is_one(cut):
    points = cloud(10.0 * np.eye(NUM_FEATURES)[0], 400, np.random.default_rng(0))
    is_above = points[:, 3] > cut
    assert cross_validated_separation(points[is_above], points[~is_above], VARIANCE) < 2.7


@pytest.mark.parametrize("distance", [6.0, 10.0])
def test_two_groups_are_two(distance):
    rng = np.random.default_rng(0)
    mean = 10.0 * np.eye(NUM_FEATURES)[0]
    other = mean + distance * np.eye(NUM_FEATURES)[1]
    found = cross_validated_separation(cloud(mean, 200, rng), cloud(other, 60, rng), VARIANCE)
    assert 3.0 < found < 1.2 * distance


def test_a_difference_in_size_counts_for_less_than_one_in_shape():
    rng = np.random.default_rng(0)
    mean = 40.0 * np.eye(NUM_FEATURES)[0]
    along, across = mean + 6.0 * np.eye(NUM_FEATURES)[0], mean + 6.0 * np.eye(NUM_FEATURES)[1]
    smaller, larger = rng.normal(0, 0.1, 200)[:, None] * mean, rng.normal(0, 0.1, 200)[:, None] * along
    by_size = cross_validated_separation(cloud(mean, 200, rng) + smaller, cloud(along, 200, rng) + larger, VARIANCE)
    by_shape = cross_validated_separation(cloud(mean, 200, rng) + smaller, cloud(across, 200, rng) + smaller, VARIANCE)
    assert by_size < 3.0 < by_shape
