"""From a verified folder to a network: strict, and without trusting what the config says about sizes."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch.overrides import TorchFunctionMode

from ..nets import network_class
from ..nets.network import Network, NetworkConfig
from .model_folder import CONFIG_FILE, WEIGHTS_FILE

# Calls to torch that building a network may take: ten times what the largest network of the package needs. A config
# that asks for a million layers is stopped early.
MOST_CALLS = 20_000


def build_network(folder: Path, config: dict[str, Any]) -> Network:
    """
    Network of a folder, with exactly the tensors that its architecture has.

    The network is first built without memory (torch's "meta" device) and its shapes are compared with the header of
    the weights file, so that a config with huge shapes is refused before anything is allocated.

    Raises
    ------
    ValueError
        If the architecture is unknown, its config does not fit, or a tensor is missing, extra, of another shape, not
        finite, or the weights file is no safetensors file.
    """
    net_class = network_class(config["architecture"])
    shapes = _stored_shapes(folder / WEIGHTS_FILE)
    with torch.random.fork_rng(devices=[]):  # loading a model leaves the user's random numbers alone
        network_config = _checked_config(net_class, config["network"], folder)
        with _CallBudget(), torch.device("meta"):
            sketch = _construct(net_class, network_config, folder)
        _compare(shapes, {name: tuple(value.shape) for name, value in sketch.state_dict().items()}, folder)
        net = _construct(net_class, network_config, folder)
    try:
        net.load_state_dict(load_file(folder / WEIGHTS_FILE), strict=True)
    except RuntimeError as error:
        raise ValueError(f"The weights in {folder} do not fit their config: {error}") from error
    for name, parameter in net.named_parameters():
        if not parameter.isfinite().all():
            raise ValueError(f"{folder / WEIGHTS_FILE}: '{name}' holds NaN or infinite values. Train the model again.")
    return net.eval()


def _stored_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is no safetensors file ({error}). Only safetensors are read; weights in a pickle are never "
            "loaded, whatever their name."
        ) from error


def _checked_config(net_class: type[Network], values: dict[str, Any], folder: Path) -> NetworkConfig:
    try:
        return net_class.config_class(**values)
    except TypeError as error:
        raise ValueError(
            f"{folder / CONFIG_FILE}: 'network' does not fit the architecture '{net_class.architecture}': {error}. "
            "It was saved by another version of si_deepsort."
        ) from error


def _construct(net_class: type[Network], network_config: NetworkConfig, folder: Path) -> Network:
    try:
        return net_class(network_config)
    except (TypeError, RuntimeError, OverflowError, MemoryError, ArithmeticError, LookupError, AssertionError) as error:
        raise ValueError(
            f"{folder / CONFIG_FILE}: no '{net_class.architecture}' network can be built from {network_config}: {error}"
        ) from error


def _compare(found: dict, expected: dict, folder: Path):
    missing = sorted(set(expected) - set(found))
    extra = sorted(set(found) - set(expected))
    differing = [
        f"{name} is {found[name]}, expected {expected[name]}"
        for name in sorted(set(found) & set(expected))
        if found[name] != expected[name]
    ]
    problems = {"missing": missing, "not of this network": extra, "of another shape": differing}
    texts = [f"{what}: {', '.join(names[:5])}{' …' * (len(names) > 5)}" for what, names in problems.items() if names]
    if texts:
        raise ValueError(f"The weights in {folder} do not fit their config. Tensors {'; '.join(texts)}.")


class _CallBudget(TorchFunctionMode):
    """Raises when more than `MOST_CALLS` functions of torch are called inside the block."""

    num_calls = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.num_calls += 1
        if self.num_calls > MOST_CALLS:
            raise RuntimeError(f"more than {MOST_CALLS} operations to build it")
        return function(*args, **(kwargs or {}))
