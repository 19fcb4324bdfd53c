"""Spikes of injected units: rates, refractoriness, synchrony, and segments."""

import numpy as np
import pytest

from si_deepsort.stress.settings import StressTestSettings
from si_deepsort.stress.spikes import draw_unit_spikes, follow_partner, rate_limits

RATE = 30_000.0


def drawn(segment_frames=(900_000, 300_000), num_units=6, seed=0, other=(), rates=None, **settings):
    locations = np.stack([np.zeros(num_units), 40.0 * np.arange(num_units)], axis=1)
    return draw_unit_spikes(
        locations,
        StressTestSettings(**settings),
        np.random.default_rng(seed),
        segment_frames=np.array(segment_frames),
        sampling_frequency=RATE,
        rates=rates,
        other_trains_s=list(other),
        other_locations_um=np.zeros((len(other), 2)),
    )


def test_spikes_lie_inside_their_segments_and_keep_the_refractory_period():
    spikes = drawn()
    assert set(spikes.segment_indices) == {0, 1}
    for segment, length in enumerate((900_000, 300_000)):
        own = spikes.segment_indices == segment
        assert (spikes.frames[own] > 0).all() and (spikes.frames[own] < length).all()
        for unit in range(6):
            train = spikes.frames[own & (spikes.unit_indices == unit)]
            assert (np.diff(train) > 0.0019 * RATE).all()


def test_mean_amplitudes_are_1_so_that_the_snr_is_that_of_the_mean_spike():
    spikes = drawn(burst_fraction=1.0)
    for unit in range(6):
        assert spikes.amplitudes[spikes.unit_indices == unit].mean() == pytest.approx(1.0, abs=0.02)


def test_rates_lie_in_their_limits_and_rise_in_short_recordings():
    settings = StressTestSettings(firing_rate_min=1.0, firing_rate_max=20.0)
    assert rate_limits(settings, 600.0) == (1.0, 20.0)
    low, high = rate_limits(settings, 2.0)
    assert low * 2.0 >= 15 - 1e-9 and high >= low
    counts = np.bincount(drawn((6_000_000,), firing_rate_min=1.0, firing_rate_max=20.0, synchrony=0.0).unit_indices)
    assert (counts / 200.0 > 0.5).all() and (counts / 200.0 < 30.0).all()


def test_units_fire_as_fast_as_asked_for():
    rates = np.array([0.01, 1.0, 4.0, 10.0, 25.0, 50.0])
    counts = np.bincount(drawn((6_000_000,), rates=rates, burst_fraction=0.0, synchrony=0.0).unit_indices)
    assert counts[0] >= 3, "but not so slowly that chance decides about 15 expected spikes"
    np.testing.assert_allclose(counts[1:] / 200.0, rates[1:], rtol=0.3)


def test_a_share_of_the_spikes_comes_with_the_partner():
    rng = np.random.default_rng(0)
    own, partner = (np.sort(rng.uniform(0, 100, 2000)) for _ in range(2))
    times, sizes = follow_partner(own, np.ones(2000), partner, rng, share=0.25, refractory_ms=2.0, amplitude_sd=0.1)
    gap = np.abs(times[:, None] - partner).min(axis=1)
    by_chance = (np.abs(own[:, None] - partner).min(axis=1) < 0.0008).mean()
    assert 0.2 < (gap < 0.0008).mean() - by_chance < 0.3
    assert abs(len(times) - 2000) < 150 and len(sizes) == len(times)


@pytest.mark.parametrize("partner", [np.zeros(0), np.array([1.0])])
def test_a_partner_that_hardly_fires_changes_hardly_anything(partner):
    own = np.linspace(2, 90, 500)
    times, _ = follow_partner(
        own, np.ones(500), partner, np.random.default_rng(0), share=0.5, refractory_ms=2.0, amplitude_sd=0.0
    )
    assert abs(len(times) - 500) <= 1
