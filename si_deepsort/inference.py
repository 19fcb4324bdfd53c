"""A network over traces: which device, and chunks whose borders leave no trace in the result."""

import logging
from collections.abc import Callable

import numpy as np
import torch

logger = logging.getLogger(__name__)


def choose_device(device: str = "auto") -> torch.device:
    """
    The device to compute on.

    Parameters
    ----------
    device : "auto" | "cpu" | "cuda" | "cuda:N" | "mps", default: "auto"
        "auto" takes CUDA, then Apple's MPS, then the CPU.

    Raises
    ------
    ValueError
        If the device does not exist on this machine.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = str(device).split(":")[0]
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(kind, False):
        existing = [name for name, is_there in available.items() if is_there]
        raise ValueError(f"device='{device}' is not available here; expected 'auto' or one of {existing}.")
    return torch.device(device)


def run_in_chunks(
    function: Callable[[np.ndarray], np.ndarray], traces: np.ndarray, *, margin: int, chunk_frames: int = 30_000
) -> np.ndarray:
    """
    Apply a function with a finite reach over time, chunk by chunk.

    Parameters
    ----------
    function : callable
        Takes traces of shape (frames + 2 * margin, num_channels), returns an array of shape (frames, ...) whose row t
        depends on input rows t to t + 2 * margin alone.
    traces : np.ndarray, shape (num_frames + 2 * margin, num_channels)
        Padded on both sides by the caller (`get_chunk_with_margin(add_reflect_padding=True)` of SpikeInterface).
    margin : int
        Reach of the function to either side, in frames.
    chunk_frames : int, default: 30_000
        Bounds the memory; does not change the result.

    Returns
    -------
    np.ndarray, shape (num_frames, ...)
    """
    num_frames = len(traces) - 2 * margin
    pieces = [
        function(traces[start : min(start + chunk_frames, num_frames) + 2 * margin])
        for start in range(0, max(num_frames, 1), chunk_frames)
    ]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def predict_in_batches(
    net: torch.nn.Module, inputs: np.ndarray, *, batch_size: int = 4096, device: str = "cpu"
) -> np.ndarray:
    """
    Output of a network for many independent inputs; a batch that does not fit in GPU memory is halved.

    Parameters
    ----------
    net : torch.nn.Module
        In evaluation mode.
    inputs : np.ndarray, shape (num_inputs, ...), float32

    Returns
    -------
    np.ndarray, shape (num_outputs, ...), float32
    """
    outputs, start = [], 0
    with torch.inference_mode():
        while start < len(inputs) or not outputs:
            batch = torch.from_numpy(np.ascontiguousarray(inputs[start : start + batch_size])).to(device)
            try:
                outputs.append(net(batch).float().cpu().numpy())
            except torch.cuda.OutOfMemoryError:
                if batch_size == 1:
                    raise
                batch_size //= 2
                torch.cuda.empty_cache()
                logger.warning("Out of GPU memory, the batch is halved to %d", batch_size)
                continue
            start += batch_size
    return np.concatenate(outputs)
