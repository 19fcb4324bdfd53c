"""Laws of the interpolator: blind means blind, shanks stay apart, masked channels feed nobody, numbering is nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from si_deepsort.generation import named_probe
from si_deepsort.nets.interpolator import Interpolator, InterpolatorConfig
from si_deepsort.nets.probe_plan import make_probe_plan
from si_deepsort.preprocessing.wiener import (
    filter_gram,
    lagged_covariance,
    leading_filters,
    solve_ridge,
    wiener_filters,
)
from si_deepsort.zoo import CONFIG_FILE, ModelInfo, load_model, save_model

CONFIG = InterpolatorConfig(context=9, num_features=5, num_mixed=3, width=6, num_neighbors=8, geometry_width=12)


def random_net(**changes):
    torch.manual_seed(0)
    net = Interpolator(replace(CONFIG, **changes)).eval()
    torch.nn.init.normal_(net.readout.weight)  # the start leaves the nonlinear part at 0
    return net


def plan_of(locations, net, shanks=None, usable=None, **kwargs):
    shanks = np.zeros(len(locations), dtype=int) if shanks is None else shanks
    options = dict(num_neighbors=net.config.num_neighbors, radius_um=net.config.radius_um)
    return make_probe_plan(locations, shanks, usable=usable, **options, **kwargs)


@pytest.fixture
def locations():
    return named_probe("neuropixels1").contact_positions[:20].astype(float)


def predict(net, traces, plan):
    with torch.inference_mode():
        return net(traces, plan)


@pytest.mark.parametrize("omission", [0, 1, 3])
def test_never_sees_the_omitted_frames(locations, omission):
    net = random_net(omission=omission)
    plan = plan_of(locations, net)
    traces = torch.randn(1, 20, 40)
    changed = traces.clone()
    center = 12 + net.config.context
    changed[:, :, center - omission : center + omission + 1] += 100
    before, after = predict(net, traces, plan), predict(net, changed, plan)
    assert torch.equal(before[..., 12], after[..., 12])
    assert not torch.equal(before[..., 12 + omission + 1], after[..., 12 + omission + 1])


def test_with_same_frame_neighbors_only_the_own_frames_are_hidden(locations):
    net = random_net(same_frame_neighbors=True)
    plan = plan_of(locations, net)
    traces = torch.randn(1, 20, 40)
    own, other = traces.clone(), traces.clone()
    own[:, 7, 20:23] += 100
    other[:, 9, 20:23] += 100
    before = predict(net, traces, plan)[0, 7, 21 - net.config.context]
    assert predict(net, own, plan)[0, 7, 21 - net.config.context] == before
    assert predict(net, other, plan)[0, 7, 21 - net.config.context] != before


def test_channels_may_be_renumbered(locations):
    net = random_net()
    order = np.random.default_rng(0).permutation(20)
    traces = torch.randn(2, 20, 40)
    expected = predict(net, traces, plan_of(locations, net))[:, order]
    renumbered = predict(net, traces[:, order], plan_of(locations[order], net))
    torch.testing.assert_close(renumbered, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("flip", [(-1, 1), (1, -1), (-1, -1)])
def test_probe_may_be_flipped_and_moved(locations, flip):
    net = random_net(num_neighbors=20, radius_um=70.0)
    traces = torch.randn(1, 20, 40)
    expected = predict(net, traces, plan_of(locations, net))
    flipped = predict(net, traces, plan_of(locations * np.array(flip) + 1000.0, net))
    torch.testing.assert_close(flipped, expected, atol=1e-5, rtol=1e-5)


def test_shanks_never_feed_each_other():
    net = random_net()
    probe = named_probe("four_shanks")
    shanks = probe.shank_ids.astype(int)
    plan = plan_of(probe.contact_positions * [0.05, 1.0], net, shanks)  # within reach, were they one shank
    traces = torch.randn(1, 64, 40)
    changed = traces.clone()
    changed[:, shanks == 1] += 10
    is_same = (predict(net, traces, plan) == predict(net, changed, plan))[0].all(dim=1).numpy()
    np.testing.assert_array_equal(is_same, shanks != 1)


def test_unusable_channels_feed_nobody_and_are_predicted(locations):
    net = random_net()
    usable = np.ones(20, dtype=bool)
    usable[[3, 11]] = False
    plan = plan_of(locations, net, usable=usable)
    traces = torch.randn(1, 20, 40)
    changed = traces.clone()
    changed[:, ~torch.from_numpy(usable)] = 1e6
    before = predict(net, traces, plan)
    assert torch.equal(before, predict(net, changed, plan))
    assert before[0, 3].std() > 0


def test_blocks_change_nothing(locations):
    net = random_net()
    traces = torch.randn(1, 20, 40)
    expected = predict(net, traces, plan_of(locations, net, block_channels=20))
    for block_channels, group_channels in ((1, 1), (3, 6), (7, 64), (8, 8)):
        plan = plan_of(locations, net, block_channels=block_channels, group_channels=group_channels)
        torch.testing.assert_close(predict(net, traces, plan), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("num_channels", [1, 2, 4])
def test_few_channels(num_channels):
    net = random_net()
    plan = plan_of(25.0 * np.arange(num_channels)[:, None] * [[0, 1]], net)
    assert predict(net, torch.randn(3, num_channels, 30), plan).shape == (3, num_channels, 12)


def test_gradient_reaches_every_parameter(locations):
    net = random_net(num_table_channels=20).train()
    plan = plan_of(locations, net)
    net.table_locations.copy_(torch.from_numpy(locations))
    net.table_offsets.copy_(torch.from_numpy(plan.offsets))
    net.attach_table(plan, locations)
    net(torch.randn(2, 20, 30), plan).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_table_serves_its_own_neighbourhoods_alone(locations):
    net = random_net(num_table_channels=20)
    plan = plan_of(locations, net)
    net.table_locations.copy_(torch.from_numpy(locations))
    net.table_offsets.copy_(torch.from_numpy(plan.offsets))
    torch.nn.init.normal_(net.table)
    order = np.random.default_rng(1).permutation(20)
    renumbered = plan_of(locations[order] + 50.0, net)
    net.attach_table(renumbered, locations[order] + 50.0)
    np.testing.assert_array_equal(renumbered.table_rows.numpy(), order)
    other = plan_of(locations * 1.5, net)
    net.attach_table(other, locations * 1.5)
    assert (other.table_rows.numpy() == -1).all()


def test_a_gated_network_keeps_the_laws_too(locations):
    net = random_net(is_gated=True, num_mixed_filters=2, activation="hardswish", num_neighbors=20, radius_um=70.0)
    plan = plan_of(locations, net)
    traces = torch.randn(1, 20, 40)
    changed = traces.clone()
    center = 12 + net.config.context
    changed[:, :, center - 1 : center + 2] += 100
    before, after = predict(net, traces, plan), predict(net, changed, plan)
    assert torch.equal(before[..., 12], after[..., 12]) and not torch.equal(before[..., 14], after[..., 14])
    flipped = predict(net, traces, plan_of(-locations, net, block_channels=3, group_channels=6))
    torch.testing.assert_close(flipped, before, atol=1e-4, rtol=1e-4)
    net.train()(torch.randn(2, 20, 30), plan).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_gated_network_grows_no_faster_than_its_input(locations):
    net = random_net(is_gated=True, activation="hardswish")
    plan = plan_of(locations, net)
    traces = 100 * torch.randn(1, 20, 40)
    largest = predict(net, traces, plan).abs().max()
    assert predict(net, 1000 * traces, plan).abs().max() < 1100 * largest


def test_the_nonlinear_part_sees_the_first_filters_alone(locations):
    net = random_net(num_mixed_filters=2)
    plan = plan_of(locations, net)
    traces = torch.randn(1, 20, 40)

    def nonlinear():
        with torch.inference_mode():
            blocks = net.block_weights(plan)
            return net.predict(traces, plan, blocks) - net.predict(traces, plan, blocks, 0.0)

    before = nonlinear()
    with torch.no_grad():
        net.filters[2:] += 1
    torch.testing.assert_close(nonlinear(), before, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        net.filters[:2] += 1
    assert not torch.allclose(nonlinear(), before, atol=1e-2)


def test_a_folder_from_before_these_settings_gives_the_same(locations, tmp_path):
    net = random_net()
    folder = save_model(net, tmp_path / "old", ModelInfo(name="old", task="denoising"))
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    for name in ("num_mixed_filters", "is_gated", "activation"):
        del config["network"][name]
    (folder / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    plan, traces = plan_of(locations, net), torch.randn(1, 20, 40)
    assert torch.equal(predict(load_model(folder).eval(), traces, plan), predict(net, traces, plan))


@pytest.mark.parametrize(
    "values", [dict(context=5, omission=5), dict(num_mixed_filters=0), dict(num_mixed_filters=17), dict(activation="x")]
)
def test_bad_config_is_explained(values):
    with pytest.raises(ValueError, match=list(values)[-1]):
        InterpolatorConfig(**values)


def test_lagged_covariance_is_its_definition():
    rng = np.random.default_rng(0)
    white = rng.normal(size=(200_000, 2))
    traces = np.stack([white[3:, 0], white[:-3, 0] + white[3:, 1]], axis=1)
    covariance = lagged_covariance(traces, 5)
    assert covariance.shape == (2, 2, 11)
    assert covariance[0, 1, 5 + 3] == pytest.approx(1, abs=0.02)  # channel 1 repeats channel 0 three frames later
    assert covariance[1, 0, 5 - 3] == pytest.approx(1, abs=0.02)
    assert covariance[0, 1, 5] == pytest.approx(0, abs=0.02)
    assert covariance[1, 1, 5] == pytest.approx(2, abs=0.03)


def test_wiener_filter_equals_least_squares():
    rng = np.random.default_rng(0)
    traces = np.apply_along_axis(lambda x: np.convolve(x, [1, 0.8, 0.4], mode="same"), 0, rng.normal(size=(20_000, 2)))
    traces[:, 1] += 0.5 * np.roll(traces[:, 0], 2)
    lags = np.array([-3, -2, 2, 3])
    weights = wiener_filters(lagged_covariance(traces, 6), 0, np.array([0, 1]), lags, 1e-6)
    design = np.stack([np.roll(traces[:, channel], -lag) for channel in (0, 1) for lag in lags], axis=1)
    expected, *_ = np.linalg.lstsq(design[10:-10], traces[10:-10, 0], rcond=None)
    np.testing.assert_allclose(weights.ravel(), expected, atol=0.03)


def test_filter_gram_is_the_covariance_of_filtered_traces():
    rng = np.random.default_rng(0)
    white = rng.normal(size=(100_001, 2))
    traces = white[1:] + 0.7 * white[:-1] + 0.5 * white[1:, ::-1]
    filters = rng.normal(size=(3, 7))
    gram = filter_gram(lagged_covariance(traces, 6), filters, np.array([0, 1]))
    filtered = [np.correlate(traces[:, channel], taps) for channel in (0, 1) for taps in filters]
    np.testing.assert_allclose(gram, np.cov(filtered), rtol=0.1, atol=0.02 * np.abs(gram).max())


def test_leading_filters_and_ridge_never_fail():
    filters = leading_filters(np.ones((2, 6)), 4)
    assert filters.shape == (4, 6) and np.isfinite(filters).all()
    assert np.isfinite(solve_ridge(np.zeros((3, 3)), np.zeros(3), 1e-3)).all()
