"""Tuning a detector on noise-matched copies: the choice is the best of its curve; no label of the target is seen."""

import json

import numpy as np
import pytest
from small_units import FS, make_recording
from spikeinterface.core import NumpyRecording

from si_deepsort.detection.find_peaks import find_peaks
from si_deepsort.detection.front_end import apply_front_end
from si_deepsort.training.detection.standard_front_ends import standard_front_ends
from si_deepsort.training.detection.train import DetectorTrainingSettings, train_detector
from si_deepsort.training.detection.tune import tune_detector

QUIET = dict(progress_bar=False, n_jobs=1)


@pytest.fixture(scope="module")
def detector():
    settings = DetectorTrainingSettings(num_epochs=3, progress_bar=False, device="cpu")
    return train_detector(*make_recording(), settings=settings).net


@pytest.fixture(scope="module")
def target():
    recording, _ = make_recording(seed=9)
    noise = 1.5 * np.random.default_rng(1).standard_normal(recording.get_traces().shape)
    return NumpyRecording([recording.get_traces() + noise.astype("float32")], FS)


@pytest.mark.slow
def test_the_choice_is_the_best_of_the_curve_and_is_saved_with_it(detector, target, tmp_path):
    tuning = tune_detector(
        *make_recording(),
        target,
        detector=detector,
        folder=tmp_path,
        thresholds=(0.1, 0.5, 0.9),
        exclusive_times_ms=(0.4, 1.0),
    )
    assert len(tuning.curve) == 6
    assert tuning.f1 == max(row["f1"] for row in tuning.curve) > 0.7
    settings = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["info"]["settings"]
    assert settings["threshold"] == tuning.threshold and len(settings["tuning"]["curve"]) == 6
    assert (tmp_path / "tuning.png").stat().st_size > 1000


@pytest.mark.slow
def test_front_ends_are_compared(detector, target):
    recording, sorting = make_recording()
    front_ends = standard_front_ends(recording, sorting)
    assert set(front_ends) == {"none", "bandpass", "notch", "wavelet", "matched_filter"}
    tuning = tune_detector(
        recording,
        sorting,
        target,
        detector=detector,
        front_ends=front_ends,
        thresholds=(0.3,),
        exclusive_times_ms=(0.5,),
    )
    assert [row["front_end"] for row in tuning.curve] == list(front_ends)
    assert tuning.front_end in front_ends


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wavelet", "matched_filter"])
def test_find_peaks_makes_the_choice_that_was_tuned(detector, target, tmp_path, name):
    recording, sorting = make_recording()
    before, info = standard_front_ends(recording, sorting)[name], detector.info
    choices = dict(thresholds=(0.35,), exclusive_times_ms=(1.2,), front_ends={name: before})
    tuning = tune_detector(recording, sorting, target, detector=detector, folder=tmp_path, **choices)
    assert detector.info is info
    assert [step["name"] for step in tuning.steps] == ["band_pass", before[0]["name"], "reference", "whiten"]
    other, its_sorting = make_recording(seed=4)
    found = find_peaks(other, method=tmp_path, job_kwargs=QUIET)
    chosen = dict(threshold=0.35, exclusive_ms=1.2, applied_front_end=info.settings["front_end"])
    expected = find_peaks(apply_front_end(other, tuning.steps), method=detector, **chosen, job_kwargs=QUIET)
    np.testing.assert_array_equal(found, expected)
    truth = its_sorting.to_spike_vector()["sample_index"]
    assert (np.abs(truth[:, None] - found["sample_index"]).min(axis=1) <= 8).mean() > 0.85


def test_bad_input_is_named(detector, target):
    recording, sorting = make_recording()
    with pytest.raises(ValueError, match="same sampling rate"):
        tune_detector(recording, sorting, NumpyRecording([target.get_traces()], 2 * FS), detector=detector)


@pytest.mark.slow
def test_commands_train_a_classifier_and_tune_a_detector(detector, target, tmp_path):
    from typer.testing import CliRunner

    from si_deepsort.cli import app
    from si_deepsort.zoo import load_model, save_model

    recording, sorting = make_recording(duration_s=6.0)
    recording.save(folder=tmp_path / "recording", verbose=False)
    sorting.save(folder=tmp_path / "sorting")
    target.save(folder=tmp_path / "target", verbose=False)
    save_model(detector, tmp_path / "detector", detector.info)
    labelled = [str(tmp_path / "recording"), str(tmp_path / "sorting")]
    options = ["--freq-min", "0", "--out"]
    result = CliRunner().invoke(
        app, ["train-classifier", *labelled, *options, str(tmp_path / "units"), "--epochs", "1"]
    )
    assert result.exit_code == 0 and "3 units" in result.output
    assert load_model(tmp_path / "units").info.task == "classification"
    arguments = [*labelled, str(tmp_path / "target"), "--detector", str(tmp_path / "detector")]
    result = CliRunner().invoke(app, ["tune-detector", *arguments, "--out", str(tmp_path / "tuned")])
    assert result.exit_code == 0 and "threshold" in result.output
    assert load_model(tmp_path / "tuned").info.settings["tuning"]["f1"] > 0.5
