"""Choose a device, and apply a network to many inputs batch by batch."""

import logging

import numpy as np
import torch

logger = logging.getLogger(__name__)


def choose_device(device: str = "auto") -> torch.device:
    """
    Choose the device to compute on.

    Parameters
    ----------
    device : "auto" | "cpu" | "cuda" | "cuda:N" | "mps", default: "auto"
        "auto" takes CUDA if there is one, else Apple's MPS, else the CPU.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If the device does not exist on this machine.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = str(device).split(":")[0]
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind == "cuda" and available["cuda"]:
        existing_gpus = ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        if str(device) not in existing_gpus:
            raise ValueError(f"device='{device}' is not available here; expected 'auto' or one of {existing_gpus}.")
    if not available.get(kind, False):
        existing = [name for name, is_there in available.items() if is_there]
        raise ValueError(f"device='{device}' is not available here; expected 'auto' or one of {existing}.")
    return torch.device(device)


def predict_in_batches(
    net: torch.nn.Module, inputs: np.ndarray, *, batch_size: int = 4096, device: str = "cpu"
) -> np.ndarray:
    """
    Output of a network for many independent inputs.

    A batch that does not fit in GPU memory is halved.

    Parameters
    ----------
    net : torch.nn.Module
        On the device and in evaluation mode.
    inputs : np.ndarray, shape (num_inputs, ...), float32
    batch_size : int, default: 4096
        Inputs per call of the network. It bounds the memory and does not change the result.
    device : str, default: "cpu"

    Returns
    -------
    np.ndarray, shape (num_inputs, ...), float32

    Raises
    ------
    torch.cuda.OutOfMemoryError
        If a single input does not fit.
    """
    outputs: list[np.ndarray] = []
    start = 0
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
