"""Drift: found where the tissue moves and only there, traces that follow it, and a sorting that stands it."""

import logging

import numpy as np
import pytest
import spikeinterface.core as si
from small_recording import (
    SAMPLING_FREQUENCY,
    line_probe,
    small_recording,
    spike_shape,
    spike_trains,
    white_recording_of,
)
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.core import Motion
from spikeinterface.preprocessing import get_motion_presets
from spikeinterface.sorters import run_sorter
from spikeinterface.sorters.utils import SpikeSortingError

from si_deepsort.detection.find_peaks import find_peaks
from si_deepsort.sorter import pipeline, prepare
from si_deepsort.sorter.front_end.motion import find_drift, is_moving, load_drift, save_drift
from si_deepsort.sorter.front_end.source_depths import peak_depths
from si_deepsort.sorter.resume import resume_sorter
from si_deepsort.sorter.settings import MOTION_PRESETS, DeepSortSettings
from si_deepsort.sorter.stretches import times_in_recording

NUM_CHANNELS, PITCH_UM = 16, 20.0
DURATION_S, AMPLITUDE_UM = 20.0, 15.0
QUICK = dict(clustering="hdbscan", num_rounds=0, cache="memory")


def displacement(times_s, amplitude_um=AMPLITUDE_UM):
    return amplitude_um * np.sin(2 * np.pi * np.asarray(times_s) / DURATION_S)


def profile(places_um, source_um):
    """What contacts see of a source 15 um beside the shank."""
    return np.exp((15.0 - np.hypot(places_um - source_um, 15.0)) / 25.0)


def moving_recording(amplitude_um, *, num_units=8, rate_hz=12.0, pitch_um=PITCH_UM, seed=0):
    """Recording of a line of contacts in moving tissue, and its true sorting."""
    rng = np.random.default_rng(seed)
    num_frames = round(DURATION_S * SAMPLING_FREQUENCY)
    traces = (8.0 * rng.standard_normal((num_frames, NUM_CHANNELS))).astype("float32")
    places = pitch_um * np.arange(NUM_CHANNELS)
    trains = spike_trains(num_units, num_frames, rng, rate_hz)
    # Units at equal distances would look the same after one step.
    sources = (np.arange(num_units) + rng.uniform(0.2, 0.8, num_units)) * places[-1] / max(num_units, 1)
    for unit, frames in enumerate(trains):
        shape, nbefore = spike_shape(0.12 + 0.06 * (unit % 3))
        seen = profile(places, sources[unit] + displacement(frames / SAMPLING_FREQUENCY, amplitude_um)[:, None])
        for frame, weights in zip(frames, seen, strict=True):
            traces[frame - nbefore : frame - nbefore + len(shape)] += (150 + 40 * (unit % 3)) * shape[:, None] * weights
    recording = si.NumpyRecording(traces, SAMPLING_FREQUENCY)
    recording.set_probe(line_probe(NUM_CHANNELS, pitch_um))
    truth = si.NumpySorting.from_unit_dict([dict(enumerate(trains))], SAMPLING_FREQUENCY)
    truth.set_property("depth", sources)
    return recording, truth


