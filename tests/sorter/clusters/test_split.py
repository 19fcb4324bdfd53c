"""Splitting: a unit that holds two falls apart, one that varies as units do stays whole, whatever fires beside it."""

import numpy as np
import pytest
from small_recording import as_recording, unit_templates
from spikeinterface.core.base import minimum_spike_dtype

from si_deepsort.sorter.clusters.split import components_above_noise, parts_above_noise, split_units
from si_deepsort.sorter.units.templates import UnitTemplates

NUM_CHANNELS, NUM_FEATURES = 6, 120
VALUES = dict(method="isosplit", min_size=15, amplitude_variance=0.02, seed=0)


def parts(points):
    return parts_above_noise(points, method="isosplit", min_size=15, seed=0)


@pytest.mark.parametrize("num_points", [40, 200, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_noise_has_no_component_above_noise(num_points, seed):
    points = 1.3 * np.random.default_rng(seed).standard_normal((num_points, NUM_FEATURES))
    assert components_above_noise(points).shape == (num_points, 0)
    assert np.all(parts(points) == 0)


def test_units_without_features_or_variation_stay_whole():
    assert np.all(parts(np.zeros((100, 0))) == 0)
    assert np.all(parts(np.ones((100, 5))) == 0)


@pytest.mark.parametrize("num_points", [(100, 100), (250, 40)])
def test_two_groups_that_one_component_shows_are_two_parts(num_points):
    rng = np.random.default_rng(0)
    points = rng.standard_normal((sum(num_points), NUM_FEATURES))
    truth = np.repeat([0, 1], num_points)
    points[truth == 1, 3] += 5.5
    found = parts(points)
    assert components_above_noise(points).shape[1] == 1
    for part in np.unique(found[found >= 0]):
        shares = np.bincount(truth[found == part], minlength=2) / np.sum(found == part)
        assert shares.max() > 0.9
    assert len(np.unique(found[found >= 0])) >= 2


def sorted_units(templates, sources, labels, *, amplitude_sd=0.0, num_spikes=100, num_samples=300_000):
    """Spikes of templates in white noise, labelled as told, split; the sources of the spikes in each new unit."""
    rng = np.random.default_rng(0)
    nbefore, length = 28, templates.shape[1]
    traces = rng.standard_normal((num_samples, NUM_CHANNELS)).astype("float32")
    slots = rng.permutation(np.arange(1, num_samples // 200 - 1))[: num_spikes * len(sources)] * 200
    spikes = np.zeros(len(slots), dtype=minimum_spike_dtype)
    source_of = {}
    for position, (time, place) in enumerate(zip(slots, np.repeat(np.arange(len(sources)), num_spikes), strict=True)):
        amplitude = 1 + amplitude_sd * rng.standard_normal()
        traces[time - nbefore : time - nbefore + length] += amplitude * templates[sources[place]]
        spikes[position] = (time, labels[place], 0)
        source_of[time] = sources[place]
    spikes = np.sort(spikes, order="sample_index")
    units = np.unique(labels)
    means = np.stack(
        [np.mean([templates[s] for s, label in zip(sources, labels, strict=True) if label == u], 0) for u in units]
    )
    counts = np.bincount(spikes["unit_index"])
    own = UnitTemplates(means.astype("float32"), nbefore, counts, np.full(NUM_CHANNELS, 15.0))
    split = split_units(as_recording(traces), spikes, own, **VALUES)
    found = [split["sample_index"][split["unit_index"] == unit] for unit in range(split["unit_index"].max() + 1)]
    return [np.array([source_of[time] for time in times]) for times in found]


def test_two_small_units_under_one_label_fall_apart():
    values, _ = unit_templates(2, NUM_CHANNELS, amplitude_uV=9.0)
    templates = np.pad(values, ((0, 0), (8, 8), (0, 0)))
    difference = templates[1] - templates[0]
    templates[1] = templates[0] + 6.5 / np.linalg.norm(difference) * difference
    found = sorted_units(templates, [0, 1], [0, 0])
    assert len(found) >= 2
    assert all(max(np.mean(sources), 1 - np.mean(sources)) > 0.9 for sources in found)


def test_a_unit_whose_amplitude_varies_stays_whole_with_all_its_spikes():
    values, _ = unit_templates(1, NUM_CHANNELS, amplitude_uV=25.0)
    templates = np.pad(values, ((0, 0), (8, 8), (0, 0)))
    found = sorted_units(templates, [0], [0], amplitude_sd=0.12, num_spikes=300)
    assert [len(sources) for sources in found] == [300]
