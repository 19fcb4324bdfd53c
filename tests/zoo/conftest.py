"""Fixtures of the tests that load models from this machine."""

import pytest
from small_model import INFO, make_net

from si_deepsort.zoo import save_model


@pytest.fixture
def folder(tmp_path):
    return save_model(make_net(), tmp_path / "our-probe", INFO)


@pytest.fixture
def no_internet(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("si_deepsort.zoo.load.fetch", lambda *args, **kwargs: pytest.fail("a request was made"))
