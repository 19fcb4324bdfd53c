"""Wide bursting units are excitatory, narrow ones inhibitory, doubtful ones unsure, with reasons."""

import warnings

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from small_recording import line_probe

import si_deepsort
from si_deepsort import predict_cell_types

RATE = 30_000.0
DURATION_S = 40.0
# Trough to peak in ms, share of spikes that start a burst, sign and size in uV of each unit.
UNITS = {
    "wide": (0.78, 0.5, 1, 150.0),
    "narrow": (0.3, 0.0, 1, 150.0),
    "upwards": (0.78, 0.5, -1, 150.0),
    "rare": (0.78, 0.5, 1, 150.0),
    "tiny": (0.78, 0.5, 1, 1.0),
}


def unit_waveform(duration_ms):
    times = np.arange(-1.5, 3.0, 1000 / RATE)
    # Without slow parts, so that the filter leaves the duration as it is.
    peak = 0.45 * np.exp(-(((times - duration_ms) / 0.22) ** 2))
    return peak - np.exp(-((times / 0.12) ** 2)), int(np.argmin(np.abs(times)))


def train(rng, burst_share, num_spikes):
    starts = np.sort(rng.uniform(0.1, DURATION_S - 0.1, num_spikes))
    starts = starts[np.diff(starts, prepend=-1.0) > 0.02]
    extra = starts[rng.random(len(starts)) < burst_share] + 0.005
    return np.unique(np.round(np.concatenate([starts, extra]) * RATE).astype(int))


@pytest.fixture(scope="module")
def recording_and_sorting():
    rng = np.random.default_rng(0)
    traces = (5 * rng.standard_normal((round(DURATION_S * RATE), len(UNITS)))).astype("float32")
    trains = {}
    for channel, (name, (duration_ms, burst_share, sign, size)) in enumerate(UNITS.items()):
        shape, nbefore = unit_waveform(duration_ms)
        trains[name] = train(rng, burst_share, 30 if name == "rare" else 400)
        for frame in trains[name]:
            traces[frame - nbefore : frame - nbefore + len(shape), channel] += sign * size * shape
    recording = si.NumpyRecording([traces], RATE)
    recording.set_probe(line_probe(len(UNITS), 200.0))
    return recording, si.NumpySorting.from_unit_dict([trains], RATE)


@pytest.fixture(scope="module")
def table(recording_and_sorting):
    recording, sorting = recording_and_sorting
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return predict_cell_types(sorting, recording)


def test_types_follow_duration_and_bursts(table):
    assert table.loc["wide", "cell_type"] == "excitatory" and table.loc["wide", "probability_excitatory"] > 0.8
    assert table.loc["narrow", "cell_type"] == "inhibitory" and table.loc["narrow", "probability_excitatory"] < 0.2
    assert (table.loc[["wide", "narrow"], "reason"] == "").all()


@pytest.mark.parametrize("unit, word", [("upwards", "upwards"), ("rare", "spikes"), ("tiny", "not clear")])
def test_weak_evidence_is_unsure_and_says_why(table, unit, word):
    assert table.loc[unit, "cell_type"] == "unsure" and word in table.loc[unit, "reason"]


def test_the_expected_share_shifts_the_odds(recording_and_sorting, table):
    recording, sorting = recording_and_sorting
    shifted = predict_cell_types(sorting, recording, share_excitatory=0.8)["probability_excitatory"]
    before = table["probability_excitatory"]
    np.testing.assert_allclose(shifted / (1 - shifted), 4 * before / (1 - before), rtol=1e-6)
    with pytest.raises(ValueError, match="share_excitatory"):
        predict_cell_types(sorting, recording, share_excitatory=1.0)


def test_neither_gain_nor_type_of_the_traces_matters(recording_and_sorting, table):
    recording, sorting = recording_and_sorting
    counts = spre.astype(spre.scale(recording, gain=1 / 0.195, dtype="float32"), "int16")
    np.testing.assert_allclose(
        predict_cell_types(sorting, counts)["probability_excitatory"], table["probability_excitatory"], atol=0.02
    )


def test_an_analyzer_will_do(recording_and_sorting, table):
    recording, sorting = recording_and_sorting
    analyzer = si.create_sorting_analyzer(sorting, recording, sparse=False)
    assert (predict_cell_types(analyzer)["cell_type"] == table["cell_type"]).all()


def test_filters_unlike_those_of_training_are_warned_of(recording_and_sorting):
    recording, sorting = recording_and_sorting
    with pytest.warns(UserWarning, match="filtered above 1000 Hz"):
        predict_cell_types(sorting, spre.highpass_filter(recording, 1000.0))
    with pytest.warns(UserWarning, match="whitened"):
        whitened = predict_cell_types(sorting, spre.whiten(recording, dtype="float32"))
    assert (whitened["cell_type"] == "unsure").all()
    unknown = recording.clone()
    unknown.annotate(is_filtered=True)
    with pytest.warns(UserWarning, match="not known how"):
        predict_cell_types(sorting, unknown)
    with pytest.warns(UserWarning, match="10000 Hz"):
        slow = si.NumpyRecording([recording.get_traces()[::3]], RATE / 3)
        slow.set_probe(recording.get_probe())
        predict_cell_types(
            si.NumpySorting.from_unit_dict([{u: sorting.get_unit_spike_train(u) // 3 for u in UNITS}], RATE / 3), slow
        )


def test_units_without_spikes_and_sortings_without_units(recording_and_sorting):
    recording, _ = recording_and_sorting
    empty = predict_cell_types(si.NumpySorting.from_unit_dict([{}], RATE), recording)
    assert len(empty) == 0 and "cell_type" in empty
    silent = predict_cell_types(si.NumpySorting.from_unit_dict([{"a": np.zeros(0, int)}], RATE), recording)
    assert silent.loc["a", "cell_type"] == "unsure" and np.isfinite(silent["probability_excitatory"]).all()


def test_what_does_not_belong_together_is_refused(recording_and_sorting):
    recording, sorting = recording_and_sorting
    with pytest.raises(ValueError, match="recording is needed"):
        predict_cell_types(sorting)
    with pytest.raises(ValueError, match="belong"):
        predict_cell_types(si.NumpySorting.from_unit_dict([{"a": np.arange(5)}], 20_000.0), recording)
    with pytest.raises(ValueError, match="cell types"):
        predict_cell_types(sorting, recording, model="detector-cnn")


def test_the_bundled_model_is_listed():
    assert "cell-type" in set(si_deepsort.list_models(task="cell_type")["name"])
