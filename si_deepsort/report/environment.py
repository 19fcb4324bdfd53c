"""What a sorting ran on: versions, devices, threads and folders."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("spikeinterface", "torch", "numpy", "scipy", "numba", "scikit-learn", "neo", "probeinterface")


def package_versions() -> dict[str, str]:
    """Version of this package and of those that decide about its results."""
    from .._version import __version__

    versions = {"si-deepsort": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def describe_environment() -> dict[str, str]:
    """Versions, torch build, device, cores, threads and folders, for `si-deepsort doctor`."""
    import torch
    from huggingface_hub import constants

    from ..inference import choose_device

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    device = choose_device("auto")
    described = {
        **package_versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        "torch build": build,
        "device": str(device) + (f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""),
        "cores": str(_usable_cores()),
        "torch threads": str(torch.get_num_threads()),
        "model cache": constants.HF_HUB_CACHE,
    }
    limits = [name for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS") if name in os.environ]
    return described | {name: os.environ[name] for name in limits}


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
