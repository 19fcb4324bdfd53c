"""Bands, features, targets and metrics of the field potential: laws that hold whatever the data."""

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording, NumpySorting

from si_deepsort.lfp.bands import BANDS, band_kernel, check_bands
from si_deepsort.lfp.checks import check_no_gaps
from si_deepsort.lfp.features import FeatureSettings, extract_features
from si_deepsort.lfp.metrics import bits_per_spike, circular_shift_null, classification_scores
from si_deepsort.lfp.targets import Session, pair_session
from si_deepsort.training.lfp.folds import block_folds, group_folds

RATE = 500.0


def make_recording(traces, rate=RATE):
    traces = np.asarray(traces, dtype=np.float32)
    return NumpyRecording([traces if traces.ndim == 2 else traces[:, None]], rate)


def sine(frequency, duration_s=20.0, rate=RATE, phase=0.0):
    return np.cos(2 * np.pi * frequency * np.arange(round(duration_s * rate)) / rate + phase)


def column(table, band, kind, number=0):
    return table.values[:, [index for index, name in enumerate(table.names) if name[1:] == (band, kind)][number]]


@pytest.mark.parametrize("causal", [False, True])
def test_a_kernel_passes_its_band_and_stops_the_others(causal):
    for low, high in BANDS.values():
        kernel = band_kernel(low, high, RATE, causal=causal)
        lags = np.arange(len(kernel)) / RATE

        def response(frequency, kernel=kernel, lags=lags):
            return abs(np.sum(kernel * np.exp(-2j * np.pi * frequency * lags)))

        assert response((low + high) / 2) == pytest.approx(2, rel=0.05)  # analytic: twice a real sine's half
        assert response(high + 2 * (high - low)) < 0.3
        assert response(-(low + high) / 2) < 0.35


def test_a_sine_has_amplitude_one_in_its_band_and_its_own_phase():
    table = extract_features(make_recording(sine(6.0)), FeatureSettings(bin_ms=10.0))
    inner = slice(300, -300)
    assert np.exp(column(table, "theta", "amplitude")[inner]) == pytest.approx(1, abs=0.05)
    assert np.exp(column(table, "beta", "amplitude")[inner]).max() < 0.05
    # a bin averages the samples at its start to just before its end
    expected = np.cos(2 * np.pi * 6.0 * (table.times - 0.5 / RATE))
    np.testing.assert_allclose(column(table, "theta", "phase")[inner], expected[inner], atol=0.05)
    np.testing.assert_allclose(column(table, "theta", "signal")[inner], expected[inner], atol=0.05)


@pytest.mark.parametrize("rate, bin_ms", [(250.0, 5.0), (1e6 / 99, 7.0), (333.3, 10.0), (1000.0, 1.0), (500.0, 50.0)])
def test_bins_keep_their_times_when_rates_do_not_divide(rate, bin_ms):
    traces = sine(2.0, duration_s=12.0, rate=rate)
    settings = FeatureSettings(bands={"delta": (1.0, 4.0)}, bin_ms=bin_ms)
    table = extract_features(make_recording(traces, rate), settings)
    assert len(table.values) == int(np.floor(len(traces) / rate / (bin_ms / 1000) + 1e-6))
    inner = (table.times > 2) & (table.times < 10)
    expected = np.cos(2 * np.pi * 2.0 * table.times)
    np.testing.assert_allclose(column(table, "delta", "phase")[inner], expected[inner], atol=0.1)


@pytest.mark.parametrize("chunk_s", [3.0, 7.5])
@pytest.mark.parametrize("causal", [False, True])
def test_features_do_not_depend_on_chunking(causal, chunk_s):
    traces = np.random.default_rng(0).normal(size=(round(20 * RATE), 2))
    settings = FeatureSettings(bin_ms=10.0, causal=causal)
    whole = extract_features(make_recording(traces), settings, chunk_s=1000.0)
    chunked = extract_features(make_recording(traces), settings, chunk_s=chunk_s)
    # the floor under the logarithm of the amplitude is a millionth of the chunk's mean
    np.testing.assert_allclose(chunked.values, whole.values, atol=2e-3)


