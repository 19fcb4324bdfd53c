"""Louder noise: it is found where it is, evened out, and makes no units; usual noise is left alone."""

import numpy as np
import pytest
import spikeinterface.core as si
from small_recording import as_recording, small_traces
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.core.base import base_peak_dtype
from spikeinterface.sorters import run_sorter

import si_deepsort  # noqa: F401  registers the sorter
from si_deepsort.preprocessing.even_noise import with_even_noise
from si_deepsort.sorter.front_end.noise_over_time import measure_noise_over_time, tell_loud_noise

FREQUENCY = 20_000.0
NO_PEAKS = np.zeros(0, dtype=base_peak_dtype)


def noise_of(gains, num_channels=3, seed=0):
    """White traces whose noise has the given standard deviation in each half second."""
    traces = np.random.default_rng(seed).standard_normal((len(gains) * 10_000, num_channels)).astype("float32")
    return traces * np.repeat(np.asarray(gains, dtype="float32"), 10_000)[:, None]


def peaks_at(frames, size):
    peaks = np.zeros(len(frames), dtype=base_peak_dtype)
    peaks["sample_index"], peaks["amplitude"] = frames, size
    return peaks


def test_louder_noise_is_measured_where_it_is():
    traces = [noise_of([1, 1, 2.5, 1]), noise_of([1, 3])]
    noise = measure_noise_over_time(as_recording(traces), NO_PEAKS)
    assert [len(levels) for levels in noise.levels] == [4, 2] and not noise.is_even
    for levels, gains in zip(noise.levels, ([1, 1, 2.5, 1], [1, 3]), strict=True):
        np.testing.assert_allclose(levels, np.tile(np.array(gains)[:, None], 3), rtol=0.15)
        assert np.all(levels[np.array(gains) == 1] == 1)
    found = noise.at(np.array([0, 0, 1, 1]), np.array([0, 20_001, 9_999, 19_999]), np.array([0, 1, 2, 0]))
    np.testing.assert_allclose(found, [1, 2.5, 1, 3], rtol=0.15)


def test_noise_of_one_channel_is_its_own():
    traces = noise_of([1] * 6)
    traces[20_000:, 1] *= 2
    levels = measure_noise_over_time(as_recording(traces), NO_PEAKS).levels[0]
    assert np.all(levels[:, [0, 2]] == 1) and np.all(levels[:2, 1] == 1) and np.all(levels[2:, 1] > 1.7)


def test_usual_noise_is_even_whatever_the_seed_and_spikes_are_no_noise():
    for seed in range(5):
        assert measure_noise_over_time(as_recording(noise_of([1] * 40, seed=seed)), NO_PEAKS).is_even
    traces, frames = noise_of([1] * 10), np.arange(200, 99_000, 100)
    for offset in range(-20, 21):
        traces[frames + offset] += 20 * np.cos(offset * np.pi / 41)
    recording = as_recording(traces)
    assert not measure_noise_over_time(recording, NO_PEAKS).is_even
    assert measure_noise_over_time(recording, peaks_at(frames, 50.0)).is_even


def test_even_noise_is_the_same_whatever_is_read_at_once_and_survives_saving(tmp_path):
    recording = as_recording(noise_of([1, 1, 2, 4, 4, 4, 2, 1, 1, 1]), tmp_path / "recording")
    noise = measure_noise_over_time(recording, NO_PEAKS)
    even = with_even_noise(recording, noise.chunk_frames, noise.levels)
    whole = even.get_traces()
    parts = [
        even.get_traces(start_frame=start, end_frame=min(start + 3_700, 100_000)) for start in range(0, 100_000, 3_700)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(even.get_traces(channel_ids=even.channel_ids[[2, 0]]), whole[:, [2, 0]])
    np.testing.assert_array_equal(si.load(even.to_dict()).get_traces(), whole)
    spread = whole.reshape(10, 10_000, 3).std(axis=1)
    assert np.all(spread[[4, 8, 9]] > 0.9) and np.all(spread[[4, 8, 9]] < 1.1) and spread.max() < 2


def test_loud_noise_is_told(caplog):
    with caplog.at_level("WARNING"):
        tell_loud_noise(measure_noise_over_time(as_recording(noise_of([1, 1, 1])), NO_PEAKS))
        assert caplog.text == ""
        tell_loud_noise(measure_noise_over_time(as_recording(noise_of([1, 2, 1, 1])), NO_PEAKS))
    assert "In 25 % of the time noise is louder" in caplog.text


@pytest.mark.parametrize("detection", ["cnn", "energy"])
def test_louder_noise_makes_no_units_and_hides_no_large_ones(detection, tmp_path):
    traces, trains = small_traces(num_channels=4, num_units=3, duration_s=12.0)
    loud = np.random.default_rng(1).normal(0, 16.0, traces.shape).astype(traces.dtype)
    loud[: len(loud) // 2] = 0
    recording = as_recording(traces + loud, tmp_path / "recording")
    sorting = run_sorter("deepsort", recording, folder=tmp_path / "out", detection=detection, clustering="hdbscan")
    truth = si.NumpySorting.from_unit_dict([dict(enumerate(trains))], recording.get_sampling_frequency())
    accuracy = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True).get_performance()["accuracy"]
    assert len(sorting.unit_ids) == 3 and accuracy.min() > 0.9
