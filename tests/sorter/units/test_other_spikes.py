"""Other spikes in a window: their templates are subtracted, the spike itself stays."""

import numpy as np
from small_recording import as_recording
from unit_scenes import as_templates, padded_templates, spikes_of

from si_deepsort.sorter.units.other_spikes import OtherSpikes
from si_deepsort.sorter.units.spike_features import read_spike_features
from si_deepsort.spike_vectors import absolute_times


def scene_of(lags):
    """Traces without noise in which a second unit fires some samples after each spike of the first one."""
    values = padded_templates(2)
    num_samples = values.shape[1]
    times = 500 * np.arange(1, len(lags) + 1)
    traces = np.zeros((500 * (len(lags) + 2), values.shape[2]), dtype="float32")
    spikes = spikes_of([times, times + np.array(lags)])
    templates = as_templates(values)
    for time, unit in zip(spikes["sample_index"], spikes["unit_index"], strict=True):
        traces[time - templates.nbefore : time - templates.nbefore + num_samples] += values[unit]
    return traces, spikes, templates


def test_what_is_left_of_a_window_is_the_template_of_its_spike():
    traces, spikes, templates = scene_of([-300, -15, -3, 0, 4, 20, 200])
    num_samples, num_channels = templates.values.shape[1:]
    channels = np.tile([*range(num_channels), -1], (len(spikes), 1))
    windows = np.zeros((len(spikes), num_samples, num_channels + 1), dtype="float32")
    for window, time in zip(windows, spikes["sample_index"], strict=True):
        window[:, :-1] = traces[time - templates.nbefore :][:num_samples]
    units = spikes["unit_index"].astype("int64")
    others = OtherSpikes(absolute_times(spikes), units, templates.values, templates.visible)
    others.subtract(windows, np.arange(len(spikes)), channels)
    np.testing.assert_allclose(windows[:, :, :-1], templates.values[spikes["unit_index"]], atol=1e-4)
    assert np.all(windows[:, :, -1] == 0)


def test_spikes_of_a_unit_that_never_fires_alone_have_one_shape():
    traces, spikes, templates = scene_of([-12, -7, -4, 3, 5, 9, 14, 18] * 3)
    traces += 0.01 * np.random.default_rng(0).standard_normal(traces.shape).astype("float32")
    features = read_spike_features(as_recording(traces), spikes, templates, seed=0)
    for unit in range(2):
        assert len(features.of_unit(unit)) == 24
        assert features.of_unit(unit).std(axis=0).max() < 0.05, "in noise standard deviations; templates reach 20"
