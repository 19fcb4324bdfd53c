"""
Train a network: the one loop that all training functions share.

- `loop.py`: `fit` and `evaluate`, and the settings of a training;
- `checkpoint.py`: the state that is saved after each epoch, so that an interrupted training can continue;
- `processes.py`: what several processes that train together share.
"""

from .loop import Batch, FitSettings, evaluate, fit

__all__ = ["Batch", "FitSettings", "evaluate", "fit"]
