"""Excitatory or inhibitory: the putative type of each unit, from its waveform (`features`) and its autocorrelogram."""

from .predict import predict_cell_types

__all__ = ["predict_cell_types"]
