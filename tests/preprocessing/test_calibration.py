"""Automatic blending: noise must not look more like spikes than before, and small spikes keep their amplitude."""

from types import SimpleNamespace

import numpy as np
import pytest
import spikeinterface.core as si
import torch

from si_deepsort.generation import named_probe
from si_deepsort.nets.interpolator import Interpolator, InterpolatorConfig
from si_deepsort.nets.probe_plan import make_probe_plan
from si_deepsort.preprocessing import deep_interpolate
from si_deepsort.preprocessing.calibration import SHARES, calibrate, largest_quiet_share
from si_deepsort.preprocessing.surrogate import noise_crossings, phase_randomized

CONTEXT, TILE = 5, 1000


def fake_tiles(nonlinear, traces):
    """Tiles whose prediction is 0.6 of the trace and a share of `nonlinear(trace)`."""
    num_channels = traces.shape[1]
    tiles = SimpleNamespace(
        usable=np.ones(num_channels, dtype=bool),
        prediction_scales=np.ones(num_channels, dtype="float32"),
        nonlinear_share=1.0,
        geometry=(20.0 * np.arange(num_channels)[:, None] * [[0, 1]], np.zeros(num_channels, dtype=int)),
        stretch=lambda recording, max_frames: traces,
    )

    def predict_tile(tile):
        seen = tile[CONTEXT:-CONTEXT]
        return 0.6 * seen + tiles.nonlinear_share * nonlinear(seen)

    tiles.predictor = SimpleNamespace(context=CONTEXT, tile_frames=TILE, usable=tiles.usable, predict_tile=predict_tile)
    return tiles


@pytest.fixture(scope="module")
def noise():
    traces = np.random.default_rng(0).normal(size=(200 * TILE + 2 * CONTEXT, 2)).astype("float32")
    recording = si.NumpyRecording([traces], 30_000.0)
    return recording, traces


def test_a_prediction_that_paints_spikes_into_noise_is_held_back(noise):
    recording, traces = noise
    tiles = fake_tiles(lambda seen: np.where(seen < -3, 0.35 * seen, 0), traces)
    share = largest_quiet_share(tiles, recording, seed=0)
    assert share < 0.5 and share in SHARES


@pytest.mark.parametrize("nonlinear", [lambda seen: 0.2 * seen, lambda seen: np.where(seen < -3, -0.3 * seen, 0)])
def test_what_paints_nothing_is_used_in_full(noise, nonlinear):
    recording, traces = noise
    assert largest_quiet_share(fake_tiles(nonlinear, traces), recording, seed=0) == 1


def test_only_automatic_blending_holds_back(noise):
    recording, traces = noise
    for is_automatic in (False, True):
        tiles = fake_tiles(lambda seen: np.where(seen < -3, 0.35 * seen, 0), traces)
        calibrate(tiles, recording, is_automatic=is_automatic, seed=0)
        assert (tiles.nonlinear_share < 1) == is_automatic


def test_the_share_scales_the_nonlinear_part_alone():
    torch.manual_seed(0)
    net = Interpolator(InterpolatorConfig(context=9, num_features=5, num_mixed=3, width=6, num_neighbors=8)).eval()
    torch.nn.init.normal_(net.readout.weight)
    locations = named_probe("neuropixels1").contact_positions[:20].astype(float)
    plan = make_probe_plan(locations, np.zeros(20, dtype=int), num_neighbors=8, radius_um=75.0)
    traces = torch.randn(1, 20, 40)
    with torch.inference_mode():
        none, half, full = (net.predict(traces, plan, net.block_weights(plan), share) for share in (0.0, 0.5, 1.0))
        doubled = net.predict(2 * traces, plan, net.block_weights(plan), 0.0)
    torch.testing.assert_close(half, (none + full) / 2, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(doubled, 2 * none, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(full, none, atol=1e-3)


def test_what_was_measured_is_kept_and_older_measurements_mean_all_of_it(noise):
    recording, _ = noise
    recording = recording.frame_slice(0, 5000)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 0.0], [0.0, 20.0]]))
    denoised = deep_interpolate(recording)
    normalization = denoised._kwargs["normalization"]
    again = deep_interpolate(recording, normalization=normalization)
    np.testing.assert_array_equal(again.get_traces(), denoised.get_traces())
    old = {name: value for name, value in normalization.items() if name != "nonlinear_share"}
    assert deep_interpolate(recording, normalization=old)._kwargs["normalization"]["nonlinear_share"] == 1


def test_surrogate_noise_keeps_spectrum_and_covariance_and_loses_events():
    rng = np.random.default_rng(1)
    traces = rng.normal(size=(20_000, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.5], [0, 0, 1]])
    traces[::500] -= 15
    surrogate = phase_randomized(traces)
    np.testing.assert_allclose(np.cov(surrogate.T), np.cov(traces.T), rtol=0.02, atol=0.02)
    power = np.abs(np.fft.rfft(traces, axis=0))
    np.testing.assert_allclose(np.abs(np.fft.rfft(surrogate, axis=0))[1:-1], power[1:-1], rtol=0.01, atol=0.05)
    assert noise_crossings(surrogate, 5.0, 30_000.0) < 0.1 * noise_crossings(traces, 5.0, 30_000.0)
