"""Artefacts are blanked on probes of any size, and nothing else is."""

import numpy as np
import pytest

from si_deepsort.preprocessing.artefacts import blank_artefacts


@pytest.mark.parametrize(("num_channels", "level"), [(1, 200.0), (4, 200.0), (16, 40.0)])
@pytest.mark.parametrize("num_dead", [0, 1])
def test_moments_at_which_most_living_channels_are_loud_are_blanked(num_channels, level, num_dead):
    traces = np.random.default_rng(0).standard_normal((1000, num_channels + num_dead)).astype("float32")
    traces[:, num_channels:] = 0.0
    traces[500, :num_channels] = level
    blank_artefacts(traces, reach=10, num_living=num_channels)
    is_blank = np.all(traces == 0, axis=1)
    np.testing.assert_array_equal(np.flatnonzero(is_blank), np.arange(490, 511))


def test_a_large_spike_on_a_few_channels_stays():
    traces = np.random.default_rng(0).standard_normal((1000, 16)).astype("float32")
    traces[500, :8] = 100.0
    before = traces.copy()
    blank_artefacts(traces, reach=10, num_living=16)
    np.testing.assert_array_equal(traces, before)


@pytest.mark.parametrize("shape", [(0, 4), (100, 4), (100, 0)])
def test_nothing_is_no_artefact(shape):
    traces = np.zeros(shape, "float32")
    blank_artefacts(traces, reach=10, num_living=shape[1])
    assert traces.shape == shape
