"""Simulated events, and what is found of them."""

import pytest

from si_deepsort.events.segment import segment_events
from si_deepsort.events.simulate import simulate_events


@pytest.fixture(scope="session")
def simulated():
    return simulate_events("endplate", duration_s=20.0, noise_sd=0.06, seed=11)


@pytest.fixture(scope="session")
def found(simulated):
    return segment_events(simulated[0])
