"""What an interpolator is trained on: turned probes with the same distances, and noise that should leave nothing."""

import numpy as np
import pytest
import spikeinterface.core as si

from si_deepsort.generation import named_probe
from si_deepsort.nets.interpolator import Interpolator, InterpolatorConfig
from si_deepsort.preprocessing import deep_interpolate
from si_deepsort.training.interpolation.batches import (
    MAX_STRETCH,
    NUM_MASKED_PLANS,
    NUM_TURNED_PLANS,
    prepare_recordings,
)
from si_deepsort.training.interpolation.start import start_table
from si_deepsort.training.interpolation.train import InterpolationTrainingSettings, train_deep_interpolation

SETTINGS = dict(window_frames=128, wiener_s=0.5, device="cpu", progress_bar=False)


def make_recording():
    """Two seconds of noise on 16 contacts of a Neuropixels 1.0."""
    probe = named_probe("neuropixels1").get_slice(np.arange(16))
    traces = np.random.default_rng(0).normal(size=(60_000, 16)).astype("float32")
    recording = si.NumpyRecording([traces], 30_000.0)
    recording.set_probe(probe)
    return recording


def prepared(num_table_channels=0, **settings):
    recording = make_recording()
    net = Interpolator(InterpolatorConfig(num_features=4, num_table_channels=num_table_channels))
    return net, prepare_recordings([recording], net, InterpolationTrainingSettings(**SETTINGS | settings))[0]


@pytest.mark.parametrize(
    "settings, num_plans, is_whole",
    [
        (dict(), 1 + NUM_MASKED_PLANS + NUM_TURNED_PLANS, 0.375),
        (dict(turned_fraction=0.0), 1 + NUM_MASKED_PLANS, 0.5),
        (dict(mask_fraction=0.0), 1 + NUM_TURNED_PLANS, 0.75),
        (dict(mask_fraction=0.0, turned_fraction=0.0), 1, 1.0),
    ],
)
def test_each_kind_of_plan_has_its_share(settings, num_plans, is_whole):
    _, recording = prepared(**settings)
    assert len(recording.plans) == len(recording.plan_shares) == num_plans
    assert recording.plan_shares.sum() == pytest.approx(1) and recording.plan_shares[0] == pytest.approx(is_whole)


def test_turning_keeps_distances_up_to_one_factor():
    _, recording = prepared(mask_fraction=0.0)
    where, directions = recording.channel_locations, set()
    for plan in recording.plans[1:]:
        channels, places = np.nonzero(plan.feeds[:, 1:].numpy())
        others = plan.neighbors[channels, places + 1]
        offsets = plan.offsets[channels, places + 1]
        ratio = np.linalg.norm(offsets, axis=1) / np.linalg.norm(where[others] - where[channels], axis=1)
        assert np.ptp(ratio) < 1e-3 and 1 / MAX_STRETCH - 1e-3 <= ratio[0] <= MAX_STRETCH + 1e-3
        directions |= set(np.arctan2(offsets[:, 1], offsets[:, 0]).round(2))
    assert len(directions) > 100


def test_the_table_is_for_the_probe_as_it_is():
    net, recording = prepared(num_table_channels=16)
    start_table(net, recording, recording.sample(0.5, 0))
    for plan in recording.plans:
        net.attach_table(plan, recording.channel_locations)
    assert (recording.plans[0].table_rows >= 0).all()
    for plan in recording.plans[-NUM_TURNED_PLANS:]:
        assert (plan.table_rows[plan.feeds.sum(dim=1) > 1] == -1).all()


def test_noise_has_its_share_and_the_covariance_of_the_recording():
    _, recording = prepared(noise_fraction=0.25)
    settings = InterpolationTrainingSettings(**SETTINGS, noise_fraction=0.25)
    rng = np.random.default_rng(0)
    windows, is_noise = map(np.concatenate, zip(*recording.training_windows(rng, 40, settings), strict=True))
    assert is_noise.mean() == pytest.approx(0.25, abs=0.04)
    real, noise = (np.cov(windows[which].swapaxes(1, 2).reshape(-1, 16).T) for which in (~is_noise, is_noise))
    np.testing.assert_allclose(noise, real, atol=0.05)
    held_out = np.concatenate([which for _, which in recording.validation_windows(settings)])
    assert held_out.mean() == pytest.approx(0.25, abs=0.02)


def test_without_noise_all_windows_are_of_the_recording():
    _, recording = prepared(noise_fraction=0.0)
    settings = InterpolationTrainingSettings(**SETTINGS, noise_fraction=0.0)
    batches = [
        *recording.training_windows(np.random.default_rng(0), 3, settings),
        *recording.validation_windows(settings),
    ]
    assert not any(is_noise.any() for _, is_noise in batches)


@pytest.mark.slow
def test_a_start_that_knows_of_noise_leaves_less_of_it(tmp_path):
    """Noise that is predictable in time, and large spikes: less is left of the one, nearly all of the others."""
    rng = np.random.default_rng(0)
    noise = np.cumsum(rng.normal(size=(60_000, 16)), axis=0).astype("float32")
    noise = noise[20:] - noise[:-20]
    spikes = np.zeros_like(noise)
    waveform = noise.std() * 15 * np.hanning(24)
    for first in rng.integers(0, len(spikes) - 30, 400):
        spikes[first : first + 24] -= waveform[:, None].astype("float32")
    recording = si.NumpyRecording([noise + spikes], 30_000.0)
    recording.set_probe(make_recording().get_probe())
    alone = si.NumpyRecording([noise], 30_000.0)
    alone.set_probe(recording.get_probe())
    left, kept = [], []
    for fraction in (0.0, 0.3):
        settings = InterpolationTrainingSettings(**SETTINGS, num_epochs=0, noise_fraction=fraction)
        folder = train_deep_interpolation(recording, tmp_path / str(fraction), settings=settings)
        fixed = deep_interpolate(recording, model=folder, blend=0.0)._kwargs["normalization"]
        of_all, of_noise = (
            deep_interpolate(traces, model=folder, blend=0.0, normalization=fixed).get_traces()
            for traces in (recording, alone)
        )
        left.append(of_noise.std())
        kept.append(((of_all - of_noise) * spikes).sum() / np.square(spikes).sum())
    assert left[1] < 0.95 * left[0] and kept[1] > kept[0] - (1 - left[1] / left[0])
