"""Scores of sortings whose worth is known: perfect, empty, a fifth dropped, labels swapped; and their intervals."""

import numpy as np
import pytest
import spikeinterface.core as si

from si_deepsort.benchmarking.score import (
    bootstrap_interval,
    check_ground_truth,
    mean_by_snr,
    paired_difference,
    score_sorting,
)

NUM_SPIKES = 200


@pytest.fixture
def truth():
    frames = {str(unit): 500 * np.arange(1, NUM_SPIKES + 1) + 90 * unit for unit in range(4)}
    sorting = si.NumpySorting.from_unit_dict([frames], 30_000)
    sorting.set_property("gt_snr", np.array([3.0, 6.0, 10.0, 12.0]))
    return sorting


def altered(truth, change):
    trains = {unit: truth.get_unit_spike_train(unit) for unit in truth.unit_ids}
    return si.NumpySorting.from_unit_dict([change(trains)], truth.get_sampling_frequency())


@pytest.mark.slow
def test_perfect_sorting_scores_one(truth):
    score = score_sorting(truth, altered(truth, lambda trains: trains))
    assert score["mean_accuracy"] == 1.0
    assert score["counts"] == dict(
        num_units=4,
        num_well_detected=4,
        num_lost_large=0,
        num_false_positive=0,
        num_fragments=0,
        num_redundant=0,
        num_overmerged=0,
        num_overmerged_large=0,
    )


def test_empty_sorting_scores_zero(truth):
    for empty in ({}, {"a": np.array([], dtype="int64")}):
        score = score_sorting(truth, si.NumpySorting.from_unit_dict([empty], 30_000))
        assert score["mean_accuracy"] == 0.0
        assert set(score["units"]["recall"]) == {0.0}


def test_dropped_spikes_lower_recall_and_accuracy_alone(truth):
    def drop(trains):
        return {unit: np.delete(frames, np.s_[::5]) for unit, frames in trains.items()}

    score = score_sorting(truth, altered(truth, drop))
    for name, expected in (("accuracy", 0.8), ("recall", 0.8), ("precision", 1.0)):
        np.testing.assert_allclose(score["units"][name], expected)


def test_added_spikes_lower_precision(truth):
    def add(trains):
        return {unit: np.sort(np.r_[frames, frames[::4] + 250]) for unit, frames in trains.items()}

    score = score_sorting(truth, altered(truth, add))
    np.testing.assert_allclose(score["units"]["precision"], 0.8)
    np.testing.assert_allclose(score["units"]["recall"], 1.0)


def test_names_of_units_do_not_matter(truth):
    renamed = altered(truth, lambda trains: dict(zip("dcba", reversed(trains.values()), strict=True)))
    assert score_sorting(truth, renamed)["mean_accuracy"] == 1.0


def test_labels_swapped_between_two_units(truth):
    """A fifth of the spikes of two units carry the other's label: hits / (hits + misses + false) = 160 / 240."""

    def swap(trains):
        a, b = trains["0"], trains["1"]
        is_swapped = np.arange(NUM_SPIKES) % 5 == 0
        mixed = {"0": np.sort(np.where(is_swapped, b, a)), "1": np.sort(np.where(is_swapped, a, b))}
        return {**trains, **mixed}

    accuracy = score_sorting(truth, altered(truth, swap))["units"]["accuracy"]
    np.testing.assert_allclose(accuracy, [160 / 240, 160 / 240, 1.0, 1.0], atol=1e-3)


def test_kinds_of_bad_units_are_told_apart(truth):
    def spoil(trains):
        merged = np.sort(np.r_[trains["2"], trains["3"]])
        halves = {"half a": trains["0"][::2], "half b": trains["0"][1::2]}
        return {**halves, "1": trains["1"], "merged": merged, "noise": 333 * np.arange(1, 50) + 40}

    counts = score_sorting(truth, altered(truth, spoil))["counts"]
    assert counts["num_false_positive"] == 1
    assert counts["num_redundant"] >= 1
    assert counts["num_overmerged"] == counts["num_overmerged_large"] == 1


