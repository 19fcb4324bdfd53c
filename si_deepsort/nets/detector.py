"""
Spike detectors: the probability that the sample in the middle of a window is the peak of a spike.

A window holds the trace of a channel and those of its nearest neighbours, in noise levels, at one fixed sampling rate,
with a positive middle sample. The neighbours enter through sums whose weights fall with distance, so their number and
order do not matter. A missing neighbour is infinitely far away and has weight 0.
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
    num_mixtures : int
        Weighted sums of the neighbours' traces.
    num_energies : int
        Weighted sums of the neighbours' rectified traces.
    activity_heights : tuple of float
        Heights in noise levels. How often a channel exceeds each of them is an input of the network, since small peaks
        are common on a channel with many far units. Empty for a network that learns from a single recording.
    hidden : tuple of int
        Widths of the two layers over time and of the layer before the output.
    """

    sampling_frequency: float = 20_000.0
    frames_before: int = 16
    frames_after: int = 24
    num_neighbors: int = 12
    radius_um: float = 150.0
    lengths_um: tuple[float, ...] = (12.0, 35.0, 100.0)
    num_mixtures: int = 6
    num_energies: int = 2
    activity_heights: tuple[float, ...] = ()
    hidden: tuple[int, int, int] = (32, 40, 64)

    @property
    def num_frames(self) -> int:
        """Frames of a window."""
        return self.frames_before + 1 + self.frames_after


class RadialMixing(nn.Module):
    """
    Mix the windows of a channel and its neighbours; their number and order do not matter.

    Output channels: the channel itself, `num_mixtures` weighted sums over all channels, `num_energies` weighted sums
    of their absolute values.
    """

    # A window with a larger middle sample, in noise levels, is scaled down to it, so that the shape of large spikes
    # decides and not their size. Tuned on the generated recordings of the bundled detectors.
    LARGEST_PEAK = 12.0
    # Standard deviation of the first coefficients: the sum over three lengths then has a variance of about 1/2.
    FIRST_COEFFICIENT_SD = 0.4
    lengths_um: torch.Tensor

    def __init__(self, config: DetectorConfig):
        super().__init__()
        self.num_mixtures = config.num_mixtures
        self.middle = config.frames_before
        self.register_buffer("lengths_um", torch.tensor(config.lengths_um), persistent=False)
        num_sums = config.num_mixtures + config.num_energies
        self.coefficients = nn.Parameter(torch.randn(len(config.lengths_um), num_sums) * self.FIRST_COEFFICIENT_SD)
        self.num_outputs = 1 + num_sums
        self.num_summaries = len(config.lengths_um) + 1 + len(config.activity_heights)

    def forward(
        self, windows: torch.Tensor, distances_um: torch.Tensor, activity: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Mix the neighbours of each window.

        Parameters
        ----------
        windows, distances_um, activity : torch.Tensor
            As for `CNNDetector.forward`.

        Returns
        -------
        mixed : torch.Tensor, shape (batch, num_outputs, frames)
        summaries : torch.Tensor, shape (batch, num_summaries)
            Density of neighbours at each length, logarithm of the peak's height, and the activity.
        """
        peaks = windows[:, 0, self.middle]
        sizes = torch.clamp(peaks.abs() / self.LARGEST_PEAK, min=1.0)
        windows = windows * (torch.sign(peaks) / sizes)[:, None, None]
        nearness = torch.exp(-distances_um[:, :, None] / self.lengths_um)
        weights = (nearness @ self.coefficients).transpose(1, 2)
        mixtures = weights[:, : self.num_mixtures] @ windows
        energies = weights[:, self.num_mixtures :] @ windows.abs()
        summaries = torch.cat([nearness.mean(1), torch.log(1 + peaks.abs())[:, None], activity], dim=1)
        return torch.cat([windows[:, :1], mixtures, energies], dim=1), summaries


class Detector(Network):
    """What both detectors share: the config and the input."""

    config_class = DetectorConfig
    config: DetectorConfig

    def example_input(self, batch_size: int = 2, seed: int = 0) -> tuple[torch.Tensor, ...]:
        """Random windows, the distances of their channels (the last place is empty), and activities."""
        generator = torch.Generator().manual_seed(seed)
        config = self.config
        windows = torch.randn(batch_size, config.num_neighbors, config.num_frames, generator=generator)
        distances_um = torch.arange(config.num_neighbors).float().repeat(batch_size, 1) * 20.0
        distances_um[:, -1] = torch.inf
        windows[:, -1] = 0.0
        activity = torch.rand(batch_size, len(config.activity_heights), generator=generator)
        return windows, distances_um, activity


class CNNDetector(Detector):
    """
    Convolutional detector: two convolutions over time and a hidden layer.

    Parameters
    ----------
    config : DetectorConfig
    """

    architecture = "detector_cnn"

    def __init__(self, config: DetectorConfig):
        super().__init__(config)
        first, second, last = config.hidden
        self.mixing = RadialMixing(config)
        self.over_time = nn.Sequential(
            nn.Conv1d(self.mixing.num_outputs, first, 5, stride=2),
            nn.ReLU(),
            nn.Conv1d(first, second, 5, stride=2),
            nn.ReLU(),
            nn.Flatten(),
        )
        num_frames = ((config.num_frames - 5) // 2 + 1 - 5) // 2 + 1
        self.decide = _head(second * num_frames + self.mixing.num_summaries, last)

    def forward(self, windows: torch.Tensor, distances_um: torch.Tensor, activity: torch.Tensor) -> torch.Tensor:
        """
        Log-odds that the middle of each window is the peak of a spike.

        Parameters
        ----------
        windows : torch.Tensor, shape (batch, num_neighbors, num_frames)
            Traces in noise levels; the channel itself first.
        distances_um : torch.Tensor, shape (batch, num_neighbors)
            Distance of each neighbour from the channel; infinite for an empty place.
        activity : torch.Tensor, shape (batch, num_heights)
            Logarithm of 1 + the rate in Hz at which the channel exceeds each of `activity_heights`.

        Returns
        -------
        torch.Tensor, shape (batch,)
        """
        mixed, summaries = self.mixing(windows, distances_um, activity)
        return self.decide(torch.cat([self.over_time(mixed), summaries], dim=1))[:, 0]


class GRUDetector(Detector):
    """
    Recurrent detector: a gated recurrent unit reads the window in both directions.

    Parameters
    ----------
    config : DetectorConfig
    """

    architecture = "detector_gru"

    def __init__(self, config: DetectorConfig):
        super().__init__(config)
        first, second, last = config.hidden
        self.mixing = RadialMixing(config)
        self.reduce = nn.Conv1d(self.mixing.num_outputs, first, 7, stride=3)
        self.over_time = nn.GRU(first, second, batch_first=True, bidirectional=True)
        self.decide = _head(2 * second + self.mixing.num_summaries, last)

    def forward(self, windows: torch.Tensor, distances_um: torch.Tensor, activity: torch.Tensor) -> torch.Tensor:
        """Log-odds that the middle of each window is the peak of a spike; as `CNNDetector.forward`."""
        mixed, summaries = self.mixing(windows, distances_um, activity)
        steps = torch.relu(self.reduce(mixed)).transpose(1, 2)
        _, last = self.over_time(steps)
        return self.decide(torch.cat([last[0], last[1], summaries], dim=1))[:, 0]


def _head(num_inputs: int, num_hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(num_inputs, num_hidden), nn.ReLU(), nn.Linear(num_hidden, 1))
