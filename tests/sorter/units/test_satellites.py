"""Satellites: what follows a larger unit at one lag goes, everything else stays."""

import warnings

import numpy as np
import pytest
from unit_scenes import SAMPLING_FREQUENCY, as_templates, padded_templates, spikes_of

from si_deepsort.sorter.units.satellites import find_satellite_spikes


def test_unit_that_follows_another_at_one_lag_is_its_satellite_and_one_that_bursts_after_it_is_not():
    values = padded_templates(3)
    values[1] *= 0.4
    rng = np.random.default_rng(0)
    first = np.sort(rng.choice(20_000, 300, replace=False)) * 100
    with_it = first[:200] + 30 + rng.integers(-2, 3, 200)
    after_bursts = first[::2] + rng.integers(20, 80, 150)
    spikes = spikes_of([first, with_it, after_bursts])
    is_satellite = find_satellite_spikes(as_templates(values), spikes, SAMPLING_FREQUENCY)
    assert [np.mean(is_satellite[spikes["unit_index"] == unit]) for unit in range(3)] == [0, 1, 0]


def test_a_unit_keeps_the_spikes_that_no_larger_unit_leaves_over():
    rng = np.random.default_rng(0)
    values = padded_templates(2)
    values[1] = 0.3 * values[0]
    first = np.sort(rng.choice(np.arange(0, 600_000, 400), 300, replace=False))
    own = np.setdiff1d(rng.choice(np.arange(200, 600_000, 400), 200, replace=False), first)
    with_it = first[:80] + 5 + rng.integers(-2, 3, 80)
    spikes = spikes_of([first, np.concatenate([own, with_it])])
    is_satellite = find_satellite_spikes(as_templates(values), spikes, SAMPLING_FREQUENCY)
    assert not is_satellite[spikes["unit_index"] == 0].any()
    np.testing.assert_array_equal(np.sort(spikes["sample_index"][is_satellite]), np.sort(with_it))


@pytest.mark.parametrize("num_together", [100, 300])
def test_a_neuron_that_often_fires_together_with_a_larger_one_keeps_its_spikes(num_together):
    """A quarter or more than half of its spikes lie within half a millisecond of the other neuron's, with jitter."""
    rng = np.random.default_rng(1)
    values = padded_templates(2)
    values[1] *= 0.5
    first = np.sort(rng.choice(np.arange(0, 600_000, 400), 400, replace=False))
    own = np.setdiff1d(rng.choice(np.arange(200, 600_000, 400), 240, replace=False), first)
    together = first[:num_together] + rng.integers(-15, 16, num_together)
    spikes = spikes_of([first, np.concatenate([own, together])])
    assert not find_satellite_spikes(as_templates(values), spikes, SAMPLING_FREQUENCY).any()


def test_a_unit_without_spikes_is_no_satellite_and_gives_no_warning():
    values = padded_templates(2)
    spikes = spikes_of([np.arange(100, 10_000, 100), np.zeros(0, int)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not find_satellite_spikes(as_templates(values), spikes, SAMPLING_FREQUENCY).any()
