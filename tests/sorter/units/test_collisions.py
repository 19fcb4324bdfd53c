"""Collisions: two units that coincide make no third one, unless it fires more often than they coincide."""

import numpy as np
import pytest
from unit_scenes import NUM_CHANNELS, SAMPLING_FREQUENCY, as_templates, padded_templates

from si_deepsort.sorter.units.collisions import find_collision_units


def test_sum_of_two_units_is_a_collision_and_they_are_not():
    values = padded_templates(2)
    templates = as_templates([*values, values[0] + np.roll(values[1], 3, axis=0)], [500, 500, 30])
    assert find_collision_units(templates, None, SAMPLING_FREQUENCY).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("num_known", "num_spikes", "is_collision"), [(1500, 20, True), (1500, 400, False), (50, 45, True)]
)
def test_a_sum_that_fires_more_often_than_two_known_units_coincide_is_a_unit(num_known, num_spikes, is_collision):
    values = padded_templates(2)
    templates = as_templates([*values, values[0] + np.roll(values[1], 3, axis=0)], [500, 500, 30])
    rng = np.random.default_rng(0)
    trains = [np.sort(rng.integers(0, 60 * SAMPLING_FREQUENCY, number)) for number in (num_known, 1200, num_spikes)]
    assert find_collision_units(templates, trains, SAMPLING_FREQUENCY).tolist() == [False, False, is_collision]


def test_no_units_hold_no_collisions():
    assert len(find_collision_units(as_templates(np.zeros((0, 60, NUM_CHANNELS))), [], SAMPLING_FREQUENCY)) == 0
