"""Known units beside those that the sorter finds: which are the same, which are new, which are absent."""

import numpy as np
import pytest

from si_deepsort.sorter.units.known import KnownUnits, _are_present, join_known
from si_deepsort.sorter.units.templates import UnitTemplates

NUM_SAMPLES, NUM_CHANNELS = 60, 6


def make_templates(seed=0, num_units=4):
    """Templates of distinct shapes on different channels."""
    rng = np.random.default_rng(seed)
    time = np.arange(NUM_SAMPLES)
    values = np.zeros((num_units, NUM_SAMPLES, NUM_CHANNELS), dtype="float32")
    for unit in range(num_units):
        for channel in range(unit % 3, unit % 3 + 3):
            width = rng.uniform(2, 5)
            values[unit, :, channel] = rng.normal(0, 8) * np.exp(-(((time - 25) / width) ** 2))
    return values


def as_found(values, num_spikes=200):
    return UnitTemplates(values, 25, np.full(len(values), num_spikes), np.full(NUM_CHANNELS, 12.0))


def as_known(values, num_spikes=20, seed=1):
    """As measured from some labelled spikes: with the noise that their average has."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(values.shape) * np.sqrt(12 / NUM_SAMPLES / num_spikes) * np.any(values, axis=1)[:, None]
    return KnownUnits((values + noise).astype("float32"), np.full(len(values), num_spikes), np.ones(len(values)))


def error(values, expected):
    return float(np.sum((values - expected) ** 2))


@pytest.mark.parametrize("lag", [-4, 0, 5])
def test_known_units_take_what_was_found_of_them_and_the_rest_is_new(lag):
    values = make_templates()
    known = as_known(values[:3])
    found = as_found(np.roll(values[[3, 1]], lag, axis=1))
    joined, factors = join_known(known, found, merge_distance=3.75)
    assert len(joined) == len(factors) == 4
    np.testing.assert_array_equal(joined[[0, 2]], known.values[[0, 2]])
    np.testing.assert_array_equal(joined[3], found.values[0])
    assert error(joined[1], values[1]) < error(known.values[1], values[1])


def test_two_found_units_are_never_one_known_unit():
    values = make_templates()
    found = as_found(np.concatenate([values[:1], 1.01 * values[:1]]))
    joined, _ = join_known(as_known(values[:1]), found, merge_distance=3.75)
    assert len(joined) == 2


def test_without_found_or_without_known_units():
    values = make_templates()
    known = as_known(values)
    np.testing.assert_array_equal(join_known(known, as_found(values[:0]), merge_distance=3.75)[0], known.values)
    none = KnownUnits(values[:0], np.zeros(0, int), np.zeros(0))
    np.testing.assert_array_equal(join_known(none, as_found(values), merge_distance=3.75)[0], values)


def test_thresholds_stay_with_their_units():
    values = make_templates()
    known = as_known(values[:2])
    known = KnownUnits(known.values, known.num_spikes, np.array([0.5, 2.0]))
    _, factors = join_known(known, as_found(values[2:]), merge_distance=3.75)
    np.testing.assert_array_equal(factors, [0.5, 2.0, 1.0, 1.0])


def test_a_known_unit_is_absent_if_its_spikes_lack_its_waveform():
    values = make_templates()
    averages = values.copy()
    averages[1] *= 0.5
    averages[2] = 0
    averages[0] = np.roll(averages[0], 3, axis=0)
    present = _are_present(as_found(averages), as_known(values[:3], num_spikes=1000))
    np.testing.assert_array_equal(present, [True, False, False, True])
