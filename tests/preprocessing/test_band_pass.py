"""Band-pass and reference are those of SpikeInterface, whatever the type, the chunks, the segments and the shanks."""

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from probeinterface import generate_multi_shank

from si_deepsort.preprocessing.band_pass import band_pass_forth_and_back, subtract_medians
from si_deepsort.sorter.front_end.preprocess import common_reference

RATE = 20_000.0


def make(num_channels=5, num_frames=8000, dtype="int16", num_segments=1, seed=0):
    rng = np.random.default_rng(seed)
    slow = 2000 * np.sin(2 * np.pi * 3 * np.arange(num_frames) / RATE)[:, None]
    parts = [slow + 300 + 40 * rng.standard_normal((num_frames, num_channels)) for _ in range(num_segments)]
    if np.dtype(dtype).kind == "u":
        parts = [part + 30_000 for part in parts]
    return si.NumpyRecording([part.astype(dtype) for part in parts], RATE)


def filtered(recording):
    return band_pass_forth_and_back(recording, freq_min=150.0, freq_max=7000.0)


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


@pytest.mark.parametrize("num_channels", [1, 4, 5])
def test_the_median_is_that_of_spikeinterface(num_channels):
    recording = make(num_channels, dtype="float32")
    expected = spre.common_reference(recording, operator="median").get_traces()
    np.testing.assert_allclose(
        subtract_medians(recording, groups=[range(num_channels)]).get_traces(), expected, atol=1e-3
    )


def test_groups_have_medians_of_their_own_and_other_channels_stay():
    recording = make(7)
    traces = recording.get_traces().astype("float32")
    found = subtract_medians(recording, groups=[[0, 2, 4], [1, 3]])
    assert found.get_dtype() == np.float32
    expected = traces.copy()
    for group in ([0, 2, 4], [1, 3]):
        expected[:, group] -= np.median(traces[:, group], axis=1)[:, None]
    np.testing.assert_allclose(found.get_traces(), expected)
    np.testing.assert_allclose(found.get_traces(channel_ids=[6, 2]), expected[:, [6, 2]])


def test_only_shanks_with_many_channels_are_referenced():
    recording = make(36)
    probe = generate_multi_shank(num_shank=1, num_columns=1, num_contact_per_column=36)
    probe.set_shank_ids(["a"] * 32 + ["b"] * 4)
    probe.set_device_channel_indices(range(36))
    recording.set_probe(probe)
    traces, found = recording.get_traces(), common_reference(recording).get_traces()
    np.testing.assert_array_equal(found[:, 32:], traces[:, 32:])
    np.testing.assert_allclose(np.median(found[:, :32], axis=1), 0, atol=1e-3)


def test_they_travel_to_other_processes(tmp_path):
    saved = make().save(folder=tmp_path / "saved", verbose=False)
    recording = subtract_medians(filtered(saved), groups=[range(5)])
    loaded = si.load(recording.to_dict(recursive=True))
    np.testing.assert_array_equal(loaded.get_traces(), recording.get_traces())
