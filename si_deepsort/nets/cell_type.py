"""Cell type from a few features of a unit: logistic regression, whose weights can be read."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .network import Network, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class CellTypeConfig(NetworkConfig):
    """
    Structure of a `CellTypeClassifier`.

    Attributes
    ----------
    features : tuple of str
        Names of the features, in the order of the input.
    """

    features: tuple[str, ...] = ("trough_to_peak_ms", "burst_index")


class CellTypeClassifier(Network):
    """(batch, num_features) -> (batch,): log odds that a unit is excitatory, if both types are as common."""

    architecture = "cell_type"
    config_class = CellTypeConfig
    config: CellTypeConfig
    mean: Tensor
    scale: Tensor

    def __init__(self, config: CellTypeConfig):
        super().__init__(config)
        num_features = len(config.features)
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("scale", torch.ones(num_features))
        self.linear = nn.Linear(num_features, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear((features - self.mean) / self.scale).squeeze(1)

    def example_input(self, batch_size: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        return (torch.randn(batch_size, len(self.config.features), generator=generator),)
