"""Isolated spikes: those whose windows hold little of the templates of others."""

import numpy as np

from si_deepsort.sorter.units.isolated import FEWEST_ISOLATED, are_isolated, overlap_energies
from si_deepsort.spike_vectors import main_channels, make_spike_vector

NUM_CHANNELS = 6
LOCATIONS = np.column_stack([np.zeros(NUM_CHANNELS), 20.0 * np.arange(NUM_CHANNELS)])


def as_spikes(times, units, segments=0):
    return make_spike_vector(times, units, np.broadcast_to(segments, len(times)))


def test_overlap_energies_are_those_of_other_templates_in_the_window():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((3, 20, NUM_CHANNELS)).astype("float32")
    values[2, :, :5] = 0
    spikes = as_spikes(rng.integers(0, 300, 40), rng.integers(0, 3, 40), np.repeat([0, 1], 20))
    found = overlap_energies(spikes, values, 3.4 * LOCATIONS)
    # Contacts are 68 um apart, so two on either side lie within 150 um.
    for one, spike in enumerate(spikes):
        channels = np.abs(np.arange(NUM_CHANNELS) - main_channels(values)[spike["unit_index"]]) <= 2
        expected = 0.0
        for other, second in enumerate(spikes):
            lag = second["sample_index"] - spike["sample_index"]
            if other != one and second["segment_index"] == spike["segment_index"] and abs(lag) < 20:
                inside = values[second["unit_index"]][max(0, -lag) : 20 - max(0, lag)]
                expected += np.sum(inside[:, channels] ** 2)
        np.testing.assert_allclose(found[one], expected, rtol=1e-5)


def test_the_least_overlapped_spikes_of_a_unit_are_used_where_none_is_isolated():
    templates = np.full((2, 20, NUM_CHANNELS), 3.0, "float32")
    # The second unit always fires with the first; most spikes of the first are isolated.
    first = 100 * np.arange(1, 301)
    lags = np.arange(100) % 19
    spikes = as_spikes(np.concatenate([first, first[:100] + lags]), np.repeat([0, 1], [300, 100]))
    isolated = are_isolated(spikes, templates, LOCATIONS)
    assert np.sum(isolated & (spikes["unit_index"] == 0)) >= 200
    kept = spikes["sample_index"][isolated & (spikes["unit_index"] == 1)] % 100
    assert FEWEST_ISOLATED <= len(kept) < 100 and np.all(kept >= 7), "those that overlap least"
