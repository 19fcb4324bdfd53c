"""Interpolated traces are those that electrodes moving with the tissue would record."""

import numpy as np
import spikeinterface.core as si
from small_recording import SAMPLING_FREQUENCY, line_probe
from spikeinterface.core import Motion

from si_deepsort.preprocessing.motion_interpolation import MovingKernels, follow_motion

NUM_CHANNELS, PITCH_UM = 16, 20.0


def profile(places_um, source_um):
    """What contacts see of a source 15 um beside the shank."""
    return np.exp((15.0 - np.hypot(places_um - source_um, 15.0)) / 25.0)


def constant_motion(um):
    return Motion([np.full((2, 1), float(um))], [np.array([0.0, 1.0])], np.array([0.0]))


def spikes_seen_at(shift_um, num_frames=400):
    places = PITCH_UM * np.arange(NUM_CHANNELS)
    rows = np.stack([profile(places, source + shift_um) for source in np.linspace(60, 240, num_frames)])
    recording = si.NumpyRecording(rows.astype("float32"), SAMPLING_FREQUENCY)
    recording.set_probe(line_probe(NUM_CHANNELS, PITCH_UM))
    return recording


def test_traces_follow_the_motion():
    expected = spikes_seen_at(0.0).get_traces()
    moved = spikes_seen_at(8.0)
    followed = follow_motion(moved, constant_motion(8.0), usable=[True] * NUM_CHANNELS)
    before, after = (np.mean((part.get_traces() - expected) ** 2) for part in (moved, followed))
    assert after < 0.05 * before
    np.testing.assert_array_equal(followed.get_traces(start_frame=100, end_frame=200), followed.get_traces()[100:200])
    one = followed.channel_ids[3:4]
    np.testing.assert_array_equal(followed.get_traces(channel_ids=one)[:, 0], followed.get_traces()[:, 3])


def test_followed_recording_can_be_saved_and_read(tmp_path):
    followed = follow_motion(spikes_seen_at(8.0).save(folder=tmp_path / "raw", verbose=False), constant_motion(8.0))
    followed.dump(tmp_path / "followed.json")
    again = si.load(tmp_path / "followed.json")
    np.testing.assert_array_equal(again.get_traces(), followed.get_traces())


def test_dead_channels_are_neither_used_nor_filled():
    traces = spikes_seen_at(8.0).get_traces() + np.random.default_rng(0).normal(0, 0.01, (400, NUM_CHANNELS))
    traces[:, 5] = 0.0
    recording = si.NumpyRecording(traces.astype("float32"), SAMPLING_FREQUENCY)
    recording.set_probe(line_probe(NUM_CHANNELS, PITCH_UM))
    followed = follow_motion(recording, constant_motion(8.0)).get_traces()
    assert not followed[:, 5].any()
    assert np.abs(followed[:, 6] - spikes_seen_at(0.0).get_traces()[:, 6]).max() < 0.1


def test_shanks_do_not_mix():
    locations = np.array([[0.0, 0.0], [0.0, 20.0], [10.0, 0.0], [10.0, 20.0]])
    matrix = MovingKernels(locations, np.array([0, 0, 1, 1]), np.ones(4, dtype=bool)).matrix(np.full(4, 7.0))
    assert not matrix[:2, 2:].any() and not matrix[2:, :2].any() and matrix[0, 0] > 0


def test_motion_is_read_at_the_times_of_the_recording():
    """Whether the times are given one by one or by their start."""
    motion = Motion([np.array([[0.0], [8.0]])], [np.array([50.0, 50.02])], np.array([0.0]))
    started, timed, early = (spikes_seen_at(8.0) for _ in range(3))
    started.shift_times(50.0)
    timed.set_times(50.0 + np.arange(400) / SAMPLING_FREQUENCY)
    expected = follow_motion(started, motion, usable=[True] * NUM_CHANNELS).get_traces()
    np.testing.assert_allclose(follow_motion(timed, motion, usable=[True] * NUM_CHANNELS).get_traces(), expected)
    assert not np.allclose(follow_motion(early, motion, usable=[True] * NUM_CHANNELS).get_traces(), expected)
