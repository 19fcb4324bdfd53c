"""Templates: averages at the right frame, free of noise where a unit is not seen, and no unit twice."""

import numpy as np
import pytest
from small_recording import add_spikes, as_recording, spike_trains, unit_templates
from spikeinterface.core.base import minimum_spike_dtype

from si_deepsort.sorter.templates import (
    UnitTemplates,
    average_waveforms,
    clean_averages,
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
    return UnitTemplates(np.asarray(values, "float32"), 20, np.full(len(values), num_spikes))


@pytest.mark.parametrize("chunk_s", [0.05, 2.0])
def test_average_is_the_template_whatever_the_chunks(chunk_s):
    traces, spikes, templates, nbefore = white_scene()
    nafter = templates.shape[1] - nbefore
    averages = average_waveforms(
        as_recording(traces), spikes, 3, nbefore=nbefore, nafter=nafter, seed=0, chunk_s=chunk_s
    )
    np.testing.assert_allclose(averages, templates, atol=1.2)
    assert np.corrcoef(averages.ravel(), templates.ravel())[0, 1] > 0.97


def test_cleaning_keeps_the_units_and_is_0_where_they_are_not_seen():
    traces, spikes, templates, nbefore = white_scene()
    nafter = templates.shape[1] - nbefore
    averages = average_waveforms(as_recording(traces), spikes, 3, nbefore=nbefore, nafter=nafter, seed=0)
    cleaned = clean_averages(averages, np.bincount(spikes["unit_index"]), nbefore).values
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
    empty = clean_averages(np.zeros((0, 60, NUM_CHANNELS), "float32"), np.zeros(0, int), 20)
    assert len(empty.values) == 0
