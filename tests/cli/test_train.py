"""The commands that learn from a labelled recording learn what the functions of Python learn."""

import pytest
import torch
from small_units import make_recording
from typer.testing import CliRunner

from si_deepsort.cli import app
from si_deepsort.cli.train import _for_classifier
from si_deepsort.training.classification.train import ClassifierTrainingSettings, train_classifier
from si_deepsort.zoo import load_model


def unfiltered():
    recording, sorting = make_recording(duration_s=4.0)
    recording.annotate(is_filtered=False)
    return recording, sorting


@pytest.mark.slow
def test_the_command_and_the_function_learn_the_same_templates(tmp_path):
    recording, sorting = unfiltered()
    recording = recording.save(folder=tmp_path / "recording", verbose=False)
    sorting.save(folder=tmp_path / "sorting")
    arguments = [tmp_path / "recording", tmp_path / "sorting", "--out", tmp_path / "model", "--epochs", "0"]
    result = CliRunner().invoke(app, ["train-classifier", *map(str, arguments)])
    assert result.exit_code == 0 and "nearest template" in result.output, result.output
    trained = train_classifier(recording, sorting, settings=ClassifierTrainingSettings(num_epochs=0))
    of_command = load_model(tmp_path / "model").state_dict()
    for name, value in trained.net.state_dict().items():
        torch.testing.assert_close(of_command[name], value, rtol=0, atol=0)


def test_filtered_recordings_are_taken_as_they_are():
    recording, _ = unfiltered()
    assert _for_classifier(recording, 150.0, 7000.0) is recording and not recording.is_filtered()
    assert _for_classifier(recording, 300.0, 6000.0) is not recording
    assert _for_classifier(recording, 300.0, 6000.0).is_filtered()
    assert _for_classifier(recording, 0.0, 7000.0) is recording and recording.is_filtered()
    assert _for_classifier(recording, 300.0, 6000.0) is recording