def test_large_units_that_are_lost_are_counted(truth):
    counts = score_sorting(truth, altered(truth, lambda trains: {"0": trains["0"], "2": trains["2"]}))["counts"]
    assert counts["num_lost_large"] == 1
    empty = si.NumpySorting.from_unit_dict([{}], 30_000)
    assert score_sorting(truth, empty)["counts"]["num_lost_large"] == 2
    truth.delete_property("gt_snr")
    assert score_sorting(truth, empty)["counts"]["num_lost_large"] is None


def test_false_units_made_of_one_neuron_are_fragments(truth):
    def spoil(trains):
        piece, noise = trains["0"][::20], 333 * np.arange(1, 50) + 40
        return {**trains, "piece": piece, "noise": noise}

    counts = score_sorting(truth, altered(truth, spoil))["counts"]
    assert (counts["num_false_positive"], counts["num_fragments"]) == (2, 1)


def test_incomplete_truth_calls_nothing_false(truth):
    extended = altered(truth, lambda trains: {**trains, "unknown": 700 * np.arange(1, 100) + 300})
    assert score_sorting(truth, extended)["counts"]["num_false_positive"] == 1
    truth.annotate(exhaustive_gt=False)
    assert score_sorting(truth, extended)["counts"]["num_false_positive"] is None


def test_interval_holds_the_mean_and_shrinks():
    rng = np.random.default_rng(0)
    few, many = rng.random(10), rng.random(1000)
    for values in (few, many):
        low, high = bootstrap_interval(values)
        assert low < values.mean() < high
    assert np.diff(bootstrap_interval(many)) < np.diff(bootstrap_interval(few))
    assert bootstrap_interval([0.3]) == (0.3, 0.3)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [bootstrap_interval(rng.normal(0.5, 0.2, 40), seed=seed) for seed in range(150)]
    assert np.mean([low < 0.5 < high for low, high in intervals]) > 0.85


def test_paired_difference_sees_what_pooled_intervals_hide():
    accuracy = np.linspace(0, 1, 30)
    result = paired_difference(accuracy + 0.06, accuracy)
    assert result["low"] > 0 and result["difference"] == pytest.approx(0.06)
    assert result["num_better"] == 30 and result["num_worse"] == 0
    assert paired_difference(accuracy, accuracy)["high"] == 0.0


def test_mean_by_snr_leaves_empty_groups_out():
    groups = mean_by_snr([0.2, 0.4, 1.0], [3.0, 4.0, 9.0])
    assert groups["snr_under_5"] == pytest.approx(0.3)
    assert groups["snr_5_to_8"] is None and groups["snr_above_8"] == 1.0


def test_ground_truth_that_does_not_fit_is_refused(truth):
    recording = si.generate_recording(num_channels=4, durations=[5.0], sampling_frequency=30_000)
    check_ground_truth(recording, truth)
    no_probe = si.NumpyRecording([np.zeros((200_000, 2), dtype="float32")], 30_000)
    empty = si.NumpySorting.from_unit_dict([{}], 30_000)
    wrong = [
        (recording, None, "no ground truth"),
        (recording, empty, "no ground truth"),
        (no_probe, truth, "no probe"),
        (recording.frame_slice(start_frame=0, end_frame=9000), truth, "another recording"),
        (si.generate_recording(num_channels=4, durations=[5.0], sampling_frequency=20_000), truth, "30000 Hz"),
        (si.generate_recording(num_channels=4, durations=[5.0, 5.0], sampling_frequency=30_000), truth, "segments"),
    ]
    for bad_recording, bad_sorting, message in wrong:
        with pytest.raises(ValueError, match=message):
            check_ground_truth(bad_recording, bad_sorting)
