"""What training functions return: it says how good the model is, and serves where a model folder does."""

import json

import pytest
from small_units import make_recording

import si_deepsort
from si_deepsort.nets.autoencoder import Autoencoder
from si_deepsort.training.classification.train import ClassifierTrainingSettings
from si_deepsort.training.detection.train import DetectorTrainingSettings
from si_deepsort.training.embedding.train import AutoencoderTrainingSettings
from si_deepsort.zoo import load_model, load_network

TRAINERS = {
    "train_detector": (DetectorTrainingSettings, "F1", "find_peaks"),
    "train_classifier": (ClassifierTrainingSettings, "share of waveforms right", "classifier="),
    "train_autoencoder": (AutoencoderTrainingSettings, "PCA", "load_model"),
}


@pytest.mark.parametrize("name", TRAINERS)
def test_a_saved_model_is_described_compared_and_has_a_card(name, tmp_path, capsys):
    settings_class, score, next_step = TRAINERS[name]
    settings = settings_class(num_epochs=1, progress_bar=True, device="cpu")
    trained = getattr(si_deepsort, name)(*make_recording(duration_s=5.0), folder=tmp_path / "model", settings=settings)
    text = repr(trained)
    assert text in capsys.readouterr().out
    for part in (score, str(tmp_path / "model"), "next: ", next_step):
        assert part in text
    assert (
        load_model(trained).info.metrics
        == json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))["info"]["metrics"]
    )
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert f"si_deepsort.{name}" in card and "of the user" in card
    assert trained.is_better in (True, False) and "the simple method, " in text
    for sentence in trained.info.comparisons.values():
        assert sentence in card
    for metric in trained.info.metrics:
        assert metric.replace("_", " ") in card


@pytest.mark.slow
def test_without_a_folder_it_says_how_to_keep_it_and_is_no_path(capsys):
    settings = AutoencoderTrainingSettings(num_epochs=0, progress_bar=False, device="cpu")
    trained = si_deepsort.train_autoencoder(*make_recording(duration_s=5.0), settings=settings)
    assert "not saved" in repr(trained) and "trained.net" in repr(trained)
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="was not saved"):
        load_model(trained)
    assert load_network(trained, Autoencoder, purpose="embedding") is trained.net
