"""
Spike detectors: the probability that a peak of the match with a waveform, or of the energy, is a spike nearby.

The network starts as the rule by which size alone detects: a peak is a spike if its size exceeds a threshold, and a
share of the largest peak around it. What the network sees beyond the size changes this verdict: the traces of the
peak's channel and of the channels around it. Channels enter through sums whose weights fall with distance, so their
number and order do not matter. A missing channel is infinitely far away and has weight 0.
"""

from dataclasses import dataclass

import torch
from torch import nn

from .network import Network, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class DetectorConfig(NetworkConfig):
    """
    Structure of a spike detector.

    Attributes
    ----------
    sampling_frequency : float
        Sampling rate of the windows in Hz. Traces at another rate are resampled around each candidate.
    frames_before, frames_after : int
        Frames of the window before and after its middle frame.
    num_neighbors : int
        Channels in a window, the channel itself included.
    radius_um : float
        Channels farther away than this are not used.
    lengths_um : tuple of float
        Decay lengths of the weights over distance.
    num_filters : int
        Filters over time that each channel passes by itself.
    hidden : tuple of int
        Widths of the layer over time and of the layer before the output.
    candidate_threshold : float
        Smallest size of a candidate: its match, or the square root of its energy, in noise standard deviations.
    threshold : float
        Size from which on a peak without larger peaks around it is a spike, before training.
    rival_share : float
        Share of the largest peak around it that a peak must have to be a spike, before training.
    typical_waveform : bool
        Candidates are peaks of the match with the typical waveform of the recording's spikes, instead of the energy.
    """

    sampling_frequency: float = 15_000.0
    frames_before: int = 18
    frames_after: int = 24
    num_neighbors: int = 12
    radius_um: float = 120.0
    lengths_um: tuple[float, ...] = (15.0, 40.0, 100.0)
    num_filters: int = 4
    hidden: tuple[int, int] = (32, 48)
    candidate_threshold: float = 5.5
    threshold: float = 6.5
    rival_share: float = 0.5
    typical_waveform: bool = False

    @property
    def num_frames(self) -> int:
        """Frames of a window."""
        return self.frames_before + 1 + self.frames_after


