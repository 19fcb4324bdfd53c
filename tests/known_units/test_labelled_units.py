"""Labelled units in a classifier: kept whole, and brought into recordings with other noise, units and channel order."""

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from si_deepsort.known_units.compatible import name_units
from si_deepsort.known_units.labelled_units import (
    LabelledUnits,
    labelled_settings,
    labelled_units_of,
    with_labelled_units,
)
from si_deepsort.nets.classifier import ClassifierConfig, CNNClassifier
from si_deepsort.preprocessing.whitening import Whitening
from si_deepsort.zoo import ModelInfo, load_model, save_model

NUM_UNITS, NUM_SAMPLES, NUM_CHANNELS = 3, 50, 4


def make_units(is_in_uV=False, seed=0):
    rng = np.random.default_rng(seed)
    templates = rng.standard_normal((NUM_UNITS, NUM_SAMPLES, NUM_CHANNELS)).astype("float32")
    templates[0, :, 2:] = 0
    matrix = np.eye(NUM_CHANNELS) + 0.1 * rng.standard_normal((NUM_CHANNELS, NUM_CHANNELS))
    return LabelledUnits(
        templates=templates,
        nbefore=20,
        num_spikes=np.array([7, 50, 9]),
        threshold_factors=np.array([0.5, 1.0, 2.0], dtype="float32"),
        whitening=Whitening(np.array([1.0, -0.6, 0.1]), matrix),
        unit_ids=["a", "b", "c"],
        channel_ids=["c0", "c1", "c2", "c3"],
        is_in_uV=is_in_uV,
    )


def make_recording(channel_ids=("c0", "c1", "c2", "c3"), gain=None, frequency=20_000.0):
    recording = NumpyRecording([np.zeros((100, len(channel_ids)))], frequency, channel_ids=list(channel_ids))
    if gain is not None:
        recording.set_channel_gains(gain)
        recording.set_channel_offsets(0.0)
    return recording


def make_net(units):
    net = with_labelled_units(CNNClassifier(ClassifierConfig(num_classes=NUM_UNITS + 1)), units)
    settings = {"unit_ids": units.unit_ids, "channel_ids": ["c0"], **labelled_settings(units)}
    net.info = ModelInfo(name="units", task="classification", sampling_frequency=20_000.0, settings=settings)
    return net


def test_a_saved_model_gives_the_same_units(tmp_path):
    units = make_units()
    net = make_net(units)
    save_model(net, tmp_path / "model", net.info)
    again = labelled_units_of(load_model(tmp_path / "model"), make_recording())
    for name in ("templates", "num_spikes", "threshold_factors"):
        np.testing.assert_array_equal(getattr(again, name), getattr(units, name))
    np.testing.assert_array_equal(again.whitening.space_matrix, units.whitening.space_matrix)
    assert (again.nbefore, again.unit_ids, again.channel_ids) == (20, units.unit_ids, units.channel_ids)


def test_in_traces_with_the_same_whitening_templates_are_the_same():
    units = make_units()
    found = units.templates_in(make_recording(), units.whitening, nbefore=20, nafter=30)
    np.testing.assert_allclose(found, units.templates, atol=1e-4)


def test_longer_and_shorter_windows_hold_the_same_samples():
    units = make_units()
    longer = units.templates_in(make_recording(), units.whitening, nbefore=26, nafter=35)
    np.testing.assert_allclose(longer[:, 6:56], units.templates, atol=1e-4)
    assert not longer[:, :6].any() and not longer[:, 56:].any()
    shorter = units.templates_in(make_recording(), units.whitening, nbefore=10, nafter=12)
    np.testing.assert_allclose(shorter, units.templates[:, 10:32], atol=1e-4)


def test_the_order_of_channels_and_further_channels_do_not_matter():
    units = make_units()
    names = ["c3", "other", "c1", "c0", "c2"]
    places = [names.index(name) for name in units.channel_ids]
    matrix = np.zeros((5, 5))
    matrix[np.ix_(places, places)] = units.whitening.space_matrix
    matrix[1, 1] = 1.0
    found = units.templates_in(
        make_recording(names), Whitening(units.whitening.time_filter, matrix), nbefore=20, nafter=30
    )
    np.testing.assert_allclose(found[:, :, places], units.templates, atol=1e-4)
    assert not found[:, :, 1].any()


@pytest.mark.parametrize("gain", [0.1, 3.0])
def test_the_unit_of_the_traces_does_not_matter(gain):
    units = make_units(is_in_uV=True)
    # The same whitening for traces that are 1 / gain times as large.
    other = Whitening(units.whitening.time_filter, units.whitening.space_matrix * gain)
    found = units.templates_in(make_recording(gain=gain), other, nbefore=20, nafter=30)
    np.testing.assert_allclose(found, units.templates, atol=1e-3)


def test_recordings_that_do_not_fit_are_refused():
    net = make_net(make_units(is_in_uV=True))
    with pytest.raises(ValueError, match="gains"):
        labelled_units_of(net, make_recording())
    with pytest.raises(ValueError, match="Resample"):
        labelled_units_of(net, make_recording(gain=1.0, frequency=30_000.0))
    with pytest.raises(ValueError, match=r"lacks the channels \['c3'\]"):
        labelled_units_of(net, make_recording(["c0", "c1", "c2"], gain=1.0))


def test_a_model_of_an_earlier_version_has_no_templates():
    net = CNNClassifier(ClassifierConfig(num_classes=NUM_UNITS + 1))
    net.info = ModelInfo(name="units", task="classification", sampling_frequency=20_000.0, settings={"unit_ids": [1]})
    assert labelled_units_of(net, make_recording()) is None


@pytest.mark.parametrize("known_ids", [[4, 9, 7], ["new1", "b", "c"]])
def test_a_new_unit_never_has_the_id_of_a_known_one(known_ids):
    ids = name_units(known_ids, np.array([False, True, True]), 3)
    assert list(ids[:2]) == known_ids[1:]
    assert len(ids) == len(set(ids)) == 5
    assert not set(ids[2:]) & set(known_ids)
