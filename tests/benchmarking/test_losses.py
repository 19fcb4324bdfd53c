"""The loss budget counts what was done to the spikes: each kind of loss is made on purpose, and found again."""

import numpy as np
import pytest

from si_deepsort.benchmarking.losses import FATES, KINDS, step_losses

FREQUENCY = 30_000.0
NEAR = np.ones((3, 3), dtype=bool)


@pytest.fixture
def truth():
    """Three units of 400 spikes at least 3 ms apart, in a random order."""
    rng = np.random.default_rng(0)
    frames = np.cumsum(rng.integers(90, 2000, 1200)) + 100
    return frames, rng.permutation(np.arange(1200) % 3)


def losses(truth, frames, units):
    order = np.argsort(frames, kind="stable")
    return step_losses(*truth, frames[order], units[order], is_near=NEAR, sampling_frequency=FREQUENCY)


def kinds(result):
    return [KINDS[kind] for kind in result.kind]


def test_every_spike_of_the_truth_is_found_in_it(truth):
    result = losses(truth, *truth)
    assert result.fates()["found"] == 1200 and kinds(result) == ["match"] * 3
    assert result.num_fragments == 0
    assert (result.num_doubled, result.num_unexplained) == (0, 0)
    np.testing.assert_array_equal(result.accuracy, 1.0)


def test_units_may_be_late_by_a_lag_of_their_own_and_have_other_numbers(truth):
    frames, units = truth
    result = losses(truth, frames + np.array([-20, 7, 31])[units], 2 - units)
    assert result.fates()["found"] == 1200
    np.testing.assert_array_equal(result.main, [2, 1, 0])


def test_spikes_left_out_are_missed(truth):
    frames, units = truth
    kept = np.arange(1200) % 4 > 0
    result = losses(truth, frames[kept], units[kept])
    assert result.fates() == dict(found=900, split=0, collision=0, absorbed=0, missed=300)
    assert result.accuracy == pytest.approx([(kept & (units == unit)).sum() / 400 for unit in range(3)])


def test_no_spikes_at_all_are_all_missed(truth):
    result = losses(truth, np.zeros(0, dtype=int), np.zeros(0, dtype=int))
    assert result.fates()["missed"] == 1200 and len(result.kind) == 0


def test_split_unit(truth):
    frames, units = truth
    halves = np.where((units == 0) & (np.arange(1200) % 5 == 0), 3, units)
    result = losses(truth, frames, halves)
    assert result.fates()["split"] == (halves == 3).sum() and kinds(result)[3] == "split" and result.num_fragments == 1


def test_absorbed_spikes_and_merged_units(truth):
    frames, units = truth
    some = np.where((units == 0) & (np.arange(1200) % 10 == 0), 1, units)
    result = losses(truth, frames, some)
    assert result.fates()["absorbed"] == (some != units).sum() and kinds(result)[1] == "match"
    assert result.absorber[0] == 1 and result.num_absorbed[0] == (some != units).sum()
    merged = losses(truth, frames, np.zeros(1200, dtype=int))
    assert kinds(merged) == ["merge"] and merged.num_fragments == 0
    assert merged.fates()["absorbed"] == 800


def test_collisions_that_are_kept_as_a_unit(truth):
    frames, units = truth
    pair = np.flatnonzero(units == 0)[::4]
    joined = (np.concatenate([frames, frames[pair] + 9]), np.concatenate([units, np.ones(len(pair), dtype=int)]))
    order = np.argsort(joined[0], kind="stable")
    joined = joined[0][order], joined[1][order]
    # Where both fire, one spike of a third unit stands for the two.
    is_pair = np.isin(joined[0], frames[pair])
    is_second = np.isin(joined[0], frames[pair] + 9) & (joined[1] == 1)
    found_units = np.where(is_pair, 3, joined[1])[~is_second]
    result = losses(joined, joined[0][~is_second], found_units)
    assert kinds(result) == ["match", "match", "match", "collision"] and result.num_fragments == 1
    assert result.fates()["collision"] >= len(pair)


def test_doubled_and_invented_spikes(truth):
    frames, units = truth
    doubled = np.arange(0, 1200, 12)
    noise = np.random.default_rng(1).integers(0, frames[-1], 50)
    noise = noise[np.abs(noise[:, None] - frames).min(axis=1) > 40]
    all_frames = np.concatenate([frames, frames[doubled] + 8, noise])
    all_units = np.concatenate([units, units[doubled], np.zeros(len(noise), dtype=int)])
    result = losses(truth, all_frames, all_units)
    assert (result.num_doubled, result.num_unexplained) == (len(doubled), len(noise))
    assert result.fates()["found"] == 1200


def test_far_neurons_absorb_nothing(truth):
    frames, units = truth
    order = np.argsort(frames)
    result = step_losses(
        *truth,
        frames[order],
        np.where(units == 0, 1, units)[order],
        is_near=np.eye(3, dtype=bool),
        sampling_frequency=FREQUENCY,
    )
    assert result.fates()["absorbed"] == 0 and result.fates()["missed"] == 400


def test_fates_are_named_from_best_to_worst():
    assert FATES[0] == "found" and FATES[-1] == "missed"
