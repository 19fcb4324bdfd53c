"""Small units and fragments are left out at the end: they are in one of two tables, others keep what they have."""

import numpy as np
import pandas as pd
import pytest
import spikeinterface.core as si
from small_recording import small_traces
from spikeinterface.core import NumpyRecording

from si_deepsort.sorter import judge
from si_deepsort.sorter.units.dropped import FRAGMENT, NOT_TYPICAL, dropped_table


class Run:
    """Keeps tables in memory."""

    def __init__(self):
        self.tables = {}

    def save_table(self, name, table):
        self.tables[name] = table


class Judged:
    """An assessment with given labels and upper bounds of recall."""

    def __init__(self, unit_ids, labels, upper):
        table = dict(label=labels, recall_upper=upper, expected_recall=upper)
        self.units = pd.DataFrame(table, index=pd.Index(unit_ids, name="unit_id"))

    def set_properties(self, sorting):
        sorting.set_property("label", self.units["label"].to_numpy(dtype=str))


def white_recording():
    recording = NumpyRecording([small_traces(num_channels=4, duration_s=1.0)[0].astype("float32")], 30000.0)
    recording.set_dummy_probe_from_locations(np.stack([np.zeros(4), 20.0 * np.arange(4)], axis=1))
    return recording


def found_units(recording, unit_ids, sizes):
    """A sorting as the sorter makes it, of four units that fire 5 to 8 times."""
    trains = {unit: np.arange(5 + place) * 100 + 10 * place for place, unit in enumerate(unit_ids)}
    sorting = si.NumpySorting.from_unit_dict(trains, 30000.0)
    sorting.set_property("snr", np.array([9.0, 4.04, 7.0, 5.0]))
    sorting.set_property("main_channel_id", recording.channel_ids)
    sorting.annotate(dropped_units=dropped_table([], recording, None, None).to_dict(orient="list"))
    sorting.set_property("spike_size", np.array(sizes))
    return sorting


def judged(monkeypatch, labels, upper, *, unit_ids=(0, 1, 2, 3), sizes=(12.0, 8.0, 14.0, np.nan), **options):
    recording, run = white_recording(), Run()
    sorting = found_units(recording, unit_ids, sizes)
    monkeypatch.setattr(judge, "assess_white", lambda *_, **__: Judged(unit_ids, labels, upper))
    values = judge.JudgingValues(**(dict(known_ids=(), spike_size=7.5, drop_fragments=True, seed=0) | options))
    return sorting, judge.judge_units(sorting, recording, None, np.ones(4), run, values), run.tables


def test_fragments_with_few_of_their_spikes_are_left_out(monkeypatch):
    labels, upper = ["good", "fragment", "fragment", "noise"], [1.0, 0.4, 0.7, 0.4]
    before, after, tables = judged(monkeypatch, labels, upper)
    assert after.unit_ids.tolist() == [0, 1, 2]
    assert after.get_property("label").tolist() == ["good", "fragment", "noise"]
    assert after.get_property("snr").tolist() == [9.0, 7.0, 5.0]
    for new, old in enumerate([0, 2, 3]):
        np.testing.assert_array_equal(after.get_unit_spike_train(new), before.get_unit_spike_train(old))
    assert tables["assessment"]["unit_id"].tolist() == [0, 1, 2]
    assert tables["assessment"]["label"].tolist() == ["good", "fragment", "noise"]
    (row,) = tables["dropped"].to_dict(orient="records")
    assert (row["num_spikes"], row["snr"], row["depth_um"], row["reason"]) == (6, 4.0, 20.0, FRAGMENT)
    assert after.get_annotation("dropped_units")["reason"] == [FRAGMENT]


def test_large_spikes_make_no_fragments(monkeypatch):
    """Spikes of twice the smallest size stand out wherever they occur: few of them means a neuron that fires rarely."""
    labels, sizes = ["fragment", "noise", "fragment", "fragment"], (15.0, 40.0, 14.9, np.nan)
    _, after, tables = judged(monkeypatch, labels, [0.1] * 4, sizes=sizes)
    assert after.unit_ids.tolist() == [0, 1] and after.get_property("spike_size").tolist() == [15.0, 40.0]
    assert len(tables["dropped"]) == 2


def test_noise_with_hardly_any_of_the_spikes_of_a_neuron_is_left_out(monkeypatch):
    labels, upper = ["noise", "noise", "good", "multi-unit"], [0.1, 0.3, 0.1, 0.1]
    _, after, tables = judged(monkeypatch, labels, upper)
    assert after.get_property("label").tolist() == ["noise", "good", "multi-unit"]
    assert tables["dropped"]["reason"].tolist() == [FRAGMENT]


