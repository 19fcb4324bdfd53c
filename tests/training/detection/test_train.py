"""Training a detector: labels are cleaned, spikes are learnt, bad input is named."""

import numpy as np
import pytest
import spikeinterface.core as si

from si_deepsort.detection.find_peaks import find_peaks
from si_deepsort.detection.prepare import load_detector
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe
from si_deepsort.training.detection.labels import clean_labels
from si_deepsort.training.detection.train import DetectorTrainingSettings, train_detector

QUICK = DetectorTrainingSettings(num_epochs=8, num_negatives=6000, progress_bar=False)
QUIET = dict(progress_bar=False, n_jobs=1)


def make(probe, seed, duration_s=12.0, num_units=3):
    settings = GenerationSettings(
        duration_s=duration_s,
        num_units=num_units,
        num_far_units=5,
        amplitude_min_uV=80.0,
        firing_rate_min=4.0,
        seed=seed,
    )
    recording, sorting = generate_recording(named_probe(probe), settings)
    return recording.save(format="memory", progress_bar=False), sorting


@pytest.fixture(scope="module")
def single():
    return make("single", 0)


def relabelled(sorting, change):
    trains = {unit: change(sorting.get_unit_spike_train(unit)) for unit in sorting.unit_ids}
    return si.NumpySorting.from_unit_dict([trains], sorting.get_sampling_frequency())


def recall(peaks, sorting, tolerance=12):
    spikes = sorting.to_spike_vector()["sample_index"]
    return (np.abs(peaks["sample_index"][:, None] - spikes[None]).min(axis=0) <= tolerance).mean()


@pytest.mark.slow
@pytest.mark.parametrize(("probe", "architecture"), [("single", "gru"), ("tetrode", "cnn")])
def test_trained_from_nothing_it_finds_the_spikes_of_another_recording(probe, architecture, tmp_path):
    recording, sorting = make(probe, 1)
    train_detector(recording, sorting, folder=tmp_path / "model", architecture=architecture, settings=QUICK)
    other, its_sorting = make(probe, 2, duration_s=5.0)
    peaks = find_peaks(other, method=tmp_path / "model", job_kwargs=QUIET)
    assert recall(peaks, its_sorting) > 0.8
    assert len(peaks) < 2 * its_sorting.count_total_num_spikes()


@pytest.mark.slow
def test_fine_tuning_names_its_parent_and_same_seed_gives_same_weights(single):
    settings = DetectorTrainingSettings(num_epochs=1, num_negatives=2000, progress_bar=False)
    first, second = (train_detector(*single, start_from="cnn", settings=settings) for _ in range(2))
    assert first.info.parent.startswith("peaks-cnn (sha256 ")
    for one, other in zip(first.net.parameters(), second.net.parameters(), strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), other.detach().numpy())


@pytest.mark.parametrize("start_from", [None, "cnn", "gru", "detector-cnn"])
def test_training_keeps_the_candidates_of_the_network_that_it_starts_from(single, start_from):
    recording = single[0].frame_slice(0, 120_000)
    settings = DetectorTrainingSettings(num_epochs=1, num_negatives=200, progress_bar=False)
    net = train_detector(recording, single[1].frame_slice(0, 120_000), start_from=start_from, settings=settings).net
    assert net.config == load_detector(start_from or "cnn").config


@pytest.mark.parametrize("offset", [-20, 0, 15])
def test_constant_offset_of_the_labels_is_measured_and_removed(single, offset):
    recording, sorting = single
    scaled = [recording.get_traces() / 8.0]
    right = clean_labels(scaled, sorting, 30_000.0)
    moved = clean_labels(scaled, relabelled(sorting, lambda times: times + offset), 30_000.0)
    assert moved.offset_frames == right.offset_frames - offset
    np.testing.assert_array_equal(moved.frames[0], right.frames[0])


def test_labels_outside_and_duplicates_are_dropped(single):
    recording, sorting = single
    bad = relabelled(sorting, lambda times: np.sort(np.concatenate([times, times[:3], [10**7, 2 * 10**7]])))
    labels = clean_labels([recording.get_traces() / 8.0], bad, 30_000.0)
    assert labels.num_dropped == 5 * len(sorting.unit_ids)


@pytest.mark.slow
def test_unit_of_three_spikes_does_no_harm(single):
    recording, sorting = single
    trains = {unit: sorting.get_unit_spike_train(unit) for unit in sorting.unit_ids}
    trains["rare"] = np.array([1000, 50_000, 90_000])
    sorting = si.NumpySorting.from_unit_dict([trains], 30_000.0)
    net = train_detector(recording, sorting, settings=QUICK)
    assert net.info.metrics["f1"] > 0.7


@pytest.mark.slow
def test_several_segments_and_several_recordings_are_pooled(single):
    recording, sorting = single
    both = si.append_recordings([recording, recording])
    trains = {unit: sorting.get_unit_spike_train(unit) for unit in sorting.unit_ids}
    twice = si.NumpySorting.from_unit_dict([trains, trains], 30_000.0)
    settings = DetectorTrainingSettings(num_epochs=1, num_negatives=1000, progress_bar=False)
    one = train_detector(recording, sorting, settings=settings)
    segments = train_detector(both, twice, settings=settings)
    pooled = train_detector([recording, recording], [sorting, sorting], settings=settings)
    assert segments.info.training["num_spikes"] == pooled.info.training["num_spikes"]
    assert pooled.info.training["num_spikes"] == 2 * one.info.training["num_spikes"]


def test_bad_input_is_named(single):
    recording, sorting = single
    with pytest.raises(ValueError, match="sampling rate"):
        trains = {unit: sorting.get_unit_spike_train(unit) for unit in sorting.unit_ids}
        train_detector(recording, si.NumpySorting.from_unit_dict([trains], 25_000.0))
    with pytest.raises(ValueError, match="segments"):
        train_detector(si.append_recordings([recording, recording]), sorting)
    with pytest.raises(ValueError, match="nothing to learn from"):
        train_detector(recording, relabelled(sorting, lambda times: times + 10**8))
    with pytest.raises(ValueError, match="at least 10"):
        train_detector(recording, relabelled(sorting, lambda times: times[:1]))
    with pytest.raises(ValueError, match="architecture"):
        train_detector(recording, sorting, architecture="lstm")
    with pytest.raises(ValueError, match="2 recordings and 1"):
        train_detector([recording, recording], [sorting])
