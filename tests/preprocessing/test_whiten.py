"""White traces: noise without correlation over time and channels, whatever it was before, in any unit and chunk."""

import logging

import numpy as np
import pytest
import scipy.signal
import spikeinterface.core as si
from small_recording import as_recording, line_probe, small_traces, white_recording_of

from si_deepsort.preprocessing.estimate_whitening import (
    living_stretches,
    prediction_error_filter,
    quiet_frames,
)
from si_deepsort.preprocessing.local_whitening import local_whitening_matrix
from si_deepsort.preprocessing.whiten import whiten_time_space
from si_deepsort.preprocessing.whitening import filter_over_time

NUM_CHANNELS = 4


def colored_noise(seed=0, num_frames=100_000):
    """Noise with memory over time and a part that all channels share."""
    rng = np.random.default_rng(seed)
    own, shared = rng.standard_normal((num_frames, NUM_CHANNELS)), rng.standard_normal((num_frames, 1))
    mixed = own + 0.7 * shared
    return (20 * scipy.signal.lfilter([1.0], [1.0, -0.8, 0.3], mixed, axis=0)).astype("float32")


def test_colored_noise_becomes_white():
    white = whiten_time_space(as_recording(colored_noise()), order=12, radius_um=500.0).get_traces()
    np.testing.assert_allclose(white.std(axis=0), 1.0, atol=0.05)
    np.testing.assert_allclose(np.corrcoef(white.T), np.eye(NUM_CHANNELS), atol=0.05)
    for lag in range(1, 8):
        assert abs(np.mean(white[lag:] * white[:-lag])) < 0.05


def test_unit_of_the_traces_does_not_matter():
    noise = colored_noise()
    in_microvolts = whiten_time_space(as_recording(noise)).get_traces(end_frame=5000)
    in_counts = whiten_time_space(as_recording(noise / 0.195)).get_traces(end_frame=5000)
    np.testing.assert_allclose(in_microvolts, in_counts, atol=1e-3)


def test_chunks_equal_the_whole():
    white = whiten_time_space(as_recording(colored_noise(num_frames=20_000)))
    whole = white.get_traces()
    chunks = [white.get_traces(start_frame=start, end_frame=start + 3000) for start in range(0, 20_000, 3000)]
    np.testing.assert_allclose(np.concatenate(chunks), whole, atol=1e-4)
    np.testing.assert_allclose(white.get_traces(channel_ids=white.channel_ids[[2, 0]]), whole[:, [2, 0]], atol=1e-4)


def test_constant_channel_stays_zero_and_spoils_nothing():
    noise = colored_noise()
    noise[:, 1] = 2050.0
    white = whiten_time_space(as_recording(noise), radius_um=500.0).get_traces()
    assert np.all(white[:, 1] == 0) and np.isfinite(white).all()
    np.testing.assert_allclose(white[:, [0, 2, 3]].std(axis=0), 1.0, atol=0.1)


@pytest.mark.parametrize("gains", [(1, 1, 100, 1), (1, 0.02, 1, 1), (1, 0.1, 30, 300)])
def test_noise_becomes_white_whatever_the_gains_of_the_channels(gains):
    noise = colored_noise() * np.float32(gains)
    white = whiten_time_space(as_recording(noise), order=12, radius_um=500.0).get_traces()
    np.testing.assert_allclose(white.std(axis=0), 1.0, atol=0.05)
    np.testing.assert_allclose(np.corrcoef(white.T), np.eye(NUM_CHANNELS), atol=0.05)


def test_shanks_are_whitened_apart():
    recording = as_recording(colored_noise())
    probe = recording.get_probe()
    probe.set_shank_ids(["a", "a", "b", "b"])
    recording.set_probe(probe)
    white = whiten_time_space(recording, radius_um=500.0)
    matrix = white.whitening.space_matrix
    assert np.all(matrix[:2, 2:] == 0) and np.all(matrix[2:, :2] == 0)
    assert np.all(matrix[:2, :2] != 0)