class RadialFeatures(nn.Module):
    """
    Filter the channels of a window over time and sum them with weights that fall with distance.

    Each channel passes the same filters; their outputs and the absolute values of them are summed over the channels,
    once for each decay length. The outputs of the peak's own channel come first.
    """

    # Samples of a filter: .5 ms, the main phase of a spike; and the step between two outputs.
    FILTER_FRAMES, STEP = 8, 2
    # Windows are scaled to this size, so that their shape decides; noise then has about the variance 1 for peaks near
    # the threshold.
    SCALED_SIZE = 6.0
    # Scaled values are clipped to this, far beyond a peak's own samples: a much larger spike beside it.
    LARGEST_VALUE = 20.0
    lengths_um: torch.Tensor

    def __init__(self, config: DetectorConfig):
        super().__init__()
        self.register_buffer("lengths_um", torch.tensor(config.lengths_um), persistent=False)
        self.filters = nn.Conv1d(1, config.num_filters, self.FILTER_FRAMES, stride=self.STEP)
        self.num_outputs = config.num_filters * (1 + 2 * len(config.lengths_um))
        self.num_frames = (config.num_frames - self.FILTER_FRAMES) // self.STEP + 1

    def forward(self, windows: torch.Tensor, distances_um: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """As `CNNDetector.forward`; (batch, num_outputs, num_frames)."""
        batch, num_channels, _ = windows.shape
        scaled = windows * (self.SCALED_SIZE / context[:, :1, None])
        scaled = scaled.clamp(-self.LARGEST_VALUE, self.LARGEST_VALUE)
        filtered = self.filters(scaled.flatten(end_dim=1)[:, None]).reshape(batch, num_channels, -1)
        weights = torch.exp(-distances_um[:, None, :] / self.lengths_um[:, None])
        summed = torch.cat([weights @ filtered, weights @ filtered.abs()], dim=1)
        return torch.cat([filtered[:, :1], summed], dim=1).reshape(batch, self.num_outputs, self.num_frames)


class Detector(Network):
    """What both detectors share: the config, the input, and the rule from which training starts."""

    # Slope of the first log-odds over the logarithm of the size. The rule itself does not depend on it.
    FIRST_SLOPE = 10.0

    config_class = DetectorConfig
    # Layers of a subclass that end in the correction of the rule.
    decide: nn.Sequential
    config: DetectorConfig

    def __init__(self, config: DetectorConfig):
        super().__init__(config)
        self.features = RadialFeatures(config)
        self.slope = nn.Parameter(torch.tensor(self.FIRST_SLOPE))

    def correction(self, features: torch.Tensor) -> torch.Tensor:
        """What a subclass makes of the features, (batch, num_inputs of `decide`)."""
        raise NotImplementedError

    def forward(self, windows: torch.Tensor, distances_um: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """
        Log-odds that the peak in the middle of each window is a spike of a neuron nearby.

        Parameters
        ----------
        windows : torch.Tensor, shape (batch, num_neighbors, num_frames)
            White traces; the channel of the peak first.
        distances_um : torch.Tensor, shape (batch, num_neighbors)
            Distance of each channel from that of the peak; infinite for an empty place.
        context : torch.Tensor, shape (batch, 5)
            Size of the peak; its share of the largest peak around it in time and space, itself included; the same for
            peaks at the same time in a wider space, the distance of that peak in um, and its lag in ms.

        Returns
        -------
        torch.Tensor, shape (batch,)
        """
        size = torch.log(context[:, 0].clamp(min=1e-3) / self.config.threshold)
        share, echo_share = torch.log(context[:, 1:3].clamp(min=1e-3)).unbind(dim=1)
        excess = share - torch.log(torch.tensor(self.config.rival_share))
        # Above 0 if the size exceeds the threshold and the share is large enough, and then the larger the size.
        rule = torch.where(excess < 0, torch.minimum(size, excess), size)
        nearness = torch.exp(-distances_um[:, :, None] / self.features.lengths_um).sum(dim=1)
        summaries = [size, share, echo_share, context[:, 3] / self.config.radius_um, context[:, 4]]
        nearness = nearness / self.config.num_neighbors
        seen = self.correction(self.features(windows, distances_um, context))
        return self.slope * rule + self.decide(torch.cat([seen, torch.stack(summaries, dim=1), nearness], dim=1))[:, 0]

    def head(self, num_seen: int) -> nn.Sequential:
        """Layers from what a subclass sees to the correction of the rule, which is 0 before training."""
        last = self.config.hidden[1]
        num_summaries = 5 + len(self.config.lengths_um)
        correction = nn.Linear(last, 1)
        layers = nn.Sequential(nn.Linear(num_seen + num_summaries, last), nn.ReLU(), correction)
        nn.init.zeros_(correction.weight)
        nn.init.zeros_(correction.bias)
        return layers

    def example_input(self, batch_size: int = 2, seed: int = 0) -> tuple[torch.Tensor, ...]:
        """Random windows, the distances of their channels (the last place is empty), and what surrounds them."""
        generator = torch.Generator().manual_seed(seed)
        config = self.config
        windows = torch.randn(batch_size, config.num_neighbors, config.num_frames, generator=generator)
        distances_um = torch.arange(config.num_neighbors).float().repeat(batch_size, 1) * 20.0
        distances_um[:, -1] = torch.inf
        windows[:, -1] = 0.0
        context = 0.5 + 0.5 * torch.rand(batch_size, 5, generator=generator)
        context[:, 0] += config.candidate_threshold
        return windows, distances_um, context


class CNNDetector(Detector):
    """
    Convolutional detector: each channel is filtered, the sums over channels pass another convolution over time.

    Parameters
    ----------
    config : DetectorConfig
    """

    architecture = "peak_detector_cnn"
    FILTER_FRAMES, STEP = 5, 2

    def __init__(self, config: DetectorConfig):
        super().__init__(config)
        self.over_time = nn.Conv1d(self.features.num_outputs, config.hidden[0], self.FILTER_FRAMES, stride=self.STEP)
        num_frames = (self.features.num_frames - self.FILTER_FRAMES) // self.STEP + 1
        self.decide = self.head(config.hidden[0] * num_frames)

    def correction(self, features: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.over_time(features)).flatten(start_dim=1)


class GRUDetector(Detector):
    """
    Recurrent detector: a gated recurrent unit reads the sums over channels in both directions.

    Parameters
    ----------
    config : DetectorConfig
    """

    architecture = "peak_detector_gru"

    def __init__(self, config: DetectorConfig):
        super().__init__(config)
        self.over_time = nn.GRU(self.features.num_outputs, config.hidden[0], batch_first=True, bidirectional=True)
        self.decide = self.head(2 * config.hidden[0])

    def correction(self, features: torch.Tensor) -> torch.Tensor:
        _, last = self.over_time(features.transpose(1, 2))
        return torch.cat([last[0], last[1]], dim=1)
