"""Medians over channels: those of NumPy, whatever the number of channels and frames."""

import numpy as np
import pytest

from si_deepsort.preprocessing import frame_medians as module
from si_deepsort.preprocessing.frame_medians import comparisons, frame_medians


@pytest.mark.parametrize("num_channels", [1, 2, 3, 4, 5, 8, 31, 32, 33, 64, 100, 385])
@pytest.mark.parametrize("num_frames", [0, 1, 63, 64, 200])
def test_medians_are_those_of_numpy(num_channels, num_frames):
    rng = np.random.default_rng(num_channels)
    # Few different values, so that many are equal.
    for traces in (rng.normal(size=(num_frames, num_channels)), rng.integers(-2, 3, (num_frames, num_channels))):
        traces = traces.astype("float32")
        before = traces.copy()
        np.testing.assert_array_equal(frame_medians(traces), np.median(traces, axis=1))
        np.testing.assert_array_equal(traces, before)


def test_frames_with_nan_have_none_and_infinite_values_are_values():
    traces = np.random.default_rng(0).normal(size=(100, 9)).astype("float32")
    traces[3, 2], traces[5, 1], traces[6, 1], traces[7, :5] = np.nan, np.inf, -np.inf, np.inf
    np.testing.assert_array_equal(frame_medians(traces), np.median(traces, axis=1))


def test_columns_of_larger_traces_are_read_in_place():
    traces = np.random.default_rng(0).normal(size=(100, 40)).astype("float32")
    np.testing.assert_array_equal(frame_medians(traces[::2, ::3]), np.median(traces[::2, ::3], axis=1))


def test_many_channels_take_the_other_way(monkeypatch):
    traces = np.random.default_rng(0).normal(size=(20, 12)).astype("float32")
    monkeypatch.setattr(module, "MOST_CHANNELS", 8)
    monkeypatch.setattr(module, "_select", None)
    np.testing.assert_array_equal(frame_medians(traces), np.median(traces, axis=1))


@pytest.mark.parametrize("num_values", range(2, 12))
def test_network_selects_the_middle_of_every_pattern(num_values):
    # A network that is right for all patterns of zeros and ones is right for all numbers (Knuth, 5.3.4).
    patterns = (np.arange(2**num_values)[:, None] >> np.arange(num_values) & 1).astype("float32")
    expected = np.median(patterns, axis=1)
    for first, second in comparisons(num_values):
        patterns[:, [first, second]] = np.sort(patterns[:, [first, second]], axis=1)
    middle = patterns[:, (num_values - 1) // 2] + patterns[:, num_values // 2]
    np.testing.assert_array_equal(middle / 2, expected)
