"""A population as a whole: its rates, its bursts, and knobs that leave all other draws as they were."""

from dataclasses import replace

import numpy as np
import pytest

from si_deepsort.generation import GenerationSettings, SpikeStatistics, draw_population, population

WHERE = np.stack([np.zeros(10), 30.0 * np.arange(10)], axis=1)
EVEN = SpikeStatistics(
    theta_depth=0.0,
    gamma_depth=0.0,
    up_down_depth=0.0,
    amplitude_sd=0.0,
    slow_amplitude_sd=0.0,
    shape_change_sd=0.0,
    log_rate_sd=0.0,
)
SETTINGS = GenerationSettings(
    duration_s=200.0, firing_rate_min=5.0, firing_rate_max=5.0, burst_fraction=0.0, synchrony=0.0, statistics=EVEN
)


def test_everything_off_gives_equal_spikes_at_the_rate():
    drawn = draw_population(WHERE, SETTINGS)
    assert (drawn.amplitudes == 1).all() and drawn.widening is None
    counts = drawn.sorting.count_num_spikes_per_unit(outputs="array")
    np.testing.assert_allclose(counts / 200, 5.0, rtol=0.15)


def test_bursting_units_have_the_same_rate_and_spikes_that_shrink():
    drawn = draw_population(WHERE, replace(SETTINGS, burst_fraction=0.5))
    counts = drawn.sorting.count_num_spikes_per_unit(outputs="array")
    np.testing.assert_allclose(counts / 200, 5.0, rtol=0.25)
    spikes = drawn.sorting.to_spike_vector()
    smallest = np.array([drawn.amplitudes[spikes["unit_index"] == unit].min() for unit in range(10)])
    assert (smallest == 1).sum() == 5
    assert smallest[smallest < 1] == pytest.approx(0.85**3, abs=1e-6)
    deep = replace(EVEN, deep_burst_share=1.0)
    drawn = draw_population(WHERE, replace(SETTINGS, burst_fraction=1.0, statistics=deep))
    assert drawn.amplitudes.min() == 0.5


def test_a_knob_leaves_the_other_draws_as_they_were():
    before = draw_population(WHERE, SETTINGS)
    wider = draw_population(WHERE, replace(SETTINGS, statistics=replace(EVEN, shape_change_sd=0.1, amplitude_sd=0.1)))
    np.testing.assert_array_equal(before.sorting.to_spike_vector(), wider.sorting.to_spike_vector())
    assert wider.widening.std() == pytest.approx(0.1, rel=0.4)
    assert wider.amplitudes.std() == pytest.approx(0.1, rel=0.05)
    together = draw_population(WHERE, replace(SETTINGS, synchrony=0.3))
    for unit in before.sorting.unit_ids:
        alone = before.sorting.get_unit_spike_train(unit)
        assert np.isin(alone, together.sorting.get_unit_spike_train(unit)).mean() > 0.95


def test_seed_decides():
    first, again = (draw_population(WHERE, SETTINGS).sorting.to_spike_vector() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = draw_population(WHERE, replace(SETTINGS, seed=1)).sorting.to_spike_vector()
    assert len(first) != len(other) or (first != other).any()


def test_units_start_stop_and_fade():
    changing = replace(EVEN, start_share=0.3, stop_share=0.3, fade_share=1.0, fade_to=0.5)
    drawn = draw_population(WHERE, replace(SETTINGS, statistics=changing))
    trains = [drawn.sorting.get_unit_spike_train(unit) / 30_000 for unit in drawn.sorting.unit_ids]
    assert sum(train[0] > 45 for train in trains) == 3 and sum(train[-1] < 155 for train in trains) == 3
    spikes = drawn.sorting.to_spike_vector()
    late = spikes["sample_index"] > 195 * 30_000
    assert np.abs(drawn.amplitudes[late] - 0.5).max() < 0.05


def test_amplitudes_are_in_the_order_of_the_spike_vector():
    times = [np.array([1.0, 3.0]), np.array([2.0])]
    sorting, amplitudes = population.to_sorting(
        times, [np.array([0.1, 0.3]), np.array([0.2])], duration_s=4.0, sampling_frequency=1000.0
    )
    np.testing.assert_array_equal(sorting.to_spike_vector()["sample_index"], [1000, 2000, 3000])
    np.testing.assert_allclose(amplitudes, [0.1, 0.2, 0.3], rtol=1e-6)


@pytest.mark.parametrize("num_units", [0, 1])
def test_small_populations(num_units):
    drawn = draw_population(WHERE[:num_units], GenerationSettings(duration_s=2.0))
    assert len(drawn.sorting.unit_ids) == num_units and len(drawn.amplitudes) == len(drawn.sorting.to_spike_vector())
