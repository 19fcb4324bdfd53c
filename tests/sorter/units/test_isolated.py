"""Lonely spikes: whose windows hold the templates of others, and averages that larger units do not change."""

import numpy as np
from small_recording import as_recording
from spikeinterface.core.base import minimum_spike_dtype

from si_deepsort.sorter.adapter import DeepSortSettings
from si_deepsort.sorter.units.isolated import FEWEST, are_alone, overlap_energies
from si_deepsort.sorter.units.refine import average_units, template_samples
from si_deepsort.sorter.units.templates import UnitTemplates, measure_background

NUM_CHANNELS = 6
LOCATIONS = np.column_stack([np.zeros(NUM_CHANNELS), 20.0 * np.arange(NUM_CHANNELS)])


def as_spikes(times, units, segments=0):
    spikes = np.zeros(len(times), dtype=minimum_spike_dtype)
    spikes["sample_index"], spikes["unit_index"], spikes["segment_index"] = times, units, segments
    return np.sort(spikes, order=["segment_index", "sample_index"])


def test_overlap_energies_are_those_of_other_templates_in_the_window():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((3, 20, NUM_CHANNELS)).astype("float32")
    values[2, :, :5] = 0
    templates = UnitTemplates(values, 5, np.full(3, 50), np.ones(NUM_CHANNELS))
    spikes = as_spikes(rng.integers(0, 300, 40), rng.integers(0, 3, 40), np.repeat([0, 1], 20))
    found = overlap_energies(spikes, templates, 3.4 * LOCATIONS)
    # Of contacts 68 um apart, two on either side lie within 150 um.
    main_channels = np.abs(values).max(axis=1).argmax(axis=1)
    for one, spike in enumerate(spikes):
        channels = np.abs(np.arange(NUM_CHANNELS) - main_channels[spike["unit_index"]]) <= 2
        expected = 0.0
        for other, second in enumerate(spikes):
            lag = second["sample_index"] - spike["sample_index"]
            if other != one and second["segment_index"] == spike["segment_index"] and abs(lag) < 20:
                inside = values[second["unit_index"]][max(0, -lag) : 20 - max(0, lag)]
                expected += np.sum(inside[:, channels] ** 2)
        np.testing.assert_allclose(found[one], expected, rtol=1e-5)


def test_of_each_unit_the_loneliest_stay_where_none_is_alone():
    templates = UnitTemplates(np.full((2, 20, NUM_CHANNELS), 3.0, "float32"), 5, np.full(2, 50), np.ones(NUM_CHANNELS))
    # The second unit always fires with the first, the first mostly alone.
    first = 100 * np.arange(1, 301)
    lags = np.arange(100) % 19
    spikes = as_spikes(np.concatenate([first, first[:100] + lags]), np.repeat([0, 1], [300, 100]))
    alone = are_alone(spikes, templates, LOCATIONS)
    assert np.sum(alone & (spikes["unit_index"] == 0)) >= 200
    kept = spikes["sample_index"][alone & (spikes["unit_index"] == 1)] % 100
    assert FEWEST <= len(kept) < 100 and np.all(kept >= 7), "those that overlap least"


def test_a_larger_unit_that_fires_beside_some_spikes_does_not_change_their_average():
    rng = np.random.default_rng(0)
    traces = rng.standard_normal((300_000, NUM_CHANNELS)).astype("float32")
    shape = np.hanning(21)[:, None] * np.ones(3)
    small, large = 1000 * np.arange(1, 201), 1000 * np.arange(1, 51) + 15
    for times, channels, height in ((small, slice(0, 3), 4.0), (large, slice(2, 5), 40.0)):
        for time in times:
            traces[time - 10 : time + 11, channels] += height * shape
    spikes = as_spikes(np.concatenate([small, large]), np.repeat([0, 1], [200, 50]))
    recording, settings = as_recording(traces), DeepSortSettings()
    nbefore, nafter = template_samples(recording, settings)
    background = measure_background(recording, num_samples=nbefore + nafter, seed=0)
    averages = average_units(recording, background, spikes, settings)
    assert list(averages.num_spikes) == [150, 50]
    beside = averages.templates().values[0][nbefore + 12 : nbefore + 18]
    assert np.abs(beside).max() < 1.0, "a quarter of its spikes have 40 there"
