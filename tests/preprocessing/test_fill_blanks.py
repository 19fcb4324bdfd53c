"""Blanks are set to the usual value of each channel, and nothing else is touched."""

import numpy as np
import pytest
import spikeinterface.core as si

from si_deepsort.noise import blank_frames
from si_deepsort.preprocessing.band_pass import band_pass
from si_deepsort.preprocessing.fill_blanks import fill_blanks

RATE, NUM_FRAMES, OFFSETS = 20_000.0, 100_000, np.array([2000.0, 2050.0, 2100.0])
BLANKS = [(0, 500), (20_000, 20_030), (50_000, 62_000), (99_000, 100_000)]


def traces(blanked=True, dtype="int16", blank_value=0):
    values = OFFSETS + 20 * np.random.default_rng(0).standard_normal((NUM_FRAMES, 3))
    for start, stop in BLANKS if blanked else []:
        values[start:stop] = blank_value
    return values.round().astype(dtype)


def is_in_blank():
    inside = np.zeros(NUM_FRAMES, dtype=bool)
    for start, stop in BLANKS:
        inside[start:stop] = True
    return inside


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32"])
@pytest.mark.parametrize("blank_value", [0, 4095])
def test_blanks_are_filled_and_nothing_else(dtype, blank_value):
    recording = si.NumpyRecording([traces(dtype=dtype, blank_value=blank_value)], RATE)
    filled, share = fill_blanks(recording)
    found = filled.get_traces()
    assert found.dtype == dtype and abs(share - is_in_blank().mean()) < 0.03
    np.testing.assert_array_equal(found[~is_in_blank()], recording.get_traces()[~is_in_blank()])
    np.testing.assert_allclose(found[is_in_blank()], np.broadcast_to(OFFSETS, (is_in_blank().sum(), 3)), atol=2)


def test_the_filter_does_not_ring_at_the_ends_of_a_blank():
    values = dict(freq_min=150.0, freq_max=7000.0)
    clean = band_pass(si.NumpyRecording([traces(blanked=False)], RATE), **values).get_traces()
    filled = band_pass(fill_blanks(si.NumpyRecording([traces()], RATE))[0], **values).get_traces()
    apart = np.abs(filled - clean)[~is_in_blank()]
    # Steps of 2000 had rung with hundreds; what is left is the noise that the blanks have hidden.
    assert apart.max() < 4 * clean.std()


def test_a_recording_without_blanks_is_returned_itself():
    recording = si.NumpyRecording([traces(blanked=False)], RATE)
    assert fill_blanks(recording) == (recording, 0.0)
    constant = si.NumpyRecording([np.full((5000, 2), 7, dtype="int16")], RATE)
    assert fill_blanks(constant)[0] is constant


def test_channels_that_are_constant_alone_are_no_blank():
    values = traces(blanked=False)
    values[:, 1:] = 7
    assert not blank_frames(values, 20).any()


@pytest.mark.parametrize("shape", [(0, 3), (10, 3), (100, 0)])
def test_few_frames_hold_no_blank(shape):
    assert not blank_frames(np.zeros(shape), 20).any()
