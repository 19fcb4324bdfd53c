"""Filter, reference and whitening of traces as tensors, (channels, frames): Fourier transforms want them so."""

import numpy as np
import torch
from torch.nn.functional import conv1d, max_pool1d, pad

from ..on_device import DeviceStep
from .artefacts import FAR_LEVEL, ArtefactRule
from .shared_noise import MANY_CHANNELS

# Frames that are whitened by one matrix product: enough to occupy a GPU, and few beside a chunk of a second.
TILE_FRAMES = 4096


def band_pass_tiles(
    traces: torch.Tensor, response: torch.Tensor, step: DeviceStep, *, tile: int, margin: int
) -> torch.Tensor:
    """
    Filter traces tile by tile, by Fourier transforms.

    Parameters
    ----------
    traces : torch.Tensor, shape (num_channels, num_tiles * tile + 2 * margin), float32
    response : torch.Tensor, shape ((tile + 2 * margin) // 2 + 1,), float32
        What the filter makes of each frequency of a tile with its margins; 0 for a constant.
    step : DeviceStep
    tile, margin : int
        Frames of a tile, and frames on both sides in which the filter forgets that a tile is followed by itself.

    Returns
    -------
    torch.Tensor, shape (num_channels, num_tiles * tile), float32
    """
    num_channels, size = len(traces), tile + 2 * margin
    blocks = traces.unfold(1, size, tile)
    filtered = traces.new_empty((num_channels, blocks.shape[1], tile))
    for part in step.parts(num_channels):
        own = blocks[part]
        # A constant is removed anyway, and would cost precision.
        spectra = torch.fft.rfft(own - own[..., :1]) * response
        filtered[part] = torch.fft.irfft(spectra, size)[..., margin : margin + tile]
    return filtered.reshape(num_channels, -1)


def subtract_shared(
    traces: torch.Tensor, groups: list[torch.Tensor], gains: list[torch.Tensor | None], step: DeviceStep
) -> None:
    """
    Subtract what each group of channels shares at each frame, in place; see `shared_noise.shared_signal`.

    Parameters
    ----------
    traces : torch.Tensor, shape (num_channels, num_frames), float32
    groups : list of torch.Tensor, int
        Channels of each group.
    gains : list of torch.Tensor | None
        What each channel of a group holds of the shared signal; None subtracts the median.
    step : DeviceStep
    """
    for group, own_gains in zip(groups, gains, strict=True):
        for part in step.parts(traces.shape[1]):
            own = traces[group, part]
            if own_gains is not None and len(group) < MANY_CHANNELS:
                shared = (own_gains / (own_gains @ own_gains)) @ own
            else:
                # PyTorch's median of an even number of values is the lower one of the two in the middle.
                shared = 0.5 * own.median(dim=0).values - 0.5 * (-own).median(dim=0).values
            traces[group, part] = own - (shared if own_gains is None else own_gains[:, None] * shared)


def whiten_channels(
    traces: torch.Tensor,
    taps: torch.Tensor,
    matrix: torch.Tensor,
    step: DeviceStep,
    *,
    largest: float,
    first_frame: int = 0,
) -> torch.Tensor:
    """
    Whiten traces over time, then over channels.

    Products are those of whole tiles that begin at multiples of their length, so that a frame is computed in the same
    way in whichever chunk it lies.

    Parameters
    ----------
    traces : torch.Tensor, shape (num_channels, num_frames), float32
    taps : torch.Tensor, shape (num_taps,), float32
        Causal filter over time, its last tap first.
    matrix : torch.Tensor, shape (num_channels, num_channels), float32
        Multiplies filtered traces (channels, frames) from the left.
    step : DeviceStep
    largest : float
        Larger values, of either sign, become this.
    first_frame : int, default: 0
        Where the white traces begin, which is `num_taps - 1` frames after the beginning of the traces.

    Returns
    -------
    torch.Tensor, shape (num_channels, num_frames - num_taps + 1), float32
    """
    num_channels, order = len(traces), len(taps) - 1
    num_frames, before = traces.shape[1] - order, first_frame % TILE_FRAMES
    after = -(before + num_frames) % TILE_FRAMES
    stretches = pad(traces, (before, after)).unfold(1, TILE_FRAMES + order, TILE_FRAMES).transpose(0, 1)
    white = traces.new_empty((num_channels, len(stretches), TILE_FRAMES))
    for part in step.parts(len(stretches)):
        own = stretches[part]
        filtered = conv1d(own.flatten(0, 1)[:, None], taps[None, None]).view(len(own), num_channels, TILE_FRAMES)
        products = torch.bmm(matrix.expand(len(own), -1, -1), filtered)
        white[:, part] = products.clamp_(-largest, largest).transpose(0, 1)
    return white.view(num_channels, -1)[:, before : before + num_frames]


def blank_loud_frames(white: torch.Tensor, rule: ArtefactRule) -> None:
    """
    Set artefacts to 0, in place, as `artefacts.blank_artefacts`.

    Parameters
    ----------
    white : torch.Tensor, shape (num_channels, num_frames), float32
        In noise standard deviations.
    rule : ArtefactRule
    """
    is_loud = _num_loud(white, rule.level) >= rule.fewest_loud
    if rule.level > FAR_LEVEL:
        is_loud = is_loud | (spread(is_loud, rule.decay) & (2 * _num_loud(white, FAR_LEVEL) > rule.num_living))
    white.masked_fill_(spread(is_loud, rule.reach), 0.0)


def _num_loud(white: torch.Tensor, level: float) -> torch.Tensor:
    """Number of channels that exceed a level at each frame, (1, num_frames)."""
    return ((white > level) | (white < -level)).sum(dim=0, keepdim=True)


def spread(is_true: torch.Tensor, reach: int) -> torch.Tensor:
    """Frames within a reach of true ones in each row, (num_rows, num_frames) bool."""
    return max_pool1d(is_true.to(torch.float32), 2 * reach + 1, stride=1, padding=reach) > 0


def reflected(traces: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """Traces (num_channels, num_frames), continued by their mirror image for some frames before and after."""
    if before == after == 0:
        return traces
    frames = np.pad(np.arange(traces.shape[1]), (before, after), mode="reflect")
    return traces[:, torch.from_numpy(frames).to(traces.device)]
