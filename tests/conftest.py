"""Fixtures that several test files share."""

import pytest
from huggingface_hub import constants
from loopback_hub import LoopbackHub


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
