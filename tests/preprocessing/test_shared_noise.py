"""Shared noise is found where it is strong, with the gain of each channel, and ordinary noise is left alone."""

import numpy as np
import pytest
import spikeinterface.core as si
from probeinterface import ProbeGroup, generate_linear_probe, generate_tetrode

from si_deepsort.preprocessing.reference import common_reference
from si_deepsort.preprocessing.shared_noise import (
    measure_bursts,
    measure_shared_noise,
    own_noise_levels,
    shared_signal,
)
from si_deepsort.preprocessing.whiten import whiten_time_space

NUM_FRAMES = 40_000


def noisy(num_channels, shared_level, gains=1.0, seed=0):
    """White noise of level 5 on each channel and noise that all channels share."""
    rng = np.random.default_rng(seed)
    shared = shared_level * rng.standard_normal((NUM_FRAMES, 1))
    return (5 * rng.standard_normal((NUM_FRAMES, num_channels)) + shared * gains).astype("float32")


def on_probe(traces):
    recording = si.NumpyRecording([traces], 20_000.0)
    probe = generate_linear_probe(traces.shape[1], ypitch=20.0)
    probe.set_device_channel_indices(np.arange(traces.shape[1]))
    recording.set_probe(probe)
    return recording


@pytest.mark.parametrize("num_channels", [4, 8, 16, 40])
def test_strong_noise_is_found_with_the_gains_of_channels(num_channels):
    gains = np.linspace(0.6, 1.4, num_channels)
    noise = measure_shared_noise(noisy(num_channels, 50.0, gains))
    assert noise.is_strong
    np.testing.assert_allclose(noise.gains / noise.gains.mean(), gains / gains.mean(), rtol=0.03)
    # The median of many channels holds mostly those of middle gains.
    np.testing.assert_allclose(noise.levels, 5.0, rtol=0.25)


@pytest.mark.parametrize("num_channels", [1, 3, 4, 8, 16, 31])
def test_weak_noise_and_few_channels_stay_as_they_are(num_channels):
    recording = on_probe(noisy(num_channels, 2.0))
    assert common_reference(recording) is recording


def test_three_channels_share_nothing_that_can_be_told_from_spikes():
    recording = on_probe(noisy(3, 200.0))
    assert common_reference(recording) is recording


@pytest.mark.parametrize("num_channels", [4, 12, 20])
def test_the_reference_leaves_what_channels_hold_alone(num_channels):
    own, gains = noisy(num_channels, 0.0, seed=3), np.linspace(0.5, 1.5, num_channels)
    shared = 60 * np.random.default_rng(4).standard_normal((NUM_FRAMES, 1))
    left = common_reference(on_probe((own + shared * gains).astype("float32"))).get_traces()
    assert np.median(left.std(axis=0)) == pytest.approx(5.0, rel=0.2)
    assert abs(np.corrcoef(left.mean(axis=1), shared[:, 0])[0, 1]) < 0.3


def test_tetrodes_are_taken_together():
    probes = ProbeGroup()
    for number in range(5):
        tetrode = generate_tetrode()
        tetrode.move([0, 300 * number])
        probes.add_probe(tetrode)
    probes.set_global_device_channel_indices(np.arange(20))
    recording = si.NumpyRecording([noisy(20, 8.0)], 20_000.0)
    recording.set_probegroup(probes)
    referenced = common_reference(recording)
    assert np.sort(np.concatenate(referenced._kwargs["groups"])).tolist() == list(range(20))
    assert len(referenced._kwargs["groups"]) == 1
    assert referenced.get_traces().std() == pytest.approx(5.0, rel=0.1)


def test_a_dead_channel_does_not_matter():
    traces = noisy(6, 60.0)
    traces[:, 2] = 0
    noise = measure_shared_noise(traces)
    assert noise.is_strong and noise.gains[2] == 0
    assert not common_reference(on_probe(traces)).get_traces()[:, 2].any()


def test_the_shared_signal_of_a_frame_depends_on_no_other_frame():
    traces, gains = noisy(7, 30.0), np.linspace(0.5, 1.5, 7)
    whole = shared_signal(traces, gains)
    np.testing.assert_array_equal(shared_signal(traces[100:161], gains), whole[100:161])


def test_whitening_ignores_a_direction_that_a_reference_has_emptied():
    white = whiten_time_space(common_reference(on_probe(noisy(4, 80.0))), order=8)
    assert np.abs(white.whitening.space_matrix.sum(axis=0)).max() < 0.05 * np.abs(white.whitening.space_matrix).max()


def test_levels_without_moderate_shared_noise_are_those_of_the_channels():
    levels = own_noise_levels(on_probe(noisy(4, 10.0)), seed=0)
    np.testing.assert_allclose(levels, 5.0, rtol=0.1)
    ordinary = on_probe(noisy(4, 2.0))
    np.testing.assert_allclose(own_noise_levels(ordinary, seed=0), ordinary.get_traces().std(axis=0), rtol=0.05)


@pytest.mark.parametrize("num_channels", [4, 20])
def test_channels_that_hold_the_same_signal_are_not_silenced(num_channels):
    recording = on_probe(np.repeat(noisy(1, 0.0), num_channels, axis=1))
    assert common_reference(recording) is recording


def test_a_silent_half_does_not_hide_shared_noise():
    traces = noisy(8, 80.0)
    traces[NUM_FRAMES // 2 :] = 0
    assert common_reference(on_probe(traces)).get_traces()[: NUM_FRAMES // 2].std() == pytest.approx(5.0, rel=0.15)


def in_bursts(num_channels, share, level=60.0, seed=5):
    """White noise of level 5, and in bursts of 20 ms noise that all channels share, more of it on the last ones."""
    traces, rng = noisy(num_channels, 0.0, seed=seed), np.random.default_rng(seed)
    shared = np.zeros(NUM_FRAMES, dtype="float32")
    for start in rng.permutation(NUM_FRAMES // 400)[: round(share * NUM_FRAMES / 400)] * 400:
        shared[start : start + 400] = level * rng.standard_normal(400)
    return (traces + np.outer(shared, np.linspace(0.5, 1.5, num_channels))).astype("float32"), shared


@pytest.mark.parametrize("num_channels", [16, 24])
def test_frequent_bursts_of_shared_noise_are_removed(num_channels):
    traces, shared = in_bursts(num_channels, 0.1)
    assert not measure_shared_noise(traces).is_strong
    left = common_reference(on_probe(traces)).get_traces()
    in_burst = shared != 0
    assert left[in_burst].std() < 1.3 * left[~in_burst].std() < 0.2 * traces[in_burst].std()


@pytest.mark.parametrize(("share", "level"), [(0.0, 60.0), (0.004, 60.0), (0.1, 4.0)])
def test_rare_or_weak_bursts_are_left_alone(share, level):
    recording = on_probe(in_bursts(16, share, level)[0])
    assert common_reference(recording) is recording


def test_neurons_that_fire_in_bursts_are_no_shared_noise():
    traces, rng = noisy(16, 0.0), np.random.default_rng(0)
    spike = -np.outer(np.hanning(30), np.exp(-np.abs(np.arange(16) - 8) / 4)).astype("float32")
    for start in rng.choice(NUM_FRAMES - 400, size=20, replace=False):
        for place in start + 60 * np.arange(4):
            traces[place : place + 30] += 100 * spike
    assert measure_bursts(traces, 20_000.0) is None
