"""The device of a run: chosen before anything is computed, and named in the log."""

import logging
from dataclasses import replace

import torch

from ..on_device import device_for
from ..settings import SettingError
from .settings import DeepSortSettings

logger = logging.getLogger(__name__)


def with_device(settings: DeepSortSettings) -> DeepSortSettings:
    """
    The settings with the device that "auto" stands for on this machine; the workers of dask compute on CPUs.

    Raises
    ------
    SettingError
        If the device does not exist here.
    """
    try:
        device = None if settings.dask_scheduler is not None else device_for(settings.device)
        if device is None:
            return replace(settings, device="cpu")
        # A driver that does not fit, or a process that was forked from one that uses the GPU, shows here.
        torch.zeros(1, device=device)
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device}, by PyTorch"
    except (ValueError, RuntimeError) as error:
        if settings.device == "auto":
            logger.warning("The CPU is used: the GPU cannot be used (%s)", error)
            return replace(settings, device="cpu")
        raise SettingError(
            "device", f"{str(error).removesuffix('.')}. Choose 'cpu', or 'auto', which takes a GPU if there is one."
        ) from error
    logger.info("Traces are whitened, spikes detected and templates correlated on a device: %s", name)
    return replace(settings, device="cuda") if settings.device == "auto" else settings
