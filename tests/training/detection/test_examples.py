"""Labels of candidates: one candidate of each spike, none of its flanks."""

import numpy as np

from si_deepsort.detection.candidates import Candidates
from si_deepsort.training.detection.examples import classify_candidates

FREQUENCY = 30_000.0
# Two units on three channels: the first is largest on channel 0, the second on channel 2.
SIZES = np.array([[20.0, 13.0, 4.0], [2.0, 5.0, 10.0]], dtype="float32")


def classes_of(frames, channels, times, units):
    frames, channels = np.array(frames, dtype=int), np.array(channels, dtype=int)
    ones = np.ones(len(frames), dtype="float32")
    candidates = Candidates(frames, channels, 8 * ones, ones, np.zeros((len(frames), 3), "float32"))
    return classify_candidates(candidates, np.array(times), np.array(units), SIZES, FREQUENCY)


def test_the_candidate_on_the_largest_channel_is_the_spike_and_others_are_unclear_or_none():
    classes, spikes = classes_of([1000, 1001, 1002], [1, 0, 2], [1000], [0])
    np.testing.assert_array_equal(classes, [-1, 1, 0])
    np.testing.assert_array_equal(spikes, [-1, 0, -1])


def test_candidates_away_in_time_are_none():
    classes, _ = classes_of([980, 1000, 1030], [0, 0, 0], [1000], [0])
    np.testing.assert_array_equal(classes, [0, 1, 0])


def test_each_of_two_spikes_at_once_has_its_candidate():
    classes, spikes = classes_of([1000, 1003], [0, 2], [1000, 1002], [0, 1])
    np.testing.assert_array_equal(classes, [1, 1])
    np.testing.assert_array_equal(spikes, [0, 1])


def test_no_candidates_and_no_spikes_do_no_harm():
    classes, _ = classes_of([], [], [1000], [0])
    assert len(classes) == 0
    classes, _ = classes_of([1000], [0], np.zeros(0, int), np.zeros(0, int))
    np.testing.assert_array_equal(classes, [0])
