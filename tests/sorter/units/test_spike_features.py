"""Separation: halves of one unit are one however it was cut, two units are two, and own noise deceives nobody."""

import numpy as np
import pytest
from small_recording import as_recording, unit_templates
from spikeinterface.core.base import minimum_spike_dtype

from si_deepsort.sorter.units.spike_features import cross_validated_separation, read_spike_features
from si_deepsort.sorter.units.templates import UnitTemplates

NUM_CHANNELS, NUM_FEATURES = 6, 120
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
    assert cross_validated_separation(points[is_above], points[~is_above], VARIANCE) < 3.5


@pytest.mark.parametrize("distance", [6.0, 10.0])
def test_two_groups_are_two(distance):
    rng = np.random.default_rng(0)
    mean = 10.0 * np.eye(NUM_FEATURES)[0]
    other = mean + distance * np.eye(NUM_FEATURES)[1]
    found = cross_validated_separation(cloud(mean, 200, rng), cloud(other, 60, rng), VARIANCE)
    assert 3.5 < found < 1.2 * distance


def test_a_difference_in_size_counts_for_less_than_one_in_shape():
    rng = np.random.default_rng(0)
    mean = 40.0 * np.eye(NUM_FEATURES)[0]
    along, across = mean + 6.0 * np.eye(NUM_FEATURES)[0], mean + 6.0 * np.eye(NUM_FEATURES)[1]
    smaller, larger = rng.normal(0, 0.1, 200)[:, None] * mean, rng.normal(0, 0.1, 200)[:, None] * along
    by_size = cross_validated_separation(cloud(mean, 200, rng) + smaller, cloud(along, 200, rng) + larger, VARIANCE)
    by_shape = cross_validated_separation(cloud(mean, 200, rng) + smaller, cloud(across, 200, rng) + smaller, VARIANCE)
    assert by_size < 3.5 < by_shape


def make_features(assignment, templates, nbefore, num_samples=600_000):
    """Features of units, each of which has spikes of the template that the assignment names, in white noise."""
    rng = np.random.default_rng(0)
    traces = rng.normal(size=(num_samples, NUM_CHANNELS)).astype("float32")
    slots = rng.permutation(np.arange(1, num_samples // 200 - 1))[: 100 * len(assignment)].reshape(len(assignment), -1)
    spikes = []
    for unit, source in enumerate(assignment):
        for time in slots[unit] * 200:
            traces[time - nbefore : time - nbefore + templates.shape[1]] += templates[source]
            spikes.append((time, unit, 0))
    spikes = np.array(sorted(spikes), dtype=minimum_spike_dtype)
    counts = np.full(len(assignment), 100)
    own = UnitTemplates(templates[list(assignment)].astype("float32"), nbefore, counts, np.full(NUM_CHANNELS, 15.0))
    return read_spike_features(as_recording(traces), spikes, own, seed=0)


def test_units_of_a_recording_that_are_one_and_that_are_two():
    values, _ = unit_templates(2, NUM_CHANNELS, amplitude_uV=12.0)
    templates = np.pad(values, ((0, 0), (8, 8), (0, 0)))
    features = make_features([0, 0, 1], templates, nbefore=28)
    assert features.separation(0, 1, 0, VARIANCE) < 2.0
    assert features.separation(0, 2, 0, VARIANCE) > 3.5
    assert features.separation(0, 1, 4, VARIANCE) > features.separation(0, 1, 0, VARIANCE), "they are aligned"


def test_units_on_other_channels_are_told_apart_and_too_few_spikes_tell_nothing():
    shape = np.pad(unit_templates(1, NUM_CHANNELS, amplitude_uV=20.0)[0][0][:, :1], ((8, 8), (0, 0)))
    values = np.zeros((2, len(shape), NUM_CHANNELS))
    values[0, :, :1] = values[1, :, 5:] = shape
    features = make_features([0, 1, 0], values, nbefore=28)
    features.channels[1] = np.where(features.channels[1] == 0, -1, features.channels[1])
    assert features.separation(0, 1, 0, VARIANCE) == np.inf
    features.positions[2] = features.positions[2][:3]
    assert np.isnan(features.separation(0, 2, 0, VARIANCE))


def test_halves_of_a_unit_that_is_seen_far_away_are_one():
    shape = np.pad(unit_templates(1, NUM_CHANNELS, amplitude_uV=20.0)[0][0][:, :1], ((8, 8), (0, 0)))
    values = np.zeros((1, len(shape), NUM_CHANNELS))
    values[0, :, :1] = values[0, :, 5:] = shape
    features = make_features([0, 0], values, nbefore=28)
    # Nobody looks at the last channel.
    features.channels[features.channels == 5] = -1
    assert features.separation(0, 1, 0, VARIANCE) < 2.0


def test_a_typical_spike_tells_a_unit_from_noise_and_from_a_few_large_spikes():
    values, _ = unit_templates(1, NUM_CHANNELS, amplitude_uV=12.0)
    template = np.pad(values[0], ((8, 8), (0, 0)))
    norm = np.linalg.norm(template)
    features = make_features([0, 1, 1], np.stack([template, 1e-6 * template]), nbefore=28)
    features.energies[:] = features.energies[0]
    sizes = [features.typical_size(unit) for unit in range(3)]
    assert 0.9 * norm < sizes[0] < 1.1 * norm
    assert abs(sizes[1]) < 0.15 * norm, "the mean of noise is not in noise"
    # One in seven is a spike of the first unit: they make the mean, but no typical spike.
    features.coefficients[features.positions[2][::7]] = features.coefficients[features.positions[0][:15]]
    mean = features.coefficients[features.positions[2]].mean(axis=0)
    assert features.typical_size(2) < 0.5 * np.linalg.norm(mean)
    features.positions[2] = features.positions[2][:3]
    assert np.isnan(features.typical_size(2)), "too few spikes tell nothing"
