"""Synchrony and bursts of the recording's own units, and injected units that fire like them."""

import numpy as np
import pytest

from si_deepsort.stress.own_firing import bursting_fraction, shares_of_neighbours
from si_deepsort.stress.settings import StressTestSettings
from si_deepsort.stress.spikes import draw_unit_spikes

DURATION_S = 200.0


def poisson(rate, rng):
    return np.sort(rng.uniform(0, DURATION_S, rng.poisson(rate * DURATION_S)))


def trains(num_units, share, rng):
    """Trains of which each, the first left out, copies a share of the spikes of the one before."""
    found = [poisson(6.0, rng)]
    for _ in range(num_units - 1):
        copied = found[-1][rng.random(len(found[-1])) < share]
        found.append(np.sort(np.concatenate([poisson(2.0, rng), copied + rng.uniform(-7e-4, 7e-4, len(copied))])))
    return found


def line(num_units):
    return np.stack([np.zeros(num_units), 40.0 * np.arange(num_units)], axis=1)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_share_of_the_neighbour_is_measured(share):
    found = shares_of_neighbours(trains(12, share, np.random.default_rng(0)), line(12))
    # The first unit copies nobody; the others may also be seen as copied by the next one.
    assert np.median(found[1:]) == pytest.approx(share, rel=0.35) and found.max() <= 1


def test_independent_units_share_nothing():
    rng = np.random.default_rng(0)
    assert np.median(shares_of_neighbours([poisson(5.0, rng) for _ in range(12)], line(12))) == 0
    assert len(shares_of_neighbours([], np.zeros((0, 2)))) == 0
    assert shares_of_neighbours([np.zeros(0), np.array([1.0])], line(2)).tolist() == [0, 0]


def test_bursting_units_are_counted():
    rng = np.random.default_rng(0)
    single = [poisson(rate, rng) for rate in (1.0, 5.0, 10.0)]
    bursting = [np.sort(np.concatenate([train, train[::5] + 0.005])) for train in single]
    assert bursting_fraction(single) == 0 and bursting_fraction(bursting) == 1
    assert bursting_fraction([*single, *bursting]) == 0.5 and bursting_fraction([]) == 0


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, -0.05, 0.05), (0.5, 0.3, 0.9)])
def test_injected_units_fire_with_neighbours_as_own_units_do(share, low, high):
    rng = np.random.default_rng(0)
    own = trains(10, share, rng)
    drawn = draw_unit_spikes(
        line(5) + 20.0,
        StressTestSettings(firing_rate_min=2.0, firing_rate_max=3.0, burst_fraction=0.0),
        rng,
        segment_frames=np.array([int(DURATION_S * 30_000)]),
        sampling_frequency=30_000.0,
        rates=None,
        other_trains_s=own,
        other_locations_um=line(10),
    )
    others = np.sort(np.concatenate([*own, *(drawn.frames[drawn.unit_indices == unit] / 30_000 for unit in range(5))]))

    def meets(times, fewest):
        return np.mean(np.searchsorted(others, times + 8e-4) - np.searchsorted(others, times - 8e-4) >= fewest)

    times = drawn.frames / 30_000
    # Each spike meets itself; shifted by 50 ms, the same spikes meet others by chance.
    excess = meets(times, 2) - meets(times + 0.05, 1)
    assert low < excess < high