def test_noise_stays_if_its_intervals_tell_more_than_its_label():
    """Ten minutes of spikes at random times, 0.2 and 20 a second."""
    rng, frames = np.random.default_rng(0), 600 * 30_000
    trains = {unit: np.sort(rng.integers(0, frames, num_spikes)) for unit, num_spikes in enumerate((120, 12_000))}
    sorting = si.NumpySorting.from_unit_dict([trains], 30_000.0)
    assessment = Judged([0, 1], ["noise", "noise"], [0.1, 0.1])
    assert judge.few_of_their_spikes(assessment, sorting).tolist() == [True, False]
    fragments = Judged([0, 1], ["fragment", "fragment"], [0.1, 0.1])
    assert judge.few_of_their_spikes(fragments, sorting).all()


def test_fragments_stay_on_request_and_known_units_always(monkeypatch):
    labels, upper = ["fragment"] * 4, [0.1] * 4
    _, after, tables = judged(monkeypatch, labels, upper, drop_fragments=False)
    assert after.unit_ids.tolist() == [0, 1, 2, 3] and "dropped" not in tables
    _, after, tables = judged(monkeypatch, labels, upper, known_ids=[0, 1])
    assert after.unit_ids.tolist() == [0, 1] and len(tables["dropped"]) == 2
    names = ("cell A", "cell B", "new0", "new1")
    labels = ["fragment", "fragment", "fragment", "good"]
    _, after, _ = judged(monkeypatch, labels, upper, unit_ids=names, known_ids=["cell A", "cell B", "cell C"])
    assert after.unit_ids.tolist() == ["cell A", "cell B", "new0"]


def test_known_units_whose_names_begin_alike(monkeypatch):
    """Only "cell1" was found: its name is all that "cell10" has in common with it."""
    labels, upper = ["fragment", "fragment", "good", "good"], [0.1, 0.1, 1.0, 1.0]
    names = ("cell1", "new0", "new1", "new2")
    _, after, _ = judged(monkeypatch, labels, upper, unit_ids=names, known_ids=["cell1", "cell10", "cell11"])
    assert after.unit_ids.tolist() == ["cell1", "new0", "new1"]


def test_all_units_may_be_left_out(monkeypatch):
    _, after, tables = judged(monkeypatch, ["fragment"] * 4, [0.1] * 4)
    assert len(after.unit_ids) == 0 and len(tables["assessment"]) == 0 and len(tables["dropped"]) == 4
    assert after.get_annotation("dropped_units")["snr"] == [9.0, 7.0, 5.0, 4.0]


def test_small_units_are_kept_if_they_are_judged_to_be_good(monkeypatch):
    labels, upper, sizes = ["good", "good", "fragment", "noise"], [1.0, 1.0, 0.2, 0.1], (7.5, 7.0, 7.0, 7.0)
    _, after, tables = judged(monkeypatch, labels, upper, sizes=sizes)
    assert after.unit_ids.tolist() == [0, 1] and after.get_property("spike_size").tolist() == [7.5, 7.0]
    # The reason is the size, whatever else a small unit is judged to be.
    assert tables["dropped"]["reason"].tolist() == [NOT_TYPICAL, NOT_TYPICAL]
    _, after, _ = judged(monkeypatch, ["noise"] * 4, upper, sizes=sizes, known_ids=[0, 1])
    assert after.unit_ids.tolist() == [0, 1]


def test_an_error_of_the_assessment_leaves_out_small_units_alone(monkeypatch):
    recording, run = white_recording(), Run()
    monkeypatch.setattr(judge, "assess_white", lambda *_, **__: 1 / 0)
    values = judge.JudgingValues(known_ids=(), spike_size=7.5, drop_fragments=True, seed=0)
    sorting = found_units(recording, (0, 1, 2, 3), (20.0, 7.4, 7.5, np.nan))
    with pytest.warns(UserWarning, match="The sorting is complete"):
        after = judge.judge_units(sorting, recording, None, np.ones(4), run, values)
    assert after.get_property("snr").tolist() == [9.0, 7.0, 5.0]
    assert list(run.tables) == ["dropped"] and run.tables["dropped"]["reason"].tolist() == [NOT_TYPICAL]
    large = found_units(recording, (0, 1, 2, 3), (20.0,) * 4)
    with pytest.warns(UserWarning, match="tries again"):
        assert judge.judge_units(large, recording, None, np.ones(4), run, values) is large
