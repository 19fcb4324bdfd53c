"""Unfiltered traces are recognised, filtered ones are not suspected, and the chosen blend is said."""

import logging

import numpy as np
import pytest
from scipy.signal import lfilter

from si_deepsort.preprocessing.tell_denoising import slow_share, tell_chosen

RATE = 30_000.0


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(size=(60_000, 4))


def test_slow_potentials_are_recognised_whatever_the_offset_and_the_unit(noise):
    slow = lfilter([1], [1, -0.999], noise, axis=0)
    for traces in (noise, 1e-6 * noise, noise + 1e4):
        assert slow_share(traces, RATE) < 0.05
    for traces in (slow, 1e-6 * slow, slow + 1e4, slow + noise):
        assert slow_share(traces, RATE) > 0.5


@pytest.mark.parametrize("traces", [np.zeros((60_000, 2)), np.full((60_000, 2), np.nan), np.zeros((10, 2))])
def test_traces_that_say_nothing_are_not_suspected(traces):
    assert slow_share(traces, RATE) == 0


def test_the_blend_is_said(caplog):
    with caplog.at_level(logging.INFO):
        tell_chosen(np.array([0.1, 0.3, 0.0]), 0.5, np.array([True, True, False]))
    assert "0.10 to 0.30" in caplog.text and "50%" in caplog.text and "1 channels without a signal" in caplog.text
