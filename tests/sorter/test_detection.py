"""The sorter detects with the network and the settings that a model was saved with, on the traces it was trained on."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from small_units import make_recording

from si_deepsort.detection.find_peaks import find_peaks
from si_deepsort.sorter.front_end.steps import front_end_steps
from si_deepsort.sorter.front_end.whitening import filtered_recording, white_recording
from si_deepsort.sorter.settings import DeepSortSettings
from si_deepsort.training.detection.train import DetectorTrainingSettings, train_detector
from si_deepsort.training.trained_model import save_with_card

QUIET = dict(progress_bar=False, n_jobs=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    settings = DetectorTrainingSettings(num_epochs=2, progress_bar=False, device="cpu")
    net = train_detector(*make_recording(), settings=settings).net
    net.info = replace(net.info, settings=net.info.settings | {"exclusive_ms": 2.0})
    return save_with_card(net, tmp_path_factory.mktemp("detector") / "model")


def peaks_of_the_sorter(recording, settings):
    filters = dict(freq_min=settings.freq_min, freq_max=settings.freq_max, with_reference=settings.common_reference)
    whitening = dict(order=settings.whitening_order, radius_um=settings.whitening_radius_um, seed=settings.seed)
    white = white_recording(filtered_recording(recording, **filters), motion=None, **whitening)
    options = dict(threshold=settings.detect_threshold, radius_um=settings.detect_radius_um, seed=settings.seed)
    steps = front_end_steps(settings)
    return find_peaks(white, method=settings.detection, **options, applied_front_end=steps, job_kwargs=QUIET)


def test_a_trained_detector_finds_in_the_sorter_what_it_finds_outside(model):
    recording, _ = make_recording(seed=3, duration_s=4.0)
    expected = find_peaks(recording, method=model, job_kwargs=QUIET)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*front end.*")
        found = peaks_of_the_sorter(recording, DeepSortSettings(detection=str(model)))
    np.testing.assert_array_equal(found[["sample_index", "channel_index"]], expected[["sample_index", "channel_index"]])
    assert len(found) and (np.diff(found["sample_index"]) > 0.002 * recording.get_sampling_frequency()).all()


def test_other_filters_than_those_of_the_training_are_warned_of(model):
    recording, _ = make_recording(seed=3, duration_s=2.0)
    with pytest.warns(UserWarning, match="trained on traces of the front end"):
        peaks_of_the_sorter(recording, DeepSortSettings(detection=str(model), freq_min=500.0))
