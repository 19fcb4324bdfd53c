"""Fine-tuning through the one front door: every kind of model learns, and remembers where it started."""

import pytest
from loopback_hub import WRITE_TOKEN
from probeinterface import generate_linear_probe
from small_model import make_net, publish

from si_deepsort.generation import GenerationSettings, generate_recording
from si_deepsort.nets import ARCHITECTURES, network_class
from si_deepsort.training.detection.train import DetectorTrainingSettings
from si_deepsort.training.fine_tune import _TRAIN_ANEW, _TRAINERS, fine_tune
from si_deepsort.training.interpolation.train import InterpolationTrainingSettings
from si_deepsort.zoo import ModelInfo, load_model, push_to_hub, save_model

QUICK_DETECTOR = DetectorTrainingSettings(num_epochs=1, progress_bar=False)
QUICK_DENOISER = InterpolationTrainingSettings(
    num_epochs=1, steps_per_epoch=2, batch_windows=1, wiener_s=1.0, progress_bar=False
)


@pytest.fixture(scope="module")
def labelled():
    probe = generate_linear_probe(num_elec=4)
    probe.set_device_channel_indices(range(4))
    return generate_recording(probe, GenerationSettings(duration_s=10.0, num_units=3, num_far_units=5))


def make_parent(architecture, folder, task):
    net_class = network_class(architecture)
    return save_model(net_class(net_class.example_config()), folder, ModelInfo(name="parent", task=task))


@pytest.mark.slow
def test_a_detector(labelled, tmp_path):
    recording, sorting = labelled
    start = make_parent("peak_detector_cnn", tmp_path / "parent", "detection")
    net = fine_tune(start, recording, sorting, folder=tmp_path / "child", settings=QUICK_DETECTOR)
    saved = load_model(tmp_path / "child")
    sha256 = load_model(start).info.source["sha256"]
    assert net.info.parent == saved.info.parent == f"parent (sha256 {sha256})"
    assert saved.info.name == "child" and saved.info.metrics.keys() == net.info.metrics.keys()
    assert any((new != old).any() for new, old in zip(net.parameters(), load_model(start).parameters(), strict=True))


@pytest.mark.slow
def test_a_denoiser_from_the_hub_records_the_commit(labelled, hub, here, tmp_path):
    start = make_parent("interpolator", tmp_path / "parent", "denoising")
    pinned = push_to_hub(start, "lab/denoiser", token=WRITE_TOKEN, endpoint=hub.endpoint)
    net = fine_tune(pinned, labelled[0], settings=QUICK_DENOISER, **here)
    assert net.info.parent == pinned and net.info.name == "parent-fine-tuned"
    child = push_to_hub(net, "lab/child", token=WRITE_TOKEN, endpoint=hub.endpoint)
    assert load_model(child, **here).info.parent == pinned


def test_models_that_are_better_trained_anew_say_how(labelled, hub, here):
    with pytest.raises(ValueError, match="train_autoencoder"):
        fine_tune(publish(hub), labelled[0], **here)
    with pytest.raises(ValueError, match="train_autoencoder"):
        fine_tune(make_net(), labelled[0])


def test_labels_are_asked_for_or_refused(labelled, tmp_path):
    recording, sorting = labelled
    with pytest.raises(ValueError, match="needs labels"):
        fine_tune(make_parent("peak_detector_gru", tmp_path / "d", "detection"), recording)
    with pytest.raises(ValueError, match="takes no labels"):
        fine_tune(make_parent("interpolator", tmp_path / "i", "denoising"), recording, sorting)


def test_every_architecture_has_an_answer():
    assert set(_TRAINERS) | set(_TRAIN_ANEW) == set(ARCHITECTURES)
    assert not set(_TRAINERS) & set(_TRAIN_ANEW)
