"""What all networks share: a frozen config that is saved with the weights, and a name in the registry."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Structure of a network; lists (as JSON gives them) become tuples, so that a config equals its reloaded self."""

    def __post_init__(self) -> None:
        for record in fields(self):
            value = getattr(self, record.name)
            if isinstance(value, list):
                object.__setattr__(self, record.name, _as_tuple(value))

    def to_dict(self) -> dict:
        """The config as plain Python values, for JSON."""
        return asdict(self)


class Network(nn.Module, ABC):
    """
    Base of all networks.

    A subclass sets `architecture` (its name in `ARCHITECTURES`) and `config_class`, and takes one config.

    Attributes
    ----------
    config : NetworkConfig
        Structure, saved with the weights.
    info : ModelInfo | None
        What the network is and where its weights come from; None for a network that was just made.
    """

    architecture: str
    config_class: type[NetworkConfig]
    config: NetworkConfig

    def __init__(self, config: NetworkConfig):
        super().__init__()
        assert is_dataclass(config) and isinstance(config, self.config_class)
        self.config = config
        self.info: Any = None  # ModelInfo is of the zoo, which imports this module

    def num_parameters(self) -> int:
        """Number of trained values."""
        return sum(parameter.numel() for parameter in self.parameters())

    @classmethod
    def example_config(cls) -> NetworkConfig:
        """A small valid config, for tests of the contract that all networks keep."""
        return cls.config_class()

    @abstractmethod
    def example_input(self, batch_size: int = 2, seed: int = 0) -> tuple[Any, ...]:
        """
        Arguments of `forward`, for tests of the contract that all networks keep.

        Parameters
        ----------
        batch_size : int, default: 2
            Length of the first axis of each tensor. What is no tensor is shared by the batch.
        seed : int, default: 0
            The same seed gives the same values.
        """


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list) else value
