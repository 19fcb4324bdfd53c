"""Amplitudes shrink in bursts, change slowly and fade; units start and stop."""

import numpy as np
import pytest

from si_deepsort.generation import amplitudes


def rng():
    return np.random.default_rng(5)


def test_spikes_shrink_in_bursts_but_not_below_half():
    np.testing.assert_allclose(amplitudes.burst_amplitudes(np.arange(4), decay=0.85), 0.85 ** np.arange(4))
    np.testing.assert_allclose(amplitudes.burst_amplitudes(np.arange(4), decay=0.7), [1, 0.7, 0.5, 0.5])
    np.testing.assert_allclose(amplitudes.burst_amplitudes(np.arange(4), decay=1.0), 1.0)


def test_slow_change_is_slow_and_as_large_as_asked():
    times = np.arange(0, 4000, 0.5)
    factor = amplitudes.slow_change(times, 4000.0, rng(), sd=0.1)
    assert factor.mean() == pytest.approx(1.0, abs=0.03)
    assert factor.std() == pytest.approx(0.1, abs=0.02)
    assert np.abs(np.diff(factor)).max() < 0.03
    np.testing.assert_array_equal(amplitudes.slow_change(times, 4000.0, rng(), sd=0.0), 1.0)


@pytest.mark.parametrize("duration_s", [0.01, 2.0, 15.0])
def test_slow_change_of_short_recordings_is_finite(duration_s):
    factor = amplitudes.slow_change(np.linspace(0, duration_s, 5), duration_s, rng(), sd=0.5)
    assert np.isfinite(factor).all() and (factor >= 0).all()


def test_units_start_and_stop_in_mid_recording():
    start_s, stop_s = amplitudes.draw_lifetimes(40, 100.0, rng(), start_share=0.25, stop_share=0.5)
    assert (start_s > 0).sum() == 10 and (stop_s < 100).sum() == 20
    assert (start_s[start_s > 0] >= 25).all() and (stop_s[stop_s < 100] <= 75).all()
    assert not ((start_s > 0) & (stop_s < 100)).any()
    start_s, stop_s = amplitudes.draw_lifetimes(40, 100.0, rng(), start_share=0.0, stop_share=0.0)
    assert (start_s == 0).all() and (stop_s == 100).all()


def test_fading_begins_at_a_moment_and_ends_at_a_share():
    factor = amplitudes.fade(np.array([0.0, 50.0, 75.0, 100.0]), 100.0, from_s=50.0, fade_to=0.2)
    np.testing.assert_allclose(factor, [1.0, 1.0, 0.6, 0.2])
    np.testing.assert_array_equal(amplitudes.fade(np.arange(9.0), 9.0, from_s=0.0, fade_to=1.0), 1.0)
