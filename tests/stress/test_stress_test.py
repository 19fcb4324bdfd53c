"""The stress test as a whole: what it returns, resumes, refuses, and survives."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import spikeinterface.core as si
from held_files import held_files_stay
from small_recording import SAMPLING_FREQUENCY, as_recording, small_recording, small_traces
from spikeinterface.sorters import sorter_dict

import si_deepsort
from si_deepsort.stress import StressTest, StressTestSettings, stress_test
from si_deepsort.stress.plan import Run
from si_deepsort.stress.score import found_units

FEW = StressTestSettings(num_repetitions=2, seed=3)


def test_a_perfect_sorter_finds_everything(recording_and_truth, fake_sorters, tmp_path):
    recording, truth = recording_and_truth
    fake_sorters(truth)
    test = stress_test(recording, folder=tmp_path / "test", settings=FEW)
    assert test.units["is_found"].all() and (test.units["recall"] == 1).all() and (test.units["precision"] == 1).all()
    assert len(test.units) == 4 and (test.runs["own_units_kept"] == 1).all()
    table = test.by_snr()
    assert table["num_units"].sum() == 4 and (table["detection_low"] < 1).all(), "few units prove little"
    assert "1.00" in test.summary() and "own units" in test.summary()
    assert test.units["snr"].between(3, 20).all()


def test_results_are_saved_loaded_and_shown(recording_and_truth, fake_sorters, tmp_path):
    recording, truth = recording_and_truth
    fake_sorters(truth)
    test = stress_test(recording, folder=tmp_path / "test", settings=FEW)
    again = StressTest.load(tmp_path / "test" / "result")
    pd.testing.assert_frame_equal(test.units, again.units)
    assert again.summary() == test.summary() and repr(test) == test.summary()
    page = test.write_page(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "By SNR" in page and "http" not in page.replace("http-equiv", "")
    assert "<table" in test._repr_html_()
    with pytest.raises(ValueError, match="no result of a stress test"):
        StressTest.load(tmp_path)


def test_what_has_ended_is_not_run_again(recording_and_truth, fake_sorters, tmp_path):
    recording, truth = recording_and_truth
    fake = fake_sorters(truth, fails=["lupin"])
    first = stress_test(recording, ["deepsort", "lupin"], folder=tmp_path / "test", settings=FEW)
    assert len(fake.calls) == 5
    fake.calls, fake.fails = [], []
    second = stress_test(recording, ["deepsort", "lupin"], folder=tmp_path / "test", settings=FEW)
    assert fake.calls == [("lupin", 0), ("lupin", 1)], "only what failed"
    mine = second.units[second.units["sorter"] == "deepsort"].reset_index(drop=True)
    pd.testing.assert_frame_equal(first.units.reset_index(drop=True), mine)
    assert set(second.overall()["sorter"]) == {"deepsort", "lupin"} and len(second.compared()) == 1
    with pytest.raises(ValueError, match="other seed"):
        stress_test(recording, folder=tmp_path / "test", settings=StressTestSettings(num_repetitions=2, seed=4))
    other, _ = small_recording(num_channels=8, num_units=4, duration_s=6.0, seed=9)
    with pytest.raises(ValueError, match="other recording"):
        stress_test(other, folder=tmp_path / "test", settings=FEW)


def test_a_sorter_that_fails_is_named_and_the_others_go_on(recording_and_truth, fake_sorters):
    recording, truth = recording_and_truth
    fake_sorters(truth, fails=["deepsort"])
    test = stress_test(recording, ["deepsort", "lupin"], settings=FEW)
    failed = test.runs[test.runs["sorter"] == "deepsort"]
    assert (failed["status"] == "failed").all() and (failed["error"] == "out of memory").all()
    assert list(test.overall()["sorter"]) == ["lupin"] and "deepsort failed in 2 of 2 runs" in test.summary()
    assert test.facts["templates"] == "own units", "the first sorting is that of the sorter that works"


def test_nothing_is_known_if_every_sorter_fails(recording_and_truth, fake_sorters, tmp_path):
    recording, truth = recording_and_truth
    fake_sorters(truth, fails=["deepsort"])
    test = stress_test(recording, settings=FEW)
    assert test.units.empty and test.by_snr().empty and test.overall().empty and test.compared().empty
    assert "could not be sorted" in test.summary()
    assert "out of memory" in test.write_page(tmp_path / "page.html").read_text(encoding="utf-8")
    test.save(tmp_path / "saved")


@pytest.mark.parametrize("kind", ["no units", "few spikes"])
def test_without_models_generated_units_are_injected(recording_and_truth, fake_sorters, kind):
    recording, truth = recording_and_truth
    trains = {} if kind == "no units" else {0: truth.get_unit_spike_train(0)[:3]}
    fake_sorters(si.NumpySorting.from_unit_dict([trains], SAMPLING_FREQUENCY))
    test = stress_test(recording, settings=FEW)
    assert test.facts["templates"] == "generated" and "generator" in test.summary()
    assert len(test.units) == 4


def test_the_seed_decides_about_everything(recording_and_truth, fake_sorters):
    recording, truth = recording_and_truth
    fake_sorters(truth)
    first, again = (stress_test(recording, settings=FEW) for _ in range(2))
    pd.testing.assert_frame_equal(first.units, again.units)
    other = stress_test(recording, settings=StressTestSettings(num_repetitions=2, seed=4))
    assert not np.allclose(first.units["snr"], other.units["snr"])


def test_own_units_are_not_taken_for_injected_ones(recording_and_truth):
    """Also if they fire together: a tenth of the spikes is far from half."""
    _, truth = recording_and_truth
    own = truth.get_unit_spike_train(0)
    rng = np.random.default_rng(0)
    others = np.setdiff1d(rng.integers(200, 110_000, 400), own)[: 9 * len(own) // 10]
    injected = np.sort(np.concatenate([own[: len(own) // 10], others]))
    sorting = si.NumpySorting.from_unit_dict([{"injected": injected}], SAMPLING_FREQUENCY)
    sorting.annotate(exhaustive_gt=False)
    units = pd.DataFrame(dict(unit_id=["injected"], num_spikes=[len(injected)]))
    assert not found_units(units, sorting, truth)["is_found"].any()


BAD = {
    "unknown sorter": (dict(sorter="depsort"), r"Unknown sorter 'depsort'.*deepsort"),
    "not installed": (dict(sorter="kilosort2"), "kilosort2 is not installed"),
    "no sorter": (dict(sorter=[]), "No sorter"),
    "twice the same": (dict(sorter=["deepsort", "deepsort"]), "named twice"),
    "parameters of whom": (dict(sorter=["deepsort", "lupin"], sorter_params=dict(seed=1)), "for each sorter"),
    "slurm without a folder": (dict(engine="slurm"), "give folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_are_refused(case, recording_and_truth, tmp_path):
    arguments, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        stress_test(recording_and_truth[0], **arguments)


def test_recordings_that_cannot_be_tested_are_refused(recording_and_truth, tmp_path):
    recording, truth = recording_and_truth
    with pytest.raises(ValueError, match="no probe"):
        stress_test(as_recording(small_traces()[0], probe=False))
    with pytest.raises(ValueError, match=r"at least 0\.5 s"):
        stress_test(recording.frame_slice(0, 1000))
    silent = as_recording(np.zeros((40_000, 4), "int16"))
    # As on Windows, which does not delete the copy of the recording while the error refers to it.
    with held_files_stay(Path(tempfile.gettempdir())), pytest.raises(ValueError, match="No channel of the recording"):
        stress_test(silent, sorting=truth.frame_slice(0, 40_000))
    with pytest.raises(ValueError, match="same recording"):
        stress_test(recording.frame_slice(0, 50_000), sorting=truth)
    (tmp_path / "mine").write_text("precious", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no stress test"):
        stress_test(recording, sorting=truth, folder=tmp_path)
    wanted = StressTestSettings(units_per_repetition=50)
    with pytest.raises(ValueError, match="at most 4: the recording has 4 units"):
        stress_test(recording, sorting=truth, settings=wanted)


def test_paths_are_refused(recording_and_truth):
    with pytest.raises(TypeError, match=r"recording: got str, expected a recording of SpikeInterface\. Open it"):
        stress_test("my_recording")
    with pytest.raises(TypeError, match="sorting: got str"):
        stress_test(recording_and_truth[0], sorting="phy_folder")


def test_settings_are_checked():
    with pytest.raises(ValueError, match="snr_max"):
        StressTestSettings(snr_min=10.0, snr_max=5.0)
    with pytest.raises(ValueError, match="num_repetitions"):
        StressTestSettings(num_repetitions=0)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_deepsort_and_a_sorter_that_raises(recording_and_truth, monkeypatch, tmp_path):
    recording, _ = recording_and_truth

    class Raising(sorter_dict["deepsort"]):
        sorter_name = "raising"

        @classmethod
        def _run_from_folder(cls, *_):
            raise RuntimeError("no licence")

    monkeypatch.setitem(sorter_dict, "raising", Raising)
    settings = StressTestSettings(num_repetitions=1, snr_min=12.0, snr_max=20.0)
    test = si_deepsort.stress_test(
        recording, ["deepsort", "raising"], folder=tmp_path / "test", settings=settings, progress_bar=False
    )
    assert test.overall().loc[0, "sorter"] == "deepsort" and test.overall().loc[0, "detection"] > 0.4
    failed = test.runs[test.runs["sorter"] == "raising"].iloc[0]
    assert failed["status"] == "failed" and "no licence" in failed["error"]
    kept = Run(repetition=0, sorter="deepsort", folder=tmp_path / "test" / "repetition_0" / "deepsort")
    assert not kept.sorter_folder.exists()
    assert json.loads((kept.folder / "result.json").read_text(encoding="utf-8"))["num_units"] >= 4
