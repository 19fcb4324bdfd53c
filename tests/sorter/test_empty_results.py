"""A run without units, and a last segment without spikes: valid results like any other."""

import numpy as np
import pytest
import spikeinterface.core as si
from small_recording import SAMPLING_FREQUENCY, as_recording, small_traces
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.sorters import read_sorter_folder, run_sorter

import si_deepsort

pytestmark = pytest.mark.slow

QUICK = dict(clustering="hdbscan", num_rounds=0, motion_correction=None)


def recordings(folder):
    """Name, recording, trains of each segment, and whether units are expected."""
    silent, _ = small_traces(num_units=0, duration_s=3.0, seed=1)
    traces, trains = small_traces(duration_s=5.0)
    nothing = [np.zeros(0, dtype=int) for _ in trains]
    yield "no units", as_recording(silent, folder / "one"), [nothing], False
    yield "no units, two segments", as_recording([silent, silent[:40_000]], folder / "two"), [nothing, nothing], False
    yield "silent last segment", as_recording([traces, silent], folder / "last"), [trains, nothing], True
    yield "silent first segment", as_recording([silent, traces], folder / "first"), [nothing, trains], True


def true_sorting(trains):
    """Trains of each segment as a sorting; NumpySorting alone makes no segments after that of the last spike."""
    truth = si.NumpySorting.from_unit_dict([dict(enumerate(own)) for own in trains], SAMPLING_FREQUENCY)
    for segment_index in range(truth.get_num_segments(), len(trains)):
        segment = si.SpikeVectorSortingSegment(truth.to_spike_vector(), segment_index, truth.unit_ids)
        truth.add_sorting_segment(segment)
    return truth


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Recording, true sorting, output folder and result of each case, sorted once."""
    folder = tmp_path_factory.mktemp("empty")
    made = {}
    for name, recording, trains, has_units in recordings(folder):
        truth = true_sorting(trains)
        out = folder / name.replace(" ", "_")
        made[name] = recording, truth, out, run_sorter("deepsort", recording, folder=out, **QUICK), has_units
    return made


NAMES = ["no units", "no units, two segments", "silent last segment", "silent first segment"]


@pytest.mark.parametrize("name", NAMES)
def test_result_has_the_segments_of_the_recording(scenes, name):
    recording, truth, _, sorting, has_units = scenes[name]
    assert sorting.get_num_segments() == recording.get_num_segments() == truth.get_num_segments()
    assert (len(sorting.unit_ids) > 0) == has_units
    assert {"snr", "main_channel_id"} <= set(sorting.get_property_keys())


@pytest.mark.parametrize("name", NAMES)
def test_result_loads_from_its_folder(scenes, name):
    _, _, out, sorting, _ = scenes[name]
    for loaded in (read_sorter_folder(out), si.load(out / "sorter_output" / "sorting"), si_deepsort.resume_sorter(out)):
        assert loaded.get_num_segments() == sorting.get_num_segments()
        np.testing.assert_array_equal(loaded.to_spike_vector(), sorting.to_spike_vector())


@pytest.mark.parametrize("name", NAMES)
def test_result_is_saved_again(scenes, tmp_path, name):
    _, _, _, sorting, _ = scenes[name]
    saved = sorting.save(folder=tmp_path / "saved")
    assert saved.get_num_segments() == sorting.get_num_segments()
    np.testing.assert_array_equal(saved.to_spike_vector(), sorting.to_spike_vector())


@pytest.mark.parametrize("name", NAMES)
def test_result_is_compared_with_the_truth(scenes, name):
    _, truth, _, sorting, has_units = scenes[name]
    accuracy = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True).get_performance()["accuracy"]
    assert (accuracy.astype(float) > 0.8).all() if has_units else not accuracy.astype(float).any()


@pytest.mark.parametrize("name", NAMES)
def test_result_is_reported(scenes, tmp_path, name):
    recording, _, _, sorting, has_units = scenes[name]
    page = si_deepsort.write_report(sorting, recording, tmp_path / "report")
    assert page.exists() and (page.parent / "metrics.csv").exists() == has_units
