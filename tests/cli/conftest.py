"""The command line sets up logging for its process; here many commands run in one."""

import logging

import pytest


@pytest.fixture(autouse=True)
def logging_as_before():
    """Give the loggers their levels and handlers back."""
    root, own = logging.getLogger(), logging.getLogger("si_deepsort")
    handlers, level = list(root.handlers), own.level
    yield
    root.handlers[:] = handlers
    own.setLevel(level)
