"""
Interpolator: DeepInterpolation for any probe, with a few thousand multiplications per sample.

Like DeepInterpolation (Lecoq et al. 2021, doi:10.1038/s41592-021-01285-2) it predicts a frame from the frames before
and after it and never sees the frame itself. Signal and shared background can be predicted, noise cannot. Unlike the
original it applies one convolution with a hole to a whole chunk, and then mixes neighbouring channels once. A small
network computes the mixing weights from the relative positions of the contacts. The weights depend on the probe alone,
so they cost nothing per frame, and one set of parameters serves every layout.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .network import Network, NetworkConfig
from .probe_plan import NOWHERE_UM, NUM_OFFSET_FEATURES, ProbePlan, make_probe_plan

# Scale of the stored linear weights: Adam moves every parameter by about the learning rate, and these weights are ten
# times smaller than the others.
TABLE_SCALE = 0.1
ACTIVATIONS = {"silu": nn.functional.silu, "hardswish": nn.functional.hardswish}


@dataclass(frozen=True, kw_only=True)
class InterpolatorConfig(NetworkConfig):
    """
    Structure of an `Interpolator`.

    Attributes
    ----------
    sampling_frequency : float
        In Hz, of the traces that the filters over time were learnt on.
    context : int
        Frames before and after the predicted one that are seen.
    omission : int
        The frames t - omission to t + omission are not seen: frame t itself, and what is filtered together with it.
    num_features : int
        Filters over time per channel.
    num_mixed : int
        Nonlinear features per channel after mixing neighbours.
    width : int
        Hidden width of the network that acts on each channel and frame.
    num_neighbors, radius_um : int, float
        Channels that a channel is predicted from, itself included, on the same shank, no farther than the radius.
    same_frame_neighbors : bool
        Whether a channel sees the omitted frames of its neighbours, so that only its own stay hidden. This keeps more
        of what neighbours share, signal or background.
    geometry_width : int
        Hidden width of the network that turns positions into mixing weights.
    num_table_channels : int
        Channels of a linear part that was fitted to one recording; 0 for a network of any probe.
    num_mixed_filters : int | None
        Number of filters over time that the nonlinear features see, the first ones. None: all features of a channel.
    is_gated : bool
        The nonlinear part is a sum of the mixed features, each times a gate from -1 to 1 that depends on all of them: a
        choice among linear predictions. False: any function of them.

    activation : str
        "silu", or "hardswish", which costs half of it.

    Models saved without the last three have their defaults; `NEW_INTERPOLATOR` is what new ones are made like.
    """

    sampling_frequency: float = 30_000.0
    context: int = 31
    omission: int = 1
    num_features: int = 16
    num_mixed: int = 6
    width: int = 16
    num_neighbors: int = 16
    radius_um: float = 75.0
    same_frame_neighbors: bool = False
    geometry_width: int = 48
    num_table_channels: int = 0
    num_mixed_filters: int | None = None
    is_gated: bool = False
    activation: str = "silu"

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.omission < self.context:
            raise ValueError(f"omission={self.omission}, expected at least 0 and less than context={self.context}.")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation='{self.activation}', expected one of {sorted(ACTIVATIONS)}.")
        if self.num_mixed_filters is not None and not 1 <= self.num_mixed_filters <= self.num_features:
            raise ValueError(
                f"num_mixed_filters={self.num_mixed_filters}, expected 1 to num_features={self.num_features}, or None."
            )

    @property
    def num_seen(self) -> int:
        """Features that a neighbour contributes."""
        return self.num_features + (2 * self.omission + 1 if self.same_frame_neighbors else 0)

    @property
    def num_seen_mixed(self) -> int:
        """Features of a neighbour that the nonlinear part sees."""
        return self.num_seen if self.num_mixed_filters is None else self.num_mixed_filters


NEW_INTERPOLATOR = InterpolatorConfig(num_mixed=10, num_mixed_filters=8, is_gated=True, activation="hardswish")


class Interpolator(Network):
    """
    (batch, num_channels, num_frames + 2 * context) -> (batch, num_channels, num_frames), given a `ProbePlan`.

    Traces are in noise levels of each channel, centred on 0; a channel that must not feed others is marked in the
    plan. The output has the unit of the input.
    """

    architecture = "interpolator"
    config_class = InterpolatorConfig
    config: InterpolatorConfig
    is_seen: Tensor
    same_frame_taps: Tensor
    table_locations: Tensor
    table_offsets: Tensor

    def __init__(self, config: InterpolatorConfig):
        super().__init__(config)
        num_taps = 2 * config.context + 1
        lags = torch.arange(num_taps) - config.context
        self.register_buffer("is_seen", (lags.abs() > config.omission).float(), persistent=False)
        same_frame = slice(config.context - config.omission, config.context + config.omission + 1)
        self.register_buffer("same_frame_taps", torch.eye(num_taps)[same_frame], persistent=False)
        self.filters = nn.Parameter(torch.randn(config.num_features, num_taps) / num_taps**0.5)
        self.neighborhood = _perceptron(NUM_OFFSET_FEATURES, 32, 16)
        num_outputs = config.num_seen + config.num_mixed * config.num_seen_mixed
        self.geometry = _perceptron(NUM_OFFSET_FEATURES + 16, config.geometry_width, config.geometry_width, num_outputs)
        self.mixed_bias = nn.Parameter(torch.zeros(config.num_mixed, 1))
        self.hidden = nn.Conv1d(config.num_mixed, config.width, 1)
        self.readout = nn.Conv1d(config.width, config.num_mixed if config.is_gated else 1, 1)
        for parameter in self.readout.parameters():
            nn.init.zeros_(parameter)
        with torch.no_grad():
            last = self.geometry[-1]
            assert isinstance(last, nn.Linear)
            last.weight.mul_(0.3)
        if config.num_table_channels:
            shape = (config.num_table_channels, config.num_neighbors)
            self.table = nn.Parameter(torch.zeros(*shape, config.num_seen))
            self.register_buffer("table_locations", torch.zeros(config.num_table_channels, 2))
            self.register_buffer("table_offsets", torch.full((*shape, 2), NOWHERE_UM))

    def attach_table(self, plan: ProbePlan, channel_locations: np.ndarray):
        """
        Use the linear part fitted to a recording for those channels of a plan that have the same neighbourhood.

        Parameters
        ----------
        channel_locations : np.ndarray, shape (num_channels, 2), float
            In um; channels are recognised by their position relative to the whole probe, not by their number.
        """
        plan.table_rows = None
        if not self.config.num_table_channels or not len(channel_locations):
            return
        known = self.table_locations.cpu().numpy()
        here = channel_locations - channel_locations.min(axis=0)
        distances = np.abs(here[:, None] - (known - known.min(axis=0))[None]).max(axis=-1)
        rows = distances.argmin(axis=1)
        offsets = self.table_offsets.cpu().numpy()[rows]
        is_same = np.isclose(offsets, plan.offsets, atol=0.5).all(axis=(1, 2))
        rows[(distances.min(axis=1) > 0.5) | ~is_same] = -1
        plan.table_rows = torch.from_numpy(rows)

    def filters_over_time(self) -> Tensor:
        """All filters over time, (num_seen, 2 * context + 1): the learnt ones are 0 where frames are omitted."""
        learnt = self.filters * self.is_seen
        return torch.cat([learnt, self.same_frame_taps]) if self.config.same_frame_neighbors else learnt

    def mixing_weights(self, plan: ProbePlan) -> tuple[Tensor, Tensor]:
        """
        Weights of each neighbour's features, exactly 0 for an empty or unusable place and a channel's omitted frames.

        Returns
        -------
        linear : Tensor, shape (num_channels, num_neighbors, 1, num_seen)
        mixed : Tensor, shape (num_channels, num_neighbors, num_mixed, num_seen_mixed)
        """
        config, features, feeds = self.config, plan.offset_features, plan.feeds[..., None]
        around = (self.neighborhood(features) * feeds).sum(dim=1, keepdim=True) / feeds.sum(dim=1, keepdim=True).clamp(
            1
        )
        weights = self.geometry(torch.cat([features, around.expand(-1, features.shape[1], -1)], dim=-1))
        linear, mixed = weights.split([config.num_seen, config.num_mixed * config.num_seen_mixed], dim=-1)
        if plan.table_rows is not None and config.num_table_channels:
            rows = plan.table_rows
            linear = linear + torch.where(rows[:, None, None] >= 0, TABLE_SCALE * self.table[rows.clamp(0)], 0)
        may_see = plan.feeds[:, :, None, None].expand(-1, -1, 1, config.num_seen).clone()
        may_see[:, 0, :, config.num_features :] = 0
        mixed = mixed.unflatten(-1, (config.num_mixed, config.num_seen_mixed))
        return linear[:, :, None] * may_see, mixed * may_see[..., : config.num_seen_mixed]

    def forward(self, traces: Tensor, plan: ProbePlan) -> Tensor:
        return self.predict(traces, plan, self.block_weights(plan))

    def block_weights(self, plan: ProbePlan) -> list[tuple[Tensor, Tensor]]:
        """Both mixing weights as dense matrices per block of channels; make them once to predict many chunks."""
        linear, mixed = self.mixing_weights(plan)
        return list(zip(plan.to_blocks(linear), plan.to_blocks(mixed), strict=True))

    def predict(self, traces: Tensor, plan: ProbePlan, blocks: list, nonlinear_share: float = 1.0) -> Tensor:
        """As `forward`, with the result of `block_weights` and a share of the nonlinear part."""
        filters, num_mixed = self.filters_over_time()[:, None], self.config.num_seen_mixed
        ordered, predicted = traces[:, plan.order], []
        for inputs, members in plan.groups:
            seen = ordered[:, inputs]
            features = nn.functional.conv1d(seen.flatten(0, 1)[:, None], filters).unflatten(0, seen.shape[:2])
            first = features[:, :, :num_mixed].contiguous()
            for index, places in members:
                linear, mixed = blocks[index]
                block = _product(linear, features[:, places].flatten(1, 2))
                if nonlinear_share:
                    nonlinear = self._nonlinear_block(_product(mixed, first[:, places].flatten(1, 2)))
                    block = torch.add(block, nonlinear, alpha=nonlinear_share)
                predicted.append(block)
        return torch.cat(predicted, dim=1)[:, plan.rank]

    def _nonlinear_block(self, mixed: Tensor) -> Tensor:
        """(batch, num_mixed * channels, frames) -> (batch, channels, frames): block by block stays in cache."""
        batch, _, num_frames = mixed.shape
        mixed = mixed.view(batch, self.config.num_mixed, -1)
        is_final, activate = not torch.is_grad_enabled(), ACTIVATIONS[self.config.activation]
        hidden = activate(mixed + self.mixed_bias, inplace=is_final)
        hidden = activate(_layer(self.hidden, hidden), inplace=is_final)
        nonlinear = _layer(self.readout, hidden)
        if self.config.is_gated:
            # Within bounds, or the output would grow with the square of an artefact.
            nonlinear = (nonlinear.clamp(-1, 1) * mixed).sum(dim=1, keepdim=True)
        return nonlinear.view(batch, -1, num_frames)

    def example_input(self, batch_size: int = 2, seed: int = 0) -> tuple[Tensor, ProbePlan]:
        """Random traces and the plan of a probe with two columns."""
        locations = np.array([(32.0 * (row % 2), 20.0 * row) for row in range(6)])
        config = self.config
        shanks = np.zeros(len(locations), dtype=int)
        plan = make_probe_plan(locations, shanks, num_neighbors=config.num_neighbors, radius_um=config.radius_um)
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(batch_size, len(locations), 2 * config.context + 20, generator=generator), plan


def _product(matrix: Tensor, features: Tensor) -> Tensor:
    # One product per window; `matmul` would copy the features of a batch to make one of all.
    return torch.bmm(matrix.expand(len(features), -1, -1), features)


def _layer(convolution: nn.Conv1d, inputs: Tensor) -> Tensor:
    assert convolution.bias is not None
    # For so few features a matrix product is several times faster than the convolution of one frame that it is.
    return torch.baddbmm(convolution.bias[:, None], convolution.weight[:, :, 0].expand(len(inputs), -1, -1), inputs)


def _perceptron(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for num_inputs, num_outputs in itertools.pairwise(widths):
        layers += [nn.Linear(num_inputs, num_outputs), nn.SiLU()]
    return nn.Sequential(*layers[:-1])
