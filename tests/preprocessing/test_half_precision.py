import numpy as np
import pytest
import spikeinterface.core as si

from si_deepsort.preprocessing.half_precision import single_precision, to_single_precision


def test_every_half_comes_out_as_the_same_number():
    halves = np.arange(2**16, dtype="uint32").astype("uint16").view("float16")
    halves = halves[np.isfinite(halves)]
    np.testing.assert_array_equal(to_single_precision(halves).view("uint32"), halves.astype("float32").view("uint32"))


def test_recording_is_read_in_any_stretch_and_channels():
    traces = np.random.default_rng(0).normal(size=(1000, 5)).astype("float16")
    recording = single_precision(si.NumpyRecording([traces], 10_000.0))
    expected = traces.astype("float32")
    assert recording.get_dtype() == np.dtype("float32")
    np.testing.assert_array_equal(recording.get_traces(), expected)
    part = recording.get_traces(start_frame=10, end_frame=90, channel_ids=recording.channel_ids[[3, 1]])
    np.testing.assert_array_equal(part, expected[10:90, [3, 1]])
    assert recording.get_traces(start_frame=5, end_frame=5).shape == (0, 5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint16"])
def test_other_numbers_are_refused(dtype):
    traces = np.zeros((100, 3), dtype)
    with pytest.raises(ValueError, match=f"are {dtype}, expected float16"):
        to_single_precision(traces)
    with pytest.raises(ValueError, match=f"are {dtype}, expected float16"):
        single_precision(si.NumpyRecording([traces], 10_000.0))
