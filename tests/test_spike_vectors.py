"""Spike vectors: order, times over segments, new labels, doubles; inputs stay as they are."""

import numpy as np
import pytest

from si_deepsort.spike_vectors import (
    absolute_times,
    apart_from,
    consecutive_labels,
    in_order,
    main_channels,
    make_spike_vector,
    relabelled,
    some_of_each,
    trains_of,
    without_doubles,
)


@pytest.fixture
def spikes():
    """Random spikes of 4 units in 3 segments."""
    rng = np.random.default_rng(0)
    return make_spike_vector(rng.integers(0, 500, 300), rng.integers(0, 4, 300), rng.integers(0, 3, 300))


def test_spikes_are_sorted_by_segment_then_sample_then_unit(spikes):
    rows = [(spike["segment_index"], spike["sample_index"], spike["unit_index"]) for spike in spikes]
    assert rows == sorted(rows)
    np.testing.assert_array_equal(in_order(spikes[np.random.default_rng(1).permutation(len(spikes))]), spikes)


def test_absolute_times_keep_lags_within_a_segment_and_part_segments(spikes):
    times = absolute_times(spikes)
    is_same_segment = np.diff(spikes["segment_index"]) == 0
    np.testing.assert_array_equal(np.diff(times)[is_same_segment], np.diff(spikes["sample_index"])[is_same_segment])
    assert np.all(np.diff(times)[~is_same_segment] > 10**9)


def test_trains_hold_the_times_of_their_unit(spikes):
    trains = trains_of(spikes, 6)
    assert len(trains) == 6 and len(trains[5]) == 0
    for unit, train in enumerate(trains):
        np.testing.assert_array_equal(train, absolute_times(spikes[spikes["unit_index"] == unit]))


def test_relabelled_spikes_move_with_their_unit_and_the_input_stays(spikes):
    before = spikes.copy()
    labels, shifts = np.array([1, -1, 0, 1]), np.array([0, 5, -7, 3])
    found = relabelled(spikes, labels, shifts)
    expected = {
        (segment, sample + shifts[unit], labels[unit]) for sample, unit, segment in spikes.tolist() if labels[unit] >= 0
    }
    assert {(segment, sample, unit) for sample, unit, segment in found.tolist()} == expected
    np.testing.assert_array_equal(found, in_order(found))
    np.testing.assert_array_equal(spikes, before)
    np.testing.assert_array_equal(relabelled(spikes, np.arange(4)), spikes)


@pytest.mark.parametrize(
    ("labels", "expected"), [([3, -1, 7, 3], [0, -1, 1, 0]), ([5, 2], [1, 0]), ([-1, -1], [-1, -1]), ([], [])]
)
def test_labels_become_consecutive_in_their_order(labels, expected):
    assert consecutive_labels(np.array(labels, dtype=int)).tolist() == expected


def test_no_two_spikes_of_a_unit_are_closer_than_the_reach(spikes):
    kept = without_doubles(spikes, 3)
    for train in trains_of(kept, 4):
        assert np.diff(train).min() > 3
    # The first spike of a unit in a segment is never a double.
    firsts = {(segment, unit): sample for sample, unit, segment in spikes[::-1].tolist()}
    kept_rows = set(kept.tolist())
    assert all((sample, unit, segment) in kept_rows for (segment, unit), sample in firsts.items())
    np.testing.assert_array_equal(without_doubles(kept, 3), kept)


def test_main_channel_is_that_of_the_largest_absolute_value():
    templates = np.zeros((2, 10, 4))
    templates[0, 3, 2], templates[0, 4, 1], templates[1, 9, 3] = -5.0, 4.0, 1.0
    assert main_channels(templates).tolist() == [2, 3]
    assert len(main_channels(templates[:0])) == 0


def test_some_of_each_takes_no_more_than_asked_for():
    units = np.array([0, 1, 1, 1, 2, 1, 0])
    chosen = some_of_each(units, 2, seed=0)
    assert np.bincount(units[chosen]).tolist() == [2, 2, 1] and np.all(np.diff(chosen) > 0)


def test_spikes_apart_from_others_are_those_without_a_neighbour_in_their_segment(spikes):
    own = spikes[spikes["unit_index"] == 1]
    others = make_spike_vector([100, 250], [1, 2], [0, 0])
    kept = apart_from(own, others, 20)
    is_near = (own["segment_index"] == 0) & (np.abs(own["sample_index"] - 100) <= 20)
    assert is_near.any()
    np.testing.assert_array_equal(kept, own[~is_near])
    assert len(apart_from(own[:0], others, 20)) == 0
