"""Merging: one unit seen twice becomes one, nothing else does; coinciding units make no third."""

import numpy as np
import pytest
from small_recording import unit_templates
from spikeinterface.core.base import minimum_spike_dtype

from si_deepsort.sorter.units.merge import find_leftovers, find_mixtures, merge_similar
from si_deepsort.sorter.units.templates import UnitTemplates, template_distances

NUM_CHANNELS = 6
SAMPLING_FREQUENCY = 20_000.0


def padded_templates(num_units, amplitude=20.0):
    values, _ = unit_templates(num_units, NUM_CHANNELS, amplitude_uV=amplitude)
    return np.pad(values, ((0, 0), (8, 8), (0, 0)))


def as_templates(values, num_spikes=500):
    counts = np.full(len(values), num_spikes)
    return UnitTemplates(np.asarray(values, "float32"), 28, counts, np.full(NUM_CHANNELS, 15.0))


def independent_spikes(num_units, num_spikes=500, seed=0):
    rng = np.random.default_rng(seed)
    spikes = np.zeros(num_units * num_spikes, dtype=minimum_spike_dtype)
    spikes["sample_index"] = rng.integers(0, 600_000, len(spikes))
    spikes["unit_index"] = np.repeat(np.arange(num_units), num_spikes)
    return spikes[np.argsort(spikes["sample_index"], kind="stable")]


def merged(templates, spikes=None, min_distance=4.0, **options):
    spikes = independent_spikes(len(templates.values)) if spikes is None else spikes
    distances, lags = template_distances(templates)
    return merge_similar(
        templates,
        spikes,
        SAMPLING_FREQUENCY,
        distances=distances,
        lags=lags,
        is_same=lambda one, other: distances[one, other] < min_distance,
        **options,
    )


def test_one_unit_seen_twice_is_merged_and_nothing_else():
    values = padded_templates(3)
    templates = as_templates([*values, np.roll(values[1], 2, axis=0)])
    templates.num_spikes[3] = 100
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
    ("likeness", "follows_drift", "takes_turns", "expected"),
    [(0.95, True, True, [0, 0]), (0.95, False, True, [0, 1]), (0.95, True, False, [0, 1]), (0.85, True, True, [0, 1])],
)
def test_parts_of_a_large_unit_that_take_turns_along_drift_are_one(likeness, follows_drift, takes_turns, expected):
    one, other = padded_templates(2, amplitude=60.0)[:, None]
    one, other = (template / np.linalg.norm(template) for template in (one, other))
    other = other - np.sum(one * other) * one
    mixed = likeness * one + np.sqrt(1 - likeness**2) * other / np.linalg.norm(other)
    spikes = independent_spikes(2)
    if takes_turns:
        # Two seconds of the one, two of the other.
        spikes = spikes[spikes["sample_index"] // 40_000 % 2 == spikes["unit_index"]]
    templates = as_templates(np.concatenate([50.0 * one, 50.0 * mixed]))
    assert merged(templates, spikes, follows_drift=follows_drift)[0].tolist() == expected


def test_units_of_one_shape_that_fire_together_by_chance_are_two():
    values = padded_templates(1)
    templates = as_templates([values[0], 1.2 * values[0]])
    assert merged(templates, min_distance=0.0)[0].tolist() == [0, 1]


def test_sum_of_two_units_is_a_mixture_and_they_are_not():
    values = padded_templates(2)
    templates = as_templates([*values, values[0] + np.roll(values[1], 3, axis=0)])
    templates.num_spikes[2] = 30
    assert find_mixtures(templates, None, SAMPLING_FREQUENCY).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("num_known", "num_spikes", "is_mixture"), [(1500, 20, True), (1500, 400, False), (50, 45, True)]
)
def test_a_sum_that_fires_more_often_than_two_known_units_coincide_is_a_unit(num_known, num_spikes, is_mixture):
    values = padded_templates(2)
    templates = as_templates([*values, values[0] + np.roll(values[1], 3, axis=0)])
    templates.num_spikes[2] = 30
    rng = np.random.default_rng(0)
    trains = [np.sort(rng.integers(0, 60 * SAMPLING_FREQUENCY, number)) for number in (num_known, 1200, num_spikes)]
    assert find_mixtures(templates, trains, SAMPLING_FREQUENCY).tolist() == [False, False, is_mixture]


def test_no_units():
    empty = UnitTemplates(np.zeros((0, 60, NUM_CHANNELS), "float32"), 20, np.zeros(0, int), np.zeros(NUM_CHANNELS))
    representative, shift = merged(empty, independent_spikes(0))
    assert len(representative) == len(shift) == len(find_mixtures(empty, [], SAMPLING_FREQUENCY)) == 0


def spikes_of(trains):
    spikes = np.zeros(sum(map(len, trains)), dtype=minimum_spike_dtype)
    spikes["sample_index"] = np.concatenate(trains)
    spikes["unit_index"] = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    return spikes[np.argsort(spikes["sample_index"], kind="stable")]


def test_unit_that_follows_another_at_one_lag_is_its_satellite_and_one_that_bursts_after_it_is_not():
    values = padded_templates(3)
    values[1] *= 0.4
    rng = np.random.default_rng(0)
    first = np.sort(rng.choice(20_000, 300, replace=False)) * 100
    with_it = first[:200] + 30 + rng.integers(-2, 3, 200)
    after_bursts = first[::2] + rng.integers(20, 80, 150)
    spikes = spikes_of([first, with_it, after_bursts])
    leftover = find_leftovers(as_templates(values), spikes, SAMPLING_FREQUENCY)
    assert [np.mean(leftover[spikes["unit_index"] == unit]) for unit in range(3)] == [0, 1, 0]


def test_a_unit_keeps_the_spikes_that_no_larger_unit_leaves_over():
    rng = np.random.default_rng(0)
    values = padded_templates(2)
    values[1] = 0.3 * values[0]
    first = np.sort(rng.choice(np.arange(0, 600_000, 400), 300, replace=False))
    own = np.setdiff1d(rng.choice(np.arange(200, 600_000, 400), 200, replace=False), first)
    with_it = first[:80] + 5 + rng.integers(-2, 3, 80)
    spikes = spikes_of([first, np.concatenate([own, with_it])])
    leftover = find_leftovers(as_templates(values), spikes, SAMPLING_FREQUENCY)
    assert not leftover[spikes["unit_index"] == 0].any()
    np.testing.assert_array_equal(np.sort(spikes["sample_index"][leftover]), np.sort(with_it))
