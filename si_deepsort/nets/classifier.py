"""
Waveform classifiers: the probability that a waveform belongs to each of the known units, or to the background.

The amplitude is kept, since units of one shape and different size are different units. A linear path beside the
convolutional or recurrent one makes logistic regression a special case of each network.
"""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .network import Network, NetworkConfig
from .unit_templates import UnitTemplates


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(NetworkConfig):
    """
    Structure of a waveform classifier.

    Attributes
    ----------
    num_samples : int
        Samples of a waveform.
    num_channels : int
        Channels of a waveform.
    num_classes : int
        Number of units and background.
    widths : tuple of int
        Features of the two convolutions, or of the convolution and of the recurrent state.
    num_hidden : int
        Width of the layer before the output.
    kernel_size : int
        Samples of a convolution, odd.
    dropout : float
        Fraction of hidden values left out while training.
    sorting_sizes : tuple of int
        Numbers of rows, samples, channels and taps of the templates by which the sorter finds the units, see
        `unit_templates.UnitTemplates`; empty if there are none.
    """

    num_samples: int = 42
    num_channels: int = 1
    num_classes: int = 2
    widths: tuple[int, int] = (16, 24)
    num_hidden: int = 32
    kernel_size: int = 5
    dropout: float = 0.2
    sorting_sizes: tuple[int, ...] = ()


class WaveformClassifier(Network):
    """
    (batch, num_channels, num_samples) -> (batch, num_classes), log-odds before the softmax.

    A subclass defines `features`: (batch, num_channels, num_samples) -> (batch, num_features).
    """

    config_class = ClassifierConfig
    config: ClassifierConfig
    templates: Tensor
    distance_limits: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, config: ClassifierConfig):
        super().__init__(config)
        num_inputs = config.num_channels * config.num_samples
        # The median waveform of each class, and the distance from it (root mean square) within which nearly all of its
        # waveforms lie.
        self.register_buffer("templates", torch.zeros(config.num_classes, config.num_channels, config.num_samples))
        self.register_buffer("distance_limits", torch.full((config.num_classes,), torch.inf))
        self.register_buffer("mean", torch.zeros(config.num_channels, config.num_samples))
        self.register_buffer("scale", torch.ones(()))
        self.linear = nn.Linear(num_inputs, config.num_classes)
        self.hidden = nn.Sequential(
            nn.Linear(self._make_features(config), config.num_hidden), nn.GELU(), nn.Dropout(config.dropout)
        )
        self.output = nn.Linear(config.num_hidden, config.num_classes, bias=False)
        # The last class is no unit.
        self.sorting = UnitTemplates(config.num_classes - 1, *config.sorting_sizes) if config.sorting_sizes else None

    @torch.no_grad()
    def standardize(self, waveforms: Tensor) -> None:
        """Store the mean and the scale of training waveforms (num_waveforms, num_channels, num_samples)."""
        self.mean.copy_(waveforms.mean(dim=0))
        self.scale.fill_(max(float((waveforms - self.mean).square().mean().sqrt()), 1e-12))

    def embed(self, waveforms: Tensor) -> Tensor:
        """(batch, num_channels, num_samples) -> (batch, num_hidden): the layer before the output."""
        return self.hidden(self.features((waveforms - self.mean) / self.scale))

    def forward(self, waveforms: Tensor) -> Tensor:
        inputs = (waveforms - self.mean) / self.scale
        return self.linear(inputs.flatten(start_dim=1)) + self.output(self.hidden(self.features(inputs)))

    def example_input(self, batch_size: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        shape = (batch_size, self.config.num_channels, self.config.num_samples)
        return (torch.randn(shape, generator=generator),)

    @abstractmethod
    def features(self, inputs: Tensor) -> Tensor:
        """Standardized waveforms (batch, num_channels, num_samples) -> features (batch, num_features)."""

    @abstractmethod
    def _make_features(self, config: ClassifierConfig) -> int:
        """Make the layers of `features`, and return the number of features."""


class CNNClassifier(WaveformClassifier):
    """Convolutional classifier: two convolutions with pooling, then all their outputs, for waveforms are aligned."""

    architecture = "classifier_cnn"

    def _make_features(self, config: ClassifierConfig) -> int:
        first, second = config.widths
        padding = config.kernel_size // 2
        self.convolutions = nn.Sequential(
            nn.Conv1d(config.num_channels, first, config.kernel_size, padding=padding),
            nn.GELU(),
            nn.MaxPool1d(2, ceil_mode=True),
            nn.Conv1d(first, second, config.kernel_size, padding=padding),
            nn.GELU(),
            nn.MaxPool1d(2, ceil_mode=True),
        )
        return second * -(-config.num_samples // 4)

    def features(self, inputs: Tensor) -> Tensor:
        return self.convolutions(inputs).flatten(start_dim=1)


class GRUClassifier(WaveformClassifier):
    """Recurrent classifier: a strided convolution, then a gated recurrent unit that reads in both directions."""

    architecture = "classifier_gru"

    def _make_features(self, config: ClassifierConfig) -> int:
        first, second = config.widths
        self.convolution = nn.Conv1d(
            config.num_channels, first, config.kernel_size, stride=3, padding=config.kernel_size // 2
        )
        self.recurrent = nn.GRU(first, second, batch_first=True, bidirectional=True)
        return 4 * second

    def features(self, inputs: Tensor) -> Tensor:
        steps = nn.functional.gelu(self.convolution(inputs)).transpose(1, 2)
        states, last = self.recurrent(steps)
        return torch.cat([states.amax(dim=1), last[0], last[1]], dim=1)
