"""Spike times: violations, contamination, coincidences, presence."""

import numpy as np
import pytest

from si_deepsort.assessment.trains import (
    INTERVAL_EDGES_MS,
    contamination,
    nearest_own_spike_ms,
    pair_coincidences,
    parts_of_recording,
    short_intervals,
)
from si_deepsort.spike_vectors import make_spike_vector

RATE = 30_000.0


def test_a_poisson_train_has_the_expected_short_intervals():
    train = np.sort(np.random.default_rng(0).integers(0, 100 * 30_000, 10_000))
    measured, expected = short_intervals([train], np.array([100.0]), RATE)
    np.testing.assert_allclose(measured, expected, atol=0.01)
    at = INTERVAL_EDGES_MS.index(1.5)
    assert contamination(measured[:, at], np.array([100.0]))[0] > 0.6
    assert contamination(np.zeros(1), np.array([100.0]))[0] == 0


def test_coincidences_and_dips():
    rng = np.random.default_rng(0)
    train = np.arange(1000, 3_000_000, 3000) + rng.integers(-300, 300, 1000)[: len(np.arange(1000, 3_000_000, 3000))]
    other = np.sort(rng.integers(0, 3_000_000, 20_000))
    # A second part of one neuron never fires near the first.
    avoiding = other[
        np.abs(other[:, None] - train[np.searchsorted(train, other).clip(0, len(train) - 1)][:, None]).min(axis=1) > 100
    ]
    neighbours = np.array([[1, 2, 3], [-1, -1, -1], [-1, -1, -1], [-1, -1, -1]])
    found = pair_coincidences([train, train + 5, other, avoiding], neighbours, RATE)
    assert found[0, 0, 0] == 1
    assert found[0, 1, 1] == pytest.approx(found[0, 1, 2], rel=0.15)
    assert found[0, 2, 1] < 0.7 * found[0, 2, 2]
    assert (found[1:] == 0).all()


def test_parts_and_nearest_spikes():
    spikes = make_spike_vector(
        np.array([0, 30, 50_000, 99_999, 10]), np.array([0, 0, 1, 0, 1]), np.array([0, 0, 0, 0, 1])
    )
    parts = parts_of_recording(spikes, 2, [100_000, 100_000])
    assert parts.sum(axis=1).tolist() == [3, 2] and parts[0, 0] == 2 and parts[0, 9] == 1 and parts[1, 10] == 1
    nearest = nearest_own_spike_ms(spikes, 2, RATE)
    np.testing.assert_allclose(nearest[:2], 1.0)
    assert nearest.max() == 1000.0
    assert len(nearest_own_spike_ms(spikes[:0], 0, RATE)) == 0
