import numpy as np
import pytest
import spikeinterface.core as si

from si_deepsort.preprocessing.half_precision import (
    round_to_half_precision,
    single_precision,
    to_half_precision,
    to_single_precision,
)


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


def test_numbers_are_rounded_as_numpy_rounds_them():
    """Numbers of all sizes, those of half precision, those in the middle between two of them and just beside it."""
    rng = np.random.default_rng(0)
    halves = np.arange(0x7C00, dtype="uint16").view("float16").astype("float32")
    middles = (halves[1:] + halves[:-1]) / 2
    edges = np.concatenate([halves, middles, np.nextafter(middles, np.float32(0)), np.nextafter(middles, halves[1:])])
    sizes = [rng.standard_normal(5000) * size for size in (1e-9, 1e-7, 1e-5, 1e-3, 1.0, 1e4)]
    singles = np.concatenate([edges, -edges, *sizes]).astype("float32")
    expected = singles.astype("float16")
    np.testing.assert_array_equal(to_half_precision(singles.reshape(2, -1)), expected.reshape(2, -1))
    recording = round_to_half_precision(si.NumpyRecording([singles[:, None]], 10_000.0))
    np.testing.assert_array_equal(recording.get_traces()[:, 0], expected.astype("float32"))


def test_only_single_precision_is_rounded_lazily():
    with pytest.raises(ValueError, match="are int16, expected float32"):
        round_to_half_precision(si.NumpyRecording([np.zeros((10, 2), "int16")], 10_000.0))
