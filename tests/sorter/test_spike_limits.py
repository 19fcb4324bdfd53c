"""Limits of what a spike adds to an average: foreign values are clipped, those of the unit stay."""

import numpy as np
import pytest
from small_recording import as_recording
from unit_scenes import NUM_CHANNELS, spikes_of, white_scene

from si_deepsort.preprocessing.half_precision import single_precision
from si_deepsort.sorter.average_waveforms import average_waveforms
from si_deepsort.sorter.spike_limits import FEWEST_COMPARED_SPIKES, spike_limits
from si_deepsort.threads import threads

REACH = dict(nbefore=10, nafter=11)


def averages_of(traces, train, *, is_limited):
    """Average of one unit on all channels, (samples, channels)."""
    recording, spikes, main_channels = as_recording(traces), spikes_of([train]), np.array([0])
    reach = dict(**REACH, seed=0, main_channels=main_channels)
    limits = spike_limits(recording, spikes, 1, **reach) if is_limited else None
    return average_waveforms(recording, spikes, 1, **reach, limits=limits)[0][0]


@pytest.mark.parametrize("num_foreign", [1, 4, 8])
def test_foreign_spikes_hardly_change_the_average_of_a_unit_with_few_spikes(num_foreign):
    rng = np.random.default_rng(num_foreign)
    traces = rng.standard_normal((40_000, NUM_CHANNELS)).astype("float32")
    shape = 20 * np.hanning(21)[:, None] * np.linspace(1, 0.2, NUM_CHANNELS)
    own, foreign = 1000 * np.arange(1, 31), 1000 * np.arange(31, 31 + num_foreign)
    for time in own:
        traces[time - 10 : time + 11] += shape
    for time in foreign:
        traces[time - 10 : time + 11] -= 3 * shape[:, ::-1]
    train = np.concatenate([own, foreign])
    errors = {limited: averages_of(traces, train, is_limited=limited) - shape for limited in (False, True)}
    pure = averages_of(traces, own, is_limited=False) - shape
    share = num_foreign / len(train)
    assert np.abs(errors[False]).max() > 60 * share, "a plain mean is spoilt"
    # Each foreign value moves the mean by at most about 4 standard deviations of the unit's own values.
    assert np.abs(errors[True]).max() < np.abs(pure).max() + 8 * share


def test_the_average_of_a_pure_unit_keeps_its_precision():
    traces = np.random.default_rng(0).standard_normal((250_000, NUM_CHANNELS)).astype("float32")
    train = 1000 * np.arange(1, 201)
    plain, limited = (averages_of(traces, train, is_limited=limited) for limited in (False, True))
    assert limited.std() < 1.03 * plain.std() and np.corrcoef(plain.ravel(), limited.ravel())[0, 1] > 0.98


def test_very_few_spikes_have_no_limits():
    traces = np.zeros((10_000, NUM_CHANNELS), dtype="float32")
    few, enough = 1000 * np.arange(1, FEWEST_COMPARED_SPIKES), 1000 * np.arange(1, FEWEST_COMPARED_SPIKES + 1) + 300
    limits = spike_limits(
        as_recording(traces), spikes_of([few, enough]), 3, **REACH, seed=0, main_channels=np.zeros(3, dtype=int)
    )
    assert np.all(np.isinf(limits.low[[0, 2]])) and np.all(np.isinf(limits.high[[0, 2]]))
    assert np.all(limits.low[1] == -4) and np.all(limits.high[1] == 4), "noise has a standard deviation of 1"


@pytest.mark.parametrize("num_spikes", [4, 5, 7, 16, 17, 24, 25])
def test_limits_lie_four_standard_deviations_around_the_median(num_spikes):
    traces = 3 * np.random.default_rng(num_spikes).standard_normal((30_000, NUM_CHANNELS)).astype("float32")
    train = 1000 * np.arange(1, num_spikes + 1)
    limits = spike_limits(as_recording(traces), spikes_of([train]), 1, **REACH, seed=0, main_channels=np.array([0]))
    ordered = np.sort(traces[train[:, None] - 10 + np.arange(21)].astype("float16").astype("float32"), axis=0)
    quarter = num_spikes // 4
    spread = (ordered[num_spikes - 1 - quarter] - ordered[quarter]) / 1.349
    reach = 4 * np.maximum(spread, 1)
    np.testing.assert_allclose(limits.low[0], np.median(ordered, axis=0) - reach, atol=1e-4)
    np.testing.assert_allclose(limits.high[0], np.median(ordered, axis=0) + reach, atol=1e-4)


@pytest.mark.parametrize("num_threads", [1, 3])
def test_limits_are_the_same_whatever_the_threads_and_the_cache(num_threads):
    traces, spikes, _, _ = white_scene()
    halves = traces.astype("float16")
    stored, single = single_precision(as_recording(halves)), as_recording(halves.astype("float32"))
    spikes["sample_index"][[0, -1]] = 1, len(traces) - 1  # their windows reach beyond the ends
    options = dict(**REACH, seed=0, main_channels=np.arange(3))
    expected = spike_limits(single, spikes, 3, **options)
    with threads(num_threads):
        for recording in (stored, single):
            for found, limit in zip(spike_limits(recording, spikes, 3, **options), expected, strict=True):
                np.testing.assert_array_equal(found, limit)