@pytest.mark.parametrize("lead_ms", [0.0, 20.0])
@pytest.mark.parametrize("rate", [250.0, 500.0, 8000.0])
def test_causal_features_ignore_the_future(rate, lead_ms):
    random = np.random.default_rng(0)
    traces = random.normal(size=round(8 * rate))
    changed = traces.copy()
    changed[round(4 * rate) :] = random.normal(size=len(traces) - round(4 * rate))
    settings = FeatureSettings(bin_ms=5.0, causal=True, lead_ms=lead_ms, kinds=("signal", "amplitude", "broadband"))
    first, second = (extract_features(make_recording(t, rate), settings) for t in (traces, changed))
    untouched = first.times + first.bin_s / 2 - lead_ms / 1000 <= 4 + 1e-9
    np.testing.assert_allclose(first.values[untouched], second.values[untouched], atol=2e-3)
    assert not np.allclose(first.values[-100:], second.values[-100:], atol=0.1)


def test_bad_bands_are_refused():
    with pytest.raises(ValueError, match="holds nothing from 125 Hz"):
        check_bands({"fast": (60.0, 130.0)}, 250.0)
    with pytest.raises(ValueError, match="0 < low < high"):
        check_bands({"reversed": (8.0, 4.0)}, 250.0)
    with pytest.raises(ValueError, match="Unknown set of bands"):
        check_bands("mouse", 250.0)
    with pytest.raises(ValueError, match="lead_ms needs causal"):
        FeatureSettings(lead_ms=5.0)


def test_nan_and_saturation_are_refused():
    traces = np.random.default_rng(0).normal(size=5000)
    traces[1234] = np.nan
    with pytest.raises(ValueError, match=r"1 frames with NaN .* 2\.468 s"):
        extract_features(make_recording(traces), FeatureSettings())
    clipped = np.clip(200 * sine(3.0), -128, 127).astype(np.int8)
    with pytest.raises(ValueError, match="saturated"):
        extract_features(NumpyRecording([clipped[:, None]], RATE), FeatureSettings())


def test_line_noise_and_rare_saturation_are_told(caplog):
    traces = np.random.default_rng(0).normal(size=10_000) + 3 * sine(50.0)
    extract_features(make_recording(traces), FeatureSettings(line_frequency=50.0))
    assert "notch_filter" in caplog.text


def test_spikes_fall_into_the_bin_of_their_time():
    recording = make_recording(np.random.default_rng(0).normal(size=round(10 * RATE)))
    sorting = NumpySorting.from_unit_dict([{"a": np.array([0, 30_000, 30_149, 30_150, 299_999])}], 30_000.0)
    paired = pair_session(Session(recording, sorting), FeatureSettings(bin_ms=5.0))
    expected = np.zeros(2000)
    expected[[0, 201, 1999]] = 1
    expected[200] = 2
    np.testing.assert_array_equal(paired.counts[:, 0], expected)


def test_a_sorting_without_a_clock_starts_with_the_recording():
    traces = np.random.default_rng(0).normal(size=round(4 * RATE))
    trains = [{"a": np.arange(100, 100_000, 777)}]
    first = pair_session(
        Session(make_recording(traces), NumpySorting.from_unit_dict(trains, 30_000.0)), FeatureSettings()
    )
    later, clocked = make_recording(traces), NumpySorting.from_unit_dict(trains, 30_000.0)
    later.shift_times(100.0)
    second = pair_session(Session(later, NumpySorting.from_unit_dict(trains, 30_000.0)), FeatureSettings())
    np.testing.assert_array_equal(first.counts, second.counts)
    assert second.features.times[0] == pytest.approx(100.0025)
    clocked.shift_times(100.0)
    third = pair_session(Session(later, clocked), FeatureSettings())
    np.testing.assert_array_equal(first.counts, third.counts)


