"""
A network for miniature potentials: a one-dimensional U-Net that marks events.

It sees one trace, drift removed, in units of its noise level, events upwards.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .network import Network, NetworkConfig

# Index of each output of the network: inside an event, and the first frame of an event.
EVENT, ONSET = 0, 1


@dataclass(frozen=True, kw_only=True)
class EventUNetConfig(NetworkConfig):
    """
    Structure of an `EventUNet`.

    Attributes
    ----------
    widths : tuple of int
        Channels of each level; time is halved from one to the next.
    kernel_size : int
        Frames of each convolution, odd.
    stride : int
        Stride of the first convolution; the outputs are interpolated back to the rate of the input.
    """

    widths: tuple[int, ...] = (12, 16, 24, 32, 32)
    kernel_size: int = 5
    stride: int = 2


class EventUNet(Network):
    """
    (batch, 1, frames) -> (batch, 2, frames): logits of "inside an event" and of "first frame of an event".

    The second output separates overlapping events. The number of frames is arbitrary.
    The idea of a U-Net is from Ronneberger, Fischer & Brox (2015), doi:10.1007/978-3-319-24574-4_28.
    """

    architecture = "event_unet"
    config_class = EventUNetConfig
    config: EventUNetConfig

    def __init__(self, config: EventUNetConfig):
        super().__init__(config)
        widths, size = config.widths, config.kernel_size
        self.stem = _convolution(1, widths[0], 2 * size + 1, stride=config.stride)
        inner = range(1, len(widths))
        self.down = nn.ModuleList([_block(widths[level - 1], widths[level], size) for level in inner])
        self.up = nn.ModuleList(
            [_block(widths[level] + widths[level - 1], widths[level - 1], size) for level in reversed(inner)]
        )
        self.pool = nn.MaxPool1d(2)
        self.head = nn.Conv1d(widths[0], 2, 1)
        # Events are rare: the first probability of an event is 1 / (1 + exp(3)), about 5 %.
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias, -3.0)

    def forward(self, traces: Tensor) -> Tensor:
        """Logit of each frame, for traces (num_traces, num_frames) of any length."""
        num_frames = traces.shape[-1]
        step = self.config.stride * 2 ** (len(self.config.widths) - 1)
        traces = nn.functional.pad(traces, (0, -num_frames % step))
        levels = [self.stem(traces)]
        for block in self.down:
            levels.append(block(self.pool(levels[-1])))
        features = levels.pop()
        for block in self.up:
            features = nn.functional.interpolate(features, scale_factor=2, mode="nearest")
            features = block(torch.cat([features, levels.pop()], dim=1))
        logits = self.head(features)
        if self.config.stride > 1:
            logits = nn.functional.interpolate(logits, scale_factor=self.config.stride, mode="linear")
        return logits[..., :num_frames]

    def example_input(self, batch_size: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
        return (torch.randn(batch_size, 1, 301, generator=torch.Generator().manual_seed(seed)),)


def _convolution(num_inputs: int, num_outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(num_inputs, num_outputs, size, stride=stride, padding=size // 2, bias=False),
        nn.BatchNorm1d(num_outputs),
        nn.ReLU(inplace=True),
    )


def _block(num_inputs: int, num_outputs: int, size: int) -> nn.Sequential:
    return nn.Sequential(_convolution(num_inputs, num_outputs, size), _convolution(num_outputs, num_outputs, size))