def drift_of(recording):
    white = white_recording_of(recording)
    traces = white.save(format="memory", n_jobs=1, progress_bar=False)
    values = dict(method="energy", threshold=None, radius_um=60.0, seed=0)
    peaks = find_peaks(traces, whitening=white.whitening, applied_front_end=[], **values, job_kwargs=dict(n_jobs=1))
    return find_drift(white, traces, white.whitening, peaks, times_in_recording(peaks, None, white), seed=0)


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A saved recording with drift, and its true sorting."""
    recording, truth = moving_recording(AMPLITUDE_UM)
    return recording.save(folder=tmp_path_factory.mktemp("moving") / "recording", verbose=False), truth


def test_drift_is_measured(moving, caplog):
    with caplog.at_level(logging.INFO):
        motion = drift_of(moving[0])
    assert is_moving(motion)
    assert "Drift of" in caplog.text and "traces are interpolated" in caplog.text
    error = motion.displacement[0][:, 0] - displacement(motion.temporal_bins_s[0])
    assert np.std(error) < 2.0
    assert abs(np.median(motion.displacement[0])) < 1e-6


@pytest.mark.parametrize("options", [{}, dict(rate_hz=1.5), dict(num_units=1), dict(num_units=0)], ids=str)
def test_no_drift_where_there_is_none(options, caplog):
    with caplog.at_level(logging.INFO):
        assert not is_moving(drift_of(moving_recording(0.0, **options)[0]))
    assert "No drift" in caplog.text or "not searched" in caplog.text


@pytest.mark.parametrize("seed", [0, 30])
def test_units_that_come_and_go_are_no_drift(seed):
    traces = moving_recording(0.0, seed=seed)[0].get_traces().copy()
    half = len(traces) // 2
    traces[half:] = moving_recording(0.0, seed=seed + 1, num_units=5)[0].get_traces()[half:]
    changed = si.NumpyRecording(traces, SAMPLING_FREQUENCY)
    changed.set_probe(line_probe(NUM_CHANNELS, PITCH_UM))
    assert not is_moving(drift_of(changed))


def test_small_probes_are_left_alone(caplog):
    with caplog.at_level(logging.INFO):
        assert not is_moving(drift_of(small_recording()[0]))
    assert "too few channels" in caplog.text


def test_contacts_that_are_far_apart_are_left_alone(caplog):
    assert not is_moving(drift_of(moving_recording(AMPLITUDE_UM, num_units=12, pitch_um=70.0)[0]))


def test_segments_follow_each_other(moving):
    whole = moving[0]
    cut = round(0.4 * DURATION_S) * int(SAMPLING_FREQUENCY)
    parts = si.append_recordings([whole.frame_slice(0, cut), whole.frame_slice(cut, whole.get_num_frames())])
    motion = drift_of(parts)
    for index, start_s in enumerate((0.0, cut / SAMPLING_FREQUENCY)):
        times_s = motion.temporal_bins_s[index] - parts.sample_index_to_time(0, segment_index=index) + start_s
        assert np.std(motion.displacement[index][:, 0] - displacement(times_s)) < 2.0


def test_motion_is_kept(tmp_path):
    motion = Motion([np.array([[0.0], [1.0]])], [np.array([0.5, 1.5])], np.array([0.0]))
    assert load_drift(tmp_path / "motion") is None
    save_drift(motion, tmp_path / "motion")
    assert load_drift(tmp_path / "motion") == motion


def test_depths_lie_between_contacts():
    recording, truth = moving_recording(0.0, num_units=3)
    white = white_recording_of(recording)
    traces = white.save(format="memory", n_jobs=1, progress_bar=False)
    peaks = np.zeros(20, dtype=[("sample_index", "int64"), ("channel_index", "int64"), ("segment_index", "int64")])
    peaks["sample_index"] = truth.get_unit_spike_train(1)[:20]
    source = truth.get_property("depth")[1]
    peaks["channel_index"] = round(source / PITCH_UM)
    depths, energies = peak_depths(traces, white.whitening, peaks)
    assert np.all(np.abs(depths - source) < 5.0) and np.all(energies > 9.0)


@pytest.mark.slow
def test_sorting_stands_drift_and_goes_on_after_an_interruption(moving, tmp_path, monkeypatch):
    recording, truth = moving
    settings = dict(QUICK, cache="folder")
    whole = run_sorter("deepsort", recording, folder=tmp_path / "whole", **settings)
    accuracy = compare_sorter_to_ground_truth(truth, whole, exhaustive_gt=True).get_performance()["accuracy"]
    as_it_is = run_sorter("deepsort", recording, folder=tmp_path / "none", motion_correction=None, **settings)
    worse = compare_sorter_to_ground_truth(truth, as_it_is, exhaustive_gt=True).get_performance()["accuracy"]
    assert accuracy.mean() > max(0.9, worse.mean() + 0.1)
    output = tmp_path / "whole" / "sorter_output"
    assert load_drift(output / "motion") is not None
    assert not list(output.glob("traces*")), "the caches are deleted at the end"

    def fail(*args):
        raise RuntimeError("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "cluster_peaks", fail)
        with pytest.raises(SpikeSortingError):
            run_sorter("deepsort", recording, folder=tmp_path / "cut", **settings)
    monkeypatch.setattr(prepare, "find_drift", fail)
    again = resume_sorter(tmp_path / "cut")
    np.testing.assert_array_equal(again.to_spike_vector(), whole.to_spike_vector())


def test_setting_is_checked():
    assert DeepSortSettings().motion_correction == "auto"
    assert set(MOTION_PRESETS) <= set(get_motion_presets())
    with pytest.raises(ValueError, match="motion_correction"):
        DeepSortSettings(motion_correction="always")


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["rigid_fast", "dredge"])
def test_preset_is_taken(moving, tmp_path, preset):
    sorting = run_sorter("deepsort", moving[0], folder=tmp_path / "out", motion_correction=preset, **QUICK)
    assert len(sorting.unit_ids) > 0
    assert (tmp_path / "out" / "sorter_output" / "motion" / "motion").exists()
