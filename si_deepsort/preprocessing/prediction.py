"""
Blind prediction of traces by an interpolating network.

Tiles have the same shape and start at multiples of their length, counted from the start of the segment. A frame is
therefore always computed by the same operations on the same numbers, and chunks equal the whole bit for bit.
"""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..inference import choose_device
from ..nets.interpolator import Interpolator
from ..nets.keras_unet import KerasUNet, read_keras_unet
from ..nets.network import Network
from ..nets.probe_plan import ProbePlan, make_probe_plan
from ..zoo import locate_model

# Frames that are predicted at once by each architecture: enough to occupy the processor, and few enough for its cache.
TILE_FRAMES = {"interpolator": 384, "keras_unet": 64}
# Tiles that a GPU predicts together: one alone would mostly wait for the launches of its many small computations.
TILES_AT_ONCE = 16

# Networks that are kept loaded: a recording uses one, and a comparison two. Older ones are freed, together with the
# memory that they hold on a GPU, as soon as no recording uses them.
MOST_MODELS = 2

_models: OrderedDict[tuple, Network] = OrderedDict()
_models_lock = threading.Lock()


def load_interpolator(model: str | Path, *, device: str = "cpu", num_channels: int | None = None) -> Any:
    """
    Load a network for `TracePredictor`. The networks used last stay loaded.

    Parameters
    ----------
    model : str | Path
        Name, folder or reference of a model (see `load_model`), or a Keras `.h5` file of DeepInterpolation.
    device : str, default: "cpu"
    num_channels : int | None, default: None
        Number of channels of the recording; it decides the layout of a Keras file.

    Raises
    ------
    ValueError
        If the model does not exist or is not a denoiser.
    """
    is_keras = str(model).lower().endswith((".h5", ".hdf5"))
    located = None if is_keras else locate_model(model)
    path = Path(model).expanduser() if located is None else located.folder / "config.json"
    if not path.is_file():
        raise ValueError(f"There is no file {path}. Give the Keras .h5 file, a model folder or the name of a model.")
    key = (str(path.resolve()), path.stat().st_mtime_ns, device, num_channels if is_keras else None)
    with _models_lock:
        if key not in _models:
            net: Network = read_keras_unet(path, num_channels=num_channels) if located is None else located.load()
            if net.architecture not in TILE_FRAMES:
                raise ValueError(
                    f"The model '{model}' is a {net.architecture}, expected one that denoises: {sorted(TILE_FRAMES)}."
                )
            _models[key] = net.to(choose_device(device)).eval()
        _models.move_to_end(key)
        while len(_models) > MOST_MODELS:
            _models.popitem(last=False)
        return _models[key]


def check_sampling_frequency(net: Interpolator | KerasUNet, sampling_frequency: float, model):
    """Refuse a recording whose sampling frequency differs by more than 1 % from that of the network."""
    expected = net.config.sampling_frequency
    if abs(sampling_frequency / expected - 1) > 0.01:
        raise ValueError(
            f"The recording has {sampling_frequency:g} Hz and the model '{model}' works at {expected:g} Hz. Resample "
            "the recording, or adapt the model in a minute: train_deep_interpolation(recording, folder, "
            f"start_from={str(model)!r})."
        )


class TracePredictor:
    """
    Predicts each frame of normalised traces from the frames around it.

    Parameters
    ----------
    net : Network
        An `Interpolator` or a `KerasUNet`, on its device.
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um.
    shanks : np.ndarray, shape (num_channels,)
    usable : np.ndarray, shape (num_channels,), bool
        Channels from which others may be predicted; the rest is predicted from them.

    Attributes
    ----------
    batch_frames : int
        Frames of the tiles that are best predicted together: those of one tile on a CPU.
    nonlinear_share : float
        Share of the nonlinear part of an `Interpolator` that is added to its linear part, 0 to 1.
    """

    def __init__(
        self,
        net: Interpolator | KerasUNet,
        channel_locations: np.ndarray,
        shanks: np.ndarray,
        usable: np.ndarray,
    ):
        self.net, self.usable, self.nonlinear_share = net, usable, 1.0
        self.context = net.config.context
        self.tile_frames = TILE_FRAMES[net.architecture]
        self.device = next(net.parameters()).device
        self.batch_frames = self.tile_frames * (1 if self.device.type == "cpu" else TILES_AT_ONCE)
        self.plan: ProbePlan | None = None
        if isinstance(net, KerasUNet):
            if len(shanks) != net.config.num_channels:
                raise ValueError(
                    f"The recording has {len(shanks)} channels, the original network {net.config.num_channels}. "
                    "Select those channels, or use a model for any probe."
                )
            return
        self.plan = make_probe_plan(
            channel_locations,
            shanks,
            num_neighbors=net.config.num_neighbors,
            radius_um=net.config.radius_um,
            usable=usable,
        )
        net.attach_table(self.plan, channel_locations)
        self.plan.to(self.device)
        with torch.inference_mode():
            self.blocks = net.block_weights(self.plan)

    def predict_tile(self, traces: np.ndarray) -> np.ndarray:
        """
        Predict one tile, or several that follow each other.

        Parameters
        ----------
        traces : np.ndarray, shape (num_tiles * tile_frames + 2 * context, num_channels), float32
            Centred and scaled; unusable channels are ignored.

        Returns
        -------
        np.ndarray, shape (num_tiles * tile_frames, num_channels), float32
        """
        if not self.usable.all():
            traces = np.where(self.usable, traces, np.float32(0))
        by_channel = torch.from_numpy(np.ascontiguousarray(traces)).to(self.device).T
        inputs = by_channel.unfold(1, self.tile_frames + 2 * self.context, self.tile_frames)
        inputs = inputs.transpose(0, 1).contiguous()
        with torch.inference_mode():
            if self.plan is None:
                predicted = self.net(inputs)
            else:
                assert isinstance(self.net, Interpolator)
                predicted = self.net.predict(inputs, self.plan, self.blocks, self.nonlinear_share)
        return predicted.transpose(1, 2).flatten(0, 1).cpu().numpy()
