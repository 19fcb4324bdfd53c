"""Blanked stretches are told, and units that live beside them alone are found."""

import logging

import numpy as np
import spikeinterface.core as si

from si_deepsort.sorter.front_end.blanks import live_beside_blanks, tell_blanks
from si_deepsort.spike_vectors import in_order

RATE, NUM_FRAMES = 20_000.0, 400_000
ONSETS = np.arange(2000, NUM_FRAMES - 2000, 4000)
WIDTH = 240


def white(is_blanked):
    traces = np.random.default_rng(0).standard_normal((NUM_FRAMES, 4)).astype("float32")
    traces[:, 0] = 0  # a dead channel is no blank
    if is_blanked:
        traces[ONSETS[:, None] + np.arange(WIDTH)] = 0
    return si.NumpyRecording([traces], RATE)


def spike_vector(trains):
    spikes = np.zeros(sum(map(len, trains)), dtype=si.base.minimum_spike_dtype)
    spikes["sample_index"] = np.concatenate(trains)
    spikes["unit_index"] = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    return in_order(spikes)


def trains():
    rng = np.random.default_rng(1)
    anywhere = rng.integers(0, NUM_FRAMES, 300)
    anywhere = anywhere[(anywhere % 4000 < 2000) | (anywhere % 4000 > 2000 + WIDTH)]
    evoked = ONSETS + WIDTH + rng.integers(20, 400, len(ONSETS))
    return [ONSETS + WIDTH + 30, anywhere, ONSETS - 40, np.concatenate([evoked, anywhere[:40]])]


def test_units_that_live_beside_blanks_alone_are_found():
    found = live_beside_blanks(white(True), spike_vector(trains()), 5, seed=0)
    np.testing.assert_array_equal(found, [True, False, True, False, False])


def test_without_blanks_no_unit_lives_beside_them():
    assert not live_beside_blanks(white(False), spike_vector(trains()), 4, seed=0).any()


def test_the_seconds_that_are_blanked_are_told(caplog):
    with caplog.at_level(logging.INFO):
        tell_blanks(white(False), seed=0)
        assert not caplog.text
        tell_blanks(white(True), seed=0)
    assert "hold no signal" in caplog.text
    told_s = float(caplog.text.split("About ")[1].split(" s")[0])
    assert abs(told_s - len(ONSETS) * WIDTH / RATE) < 0.3