def test_prediction_error_filter_of_white_noise_does_nothing():
    noise = np.random.default_rng(0).standard_normal((50_000, 3))
    taps = prediction_error_filter(noise, np.ones(noise.shape, bool), 8)
    np.testing.assert_allclose(taps, np.eye(9)[0], atol=0.02)
    assert prediction_error_filter(noise, np.zeros(noise.shape, bool), 8).tolist() == [1.0]


def test_frames_near_a_spike_are_not_quiet():
    traces = np.zeros((1000, 2), "float32")
    traces[500, 0] = 30.0
    quiet = quiet_frames(traces, reach=10)
    assert not quiet[490:511, 0].any() and quiet[:489, 0].all() and quiet[:, 1].all()


def test_dead_channel_gets_a_row_and_column_of_zeros():
    traces = np.random.default_rng(0).standard_normal((2000, 3))
    nearby = np.ones((3, 3), bool)
    nearby[1] = nearby[:, 1] = False
    matrix = local_whitening_matrix(traces, np.ones((2000, 2), bool), nearby)
    assert np.all(matrix[1] == 0) and np.all(matrix[:, 1] == 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_named(bad):
    noise = colored_noise(num_frames=20_000)
    noise[5000:5010, 2] = bad
    with pytest.raises(ValueError, match=r"NaN or inf.*1 of 4 channels.*remove_channels"):
        whiten_time_space(as_recording(noise))


def test_late_nan_is_named_when_it_is_read():
    noise = colored_noise(num_frames=20_000)
    white = whiten_time_space(as_recording(noise))
    matrix, taps = white.whitening.space_matrix, white.whitening.time_filter
    noise[15_000, 0] = np.nan
    late = whiten_time_space(as_recording(noise), time_filter=taps, space_matrix=matrix)
    assert np.isfinite(late.get_traces(end_frame=5000)).all()
    with pytest.raises(ValueError, match="NaN or inf between frames 14000 and 16000"):
        late.get_traces(start_frame=14_000, end_frame=16_000)


@pytest.mark.parametrize("dtype, scale, offset", [("uint16", 5, 32_768), ("int16", 5, 2050), ("int32", 5, -7)])
def test_integers_with_an_offset_give_what_floats_give(dtype, scale, offset):
    traces, _ = small_traces(duration_s=2.0)
    counts = np.round(traces * scale)
    floats = white_recording_of(as_recording(counts.astype("float32"))).get_traces()
    integers = white_recording_of(as_recording((counts + offset).astype(dtype))).get_traces()
    inside = slice(500, -500)
    np.testing.assert_allclose(integers[inside], floats[inside], atol=0.02)


def test_channel_that_is_dead_for_a_while_is_scaled_by_its_living_part():
    noise = colored_noise()
    noise[: len(noise) // 20, 3] = 0.0
    white = whiten_time_space(as_recording(noise), radius_um=500.0).get_traces()
    np.testing.assert_allclose(white[len(noise) // 20 + 100 :].std(axis=0), 1.0, atol=0.1)
    np.testing.assert_allclose(white[:, :3].std(axis=0), 1.0, atol=0.1)


def test_channel_that_is_dead_for_half_of_the_time_is_left_out_of_all_of_it():
    noise = colored_noise()
    noise[: len(noise) // 2, 3] = 0.0
    white = whiten_time_space(as_recording(noise), radius_um=500.0).get_traces()
    assert not white[:, 3].any()
    np.testing.assert_allclose(white[:, :3].std(axis=0), 1.0, atol=0.1)


def test_channels_stay_if_most_of_them_are_dead_for_half_of_the_time():
    noise = colored_noise()
    noise[: len(noise) // 2, 1:] = 0.0
    white = whiten_time_space(as_recording(noise), radius_um=500.0).get_traces()
    assert white[len(noise) // 2 :].any(axis=0).all()


def test_artefact_on_all_channels_is_blanked_and_a_large_spike_is_not():
    noise = np.random.default_rng(0).standard_normal((40_000, 16)).astype("float32")
    noise[20_000:20_100] += 1000.0
    noise[30_000:30_010, 4:7] += 100.0
    white = whiten_time_space(as_recording(noise), order=0, radius_um=1.0)
    traces = white.get_traces()
    assert np.all(traces[19_890:20_210] == 0) and np.all(traces[19_800:19_860].any(axis=1))
    assert traces[30_005, 5] > 50
    pieces = [white.get_traces(start_frame=start, end_frame=start + 1000) for start in range(0, 40_000, 1000)]
    np.testing.assert_allclose(np.concatenate(pieces), traces, atol=1e-4)


def test_unwhitening_gives_the_waveform_back():
    rng = np.random.default_rng(0)
    white = whiten_time_space(as_recording(colored_noise()), order=12, radius_um=500.0)
    waveform = np.zeros((400, 4))
    waveform[150:170] = rng.standard_normal((20, 4))
    time_filter, matrix = white.whitening.time_filter, white.whitening.space_matrix
    whitened = scipy.signal.lfilter(time_filter, [1.0], waveform, axis=0) @ matrix
    np.testing.assert_allclose(white.whitening.unwhiten(whitened[None])[0], waveform, atol=1e-3)


def test_what_is_usual_is_the_artefact_only_if_much_is_quieter_at_once():
    noise = np.random.default_rng(0).standard_normal((100_000, 4)).astype("float32")
    blanked = noise.copy()
    blanked[:3000] *= 0.01  # a filter rings at the edges of what was silenced
    lives = living_stretches(blanked)
    assert not lives[:3000].any() and lives[3000:].all()
    shaken = noise.copy()
    shaken[:60_000] *= 300.0
    lives = living_stretches(shaken)
    assert not lives[:60_000].any() and lives[60_000:].all()


@pytest.mark.parametrize("num_frames, num_taps", [(200, 25), (200, 1), (10, 25)])
def test_filter_over_time_is_a_causal_filter(num_frames, num_taps):
    rng = np.random.default_rng(0)
    traces = rng.standard_normal((num_frames, 3), dtype="float32")
    taps = rng.standard_normal(num_taps, dtype="float32")
    expected = scipy.signal.lfilter(taps, [1.0], traces, axis=0)[num_taps - 1 :]
    assert np.allclose(filter_over_time(traces, taps), expected, atol=1e-4)


def test_a_channel_that_is_silent_for_a_while_blanks_nothing_else():
    """Dead channels are those of the whole recording: half of the channels are loud, not half of the living ones."""
    noise = np.random.default_rng(0).standard_normal((60_000, 10)).astype("float32")
    noise[38_000:42_000, 8:] = 0.0
    noise[40_000:40_010, :5] += 300.0
    traces = whiten_time_space(as_recording(noise), order=0, radius_um=1.0).get_traces()
    assert traces[39_990:40_020, :5].any(axis=1).all()


def test_a_channel_that_is_never_quiet_is_whitened_all_the_same():
    noise = colored_noise()
    noise[::20, 2] += 500.0
    white = whiten_time_space(as_recording(noise), radius_um=500.0)
    assert np.isfinite(white.get_traces()).all() and white.get_traces()[:, 2].std() > 0.5


def test_channels_that_are_dead_or_die_are_told(caplog):
    traces = np.random.default_rng(0).standard_normal((60_000, 4)).astype("float32")
    whole = si.NumpyRecording([traces.copy()], 20_000.0)
    traces[:, 1], traces[30_000:, 2] = 0, 0
    dying = si.NumpyRecording([traces], 20_000.0)
    for recording in (whole, dying):
        recording.set_probe(line_probe(4, 20.0))
    with caplog.at_level(logging.WARNING):
        whiten_time_space(whole)
        assert not caplog.text
        whiten_time_space(dying)
    assert "left out: 1" in caplog.text and "in two: 2 (" in caplog.text
