"""Neighbours fire together as often, and as closely, as was asked for."""

import numpy as np
import pytest

from si_deepsort.generation import synchrony

LINE = np.stack([np.zeros(8), 40.0 * np.arange(8)], axis=1)


def rng():
    return np.random.default_rng(3)


def population(rate=5.0, duration_s=400.0):
    return [np.sort(own.uniform(0, duration_s, int(rate * duration_s))) for own in rng().spawn(8)]


def joined(share, max_lag_ms=None):
    times = population()
    amplitudes = [np.full(len(own), 2.0) for own in times]
    options = dict(share=share, refractory_ms=2.0, amplitude_sd=0.0)
    return times, *synchrony.join_neighbours(times, amplitudes, LINE, rng(), **options)


def test_locations_are_centres_of_mass():
    templates = np.zeros((2, 5, 3))
    templates[0, 2, 1] = -3.0
    templates[1, 2, :2] = 1.0
    where = synchrony.unit_locations(templates, np.array([[0.0, 0], [0, 10], [0, 20]]))
    np.testing.assert_allclose(where, [[0, 10], [0, 5]])


def test_partners_are_among_the_three_nearest():
    partners = np.stack([synchrony.draw_partners(LINE, own) for own in rng().spawn(200)])
    for unit in range(len(LINE)):
        distances = np.abs(np.arange(len(LINE)) - unit)
        found = np.unique(partners[:, unit])
        assert unit not in found and len(found) == 3
        assert distances[found].max() <= np.sort(distances)[3]
    np.testing.assert_array_equal(synchrony.draw_partners(LINE[:1], rng()), [-1])
    assert synchrony.draw_partners(LINE[:0], rng()).shape == (0,)


@pytest.mark.parametrize("share", [0.15, 0.25, 0.8])
def test_share_and_lags_of_joined_spikes(share):
    before, after, amplitudes = joined(share)
    partners = synchrony.draw_partners(LINE, rng().spawn(3)[0])
    for unit, partner in enumerate(partners):
        nearest = np.abs(after[unit] - before[partner][:, None]).min(axis=1) * 1000
        by_chance = np.abs(before[unit] - before[partner][:, None]).min(axis=1) * 1000
        chance = np.mean(by_chance <= synchrony.SYNCHRONY_MS)
        assert np.mean(nearest <= synchrony.SYNCHRONY_MS) - chance == pytest.approx(share, abs=0.04)
        assert np.diff(after[unit]).min() >= 0
        assert set(np.unique(amplitudes[unit])) == {1.0, 2.0}
    lags = 1000 * np.concatenate(
        [
            copied - before[p][np.abs(before[p][:, None] - copied).argmin(axis=0)]
            for p, copied in zip(partners, _copies(after, before), strict=True)
        ]
    )
    assert np.abs(lags).max() <= synchrony.SYNCHRONY_MS + 1e-9
    assert lags.std() == pytest.approx(synchrony.SYNCHRONY_MS / np.sqrt(3), rel=0.1)


def _copies(after, before):
    return [new[~np.isin(new, old)] for new, old in zip(after, before, strict=True)]


def test_no_synchrony_changes_nothing():
    before, after, _ = joined(0.0)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_copied_spikes_keep_the_refractory_period():
    own, copied = np.array([1.0, 2.0, 3.0]), np.array([1.001, 2.5, 2.501])
    times, origin = synchrony.join_copies(own, copied, refractory_ms=2.0)
    np.testing.assert_array_equal(times, [1.001, 2.0, 2.5, 3.0])
    np.testing.assert_array_equal(origin, [-1, 1, -1, 2])


def test_units_that_do_not_fire_yet_join_nobody():
    times = [np.array([10.0, 11.0]), np.arange(0.5, 20, 0.5)]
    options = dict(share=1.0, refractory_ms=2.0, amplitude_sd=0.0)
    after, _ = synchrony.join_neighbours(times, [np.ones(2), np.ones(39)], LINE[:2], rng(), **options)
    assert after[0].min() >= 9.99 and after[0].max() <= 11.01
    silent, _ = synchrony.join_neighbours(
        [times[0], np.zeros(0)], [np.ones(2), np.zeros(0)], LINE[:2], rng(), **options
    )
    assert len(silent[1]) == 0
