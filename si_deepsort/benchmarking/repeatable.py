"""
Sorters that draw random numbers without a seed, made repeatable in a process of their own.

Most of SpikeInterface's sorters call numpy.random.default_rng() somewhere below their parameters, seeded or not: run
twice on the same recording, their accuracy changes by some hundredths. A benchmark has to give the same table twice.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import numpy as np


@contextmanager
def unseeded_generators_seeded(seed: int) -> Iterator[None]:
    """
    While this is open, generators that are asked for without a seed get one, each call a different one.

    Global state of the process is changed and global random generators stay seeded: for processes that do nothing else.

    Parameters
    ----------
    seed : int
    """
    import torch

    original = np.random.default_rng
    seeds = ([seed, call] for call in count())

    def seeded_generator(seed=None):
        return original(next(seeds) if seed is None else seed)

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (the sorters draw from the global generator)
    torch.manual_seed(seed)
    np.random.default_rng = seeded_generator
    try:
        yield
    finally:
        np.random.default_rng = original
