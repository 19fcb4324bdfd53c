"""The band-pass is that of SpikeInterface, whatever the dtype, the chunks and the segments."""

import numpy as np
import pytest
import scipy.signal
import spikeinterface.core as si
import spikeinterface.preprocessing as spre

from si_deepsort.preprocessing.band_pass import band_pass

RATE = 20_000.0


def make(num_channels=5, num_frames=8000, dtype="int16", num_segments=1, seed=0):
    rng = np.random.default_rng(seed)
    slow = 2000 * np.sin(2 * np.pi * 3 * np.arange(num_frames) / RATE)[:, None]
    parts = [slow + 300 + 40 * rng.standard_normal((num_frames, num_channels)) for _ in range(num_segments)]
    if np.dtype(dtype).kind == "u":
        parts = [part + 30_000 for part in parts]
    return si.NumpyRecording([part.astype(dtype) for part in parts], RATE)


def filtered(recording):
    return band_pass(recording, freq_min=150.0, freq_max=7000.0)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32", "float64"])
def test_away_from_the_ends_it_is_the_filter_of_spikeinterface(dtype):
    recording = make(dtype=dtype)
    options = dict(freq_min=150.0, freq_max=7000.0, ftype="bessel", filter_order=2, dtype="float32")
    expected = spre.bandpass_filter(recording, **options).get_traces()
    found = filtered(recording).get_traces()
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found[600:-600], expected[600:-600], atol=0.02)


def test_chunks_and_segments_leave_no_trace():
    recording = filtered(make(num_segments=2))
    for segment in (0, 1):
        whole = recording.get_traces(segment_index=segment)
        part = recording.get_traces(start_frame=2500, end_frame=2600, segment_index=segment, channel_ids=[3, 1])
        np.testing.assert_allclose(part, whole[2500:2600, [3, 1]], atol=0.02)


@pytest.mark.parametrize("num_frames", [1, 2, 64])
def test_few_frames(num_frames):
    assert np.isfinite(filtered(make(num_frames=num_frames)).get_traces()).all()
    assert filtered(make()).get_traces(start_frame=50, end_frame=50).shape == (0, 5)


def test_a_constant_does_not_pass_and_its_offset_is_forgotten():
    recording = make(dtype="uint16")
    recording.set_channel_gains(0.195)
    recording.set_channel_offsets(-6389.76)
    band = filtered(recording)
    assert band.is_filtered() and not recording.is_filtered()
    assert abs(band.get_traces(return_in_uV=True).mean()) < 1


@pytest.mark.parametrize("freq_min", [1.0, 2.0, 5.0, 20.0, 50.0, 150.0])
def test_slow_edges_are_as_exact_as_fast_ones(freq_min):
    rng = np.random.default_rng(0)
    times_s = np.arange(round(RATE * max(4.0, 12 / freq_min))) / RATE
    slow = 1000 * np.sin(2 * np.pi * 2 * freq_min * times_s) + np.cumsum(rng.standard_normal(len(times_s)))
    sections = scipy.signal.iirfilter(2, (freq_min, 7000.0), ftype="bessel", fs=RATE, output="sos")
    recording = si.NumpyRecording([slow[:, None].astype("float32")], RATE)
    expected = scipy.signal.sosfiltfilt(sections, recording.get_traces().astype(float), axis=0, padtype="constant")
    found = band_pass(recording, freq_min=freq_min, freq_max=7000.0).get_traces()
    inside = slice(round(4 * RATE / freq_min), -round(4 * RATE / freq_min))
    assert np.std(found[inside] - expected[inside]) < 1e-3 * np.std(expected[inside])


@pytest.mark.parametrize(("freq_min", "freq_max"), [(0.0, 300.0), (300.0, 300.0), (np.nan, 300.0), (9500.0, 9800.0)])
def test_bands_that_hold_nothing_are_refused(freq_min, freq_max):
    with pytest.raises(ValueError, match="freq_min"):
        band_pass(make(), freq_min=freq_min, freq_max=freq_max)
