"""Features of cell types: durations and bursts do not depend on size, sampling or chance."""

import numpy as np
import pytest

from si_deepsort.cell_types.features import burst_index, trough_to_peak_ms


def waveform(duration_ms, sampling_frequency=30_000.0):
    times = np.arange(-0.8, 1.2, 1000 / sampling_frequency)
    peak = 0.4 * np.exp(-(((times - duration_ms) / 0.15) ** 2))
    return peak - np.exp(-((times / 0.1) ** 2)), int(np.argmin(np.abs(times)))


@pytest.mark.parametrize("sampling_frequency", [20_000.0, 24_414.0625, 30_000.0])
@pytest.mark.parametrize("duration_ms", [0.35, 0.5, 0.7])
def test_durations_are_exact_at_any_rate_and_size(duration_ms, sampling_frequency):
    values, nbefore = waveform(duration_ms, sampling_frequency)
    for scale in (1.0, 250.0):
        assert trough_to_peak_ms(scale * values, sampling_frequency, nbefore) == pytest.approx(duration_ms, abs=0.02)


@pytest.mark.parametrize("values", [np.zeros(60), np.full(60, np.nan), np.zeros(0), np.ones(3)])
def test_waveforms_without_a_spike_have_no_duration(values):
    assert np.isnan(trough_to_peak_ms(values, 30_000.0, 20))


def test_bursts_raise_the_index_and_refractoriness_lowers_it():
    rng = np.random.default_rng(0)
    poisson = np.sort(rng.uniform(0, 300, 3000))
    starts = np.sort(rng.uniform(0, 300, 600))
    bursting = np.sort(np.concatenate([starts, starts + 0.004, starts + 0.0085]))
    refractory = poisson[np.diff(poisson, prepend=-1.0) > 0.015]
    assert abs(burst_index([poisson])) < 0.3
    assert burst_index([bursting]) > 1.0
    assert burst_index([refractory]) < -0.5


def test_segments_do_not_touch_each_other():
    train = np.sort(np.random.default_rng(1).uniform(0, 50, 500))
    assert burst_index([train, train]) == pytest.approx(burst_index([train]))
    assert burst_index([]) == 0.0 and burst_index([np.zeros(0)]) == 0.0
