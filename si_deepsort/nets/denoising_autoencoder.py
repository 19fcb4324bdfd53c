"""
Denoising autoencoder of peaks: the waveforms around a peak -> a short code for each channel -> the clean waveforms.

The code is the projection of the waveform on the directions of its decoder, as in principal component analysis, plus a
nonlinear correction that sees all channels. It learns to rebuild the mean waveform of the unit from one noisy,
overlapped and misaligned spike. The directions are orthonormal, so distances between codes are distances between
rebuilt waveforms, in noise standard deviations.

Channels enter through sums whose weights fall with distance, so their number and order do not matter.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .network import Network, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class DenoisingAutoencoderConfig(NetworkConfig):
    """
    Structure of a `DenoisingAutoencoder`.

    Attributes
    ----------
    num_samples : int
        Samples of a rebuilt waveform, .7 ms before the peak to 1 ms after it.
    margin : int
        Further samples at either end of the waveforms that come in.
    sampling_frequency : float
        In Hz.
    code_dimension : int
        Length of the code of a channel.
    num_features : int
        Numbers in which each channel is described to the others.
    hidden : int
        Width of the nonlinear part.
    lengths_um : tuple of float
        Decay lengths of the weights over distance.
    """

    num_samples: int = 51
    margin: int = 5
    sampling_frequency: float = 30_000.0
    code_dimension: int = 6
    num_features: int = 16
    hidden: int = 64
    lengths_um: tuple[float, ...] = (15.0, 40.0, 100.0)


class DenoisingAutoencoder(Network):
    """
    (batch, num_channels, num_samples + 2 * margin) -> (batch, num_channels, num_samples), in noise levels.

    Parameters
    ----------
    config : DenoisingAutoencoderConfig
    """

    architecture = "denoising_autoencoder"
    config_class = DenoisingAutoencoderConfig
    config: DenoisingAutoencoderConfig
    directions: Tensor
    lengths_um: Tensor

    def __init__(self, config: DenoisingAutoencoderConfig):
        super().__init__(config)
        num_inputs = config.num_samples + 2 * config.margin
        num_lengths = len(config.lengths_um)
        first = torch.linalg.qr(torch.randn(config.num_samples, config.code_dimension))[0].T
        self.register_buffer("directions", first.contiguous())
        self.register_buffer("lengths_um", torch.tensor(config.lengths_um), persistent=False)
        self.describe = nn.Linear(num_inputs, config.num_features)
        num_seen = (2 + 2 * num_lengths) * config.num_features + num_lengths + 1
        first_layers = [
            nn.Linear(num_seen, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
        ]
        correction = nn.Linear(config.hidden, config.code_dimension)
        self.correct = nn.Sequential(*first_layers, correction)
        nn.init.zeros_(correction.weight)
        nn.init.zeros_(correction.bias)

    def encode(self, waveforms: Tensor, distances_um: Tensor) -> Tensor:
        """
        Code of each channel.

        Parameters
        ----------
        waveforms : Tensor, shape (batch, num_channels, num_samples + 2 * margin)
            White traces around peaks.
        distances_um : Tensor, shape (batch, num_channels)
            Distance of each channel from that of the peak, 0 for its own; infinite for an empty place.

        Returns
        -------
        Tensor, shape (batch, num_channels, code_dimension)
        """
        margin = self.config.margin
        linear = waveforms[..., margin : margin + self.config.num_samples] @ self.directions.T
        sizes = linear.square().sum(dim=(1, 2), keepdim=True).sqrt().clamp(min=1.0)
        features = self.describe(waveforms / sizes)
        nearness = torch.exp(-distances_um[:, None, :] / self.lengths_um[:, None])  # (batch, num_lengths, num_channels)
        summed = torch.cat([nearness @ features, nearness @ features.abs()], dim=1).flatten(start_dim=1)
        own = (features * (distances_um == 0)[:, :, None]).sum(dim=1)
        common = torch.cat([own, summed, torch.log(sizes[:, 0])], dim=1)
        common = common[:, None].expand(-1, waveforms.shape[1], -1)
        seen = torch.cat([features, common, nearness.transpose(1, 2)], dim=2)
        return linear + sizes * self.correct(seen)

    def decode(self, codes: Tensor) -> Tensor:
        """(batch, num_channels, code_dimension) -> (batch, num_channels, num_samples)."""
        return codes @ self.directions

    def forward(self, waveforms: Tensor, distances_um: Tensor) -> Tensor:
        """Rebuilt waveforms, (batch, num_channels, num_samples); as `encode`."""
        return self.decode(self.encode(waveforms, distances_um))

    def example_input(self, batch_size: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
        """Random waveforms on four channels, the last place empty."""
        generator = torch.Generator().manual_seed(seed)
        num_samples = self.config.num_samples + 2 * self.config.margin
        waveforms = torch.randn(batch_size, 4, num_samples, generator=generator)
        waveforms[:, -1] = 0.0
        distances_um = torch.tensor([0.0, 20.0, 40.0, torch.inf]).repeat(batch_size, 1)
        return waveforms, distances_um
