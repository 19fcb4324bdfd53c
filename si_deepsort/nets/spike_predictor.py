"""Predict the spiking of neurons from features of the field potential, bin by bin."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from .network import Network, NetworkConfig

KINDS = ("constant", "glm", "bilstm", "gru", "cnn")
LIKELIHOODS = ("poisson", "bernoulli")


@dataclass(frozen=True, kw_only=True)
class SpikePredictorConfig(NetworkConfig):
    """
    Structure of a spike predictor.

    Attributes
    ----------
    kind : "constant" | "glm" | "bilstm" | "gru" | "cnn"
        "constant" ignores the features; "glm" is linear in them; the others add a network to the linear part.
    num_features, num_outputs : int
        Features per bin; units predicted at once.
    likelihood : "poisson" | "bernoulli"
        Spike counts per bin, or whether there is a spike.
    causal : bool
        No bin sees a later one. A causal "bilstm" runs forward only.
    num_lags : int
        Bins that the linear part sees before (acausal: and after) a bin, beside the bin itself.
    hidden_size, num_layers : int
        Width and depth of the network part.
    dropout : float
        Dropout of the network part while training.
    margin_bins : int
        Bins of context on each side that the network is given.
    num_members : int
        Networks of the same structure, trained on different blocks of time, whose outputs are averaged.
    """

    kind: str = "bilstm"
    num_features: int = 1
    num_outputs: int = 1
    likelihood: str = "poisson"
    causal: bool = False
    num_lags: int = 0
    hidden_size: int = 24
    num_layers: int = 1
    dropout: float = 0.2
    margin_bins: int = 40
    num_members: int = 1


class SpikePredictor(Network):
    """
    (batch, num_features, bins) -> (batch, num_outputs, bins): log rate per bin (Poisson) or logit (Bernoulli).

    Features come as they are; the network holds their mean and scale. What the members say is shrunk towards the
    constant rate by `gain`, one for the linear and one for the network part (both 0: nothing could be learnt), which
    training sets from blocks that the members never saw.
    """

    architecture = "spike_predictor"
    config_class = SpikePredictorConfig
    config: SpikePredictorConfig
    feature_mean: torch.Tensor
    feature_scale: torch.Tensor
    gain: torch.Tensor
    offset: torch.Tensor

    def __init__(self, config: SpikePredictorConfig):
        super().__init__(config)
        if config.kind not in KINDS or config.likelihood not in LIKELIHOODS:
            raise ValueError(
                f"Got kind='{config.kind}', likelihood='{config.likelihood}'; expected {KINDS} and {LIKELIHOODS}."
            )
        self.register_buffer("feature_mean", torch.zeros(config.num_features))
        self.register_buffer("feature_scale", torch.ones(config.num_features))
        self.register_buffer("gain", torch.ones(2, config.num_outputs))
        self.register_buffer("offset", torch.zeros(config.num_outputs))
        self.members = nn.ModuleList(_Member(config) for _ in range(config.num_members))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        parts = self.parts(features) * self.gain[..., None]
        return self.offset[:, None] + parts.sum(dim=1)

    def parts(self, features: torch.Tensor) -> torch.Tensor:
        """Mean over members of the linear and of the network part: (batch, 2, num_outputs, bins)."""
        standard = (features - self.feature_mean[:, None]) / self.feature_scale[:, None]
        standard = standard.clamp(-8, 8)  # an artefact must not run away with the rate
        return torch.stack([member(standard) for member in self.members]).mean(dim=0)

    def example_input(self, batch_size: int = 2, seed: int = 0) -> tuple[torch.Tensor, ...]:
        shape = (batch_size, self.config.num_features, 60)
        return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)),)

    def loss(self, output: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood of each bin and output, without its constant; shapes (batch, num_outputs, bins)."""
        if self.config.likelihood == "poisson":
            return torch.exp(output.clamp(max=10)) - counts * output
        return functional.binary_cross_entropy_with_logits(output, counts.clamp(max=1), reduction="none")


class _Member(nn.Module):
    """Linear part and network part, stacked on axis 1; the network part starts at exactly 0."""

    def __init__(self, config: SpikePredictorConfig):
        super().__init__()
        self.left = config.num_lags
        self.right = 0 if config.causal else config.num_lags
        self.linear = nn.Conv1d(config.num_features, config.num_outputs, self.left + self.right + 1)
        nn.init.zeros_(self.linear.weight)
        self.residual: _TemporalCNN | _Recurrent | None = None
        if config.kind == "cnn":
            self.residual = _TemporalCNN(config)
        elif config.kind in ("bilstm", "gru"):
            self.residual = _Recurrent(config)

    def forward(self, features):
        linear = self.linear(functional.pad(features, (self.left, self.right)))
        residual = torch.zeros_like(linear) if self.residual is None else self.residual(features)
        return torch.stack([linear, residual], dim=1)


class _Recurrent(nn.Module):
    def __init__(self, config: SpikePredictorConfig):
        super().__init__()
        layer = nn.LSTM if config.kind == "bilstm" else nn.GRU
        between = config.dropout if config.num_layers > 1 else 0.0
        self.recurrent = layer(
            config.num_features,
            config.hidden_size,
            config.num_layers,
            batch_first=True,
            bidirectional=not config.causal,
            dropout=between,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.readout = _zero_readout(config.hidden_size * (1 if config.causal else 2), config.num_outputs)

    def forward(self, features):
        states, _ = self.recurrent(features.transpose(1, 2))
        return self.readout(self.dropout(states.transpose(1, 2)))


class _TemporalCNN(nn.Module):
    """Residual convolutions whose dilation doubles until they fill the margin."""

    def __init__(self, config: SpikePredictorConfig):
        super().__init__()
        self.causal = config.causal
        self.mix = nn.Conv1d(config.num_features, config.hidden_size, 1)
        dilations: list[int] = []
        reach = 0
        while reach + (step := 2 ** len(dilations)) * (2 if self.causal else 1) <= config.margin_bins:
            dilations.append(step)
            reach += step * (2 if self.causal else 1)
        width = config.hidden_size
        self.blocks = nn.ModuleList(nn.Conv1d(width, width, 3, dilation=dilation) for dilation in dilations)
        self.dropout = nn.Dropout(config.dropout)
        self.readout = _zero_readout(width, config.num_outputs)

    def forward(self, features):
        state = self.mix(features)
        for block in self.blocks:
            dilation = block.dilation[0]
            padding = (2 * dilation, 0) if self.causal else (dilation, dilation)
            state = state + block(functional.pad(functional.gelu(state), padding))
        return self.readout(self.dropout(functional.gelu(state)))


def _zero_readout(num_inputs, num_outputs):
    readout = nn.Conv1d(num_inputs, num_outputs, 1)
    nn.init.zeros_(readout.weight)
    nn.init.zeros_(readout.bias)
    return readout
