"""Peaks that no spike explains, and which of them are worth another look."""

import numpy as np
from spikeinterface.core.base import base_peak_dtype

from si_deepsort.sorter.matching.residual_peaks import unexplained_peaks, worth_clustering


def test_peaks_are_explained_near_in_time_and_place():
    peaks = np.zeros(5, dtype=base_peak_dtype)
    peaks["sample_index"] = [100, 130, 100, 100, 5000]
    peaks["channel_index"] = [0, 0, 1, 2, 0]
    nearby = np.array([[True, True, False], [True, True, False], [False, False, True]])
    # In no order of time: the first is on channel 2 alone.
    frames, channels = np.array([5010, 110]), np.array([2, 0])
    missed = unexplained_peaks(peaks, frames, channels, np.zeros(2, int), nearby, reach=15)
    assert missed.tolist() == [False, True, False, True, True]


def test_peaks_of_another_segment_are_not_explained():
    peaks = np.zeros(1, dtype=base_peak_dtype)
    missed = unexplained_peaks(
        peaks, np.zeros(1, int), np.zeros(1, int), np.ones(1, int), np.ones((1, 1), bool), reach=9
    )
    assert missed.tolist() == [True]


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
