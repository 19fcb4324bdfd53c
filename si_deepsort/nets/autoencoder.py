"""
Autoencoder: the waveform of a spike -> a short vector -> the waveform.

It is principal component analysis (PCA) plus a nonlinear residual in the encoder and in the decoder. `start_from_pca`
sets the linear part and leaves the residuals at zero, so training starts at the reconstruction error of PCA.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .network import Network, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig(NetworkConfig):
    """
    Structure of an `Autoencoder`.

    Attributes
    ----------
    num_samples : int
        Samples of a waveform.
    num_channels : int
        Channels of a waveform (the peak's channel and its neighbours); empty places are zeros.
    embedding_dimension : int
        Length of the vector that describes a waveform.
    widths : tuple of int
        Hidden widths of the encoder's residual, from the waveform inwards; the decoder has them in reverse. With none
        the network is linear.
    """

    num_samples: int = 60
    num_channels: int = 1
    embedding_dimension: int = 5
    widths: tuple[int, ...] = (64,)


class Autoencoder(Network):
    """
    (batch, num_channels, num_samples) -> the same shape, through a vector of length `embedding_dimension`.

    Waveforms are in noise levels. If training starts from PCA, distances between vectors are in noise levels, too.
    """

    architecture = "autoencoder"
    config_class = AutoencoderConfig
    config: AutoencoderConfig
    mean: Tensor
    scale: Tensor

    def __init__(self, config: AutoencoderConfig):
        super().__init__(config)
        num_inputs, dimension = config.num_channels * config.num_samples, config.embedding_dimension
        self.register_buffer("mean", torch.zeros(num_inputs))
        self.register_buffer("scale", torch.ones(()))  # brings waveforms to order 1 for the residual
        self.project = nn.Linear(num_inputs, dimension, bias=False)
        self.expand = nn.Linear(dimension, num_inputs, bias=False)
        self.encoder_residual = _perceptron((num_inputs, *config.widths, dimension)) if config.widths else None
        self.decoder_residual = _perceptron((dimension, *config.widths[::-1], num_inputs)) if config.widths else None
        nn.init.orthogonal_(self.project.weight)
        with torch.no_grad():
            self.expand.weight.copy_(self.project.weight.T)

    @torch.no_grad()
    def start_from_pca(self, waveforms: Tensor) -> None:
        """
        Make the network equal to the principal component analysis of some waveforms.

        Parameters
        ----------
        waveforms : Tensor, shape (num_spikes, num_channels, num_samples), float
            Some thousands are plenty.

        Raises
        ------
        ValueError
            If there are fewer waveforms than embedding dimensions.
        """
        dimension = self.config.embedding_dimension
        if len(waveforms) <= dimension:
            raise ValueError(
                f"Got {len(waveforms)} waveforms, expected more than embedding_dimension={dimension}. "
                "Give more spikes or lower embedding_dimension."
            )
        inputs = waveforms.flatten(start_dim=1).double()
        mean = inputs.mean(dim=0)
        centered = inputs - mean
        _, components = torch.linalg.eigh(centered.T @ centered)
        components = components.flip(1)[:, :dimension].T
        self.mean.copy_(mean)
        self.scale.fill_(max(float(centered.square().mean().sqrt()), 1e-12))
        if components.shape[0] < dimension:
            components = nn.functional.pad(components, (0, 0, 0, dimension - components.shape[0]))
        self.project.weight.copy_(components)
        self.expand.weight.copy_(components.T)
        for residual in (self.encoder_residual, self.decoder_residual):
            if residual is not None:
                for parameter in residual[-1].parameters():
                    nn.init.zeros_(parameter)

    def encode(self, waveforms: Tensor) -> Tensor:
        """(batch, num_channels, num_samples) -> (batch, embedding_dimension)."""
        inputs = waveforms.flatten(start_dim=1) - self.mean
        embeddings = self.project(inputs)
        if self.encoder_residual is not None:
            embeddings = embeddings + self.scale * self.encoder_residual(inputs / self.scale)
        return embeddings

    def decode(self, embeddings: Tensor) -> Tensor:
        """(batch, embedding_dimension) -> (batch, num_channels, num_samples)."""
        outputs = self.expand(embeddings)
        if self.decoder_residual is not None:
            outputs = outputs + self.scale * self.decoder_residual(embeddings / self.scale)
        return (outputs + self.mean).unflatten(1, (self.config.num_channels, self.config.num_samples))

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.decode(self.encode(waveforms))

    def example_input(self, batch_size: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        shape = (batch_size, self.config.num_channels, self.config.num_samples)
        return (torch.randn(shape, generator=generator),)


def _perceptron(widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for num_inputs, num_outputs in itertools.pairwise(widths):
        layers += [nn.Linear(num_inputs, num_outputs), nn.GELU()]
    return nn.Sequential(*layers[:-1])