def test_targets_are_units_population_or_labels():
    recording = make_recording(np.random.default_rng(0).normal(size=round(5 * RATE)))
    trains = {name: np.arange(10, 2000, step) for name, step in (("a", 100), ("b", 150), ("c", 170))}
    session = Session(
        recording, NumpySorting.from_unit_dict([trains], RATE), unit_labels={"a": "narrow", "b": "wide", "c": "wide"}
    )
    units = pair_session(session, FeatureSettings())
    population = pair_session(session, FeatureSettings(), target="population")
    labels = pair_session(session, FeatureSettings(), target="label")
    np.testing.assert_array_equal(population.counts[:, 0], units.counts.sum(axis=1))
    assert labels.output_names == ["narrow", "wide"]
    np.testing.assert_array_equal(labels.counts[:, 1], units.counts[:, 1:].sum(axis=1))


def test_different_clocks_are_refused():
    recording = make_recording(np.random.default_rng(0).normal(size=round(5 * RATE)))
    sorting = NumpySorting.from_unit_dict([{"a": np.array([100, 30_000 * 9])}], 30_000.0)
    with pytest.raises(ValueError, match="lengths or clocks differ"):
        pair_session(Session(recording, sorting), FeatureSettings())
    with pytest.raises(ValueError, match="not in the sorting"):
        pair_session(Session(recording, sorting, unit_ids=["z"]), FeatureSettings())
    with pytest.raises(ValueError, match="The sorting has no units; expected at least one"):
        pair_session(Session(recording, NumpySorting.from_unit_dict([{}], 30_000.0)), FeatureSettings())


def test_constant_has_zero_bits_and_truth_has_more():
    random = np.random.default_rng(0)
    rate = 0.05 * np.exp(random.normal(size=20_000) - 0.5)
    counts = random.poisson(rate)
    zero = bits_per_spike(counts, np.full(20_000, 0.05), 0.05, bin_s=0.01)
    assert zero["bits_per_spike"] == zero["low"] == zero["high"] == 0
    assert bits_per_spike(counts, rate, 0.05, bin_s=0.01)["low"] > 0
    assert bits_per_spike(counts, random.permutation(rate), 0.05, bin_s=0.01)["high"] < 0
    null = circular_shift_null(counts, rate, 0.05, bin_s=0.01)
    assert null["high"] < 0 and null["p_value"] < 0.01


def test_accuracy_stands_beside_its_base_rate():
    counts = np.zeros(1000)
    counts[:10] = 1
    scores = classification_scores(counts, np.full(1000, 0.01), threshold=0.5)
    assert scores["accuracy"] == scores["base_rate_accuracy"] == 0.99
    assert scores["sensitivity"] == 0 and scores["roc_auc"] == 0.5


@pytest.mark.parametrize("num_folds", [2, 5])
def test_blocks_keep_their_distance(num_folds):
    gap = 30
    folds = block_folds([(0, 0, 1000), (1, 50, 900)], num_folds, gap)
    tested = []
    for fold in folds:
        for session, first, last in fold.test:
            tested += [(session, frame) for frame in range(first, last)]
            for other, start, end in fold.training:
                assert other != session or end <= first - gap or start >= last + gap
    assert len(tested) == len(set(tested)) == 1850
    with pytest.raises(ValueError, match="too few"):
        block_folds([(0, 0, 100)], num_folds, 60)


def test_groups_are_held_out_whole_and_strata_are_spread():
    groups = ["a", "a", "b", "c", "d"]
    for fold in group_folds(groups, [10] * 5):
        held_out = {groups[session] for session, _, _ in fold.test}
        assert held_out.isdisjoint({groups[session] for session, _, _ in fold.training})
    strata = ["left", "left", "left", "right", "right"]
    for fold in group_folds(groups, [10] * 5, strata=strata, num_folds=2):
        assert {strata[session] for session, _, _ in fold.test} == {"left", "right"}
    with pytest.raises(ValueError, match="by='block'"):
        group_folds(["a", "a"], [10, 10])


def test_times_with_a_gap_are_refused():
    times = np.arange(1000) / 1000.0
    check_no_gaps(times + 1e5, 1000.0, tolerance_s=0.005)
    with pytest.raises(ValueError, match="frame 500"):
        check_no_gaps(times + (times >= 0.5), 1000.0, tolerance_s=0.005)
