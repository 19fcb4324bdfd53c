"""
Recordings with known spikes and realistic noise, from a seed: for training, demonstrations and benchmarks.

Templates come from SpikeInterface's generator (parametric waveforms, randomised far beyond its defaults) or are given;
noise has the spectrum and the spatial correlation of real Neuropixels recordings; a crowd of far, small units makes
the background hash without which every sorter looks better than it is.
"""

from .colored_noise import ColoredNoiseRecording
from .disturbances import DisturbedRecording
from .poisson import random_sorting
from .population import draw_spikes, join_neighbours, to_sorting
from .probes import named_probe
from .recording import generate_recording
from .settings import Disturbances, GenerationSettings, SpikeStatistics
from .synchrony import unit_locations
from .templates import random_far_templates, random_templates
from .trains import lognormal_rates

__all__ = [
    "ColoredNoiseRecording",
    "Disturbances",
    "DisturbedRecording",
    "GenerationSettings",
    "SpikeStatistics",
    "draw_spikes",
    "generate_recording",
    "join_neighbours",
    "lognormal_rates",
    "named_probe",
    "random_far_templates",
    "random_sorting",
    "random_templates",
    "to_sorting",
    "unit_locations",
]
