"""A predictor of spikes sees the channels and the unit of its training, or refuses."""

import numpy as np
import pytest
import spikeinterface.core as si

import si_deepsort
from si_deepsort.lfp.features import FeatureSettings, extract_features
from si_deepsort.lfp.predictors import PredictorSettings
from si_deepsort.lfp.targets import spike_times

RATE = 250.0
NAMES = ["CA1", "CTX", "REF"]
FEATURES = FeatureSettings(bands={"theta": (4.0, 8.0)}, bin_ms=20.0)
QUICK = PredictorSettings(num_members=2)


@pytest.fixture(scope="module")
def coupled():
    """Field potential in uV, float32, whose first channel drives one unit."""
    rng = np.random.default_rng(0)
    num_frames = round(120 * RATE)
    theta = np.sin(2 * np.pi * 6 * np.arange(num_frames) / RATE)
    traces = rng.normal(0, 60, (num_frames, 3))
    traces[:, 0] += 150 * theta
    spikes = np.flatnonzero(rng.random(num_frames) < 10 * np.exp(1.5 * theta - 1) / RATE)
    return traces.astype("float32"), si.NumpySorting.from_unit_dict([{"7": spikes}], RATE)


def recording_of(traces, gain=None, channel_ids=NAMES):
    recording = si.NumpyRecording([traces], RATE, channel_ids=channel_ids)
    if gain is not None:
        recording.set_channel_gains(gain)
        recording.set_channel_offsets(0.0)
    return recording


def trained(recording, sorting, features=FEATURES):
    return si_deepsort.train_spike_predictor(
        recording, sorting, unit_id="7", model="glm", features=features, settings=QUICK
    ).net


@pytest.fixture(scope="module")
def net(coupled):
    return trained(recording_of(coupled[0], gain=1.0), coupled[1])


@pytest.fixture(scope="module")
def expected(coupled, net):
    return si_deepsort.predict_spikes(recording_of(coupled[0], gain=1.0), net).expected


def test_the_order_of_channels_does_not_matter(coupled, net, expected):
    other = recording_of(coupled[0], gain=1.0).select_channels(["REF", "CTX", "CA1"])
    np.testing.assert_array_equal(si_deepsort.predict_spikes(other, net).expected, expected)


@pytest.mark.parametrize("gain", [0.195, 2.34, 4.6875])
def test_gains_are_applied(coupled, net, expected, gain):
    counts = np.round(coupled[0] / gain).astype("int16")
    prediction = si_deepsort.predict_spikes(recording_of(counts, gain=gain), net)
    assert np.corrcoef(prediction.expected[:, 0], expected[:, 0])[0, 1] > 0.99
    assert prediction.expected.mean() == pytest.approx(expected.mean(), rel=0.02)


@pytest.mark.parametrize("factor", [1 / 0.195, 1 / 4.6875, 1e-3, 1e-6, 1e3])
def test_another_unit_without_gains_is_refused(coupled, net, factor):
    with pytest.raises(ValueError, match="times as large as in training"):
        si_deepsort.predict_spikes(recording_of((coupled[0] * factor).astype("float32")), net)
    unknown = trained(recording_of(coupled[0]), coupled[1])
    with pytest.raises(ValueError, match="unknown unit"):
        si_deepsort.predict_spikes(recording_of((coupled[0] * factor).astype("float32")), unknown)


def test_standardised_features_do_not_depend_on_the_unit(coupled):
    standardised = FeatureSettings(bands={"theta": (4.0, 8.0)}, bin_ms=20.0, standardise=True)
    net = trained(recording_of(coupled[0]), coupled[1], standardised)
    first, second = (
        si_deepsort.predict_spikes(recording_of((factor * coupled[0]).astype("float32")), net) for factor in (1, 1000)
    )
    np.testing.assert_allclose(first.expected, second.expected, rtol=1e-2)


@pytest.mark.parametrize("names", [["A", "B", "C"], ["CA1", "CTX"], ["CA1", "CTX", "REF", "X"]])
def test_other_channels_are_refused(coupled, net, names):
    traces = np.resize(coupled[0], (len(coupled[0]), len(names)))
    with pytest.raises(ValueError, match="CA1"):
        si_deepsort.predict_spikes(recording_of(traces, gain=1.0, channel_ids=names), net)


@pytest.mark.parametrize("start_s", [0.0, 100.0, 1e6])
def test_predicted_spikes_are_on_the_clock_of_the_recording(coupled, net, start_s):
    recording = recording_of(coupled[0], gain=1.0)
    recording.shift_times(start_s)
    sorting = si_deepsort.predict_spikes(recording, net).to_sorting(1000.0)
    times = sorting.get_unit_spike_train("7", return_times=True)
    assert start_s <= times.min() < start_s + 5 and start_s + 110 < times.max() <= start_s + 120
    np.testing.assert_allclose(spike_times(recording, sorting, "7"), times)
    assert sorting.get_start_time(0) == pytest.approx(start_s)
    assert sorting.get_annotation("start_time_s") == pytest.approx(start_s)


def test_features_are_in_microvolts(coupled):
    stored, scaled = recording_of((coupled[0] * 10).astype("int16"), gain=0.1), recording_of(coupled[0])
    first, second = (extract_features(recording, FEATURES).values for recording in (stored, scaled))
    np.testing.assert_allclose(first, second, atol=0.2, rtol=1e-2)
