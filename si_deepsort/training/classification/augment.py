"""Vary the waveforms from which a classifier learns: gain, shift, noise, and a second spike nearby."""

import torch


def augment(
    waveforms: torch.Tensor,
    pool: torch.Tensor,
    generator: torch.Generator,
    *,
    gain_sd: float,
    shift_max: int,
    noise_sd: float,
    noise_factor: float,
    residuals: torch.Tensor,
    overlap_fraction: float,
    overlap_distance: float,
) -> torch.Tensor:
    """
    Waveforms with a random gain, shift and noise, some with a second spike.

    Parameters
    ----------
    waveforms : torch.Tensor, shape (batch, num_channels, num_samples), float
        In noise levels.
    pool : torch.Tensor, shape (num_waveforms, num_channels, num_samples), float
        Second spikes are taken from these.
    generator : torch.Generator
    gain_sd : float
        Standard deviation of the logarithm of the gain.
    shift_max : int
        Largest shift in samples.
    noise_sd : float
        Standard deviation of the white noise that is added, in noise levels.
    noise_factor : float
        Largest multiple of the noise of the waveforms themselves that is added; each waveform gets its own.
    residuals : torch.Tensor, shape (num_residuals, num_channels, num_samples), float
        Examples of this noise. Without any, none of it is added.
    overlap_fraction : float
        Part of the waveforms that get a second spike.
    overlap_distance : float
        Smallest distance of the second spike, as a part of the waveform's duration.

    Returns
    -------
    torch.Tensor, shape (batch, num_channels, num_samples), float
    """
    number, _, num_samples = waveforms.shape
    varied = waveforms * torch.exp(gain_sd * torch.randn(number, 1, 1, generator=generator))
    if shift_max:
        varied = _shifted(varied, torch.randint(-shift_max, shift_max + 1, (number,), generator=generator))
    overlapped = torch.rand(number, generator=generator) < overlap_fraction
    if overlapped.any():
        count = int(overlapped.sum())
        others = pool[torch.randint(len(pool), (count,), generator=generator)]
        nearest = min(max(1, round(overlap_distance * num_samples)), num_samples - 1)
        shifts = torch.randint(nearest, num_samples, (count,), generator=generator)
        signs = 2 * torch.randint(2, (count,), generator=generator) - 1
        varied[overlapped] = varied[overlapped] + _shifted(others, shifts * signs, fill=True)
    if noise_factor > 0 and len(residuals) > 0:
        varied = varied + noise_factor * torch.rand(number, 1, 1, generator=generator) * _mixed(
            residuals, number, generator
        )
    return varied + noise_sd * torch.randn(varied.shape, generator=generator)


def _mixed(residuals, number, generator):
    """Sums of two random residuals with random weights: as large as one of them, and of the same covariance."""
    first, second = (residuals[torch.randint(len(residuals), (number,), generator=generator)] for _ in range(2))
    angles = 2 * torch.pi * torch.rand(number, 1, 1, generator=generator)
    return torch.cos(angles) * first + torch.sin(angles) * second


def _shifted(waveforms, shifts, fill: bool = False):
    """Each waveform moved by its own number of samples; the edge is repeated, or zeros come in."""
    num_samples = waveforms.shape[2]
    places = torch.arange(num_samples)[None] - shifts[:, None]
    inside = (places >= 0) & (places < num_samples)
    moved = torch.gather(waveforms, 2, places.clamp(0, num_samples - 1)[:, None].expand_as(waveforms))
    return moved * inside[:, None] if fill else moved
