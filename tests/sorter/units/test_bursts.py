"""Large and small spikes of a neuron whose spikes shrink in bursts are one unit; other neurons are not."""

import numpy as np
import pytest
from unit_scenes import SAMPLING_FREQUENCY, as_templates, padded_templates

from si_deepsort.sorter.units.bursts import burst_parts, come_first

REACH = np.array([66.0, 1266.0])


def bursts(num_bursts=150, jitter=30, seed=0):
    """Trains of the large and of the small spikes of bursts of four spikes, 7 ms apart, in 60 s."""
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.integers(1000, 1_190_000, num_bursts))
    places = starts[:, None] + 140 * np.arange(4) + rng.integers(-jitter, jitter, (num_bursts, 4))
    return np.sort(places[:, :2].ravel()), np.sort(places[:, 2:].ravel())


def joined(values, trains):
    return burst_parts(as_templates(values), [*map(np.sort, trains)], sampling_frequency=SAMPLING_FREQUENCY)


@pytest.mark.parametrize("doubles", [0, 60])
def test_small_spikes_that_come_after_large_ones_join_them(doubles):
    values, (large, small) = padded_templates(1)[0], bursts()
    # Some large spikes are found twice: the units do not avoid each other.
    small = np.sort(np.concatenate([small, large[:doubles] + 2]))
    representative, shift = joined([values, 0.45 * values], [large, small])
    assert representative.tolist() == [0, 0] and shift.tolist() == [0, 0]


def test_a_chain_of_parts_becomes_one_unit_whose_spike_times_agree():
    values = padded_templates(1)[0]
    rng = np.random.default_rng(0)
    starts = np.sort(rng.integers(1000, 1_190_000, 200))
    trains = [starts + 140 * part for part in range(3)]
    late = np.pad(values, ((20, 0), (0, 0)))[: len(values)]
    representative, shift = joined([values, 0.7 * values, 0.4 * late], trains)
    assert representative.tolist() == [0, 0, 0] and shift.tolist() == [0, 0, 20]


def test_small_parts_that_take_turns_join_the_large_one_that_only_one_of_them_resembles():
    one, other = padded_templates(2, amplitude=30.0)
    other *= np.linalg.norm(one) / np.linalg.norm(other)
    assert abs(np.sum(one * other)) < 0.1 * np.sum(one**2)
    values = [one, 0.5 * (0.82 * one + 0.57 * other), 0.4 * (0.34 * one + 0.94 * other)]
    large, small = bursts()
    turns = np.random.default_rng(7).random(len(small)) < 0.5
    assert joined(values, [large, small[turns], small[~turns]])[0].tolist() == [0, 0, 0]
    # By itself, the last one has another shape.
    assert joined([values[0], values[2]], [large, small])[0].tolist() == [0, 1]


def test_no_unit_joins_one_of_another_shape():
    one, other = padded_templates(2, amplitude=30.0)
    assert joined([one, 0.45 * other], bursts())[0].tolist() == [0, 1]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_neurons_that_fire_together_stay_two(share):
    rng = np.random.default_rng(3)
    one, other = (np.sort(rng.integers(1000, 1_190_000, 400)) for _ in range(2))
    copied = rng.choice(one, round(share * len(one)), replace=False) + rng.integers(-16, 17, round(share * len(one)))
    other = np.sort(np.concatenate([other[: len(other) - len(copied)], copied]))
    values = padded_templates(1)[0]
    assert joined([values, 0.45 * values], [one, other])[0].tolist() == [0, 1]


def test_large_spikes_that_come_last_are_another_neuron():
    large, small = bursts()
    values = padded_templates(1)[0]
    assert joined([values, 0.45 * values], [small, large])[0].tolist() == [0, 1]


def test_bursts_of_two_neurons_at_the_same_times_stay_two():
    rng = np.random.default_rng(5)
    starts = np.sort(rng.integers(1000, 1_190_000, 200))
    one, other = (np.sort((starts[:, None] + rng.integers(0, 1000, (200, 3))).ravel()) for _ in range(2))
    assert not come_first(one, other, REACH) and not come_first(other, one, REACH)


def test_order_of_few_spikes_is_no_evidence():
    assert not come_first(np.array([1000, 50_000]), np.array([1200, 50_200]), REACH)
    assert not come_first(np.zeros(0, int), np.zeros(0, int), REACH)
