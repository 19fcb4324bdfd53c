"""Detection by energy: spikes are found where they are, once, in chunks as in the whole."""

import numpy as np
import pytest
from small_recording import as_recording, small_traces, unit_templates, white_recording_of

from si_deepsort.detection.energy import DECAYS_UM, REACH_UM, make_energy_filters, spike_energy, spike_energy_at
from si_deepsort.detection.find_peaks import find_peaks
from si_deepsort.geometry import channel_distances
from si_deepsort.preprocessing.whitening import Whitening

JOB = dict(n_jobs=1, progress_bar=False)
VALUES = dict(method="energy", threshold=None, radius_um=60.0, seed=0)


def peaks_of(traces, **job):
    white = white_recording_of(as_recording(traces))
    return find_peaks(white, applied_front_end=[], **VALUES, job_kwargs={**JOB, **job})


def filters_of(white):
    locations = white.get_channel_locations()[:, :2]
    return make_energy_filters(white.whitening, locations, sampling_frequency=white.get_sampling_frequency())


def one_spike(frame, channel=None, num_channels=4):
    traces, _ = small_traces(num_channels=num_channels, num_units=0, duration_s=2.0)
    templates, nbefore = unit_templates(num_channels, num_channels)
    traces[frame - nbefore : frame - nbefore + templates.shape[1]] += 2 * templates[channel or 0]
    return traces


def test_spike_at_frame_20000_is_found_there_once():
    peaks = peaks_of(one_spike(20_000))
    near = peaks[np.abs(peaks["sample_index"] - 20_000) < 40]
    largest = near[np.argmax(near["amplitude"])]
    assert abs(int(largest["sample_index"]) - 20_000) <= 8, "the lag of the whitening filter is undone at the end"
    assert largest["channel_index"] == 0
    assert np.sum(near["amplitude"] > 0.3 * largest["amplitude"]) == 1


def test_noise_alone_gives_few_peaks():
    traces, _ = small_traces(num_units=0, duration_s=5.0)
    assert len(peaks_of(traces)) <= 5 * 4, "at most one peak per second and channel"


def test_most_spikes_are_found():
    traces, trains = small_traces(duration_s=5.0)
    found = peaks_of(traces)["sample_index"]
    for train in trains:
        hits = [np.abs(found - frame).min() <= 15 for frame in train]
        assert np.mean(hits) > 0.9


def test_chunks_equal_the_whole():
    traces, _ = small_traces(duration_s=3.0)
    whole, chunks = peaks_of(traces, chunk_duration="3s"), peaks_of(traces, chunk_duration="0.25s")
    shared = np.intersect1d(whole["sample_index"], chunks["sample_index"])
    assert len(shared) >= 0.99 * max(len(whole), len(chunks))


def test_energy_is_that_of_the_products_with_directions_and_profiles():
    white = white_recording_of(as_recording(small_traces(duration_s=1.0)[0]))
    filters, traces = filters_of(white), white.get_traces(end_frame=5000)
    windows = np.lib.stride_tricks.sliding_window_view(traces, filters.directions.shape[1], axis=0)
    seen = np.einsum("dcn,fns,ks->dcfk", filters.profiles, windows, filters.directions, optimize=True)
    expected = np.sqrt(np.sum(seen**2, axis=3)).max(axis=0).T
    np.testing.assert_allclose(spike_energy(traces, filters), expected.T, atol=1e-3)
    starts, channels = np.array([0, 17, 4000]), np.array([0, 3, 1])
    successive = starts + np.arange(3)[:, None]
    found = spike_energy_at(traces, filters, starts, channels, num_frames=3)
    np.testing.assert_allclose(found, expected[successive, channels], atol=1e-3)
    every_second = spike_energy(traces, filters, stride=2)
    assert np.corrcoef(every_second.ravel(), expected[::2].T.ravel())[0, 1] > 0.99, "little is above half of the rate"


def test_traces_that_are_shorter_than_a_spike_have_no_energy():
    filters = filters_of(white_recording_of(as_recording(small_traces(duration_s=1.0)[0])))
    assert spike_energy(np.zeros((10, 4), "float32"), filters).shape == (4, 0)


def test_directions_and_profiles_have_norm_1():
    filters = filters_of(white_recording_of(as_recording(small_traces(duration_s=1.0)[0])))
    np.testing.assert_allclose(filters.directions @ filters.directions.T, np.eye(len(filters.directions)), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(filters.profiles, axis=2), 1.0, atol=1e-4)


def test_middle_profile_is_nearly_a_mixture_of_the_others():
    white = white_recording_of(as_recording(small_traces(duration_s=1.0)[0]))
    filters, matrix = filters_of(white), white.whitening.space_matrix
    distances = channel_distances(white.get_channel_locations()[:, :2])
    middle = (np.exp(-distances / DECAYS_UM[1]) * (distances <= REACH_UM)) @ matrix
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    assert np.sum(middle * filters.profiles[1], axis=1).min() > 0.95


def test_channel_without_neighbours_has_profiles_of_norm_1():
    filters = make_energy_filters(Whitening.identity(1), np.zeros((1, 2)), sampling_frequency=20_000.0)
    np.testing.assert_allclose(filters.profiles, 1.0)


@pytest.mark.parametrize("method", ["energy", "locally_exclusive"])
def test_all_zero_traces_have_no_peaks(method):
    white = white_recording_of(as_recording(np.zeros((40_000, 4), "float32")))
    assert len(find_peaks(white, applied_front_end=[], **{**VALUES, "method": method}, job_kwargs=JOB)) == 0
