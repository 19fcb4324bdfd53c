"""Peaks that no spike explains, and which of them are worth another look."""

import numpy as np
from spikeinterface.core.base import base_peak_dtype

from si_deepsort.sorter.matching.residual_peaks import residual_peaks, worth_clustering
from si_deepsort.spike_vectors import make_spike_vector

LOCATIONS = np.array([[0.0, 0.0], [0.0, 50.0], [0.0, 200.0]])


def residual_of(peaks, spikes):
    """Residual peaks where units 0, 1 and 2 have their largest peak 5 frames after the spike, on channel 0, 1 and 2."""
    units = dict(peak_channels=np.arange(3), peak_offsets=np.full(3, 5))
    place = dict(locations=LOCATIONS, radius_um=100.0, sampling_frequency=15_000.0)
    return residual_peaks(peaks, spikes, **units, **place).tolist()


def test_peaks_are_explained_near_in_time_and_place():
    peaks = np.zeros(5, dtype=base_peak_dtype)
    peaks["sample_index"] = [100, 130, 100, 100, 5000]
    peaks["channel_index"] = [0, 0, 1, 2, 0]
    spikes = make_spike_vector(np.array([5005, 105]), np.array([2, 0]), np.zeros(2, int))
    assert residual_of(peaks, spikes) == [False, True, False, True, True]


def test_peaks_of_another_segment_are_not_explained():
    peaks = np.zeros(1, dtype=base_peak_dtype)
    assert residual_of(peaks, make_spike_vector(np.array([-5]), np.zeros(1, int), np.ones(1, int))) == [True]
    assert residual_of(peaks, make_spike_vector(np.array([-5]), np.zeros(1, int), np.zeros(1, int))) == [False]


def test_only_channels_with_other_peaks_are_looked_at_again():
    channels = np.repeat([0, 1, 2], 100)
    before = np.arange(200)
    # Channel 0 lost 5 of its peaks, channel 1 lost 15, channel 2 has one that is new.
    now = np.concatenate([np.arange(5, 100), np.arange(115, 200), [250]])
    chosen, clustered = worth_clustering(channels, now, before)
    np.testing.assert_array_equal(chosen, np.concatenate([np.arange(115, 200), [250]]))
    np.testing.assert_array_equal(clustered, np.concatenate([np.arange(100), chosen]))


def test_slow_changes_add_up():
    channels, clustered = np.zeros(100, int), np.arange(100)
    looks = []
    for number in range(1, 4):
        chosen, clustered = worth_clustering(channels, np.arange(6 * number, 100), clustered)
        looks.append(len(chosen))
    assert looks == [0, 88, 0]


def test_all_peaks_are_looked_at_the_first_time():
    missed, nothing = np.array([0, 2, 3]), np.zeros(0, int)
    for found in worth_clustering(np.array([0, 0, 1, 5]), missed, nothing):
        np.testing.assert_array_equal(found, missed)
    assert all(len(found) == 0 for found in worth_clustering(nothing, nothing, nothing))
