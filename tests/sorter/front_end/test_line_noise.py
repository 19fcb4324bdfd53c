"""Line noise is subtracted and told; recordings without lines stay as they are."""

import logging

import numpy as np
import pytest
import spikeinterface.core as si

from si_deepsort.preprocessing.band_pass import band_pass
from si_deepsort.sorter.front_end.line_noise import warn_of_line_noise, without_line_noise

RATE, NUM_FRAMES = 20_000.0, 120_000


def filtered(hum_uV):
    traces = 5 * np.random.default_rng(0).standard_normal((NUM_FRAMES, 4))
    traces += hum_uV * np.sin(2 * np.pi * 50 * np.arange(NUM_FRAMES) / RATE)[:, None]
    return band_pass(si.NumpyRecording([traces.astype("float32")], RATE), freq_min=150.0, freq_max=7000.0)


@pytest.mark.parametrize("hum_uV", [0.0, 5.0])
def test_a_recording_without_lines_that_matter_is_returned_itself(hum_uV, caplog):
    recording = filtered(hum_uV)
    with caplog.at_level(logging.INFO):
        assert without_line_noise(recording, seed=0) is recording
        warn_of_line_noise(recording, seed=0)
    assert not caplog.text


def test_what_is_subtracted_is_told(caplog):
    with caplog.at_level(logging.INFO):
        without_line_noise(filtered(1000.0), seed=0)
    assert "Line noise is subtracted: 50.0 Hz" in caplog.text


def test_lines_of_a_recording_that_was_filtered_elsewhere_come_with_a_remedy(caplog):
    with caplog.at_level(logging.WARNING):
        warn_of_line_noise(filtered(1000.0), seed=0)
    assert "50.0 Hz" in caplog.text and "apply_preprocessing=True" in caplog.text and "freq_min" in caplog.text
