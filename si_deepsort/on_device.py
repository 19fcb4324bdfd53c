"""
Steps that PyTorch computes on a GPU. Compiled code on the CPU computes the same, and is the reference.

One process feeds the device: its threads read traces and search spikes, and take turns on the device. A step that does
not fit in memory is computed in smaller parts, and on the CPU if that does not help or the device fails.
"""

import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch

from .inference import choose_device

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# The same computations by PyTorch on the CPU. They are slower there than compiled code, and serve to test it.
TORCH_ON_CPU = "torch-cpu"
# A step is divided into at most this many parts before it is left to the CPU: each then needs a few MB.
MOST_PARTS = 64
# Types of samples that are converted to float32 on the device; others are converted before.
SENT_DTYPES = ("int8", "uint8", "int16", "int32", "float16", "float32")


def device_for(name: str) -> torch.device | None:
    """
    The device on which the steps of a sorting are computed by PyTorch.

    Parameters
    ----------
    name : "cpu" | "auto" | "cuda" | "cuda:N" | "mps" | "torch-cpu"
        "auto" takes CUDA if there is one, else the CPU.

    Returns
    -------
    torch.device | None
        None for compiled code on the CPU.

    Raises
    ------
    ValueError
        If the device does not exist on this machine.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return None
    if name == TORCH_ON_CPU:
        return torch.device("cpu")
    return choose_device("cuda" if name == "auto" else name)


class DeviceStep:
    """
    One step of a computation on a device, and what happens if the device cannot do it.

    Parameters
    ----------
    name : str
        What the step does, for messages.
    device : torch.device

    Attributes
    ----------
    num_parts : int
        Parts in which the largest arrays of the step are computed, one after the other; it grows if memory is short.
    has_failed : bool
        Whether the step has been left to the CPU.
    """

    def __init__(self, name: str, device: torch.device):
        self.name, self.device = name, device
        self.num_parts, self.has_failed = 1, False

    def __getstate__(self) -> dict[str, Any]:
        """Copies in other processes begin anew: they may have more memory."""
        return dict(name=self.name, device=self.device, num_parts=1, has_failed=False)

    def run(self, on_device: Callable[[], Result], on_cpu: Callable[[], Result]) -> Result:
        """
        Compute on the device, or on the CPU if the device fails.

        Parameters
        ----------
        on_device, on_cpu : callable
            Take nothing and return the same, up to rounding.
        """
        while not self.has_failed:
            tried = self.num_parts
            try:
                with _turn_of(self.device), full_precision(), torch.inference_mode():
                    return on_device()
            except torch.OutOfMemoryError as error:
                reason = str(error)
            except RuntimeError as error:
                self.has_failed = True
                logger.warning("%s continues on the CPU: %s failed (%s)", self.name, self.device, error)
                break
            # Parts are divided here and not in the clause above: there, the error still holds its tensors.
            self._divide(tried, reason)
        return on_cpu()

    def send(self, array: np.ndarray) -> torch.Tensor:
        """
        A tensor on the device with the numbers of an array, converted to float32 there; always a copy.

        What came from the device and is remembered there (`remember`) is not sent again.
        """
        remembered = _REMEMBERED.get(id(array))
        if remembered is not None and remembered[0]() is array and remembered[1].device.type == self.device.type:
            return remembered[1].to(self.device, dtype=torch.float32, copy=True)
        if array.dtype not in SENT_DTYPES:
            array = array.astype("float32")
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self.device, copy=True).to(torch.float32)

    def remember(self, array: np.ndarray, tensor: torch.Tensor) -> None:
        """
        Keep a tensor on the device as long as an array with the same numbers lives, for the next step that needs it.

        Nobody may change the array.
        """
        key = id(array)
        _REMEMBERED[key] = (weakref.ref(array, lambda _: _REMEMBERED.pop(key, None)), tensor)

    def parts(self, length: int) -> Iterator[slice]:
        """Slices that cover a length, as many as the parts of this step."""
        size = max(1, -(-length // self.num_parts))
        for start in range(0, length, size):
            yield slice(start, min(start + size, length))

    def _divide(self, tried: int, reason: str) -> None:
        """Take smaller parts than those that were tried, unless another thread has done so, or give up."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        with _LOCK:
            if self.num_parts != tried:
                return
            self.num_parts, self.has_failed = 2 * tried, 2 * tried > MOST_PARTS
        if self.has_failed:
            logger.warning("%s continues on the CPU: %s is out of memory (%s)", self.name, self.device, reason)
        else:
            logger.warning("%s is out of memory: %s continues in %d parts", self.device, self.name, 2 * tried)


def made_on_device(make: Callable[[], Result], on_cpu: Result) -> Result:
    """What a function makes on a device, or what computes the same on the CPU if the device fails at once."""
    try:
        return make()
    except RuntimeError as error:
        logger.warning("The CPU is used: the device failed (%s)", error)
        return on_cpu


def real_transform_back(spectra: torch.Tensor, size: int) -> torch.Tensor:
    """
    Real numbers from their Fourier transform along the last axis.

    Imaginary parts of the highest frequency of an even size are no part of real numbers. Libraries for CPUs ignore
    them; those for GPUs need not.

    Parameters
    ----------
    spectra : torch.Tensor, shape (..., size // 2 + 1), complex64
        Changed in place.
    size : int
        How many numbers there are.
    """
    if size % 2 == 0:
        spectra[..., -1].imag.zero_()
    return torch.fft.irfft(spectra, size)


_LOCK = threading.Lock()
# Arrays that came from a device, by their identity, and the tensors there.
_REMEMBERED: dict[int, tuple[Callable[[], Any], torch.Tensor]] = {}
_TURNS: dict[str, threading.RLock] = {}


def _turn_of(device: torch.device) -> threading.RLock:
    """What a thread holds while it computes on a device, so that the memory for one step suffices."""
    with _LOCK:
        return _TURNS.setdefault(str(device), threading.RLock())


class _FullPrecision:
    """Products of float32 numbers in full precision on NVIDIA GPUs, as long as any thread wants them."""

    def __init__(self):
        self.lock, self.num_holders, self.before = threading.Lock(), 0, []

    def take(self):
        """Set full precision, unless another thread has done so."""
        with self.lock:
            if self.num_holders == 0:
                self.before = [getattr(*place) for place in _precision_places()]
                for place in _precision_places():
                    setattr(*place, _FULL[place[1]])
            self.num_holders += 1

    def give_back(self):
        """Restore what was before, unless another thread still needs full precision."""
        with self.lock:
            self.num_holders -= 1
            if self.num_holders == 0:
                for place, before in zip(_precision_places(), self.before, strict=True):
                    setattr(*place, before)


# What full precision is called in either interface.
_FULL: dict[str, Any] = {"fp32_precision": "ieee", "allow_tf32": False}


def _precision_places() -> list[tuple[Any, str]]:
    """Objects and names of their attributes by which PyTorch sets the precision of products (new since 2.9)."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):
        return [(place, "fp32_precision") for place in (matmul, cudnn.conv, cudnn.rnn)]  # type: ignore[attr-defined]
    return [(matmul, "allow_tf32"), (cudnn, "allow_tf32")]


_FULL_PRECISION = _FullPrecision()


@contextmanager
def full_precision() -> Iterator[None]:
    """
    Multiply float32 numbers in full precision on NVIDIA GPUs; afterwards the process does as before.

    By default PyTorch rounds the factors of convolutions to 10 bits (TF32).
    """
    _FULL_PRECISION.take()
    try:
        yield
    finally:
        _FULL_PRECISION.give_back()
