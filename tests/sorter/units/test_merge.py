"""Merging: one unit seen twice becomes one, and nothing else does."""

import numpy as np
import pytest
from unit_scenes import (
    NUM_CHANNELS,
    SAMPLING_FREQUENCY,
    as_templates,
    independent_spikes,
    padded_templates,
    spikes_of,
)

from si_deepsort.sorter.units.merge import (
    merge_similar,
    same_along_drift,
    same_by_refractory_period,
    same_by_templates,
    template_cosines,
    template_norms,
)
from si_deepsort.sorter.units.templates import template_distances
from si_deepsort.spike_vectors import trains_of


def merged(templates, spikes=None, min_distance=4.0, along_drift=False):
    spikes = independent_spikes(len(templates.values)) if spikes is None else spikes
    distances, lags = template_distances(templates)
    norms = template_norms(templates)
    cosines = template_cosines(norms, distances)
    rules = [same_by_templates(distances, min_distance), same_by_refractory_period(cosines, SAMPLING_FREQUENCY)]
    if along_drift:
        rules.append(same_along_drift(cosines, norms, SAMPLING_FREQUENCY))
    return merge_similar(templates, trains_of(spikes, len(norms)), rules, distances=distances, lags=lags)


def test_one_unit_seen_twice_is_merged_and_nothing_else():
    values = padded_templates(3)
    templates = as_templates([*values, np.roll(values[1], 2, axis=0)], [500, 500, 500, 100])
    representative, shift = merged(templates)
    assert representative.tolist() == [0, 1, 2, 1]
    assert shift[:3].tolist() == [0, 0, 0]
    assert shift[3] == 2, "its template is 2 samples late, so its spikes are 2 samples early"


def test_far_units_of_the_same_shape_are_not_merged():
    shape = padded_templates(1)[0][:, 0]
    values = np.zeros((2, len(shape), NUM_CHANNELS))
    values[0, :, 0], values[1, :, 5] = shape, shape
    assert merged(as_templates(values))[0].tolist() == [0, 1]


def test_near_units_are_one_if_they_are_the_same_and_far_ones_never():
    values = padded_templates(3)
    templates = as_templates([*values, 1.2 * values[1]])
    assert merged(templates, min_distance=0.1)[0].tolist() == [0, 1, 2, 3]
    assert merged(templates, min_distance=1000.0)[0].tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize(("likeness", "expected"), [(0.95, [0, 0]), (0.2, [0, 1])])
def test_units_that_avoid_each_other_are_one_if_their_shapes_are_alike(likeness, expected):
    first, second = (values / np.linalg.norm(values) for values in padded_templates(2))
    second -= np.sum(first * second) * first
    other = likeness * first + np.sqrt(1 - likeness**2) * second / np.linalg.norm(second)
    templates = as_templates([8 * first, 8 * other])
    # Small units are near in noise units whatever their shape. They fire often, never within 10 ms of each other.
    times = 200 * np.random.default_rng(0).permutation(3000)[:1000]
    assert merged(templates, spikes_of([times[:500], times[500:]]), min_distance=0.0)[0].tolist() == expected


@pytest.mark.parametrize(
    ("likeness", "along_drift", "takes_turns", "expected"),
    [(0.95, True, True, [0, 0]), (0.95, False, True, [0, 1]), (0.95, True, False, [0, 1]), (0.85, True, True, [0, 1])],
)
def test_parts_of_a_large_unit_that_take_turns_along_drift_are_one(likeness, along_drift, takes_turns, expected):
    one, other = padded_templates(2, amplitude=60.0)[:, None]
    one, other = (template / np.linalg.norm(template) for template in (one, other))
    other = other - np.sum(one * other) * one
    mixed = likeness * one + np.sqrt(1 - likeness**2) * other / np.linalg.norm(other)
    spikes = independent_spikes(2)
    if takes_turns:
        # Two seconds of the one, two of the other.
        spikes = spikes[spikes["sample_index"] // 40_000 % 2 == spikes["unit_index"]]
    templates = as_templates(np.concatenate([50.0 * one, 50.0 * mixed]))
    assert merged(templates, spikes, along_drift=along_drift)[0].tolist() == expected


def test_units_of_one_shape_that_fire_together_by_chance_are_two():
    values = padded_templates(1)
    templates = as_templates([values[0], 1.2 * values[0]])
    assert merged(templates, min_distance=0.0)[0].tolist() == [0, 1]


def test_no_units_are_merged_into_none():
    representative, shift = merged(as_templates(np.zeros((0, 60, NUM_CHANNELS))), independent_spikes(0))
    assert len(representative) == len(shift) == 0
