"""Spike trains have the rates, intervals, rhythms and bursts that were asked for; each knob can be 0."""

import numpy as np
import pytest

from si_deepsort.generation import trains

PLAIN = dict(refractory_ms=2.0, regularity=0.5)
BURSTS = dict(probability=0.2, most_extra=3, interval_min_ms=4.0, interval_max_ms=10.0)


def rng():
    return np.random.default_rng(7)


def test_rates_are_lognormal_between_their_limits():
    rates = trains.lognormal_rates(20_000, rng(), rate_min=0.1, rate_max=100.0, log_rate_sd=1.0)
    assert rates.min() >= 0.1 and rates.max() <= 100.0
    logarithm = np.log(rates)
    assert logarithm.mean() == pytest.approx(np.log(np.sqrt(0.1 * 100)), abs=0.03)
    assert logarithm.std() == pytest.approx(1.0, abs=0.03)
    assert np.mean(((logarithm - logarithm.mean()) / logarithm.std()) ** 3) == pytest.approx(0.0, abs=0.05)


def test_rates_without_spread_are_all_the_median():
    np.testing.assert_allclose(trains.lognormal_rates(5, rng(), rate_min=1.0, rate_max=9.0, log_rate_sd=0.0), 3.0)


@pytest.mark.parametrize("regularity", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("rate", [0.5, 20.0, 100.0])
def test_intervals_are_gamma_distributed_beyond_the_refractory_period(rate, regularity):
    times = trains.gamma_train(rate, 20_000 / rate, rng(), refractory_ms=2.0, regularity=regularity)
    intervals = np.diff(times)
    assert len(times) * rate / 20_000 == pytest.approx(rate, rel=0.05)
    assert intervals.min() >= 0.002
    assert intervals.std() / (intervals.mean() - 0.002) == pytest.approx(1 / np.sqrt(1 + regularity), rel=0.05)


def test_no_refractory_period_and_no_regularity_is_poisson():
    times = trains.gamma_train(50.0, 400.0, rng(), refractory_ms=0.0, regularity=0.0)
    counts = np.histogram(times, np.arange(0, 400.1, 0.5))[0]
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.2)
    assert np.diff(times).min() < 0.0005


def test_rate_that_leaves_no_room_is_refused():
    with pytest.raises(ValueError, match="no room"):
        trains.gamma_train(600.0, 1.0, rng(), **PLAIN)


@pytest.mark.parametrize("depths", [(0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.5)])
def test_rhythms_have_their_frequencies_and_leave_the_mean_rate(depths):
    factor = trains.rate_modulation(60.0, rng(), **dict(zip(("theta", "gamma", "up_down"), depths, strict=True)))
    assert factor.mean() == pytest.approx(1.0)
    assert factor.min() >= 0.0
    power = np.abs(np.fft.rfft(factor - 1)) ** 2
    frequencies = np.fft.rfftfreq(len(factor), trains.MODULATION_STEP_S)
    total = max(power.sum(), 1e-12)
    bands = [(6, 10), (36, 44), (0, 4)]
    shares = [power[(frequencies >= low) & (frequencies < high)].sum() / total for low, high in bands]
    for share, depth in zip(shares, depths, strict=True):
        assert (share > 0.6) == (depth > 0)


def test_trains_follow_the_modulation():
    modulation = trains.rate_modulation(200.0, rng(), theta=0.0, gamma=0.0, up_down=1.0)
    times = trains.gamma_train(30.0, 200.0, rng(), modulation=modulation, **PLAIN)
    at_spikes = modulation[(times / trains.MODULATION_STEP_S).astype(int)]
    assert np.mean(at_spikes == 0) < 0.01 < 0.2 < np.mean(modulation == 0)
    assert len(times) / 200 == pytest.approx(30.0, rel=0.1)
    assert np.diff(times).min() >= 0.002


def test_bursts_have_their_share_sizes_and_intervals():
    starts = np.arange(1, 20_001) * 1.0
    times, position = trains.add_bursts(starts, rng(), **BURSTS)
    assert (np.diff(times) > 0).all() and (position == 0).sum() == len(starts)
    counts = np.bincount(position)
    assert counts[1] / len(starts) == pytest.approx(0.2, abs=0.01)
    assert counts[2:] / counts[1] == pytest.approx([2 / 3, 1 / 3], abs=0.03)
    within_ms = 1000 * np.diff(times)[position[1:] > 0]
    assert 4.0 <= within_ms.min() + 1e-6 and within_ms.max() <= 10.0 + 1e-6


@pytest.mark.parametrize("off", [dict(probability=0.0), dict(most_extra=0)])
def test_bursts_can_be_turned_off(off):
    starts = np.sort(rng().uniform(0, 10, 50))
    times, position = trains.add_bursts(starts, rng(), **{**BURSTS, **off})
    np.testing.assert_array_equal(times, starts)
    assert not position.any()


def test_spikes_within_the_refractory_period_of_the_last_kept_one_go():
    kept = trains.after_refractory(np.array([0.0, 1.0, 1.9, 2.5, 4.4, 9.0]), 2.0)
    np.testing.assert_array_equal(kept, [True, False, False, True, False, True])
    assert trains.after_refractory(np.zeros(0), 2.0).shape == (0,)
