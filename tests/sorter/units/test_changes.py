"""Parts of a neuron whose spikes change slowly are told from two neurons by the spikes where one follows the other."""

import numpy as np
import pytest

from si_deepsort.sorter.units.changes import change_is_slow, take_turns


def cut_by_nearest(positions):
    return positions > 0


@pytest.mark.parametrize("distance, num_spikes", [(4.0, 300), (6.0, 300), (15.0, 300), (15.0, 40)])
@pytest.mark.parametrize("seed", range(5))
def test_a_neuron_that_changes_slowly_is_one(distance, num_spikes, seed):
    rng = np.random.default_rng(seed)
    change = distance * 0.65 * np.cos(np.linspace(0, 2 * np.pi, num_spikes))
    positions = change + rng.normal(size=num_spikes)
    assert change_is_slow(positions, cut_by_nearest(positions))


@pytest.mark.parametrize("distance", [4.0, 6.0, 15.0])
@pytest.mark.parametrize("num_spikes", [40, 300])
@pytest.mark.parametrize("seed", range(5))
def test_two_neurons_that_take_turns_are_two(distance, num_spikes, seed):
    """Each has times when it hardly fires; their spikes do not change."""
    rng = np.random.default_rng(seed)
    is_first = rng.random(num_spikes) < 0.5 + 0.45 * np.cos(np.linspace(0, 2 * np.pi, num_spikes))
    positions = np.where(is_first, distance / 2, -distance / 2) + rng.normal(size=num_spikes)
    assert not change_is_slow(positions, is_first)


def test_one_neuron_that_stops_as_another_begins_makes_two():
    rng = np.random.default_rng(0)
    is_first = np.arange(100) < 50
    assert not change_is_slow(np.where(is_first, 5.0, -5.0) + rng.normal(size=100), is_first)
    assert not change_is_slow(np.zeros(10), np.ones(10, dtype=bool)), "nothing follows anything"


def test_two_neurons_that_change_together_are_two():
    """Drift moves both; they stay as far apart as they were."""
    rng = np.random.default_rng(0)
    is_first = rng.random(400) < 0.5 + 0.4 * np.cos(np.linspace(0, 2 * np.pi, 400))
    drift = 4 * np.sin(np.linspace(0, 2 * np.pi, 400))
    assert not change_is_slow(drift + np.where(is_first, 3.0, -3.0) + rng.normal(size=400), is_first)


def test_trains_that_take_turns():
    rng = np.random.default_rng(0)
    times = np.sort(rng.choice(10**6, 400, replace=False))
    assert take_turns(times[:200], times[200:]) and take_turns(times[200:], times[:200])
    found = [take_turns(np.sort(times[own]), np.sort(times[~own])) for own in rng.random((200, 400)) < 0.5]
    assert np.mean(found) < 0.02, "chance alone"
    assert not take_turns(times[::2], times[1::2]), "they alternate"
    assert not take_turns(times, np.zeros(0, dtype=int))
    assert not take_turns(times[:1], times[1:2])
