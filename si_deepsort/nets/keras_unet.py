"""
The original DeepInterpolation network for extracellular recordings, and a reader of its Keras files.

`unet_single_ephys_1024` of Lecoq et al. 2021 (doi:10.1038/s41592-021-01285-2): a U-Net over an image of the probe
whose 60 input features are the frames around the predicted one. It is kept for users who have such weights. Files are
read with h5py, without TensorFlow.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pad, relu

from .network import Network, NetworkConfig

# First bytes of an HDF5 file.
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Levels of the U-Net; each but the last halves the image.
NUM_LEVELS = 5


@dataclass(frozen=True, kw_only=True)
class KerasUNetConfig(NetworkConfig):
    """
    Structure of a `KerasUNet`.

    Attributes
    ----------
    num_rows, num_columns : int
        Image of the probe; rows are a multiple of 16, columns of 2.
    is_interleaved : bool
        Channel c lies in row c, column c % num_columns, and all other places are 0 (the original's Neuropixels
        layout: 384 channels in 384 x 2). Else channel c lies in row c // num_columns, column c % num_columns.
    num_before, num_after : int
        Frames before and after that are seen.
    omission : int
        The frames t - omission to t + omission are not seen.
    widths : tuple of int
        Features of the five levels.
    sampling_frequency : float
        In Hz.
    """

    num_rows: int = 384
    num_columns: int = 2
    is_interleaved: bool = True
    num_before: int = 30
    num_after: int = 30
    omission: int = 1
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    sampling_frequency: float = 30_000.0

    def __post_init__(self):
        super().__post_init__()
        if self.num_rows % 16 or self.num_columns % 2 or len(self.widths) != NUM_LEVELS:
            raise ValueError(
                f"Got {self.num_rows} x {self.num_columns} places and {len(self.widths)} levels, expected rows in "
                f"multiples of 16, columns in multiples of 2 and {NUM_LEVELS} levels."
            )

    @property
    def context(self) -> int:
        """Reach to either side, in frames."""
        return max(self.num_before, self.num_after) + self.omission

    @property
    def num_channels(self) -> int:
        """Channels of the recording."""
        return self.num_rows if self.is_interleaved else self.num_rows * self.num_columns


class KerasUNet(Network):
    """
    (batch, num_channels, num_frames + 2 * context) -> (batch, num_channels, num_frames).

    All channels are in one scale: minus their common mean, divided by their common standard deviation.
    """

    architecture = "keras_unet"
    config_class = KerasUNetConfig
    config: KerasUNetConfig
    places: Tensor
    taps: Tensor

    def __init__(self, config: KerasUNetConfig):
        super().__init__(config)
        first, *_ = widths = config.widths
        kernels = [(2, 2), *[(3, 1)] * 4]
        inputs = [config.num_before + config.num_after, *widths[:-1]]
        self.down = nn.ModuleList(
            nn.Conv2d(inputs[level], widths[level], kernels[level]) for level in range(NUM_LEVELS)
        )
        self.up = nn.ModuleList(
            nn.Conv2d(widths[level + 1] + widths[level], widths[level], kernels[level])
            for level in reversed(range(NUM_LEVELS - 1))
        )
        self.readout = nn.Conv2d(first, 1, 1)
        channels = torch.arange(config.num_channels)
        if config.is_interleaved:
            places = channels * config.num_columns + channels % config.num_columns
        else:
            places = channels
        self.register_buffer("places", places, persistent=False)
        lags = [*range(-config.num_before, 0), *range(1, config.num_after + 1)]
        taps = [config.context + lag + (config.omission if lag > 0 else -config.omission) for lag in lags]
        self.register_buffer("taps", torch.tensor(taps), persistent=False)

    @classmethod
    def example_config(cls) -> KerasUNetConfig:
        return KerasUNetConfig(num_rows=16, num_before=4, num_after=4, widths=(4, 4, 6, 6, 8))

    def example_input(self, batch_size: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
        shape = (batch_size, self.config.num_channels, 2 * self.config.context + 5)
        return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)),)

    def forward(self, traces: Tensor) -> Tensor:
        config = self.config
        frames = traces.unfold(2, 2 * config.context + 1, 1)[..., self.taps].transpose(1, 2)
        batch, num_frames = frames.shape[:2]
        image = traces.new_zeros(batch * num_frames, frames.shape[-1], config.num_rows * config.num_columns)
        image[:, :, self.places] = frames.flatten(0, 1).transpose(1, 2)
        image = image.unflatten(2, (config.num_rows, config.num_columns)).to(memory_format=torch.channels_last)
        predicted = self.predict_image(image).flatten(1)[:, self.places]
        return predicted.unflatten(0, (batch, num_frames)).transpose(1, 2)

    def predict_image(self, image: Tensor) -> Tensor:
        """(frames, num_before + num_after, num_rows, num_columns) -> (frames, num_rows, num_columns)."""
        skipped, features = [], image
        for level, layer in enumerate(self.down):
            if level > 0:
                features = max_pool2d(features, (2, 2) if level == 1 else (2, 1))
            features = relu(_same(layer, features))
            skipped.append(features)
        for level, layer in zip(reversed(range(NUM_LEVELS - 1)), self.up, strict=True):
            features = interpolate(features, scale_factor=(2, 2) if level == 0 else (2, 1), mode="nearest")
            features = relu(_same(layer, torch.cat([features, skipped[level]], dim=1)))
        return self.readout(features)[:, 0]


def read_keras_unet(file_path: str | Path, *, num_channels: int | None = None) -> KerasUNet:
    """
    Read a network that the original DeepInterpolation saved.

    Parameters
    ----------
    file_path : str | Path
        Keras `.h5` file with the architecture `unet_single_ephys_1024`.
    num_channels : int | None, default: None
        Channels of the recordings it serves. None, or the number of rows: the original's interleaved layout; rows
        times columns: channels fill the image row by row.

    Returns
    -------
    KerasUNet
        In evaluation mode.

    Raises
    ------
    ValueError
        If it is not an HDF5 file, or holds another architecture.
    """
    file_path = Path(file_path)
    with file_path.open("rb") as file:
        if file.read(len(HDF5_SIGNATURE)) != HDF5_SIGNATURE:
            raise ValueError(
                f"{file_path} is not an HDF5 file. Expected the Keras .h5 that DeepInterpolation saved; pickled models "
                "(.pt, .pkl) are never read, because loading one can run any code."
            )
    try:
        with h5py.File(file_path) as file:
            layers, shape = _read_layers(file, file_path)
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{file_path} is damaged or was not saved by Keras: {error}") from error
    rows, columns, num_frames = shape
    if num_channels not in (None, rows, rows * columns):
        raise ValueError(
            f"{file_path} predicts images of {rows} x {columns} places, which serve {rows} channels (interleaved) or "
            f"{rows * columns}, not {num_channels}. Select the channels that it was trained on."
        )
    config = KerasUNetConfig(
        num_rows=rows,
        num_columns=columns,
        is_interleaved=num_channels in (None, rows),
        num_before=num_frames // 2,
        num_after=num_frames // 2,
        widths=tuple(kernel.shape[-1] for kernel, _ in layers[:NUM_LEVELS]),
    )
    net = KerasUNet(config)
    targets = [*net.down, *net.up, net.readout]
    for target, (kernel, bias) in zip(targets, layers, strict=True):
        weight = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
        if weight.shape != target.weight.shape:
            raise ValueError(
                f"{file_path} is not unet_single_ephys_1024: a kernel has shape {tuple(weight.shape)}, expected "
                f"{tuple(target.weight.shape)}."
            )
        target.weight.data.copy_(weight)
        target.bias.data.copy_(torch.from_numpy(bias))
    return net.eval()


def _read_layers(file, file_path):
    model_config = json.loads(file.attrs["model_config"])
    layers = model_config["config"]["layers"]
    convolutions = [layer["config"] for layer in layers if layer["class_name"] == "Conv2D"]
    first = layers[0]["config"]
    shape = first.get("batch_input_shape") or first.get("batch_shape")  # Keras 2, Keras 3
    if shape is None or len(shape) != 4 or len(convolutions) != 2 * NUM_LEVELS:
        raise ValueError(
            f"{file_path} holds {len(convolutions)} two-dimensional convolutions and an input of shape {shape}, "
            f"expected {2 * NUM_LEVELS} and (None, rows, columns, frames): only unet_single_ephys_1024 can be read."
        )
    arrays = []
    for convolution in convolutions:
        group = file["model_weights"][convolution["name"]]
        names = sorted(name.decode() if isinstance(name, bytes) else name for name in group.attrs["weight_names"])
        bias, kernel = (np.asarray(group[name], dtype="float32") for name in names)
        arrays.append((kernel, bias))
    return arrays, tuple(int(size) for size in shape[1:])


def _same(layer: Any, features: Tensor) -> Tensor:
    # TensorFlow's "same" puts the odd place of an even kernel behind, as here
    height, width = layer.kernel_size
    before = ((width - 1) // 2, (height - 1) // 2)
    return layer(pad(features, (before[0], width - 1 - before[0], before[1], height - 1 - before[1])))
