"""Recordings and settings that cannot be sorted, or hardly: a message that helps, or a result without a crash."""

import numpy as np
import pytest
import spikeinterface.core as si
from small_recording import (
    SAMPLING_FREQUENCY,
    add_spikes,
    as_recording,
    small_traces,
    spike_trains,
    unit_templates,
)
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.sorters import run_sorter
from spikeinterface.sorters.utils import SpikeSortingError

import si_deepsort  # noqa: F401 (it registers the sorter)

QUICK = dict(clustering="hdbscan", num_rounds=0)


def sort(traces, tmp_path, probe=True, **params):
    recording = traces if isinstance(traces, si.BaseRecording) else as_recording(traces, tmp_path / "rec", probe)
    return run_sorter("deepsort", recording, folder=tmp_path / "out", **{**QUICK, **params})


def accuracies(sorting, trains):
    truth = si.NumpySorting.from_unit_dict([dict(enumerate(trains))], SAMPLING_FREQUENCY)
    return compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True).get_performance()["accuracy"]


def test_no_probe(tmp_path):
    with pytest.raises(ValueError, match=r"4 channels and no probe.*set_probe"):
        sort(small_traces(duration_s=2.0)[0], tmp_path, probe=False)
    assert not (tmp_path / "out").exists(), "nothing was written"


@pytest.mark.slow
@pytest.mark.parametrize("probe", [True, False])
def test_one_channel_needs_no_probe(tmp_path, probe):
    traces, trains = small_traces(num_channels=1, num_units=1)
    assert accuracies(sort(traces, tmp_path, probe=probe), trains).min() > 0.9


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf(tmp_path, bad):
    traces, _ = small_traces(duration_s=3.0)
    traces[30_000:30_100, 1] = bad
    with pytest.raises((ValueError, SpikeSortingError), match=r"NaN or inf.*remove"):
        sort(traces, tmp_path)


@pytest.mark.slow
def test_constant_and_saturated_channels_cost_no_other_unit(tmp_path):
    traces, trains = small_traces(num_channels=8)
    everything = np.concatenate([traces, np.zeros_like(traces[:, :2])], axis=1)
    everything[:, 8], everything[:, 9] = 0.0, 32_767.0
    assert accuracies(sort(everything, tmp_path), trains).min() > 0.9


def test_all_channels_constant(tmp_path):
    assert len(sort(np.full((40_000, 4), 2050, "int16"), tmp_path).unit_ids) == 0


@pytest.mark.slow
def test_noise_alone_gives_an_empty_sorting(tmp_path):
    sorting = sort(small_traces(num_units=0)[0], tmp_path)
    assert len(sorting.unit_ids) == 0 and sorting.count_total_num_spikes() == 0
    assert len(si.load(tmp_path / "out" / "sorter_output" / "sorting").unit_ids) == 0


@pytest.mark.slow
@pytest.mark.parametrize("num_frames", [64, 200, 660, 19_000])
def test_short_recording_warns_and_ends(tmp_path, num_frames):
    with pytest.warns(UserWarning, match=r"less than 1 s.*concatenate_recordings"):
        sorting = sort(small_traces(duration_s=1.0)[0][:num_frames], tmp_path)
    assert sorting.get_num_segments() == 1


def test_hardly_any_frames(tmp_path):
    with pytest.raises(ValueError, match="fewer than 64 frames"):
        sort(np.zeros((10, 4), "float32"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("dtype, offset", [("uint16", 32_768), ("int16", 2050), ("int32", 0)])
def test_integers_with_an_offset(tmp_path, dtype, offset):
    traces, trains = small_traces()
    assert accuracies(sort((np.round(4 * traces) + offset).astype(dtype), tmp_path), trains).min() > 0.9


@pytest.mark.slow
def test_channel_that_dies_half_way(tmp_path):
    traces, trains = small_traces(num_channels=8, num_units=4)
    traces[len(traces) // 2 :, 7] = 0.0
    found = accuracies(sort(traces, tmp_path), trains)
    assert found.iloc[:3].min() > 0.9, "units elsewhere do not suffer"


@pytest.mark.slow
def test_amplifier_saturation_every_second(tmp_path):
    traces, trains = small_traces(num_channels=8, num_units=4)
    for start in range(5000, len(traces), round(SAMPLING_FREQUENCY)):
        traces[start : start + 200] = 5000.0
    assert np.median(accuracies(sort(traces, tmp_path), trains)) > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("artefact", ["saturated", "shaking"])
def test_artefact_that_lasts_for_minutes(tmp_path, artefact):
    """Scaled down: 40 % of the recording is lost; the units are found in the rest, and none in the artefact."""
    traces, trains = small_traces(num_channels=8, num_units=4, duration_s=15.0)
    start, stop = (round(share * len(traces)) for share in (0.3, 0.7))
    if artefact == "saturated":
        traces[start:stop] = 32_767.0
    else:
        rng = np.random.default_rng(0)
        traces[start:stop] += 3000 * rng.standard_normal((stop - start, 1)) * rng.uniform(0.5, 1.5, 8)
    sorting = sort(traces.astype("float32"), tmp_path)
    outside = [train[(train < start) | (train >= stop)] for train in trains]
    assert accuracies(sorting, outside).min() > 0.85
    times = sorting.to_spike_vector()["sample_index"]
    assert np.mean((times > start) & (times < stop)) < 0.02


@pytest.mark.slow
def test_unit_that_fires_200_times_a_second(tmp_path):
    traces, _ = small_traces(num_units=0)
    templates, nbefore = unit_templates(1, 4)
    trains = spike_trains(1, len(traces), np.random.default_rng(0), rate_hz=200.0)
    add_spikes(traces, trains, templates, nbefore)
    assert accuracies(sort(traces, tmp_path), trains).min() > 0.8


def test_existing_folder_names_the_ways_out(tmp_path):
    sort(small_traces(num_units=0, duration_s=2.0)[0], tmp_path)
    recording = si.load(tmp_path / "rec")
    with pytest.raises(ValueError, match=r"exists.*resume_sorter.*remove_existing_folder=True"):
        sort(recording, tmp_path)
    sort(recording, tmp_path, remove_existing_folder=True)


def test_existing_folder_without_a_run_cannot_be_resumed(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=r"exists\. Replace it by remove_existing_folder=True"):
        sort(small_traces(num_units=0, duration_s=2.0)[0], tmp_path)


def test_recording_in_memory_only(tmp_path):
    recording = as_recording(small_traces(duration_s=2.0)[0])
    with pytest.raises(ValueError, match=r"in memory only.*recording.save\(folder"):
        sort(recording, tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("where", ["", "inside/it"])
def test_folder_that_holds_the_recording_is_not_replaced(tmp_path, where):
    traces, _ = small_traces(num_units=0, duration_s=2.0)
    recording = as_recording(traces).save(folder=tmp_path / "out" / where)
    # The recording that is sorted may be a lazy one.
    with pytest.raises(ValueError, match=r"holds the recording itself.*Choose another folder"):
        sort(recording.astype("float64"), tmp_path, remove_existing_folder=True)
    np.testing.assert_array_equal(recording.get_traces(), traces)
