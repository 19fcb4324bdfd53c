"""Templates: averages at the right frame, free of noise where a unit is not seen, and no unit twice."""

import numpy as np
import pytest
from small_recording import add_spikes, as_recording, spike_trains, unit_templates
from spikeinterface.core.base import minimum_spike_dtype

from si_deepsort.sorter.units.averages import average_waveforms, some_of_each
from si_deepsort.sorter.units.templates import (
    MOST_SHIFT,
    UnitAverages,
    UnitTemplates,
    clean_averages,
    measure_background,
    template_distances,
)

NUM_CHANNELS = 6


def as_spikes(trains):
    spikes = np.zeros(sum(map(len, trains)), dtype=minimum_spike_dtype)
    spikes["sample_index"] = np.concatenate(trains)
    spikes["unit_index"] = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    return spikes[np.argsort(spikes["sample_index"], kind="stable")]


def white_scene(num_units=3, seed=0):
    """Noise of variance 1 with spikes: traces, spikes, templates, nbefore."""
    rng = np.random.default_rng(seed)
    traces = rng.standard_normal((100_000, NUM_CHANNELS)).astype("float32")
    templates, nbefore = unit_templates(num_units, NUM_CHANNELS, amplitude_uV=12.0)
    trains = spike_trains(num_units, len(traces), rng, rate_hz=30.0)
    add_spikes(traces, trains, templates, nbefore)
    return traces, as_spikes(trains), templates, nbefore


def unit_templates_of(values, num_spikes=500):
    counts = np.full(len(values), num_spikes)
    return UnitTemplates(np.asarray(values, "float32"), 20, counts, np.full(NUM_CHANNELS, 15.0))


@pytest.mark.parametrize("chunk_s", [0.05, 2.0])
def test_average_is_the_template_whatever_the_chunks(chunk_s):
    traces, spikes, templates, nbefore = white_scene()
    nafter = templates.shape[1] - nbefore
    averages = average_waveforms(
        as_recording(traces), spikes, 3, nbefore=nbefore, nafter=nafter, seed=0, chunk_s=chunk_s
    )
    np.testing.assert_allclose(averages, templates, atol=1.2)
    assert np.corrcoef(averages.ravel(), templates.ravel())[0, 1] > 0.97


def test_averages_end_far_from_the_main_channel():
    traces, spikes, templates, nbefore = white_scene()
    recording, reach = as_recording(traces), dict(nbefore=nbefore, nafter=templates.shape[1] - nbefore, seed=0)
    # The first three channels lie within 300 um of the first, the others beyond.
    recording.set_dummy_probe_from_locations(np.column_stack([np.zeros(6), [0, 20, 290, 310, 600, 900]]).astype(float))
    whole = average_waveforms(recording, spikes, 3, **reach)
    near = average_waveforms(recording, spikes, 3, **reach, main_channels=np.array([0, 0, 5]))
    np.testing.assert_array_equal(near[:2, :, :3], whole[:2, :, :3])
    np.testing.assert_array_equal(near[2, :, 4:], whole[2, :, 4:])
    assert np.all(near[:2, :, 3:] == 0) and np.all(near[2, :, :4] == 0)


def test_cleaning_keeps_the_units_and_is_0_where_they_are_not_seen():
    traces, spikes, templates, nbefore = white_scene()
    nafter = templates.shape[1] - nbefore
    averages = average_waveforms(as_recording(traces), spikes, 3, nbefore=nbefore, nafter=nafter, seed=0)
    background = measure_background(as_recording(traces), num_samples=templates.shape[1], seed=0)
    cleaned = clean_averages(averages, np.bincount(spikes["unit_index"]), nbefore, background).values
    for unit in range(3):
        large = np.abs(templates[unit]).max(axis=0) > 3.0
        assert np.corrcoef(cleaned[unit][:, large].ravel(), templates[unit][:, large].ravel())[0, 1] > 0.97
        assert np.all(cleaned[unit][:, np.abs(templates[unit]).max(axis=0) < 0.05] == 0), "not seen there: exactly 0"


def test_distance_of_a_template_to_its_delayed_copy_is_zero_at_that_lag():
    values, _ = unit_templates(2, NUM_CHANNELS, amplitude_uV=12.0)
    values = np.pad(values, ((0, 0), (8, 8), (0, 0)))
    delayed = np.stack([values[0], np.roll(values[0], 3, axis=0)])
    distances, lags = template_distances(unit_templates_of(delayed, 10**9))
    assert distances[0, 1] < 0.5 and abs(lags[0, 1]) == 3 and lags[0, 1] == -lags[1, 0]


def test_no_units():
    background = measure_background(as_recording(np.zeros((1000, NUM_CHANNELS), "float32")), num_samples=60, seed=0)
    empty = clean_averages(np.zeros((0, 60, NUM_CHANNELS), "float32"), np.zeros(0, int), 20, background)
    assert len(empty.values) == 0


def test_joined_averages_are_those_of_the_joined_spikes():
    traces, spikes, templates, nbefore = white_scene()
    recording = as_recording(traces)
    reach = dict(nbefore=nbefore + MOST_SHIFT, nafter=templates.shape[1] - nbefore + MOST_SHIFT, seed=0)
    background = measure_background(recording, num_samples=templates.shape[1], seed=0)
    halves = spikes.copy()
    is_late = (halves["unit_index"] == 0) & (np.arange(len(halves)) % 3 == 0)
    halves["unit_index"][is_late] = 3
    halves["sample_index"][is_late] -= 5
    halves = halves[np.argsort(halves["sample_index"], kind="stable")]
    counts = np.bincount(halves["unit_index"])
    parts = UnitAverages(average_waveforms(recording, halves, 4, **reach), nbefore, counts, background)
    joined = parts.joined(np.array([0, 1, -1, 0]), np.array([0, 0, 0, 5]))
    whole = average_waveforms(recording, spikes, 3, **reach)
    assert joined.num_spikes.tolist() == np.bincount(spikes["unit_index"])[:2].tolist()
    core = slice(MOST_SHIFT, MOST_SHIFT + templates.shape[1])
    np.testing.assert_allclose(joined.values[:, core], whole[:2, core], atol=1e-4)


def test_background_of_white_noise_has_energy_1_in_each_direction():
    noise = np.random.default_rng(0).standard_normal((200_000, NUM_CHANNELS)).astype("float32")
    background = measure_background(as_recording(noise), num_samples=40, seed=0)
    directions, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((40, 5)))
    np.testing.assert_allclose(background.energy(directions.T), 5.0, rtol=0.1)


def test_some_of_each_takes_no_more_than_asked_for():
    units = np.array([0, 1, 1, 1, 2, 1, 0])
    chosen = some_of_each(units, 2, seed=0)
    assert np.bincount(units[chosen]).tolist() == [2, 2, 1] and np.all(np.diff(chosen) > 0)
