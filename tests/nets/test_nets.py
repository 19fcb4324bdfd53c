"""The contract that every network of `nets.ARCHITECTURES` keeps."""

import dataclasses
import importlib.util
import json

import pytest
import torch
from huggingface_hub import constants
from loopback_hub import WRITE_TOKEN, LoopbackHub

from si_deepsort import nets
from si_deepsort.zoo import ModelInfo, load_model, push_to_hub, save_model

INFO = ModelInfo(name="contract", task="detection", training={"data": "none"})


def architectures_that_exist():
    for name, place in nets.ARCHITECTURES.items():
        is_there = importlib.util.find_spec(f"si_deepsort.nets.{place.split('.')[0]}") is not None
        marks = [] if is_there else pytest.mark.xfail(reason="not written yet", run=False)
        yield pytest.param(name, marks=marks)


pytestmark = pytest.mark.parametrize("architecture", list(architectures_that_exist()))


def make_net(architecture, seed=0):
    """A network whose every value matters: networks that start at zero would hide what does not reach the output."""
    torch.manual_seed(seed)
    net_class = nets.network_class(architecture)
    net = net_class(net_class.example_config())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return net.eval()


def run(net, arguments):
    output = net(*arguments)
    parts = output if isinstance(output, tuple) else (output,)
    return torch.cat([part.reshape(len(part), -1) for part in parts], dim=1)


def of_batch(arguments, index):
    return tuple(part[index : index + 1] if isinstance(part, torch.Tensor) else part for part in arguments)


def test_names_itself(architecture):
    net_class = nets.network_class(architecture)
    assert net_class.architecture == architecture
    config = net_class.example_config()
    assert isinstance(config, net_class.config_class) and dataclasses.is_dataclass(config)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, dataclasses.fields(config)[0].name, 1)


def test_config_survives_json(architecture):
    config = nets.network_class(architecture).example_config()
    assert type(config)(**json.loads(json.dumps(config.to_dict()))) == config


def test_output_is_finite_and_follows_the_batch(architecture):
    net = make_net(architecture)
    for batch_size in (1, 3):
        output = run(net, net.example_input(batch_size))
        assert output.dtype == torch.float32 and len(output) == batch_size and output.isfinite().all()


def test_example_input_is_seeded(architecture):
    net = make_net(architecture)
    first, again, other = net.example_input(2, 0), net.example_input(2, 0), net.example_input(2, 1)
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], other[0])


def test_gradient_reaches_every_parameter(architecture):
    net = make_net(architecture).train()
    output = run(net, net.example_input(8))
    (output * torch.randn(output.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    unreached = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert unreached == []


def test_a_batch_of_two_equals_two_batches_of_one(architecture):
    net = make_net(architecture)
    arguments = net.example_input(2)
    with torch.inference_mode():
        together = run(net, arguments)
        apart = torch.cat([run(net, of_batch(arguments, index)) for index in range(2)])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


def test_output_depends_on_the_input(architecture):
    net = make_net(architecture)
    with torch.inference_mode():
        assert not torch.allclose(run(net, net.example_input(2, 0)), run(net, net.example_input(2, 1)))


def test_is_the_same_after_save_and_load(architecture, tmp_path):
    net = make_net(architecture)
    random_state = torch.get_rng_state()
    loaded = load_model(save_model(net, tmp_path / "model", INFO))
    assert torch.equal(torch.get_rng_state(), random_state), "loading a model disturbs the user's random numbers"
    assert loaded.config == net.config and not loaded.training
    with torch.inference_mode():
        assert torch.equal(run(loaded, net.example_input()), run(net, net.example_input()))


def test_push_tag_pull_on_a_fresh_cache_gives_the_same_output(architecture, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    net = make_net(architecture)
    with LoopbackHub().running() as hub:
        push_to_hub(net, "lab/model", info=INFO, tag="v1", token=WRITE_TOKEN, endpoint=hub.endpoint)
        with pytest.warns(UserWarning, match="not pinned"):
            pulled = load_model("lab/model@v1", endpoint=hub.endpoint, cache_dir=tmp_path / "cache")
    with torch.inference_mode():
        assert torch.equal(run(pulled, net.example_input()), run(net, net.example_input()))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_gpu_equals_cpu(architecture):
    net = make_net(architecture)
    arguments = net.example_input(2)
    if not all(isinstance(part, torch.Tensor) for part in arguments):
        pytest.skip("takes more than tensors; its preprocessor has a test of its own")
    with torch.inference_mode():
        expected = run(net, arguments)
        found = run(net.cuda(), tuple(part.cuda() for part in arguments)).cpu()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
