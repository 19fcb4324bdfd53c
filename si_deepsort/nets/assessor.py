"""
A network that judges the units of a sorting: a unit, its neighbours whatever their order, and single spikes.

Several members are trained on different recordings, and their predictions are averaged.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from .network import Network, NetworkConfig

# Classes of units, in the order of the outputs.
LABELS = ("good", "multi-unit", "fragment", "noise")
# Quantiles that are predicted: the ends of an interval that holds nine of ten values, and its middle.
QUANTILES = (0.05, 0.5, 0.95)
# Normalized features are cut off here: farther from the mean they tell nothing more.
LARGEST_FEATURE = 4.0


@dataclass(frozen=True, kw_only=True)
class AssessorConfig(NetworkConfig):
    """
    Structure of an `Assessor`.

    Attributes
    ----------
    num_unit_features, num_pair_features, num_spike_features : int
        Values of a unit, of a unit with one neighbour, and of a spike.
    num_members : int
        Networks whose predictions are averaged.
    width, pair_width, spike_width : int
        Hidden values for a unit, a neighbour and a spike.
    dropout : float
        Share of the hidden values that are left out in training.
    """

    num_unit_features: int = 12
    num_pair_features: int = 6
    num_spike_features: int = 5
    num_members: int = 5
    width: int = 96
    pair_width: int = 16
    spike_width: int = 24
    dropout: float = 0.2


class Assessor(Network):
    """
    (batch, unit features), (batch, neighbours, pair features), (batch, spike features) -> units and spikes.

    Units are (batch, 10): quantiles of the precision, quantiles of the recall, probabilities of the labels. Spikes
    are (batch, 1): log odds that a spike is real and its unit's. Features that are NaN count as unknown, neighbours
    that are NaN as absent. The order of the neighbours does not matter.
    """

    architecture = "assessor"
    config_class = AssessorConfig
    config: AssessorConfig

    def __init__(self, config: AssessorConfig):
        super().__init__(config)
        self.members = nn.ModuleList([_Member(config) for _ in range(config.num_members)])
        for name in ("unit", "pair", "spike"):
            size = getattr(config, f"num_{name}_features")
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))

    def forward(self, units: Tensor, pairs: Tensor, spikes: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs for units, and for one spike of each."""
        outputs = self.judge_units(units, pairs)
        return outputs.mean(dim=0), self.judge_spikes(spikes, outputs).mean(dim=0)

    def judge_units(self, units: Tensor, pairs: Tensor) -> Tensor:
        """Outputs of each member, (members, batch, 10)."""
        is_there = ~pairs.isnan().any(dim=2)
        units, pairs = self.normalized(units, "unit"), self.normalized(pairs, "pair")
        return torch.stack([member.judge_units(units, pairs, is_there) for member in self._all_members()])

    def judge_spikes(self, spikes: Tensor, outputs: Tensor) -> Tensor:
        """Log odds of spikes by each member, (members, batch, 1); outputs (members, batch, 10) of their units."""
        spikes = self.normalized(spikes, "spike")
        return torch.stack(
            [member.judge_spikes(spikes, own) for member, own in zip(self._all_members(), outputs, strict=True)]
        )

    def _all_members(self) -> list["_Member"]:
        return cast("list[_Member]", list(self.members))

    def normalized(self, features: Tensor, kind: str) -> Tensor:
        scaled = (features - getattr(self, f"{kind}_mean")) / getattr(self, f"{kind}_scale")
        return scaled.nan_to_num(0.0).clamp(-LARGEST_FEATURE, LARGEST_FEATURE)

    @classmethod
    def example_config(cls) -> AssessorConfig:
        return AssessorConfig(num_members=2)

    def example_input(self, batch_size: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        sizes = self.config.num_unit_features, self.config.num_pair_features, self.config.num_spike_features
        pairs = torch.randn(batch_size, 4, sizes[1], generator=generator)
        pairs[:, 3] = torch.nan
        units = torch.randn(batch_size, sizes[0], generator=generator)
        return units, pairs, torch.randn(batch_size, sizes[2], generator=generator)


class _Member(nn.Module):
    """One member of the ensemble, on normalized features."""

    def __init__(self, config: AssessorConfig):
        super().__init__()
        self.pair = nn.Sequential(nn.Linear(config.num_pair_features, config.pair_width), nn.GELU())
        num_inputs = config.num_unit_features + 2 * config.pair_width
        self.unit = nn.Sequential(
            nn.Linear(num_inputs, config.width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.width, config.width),
            nn.GELU(),
            nn.Dropout(config.dropout),
        )
        self.head = nn.Linear(config.width, 6 + len(LABELS))
        self.spike = nn.Sequential(
            nn.Linear(config.num_spike_features + 6 + len(LABELS), config.spike_width),
            nn.GELU(),
            nn.Linear(config.spike_width, 1),
        )

    def judge_units(self, units: Tensor, pairs: Tensor, is_there: Tensor) -> Tensor:
        seen = self.pair(pairs) * is_there[..., None]
        mean = seen.sum(dim=1) / is_there.sum(dim=1, keepdim=True).clamp(min=1)
        hidden = self.unit(torch.cat([units, mean, seen.amax(dim=1)], dim=1))
        numbers = self.head(hidden)
        quantiles = [_ordered(numbers[:, 3 * part : 3 * part + 3]) for part in range(2)]
        return torch.cat([*quantiles, numbers[:, 6:].softmax(dim=1)], dim=1)

    def judge_spikes(self, spikes: Tensor, outputs: Tensor) -> Tensor:
        return self.spike(torch.cat([spikes, 4 * outputs - 2], dim=1))


def _ordered(numbers: Tensor) -> Tensor:
    """Three quantiles from 0 to 1, ascending."""
    down, middle, up = numbers.unbind(dim=1)
    softplus = nn.functional.softplus
    return torch.stack([middle - softplus(down), middle, middle + softplus(up)], dim=1).sigmoid()
