"""Fixtures that several test files share."""

import gc
import logging
import os
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from loopback_hub import LoopbackHub
from threadpoolctl import threadpool_limits

# All processes of the tests share their compiled code. Numba reads this when it is imported, which is later.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / ".numba_cache"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Each worker gets a row of files, and takes from another when it has done its own: few make the same fixtures."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None


OWN_LOGGER = logging.getLogger("si_deepsort")
OWN_LEVEL = OWN_LOGGER.level


@pytest.fixture(autouse=True, scope="module")
def small_heap():
    """
    Leave what was there before a module out of the search for garbage.

    SpikeInterface searches the whole process after each chunk that it writes, which takes .3 s each time when all test
    modules and libraries are loaded.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def single_thread_of_libraries():
    """Sums in another order round differently: results are compared bit by bit with those of worker processes."""
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def single_thread():
    """As above, for PyTorch."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def logging_as_it_was():
    """
    The command line owns its process and sets up logging; tests run it within theirs.

    The state is that of the start of the tests: fixtures of modules, which call the command line too, come first.
    """
    _restore_logging()
    yield
    _restore_logging()


def _restore_logging():
    logging.getLogger().handlers[:] = [
        handler for handler in logging.getLogger().handlers if not type(handler).__module__.startswith("si_deepsort")
    ]
    OWN_LOGGER.setLevel(OWN_LEVEL)


@pytest.fixture
def hub(monkeypatch):
    """A running loopback hub; the real client talks to it without the accelerated transfer that it does not speak."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with LoopbackHub().running() as server:
        yield server


@pytest.fixture
def here(hub, tmp_path):
    """Where a test loads from: the loopback hub and an empty cache."""
    return {"endpoint": hub.endpoint, "cache_dir": tmp_path / "cache"}
