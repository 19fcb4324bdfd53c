"""Templates: free of noise where a unit is not visible, and near each other if they are of one unit."""

import numpy as np
from small_recording import as_recording, unit_templates
from unit_scenes import NUM_CHANNELS, as_templates, white_scene

from si_deepsort.sorter.average_waveforms import average_waveforms
from si_deepsort.sorter.units.background import measure_background
from si_deepsort.sorter.units.templates import clean_averages, template_distances


def test_cleaning_keeps_the_units_and_is_0_where_they_are_not_seen():
    traces, spikes, templates, nbefore = white_scene()
    nafter = templates.shape[1] - nbefore
    averages = average_waveforms(as_recording(traces), spikes, 3, nbefore=nbefore, nafter=nafter, seed=0)
    background = measure_background(as_recording(traces), num_samples=templates.shape[1], seed=0)
    cleaned = clean_averages(*averages, np.bincount(spikes["unit_index"]), nbefore, background).values
    for unit in range(3):
        large = np.abs(templates[unit]).max(axis=0) > 3.0
        assert np.corrcoef(cleaned[unit][:, large].ravel(), templates[unit][:, large].ravel())[0, 1] > 0.97
        assert np.all(cleaned[unit][:, np.abs(templates[unit]).max(axis=0) < 0.05] == 0), "not seen there: exactly 0"


def test_distance_of_a_template_to_its_delayed_copy_is_zero_at_that_lag():
    values, _ = unit_templates(2, NUM_CHANNELS, amplitude_uV=12.0)
    values = np.pad(values, ((0, 0), (8, 8), (0, 0)))
    delayed = np.stack([values[0], np.roll(values[0], 3, axis=0)])
    distances, lags = template_distances(as_templates(delayed, 10**9))
    assert distances[0, 1] < 0.5 and abs(lags[0, 1]) == 3 and lags[0, 1] == -lags[1, 0]


def test_no_units():
    background = measure_background(as_recording(np.zeros((1000, NUM_CHANNELS), "float32")), num_samples=60, seed=0)
    none = np.zeros((0, 60, NUM_CHANNELS), "float32")
    empty = clean_averages(none, none, np.zeros(0, int), 20, background)
    assert len(empty.values) == 0


def averages_of_a_large_unit(of_half_only=0.0):
    """Average of 100 spikes: large on channel 0, a thousandth of that energy on channel 1; an overlap in one half."""
    rng = np.random.default_rng(0)
    num_spikes, shape = 100, np.hanning(60).astype("float32")
    halves = rng.standard_normal((2, 1, 60, NUM_CHANNELS)).astype("float32") / np.sqrt(num_spikes / 2)
    halves[:, 0, :, 0] += 30 * shape
    halves[:, 0, :, 1] += 1 * shape
    halves[0, 0, :, 3] += of_half_only * shape
    return halves.mean(axis=0), (halves[0] - halves[1]) / 2, np.array([num_spikes])


def test_a_channel_that_could_be_taken_for_a_spike_is_kept_whatever_the_largest_holds():
    background = measure_background(
        as_recording(np.random.default_rng(1).standard_normal((20_000, NUM_CHANNELS)).astype("float32")),
        num_samples=60,
        seed=0,
    )
    values = clean_averages(*averages_of_a_large_unit(), 30, background).values[0]
    assert np.any(values[:, 1] != 0) and np.all(values[:, 3] == 0)


def test_what_is_seen_in_half_of_the_spikes_alone_is_no_part_of_the_unit():
    background = measure_background(
        as_recording(np.random.default_rng(1).standard_normal((20_000, NUM_CHANNELS)).astype("float32")),
        num_samples=60,
        seed=0,
    )
    values = clean_averages(*averages_of_a_large_unit(of_half_only=6.0), 30, background).values[0]
    assert np.any(values[:, 1] != 0) and np.all(values[:, 3] == 0)
