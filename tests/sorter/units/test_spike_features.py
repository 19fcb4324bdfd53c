"""Features of single spikes: they tell two units apart, and a unit from noise."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from small_recording import as_recording, unit_templates
from spikeinterface.core.base import minimum_spike_dtype

from si_deepsort.sorter.units.spike_features import read_spike_features
from si_deepsort.sorter.units.templates import UnitTemplates

NUM_CHANNELS = 6
VARIANCE = 0.02


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
    assert features.separation(0, 2, 0, VARIANCE) > 3.0
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


@pytest.mark.parametrize("num_spikes", [20, 30, 60])
@pytest.mark.parametrize("seed", range(3))
def test_few_spikes_of_one_unit_that_two_templates_shared_out_are_one(num_spikes, seed):
    """Each of two templates takes the spikes that resemble it by their noise, as matching does."""
    rng = np.random.default_rng(seed)
    shape = np.pad(unit_templates(1, NUM_CHANNELS, amplitude_uV=12.0)[0][0], ((8, 8), (0, 0)))
    times = 500 + 400 * np.arange(num_spikes)
    traces = rng.normal(size=(times[-1] + 500, NUM_CHANNELS)).astype("float32")
    for time in times:
        traces[time - 28 : time - 28 + len(shape)] += shape
    waveforms = np.stack([traces[time - 28 : time - 28 + len(shape)] for time in times])
    rows = waveforms.reshape(num_spikes, -1)
    starts = (KMeans(2, n_init=1, random_state=10 * seed + start).fit_predict(rows) for start in range(10))
    labels = max(starts, key=lambda labels: np.bincount(labels).min())
    means = np.stack([waveforms[labels == label].mean(axis=0) for label in (0, 1)])
    spikes = np.array(list(zip(times, labels, np.zeros_like(labels), strict=True)), dtype=minimum_spike_dtype)
    templates = UnitTemplates(means, 28, np.bincount(labels), np.full(NUM_CHANNELS, 15.0))
    assert np.linalg.norm(means[0] - means[1]) > 5, "their templates differ, by noise alone"
    assert np.bincount(labels).min() >= 5, "enough spikes of each"
    assert read_spike_features(as_recording(traces), spikes, templates, seed=0).separation(0, 1, 0, VARIANCE) < 2.5
