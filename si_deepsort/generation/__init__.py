"""
Recordings with known spikes and realistic noise, from a seed: for training, demonstrations and benchmarks.

Templates come from SpikeInterface's generator (parametric waveforms, randomised far beyond its defaults), from neurons
with dendrites (cable theory), or are given; noise has the spectrum and the spatial correlation of real Neuropixels
recordings; a crowd of far, small units makes the background hash without which every sorter looks better than it is.
"""

from .cable import cable_templates
from .colored_noise import ColoredNoiseRecording
from .disturbances import DisturbedRecording
from .injection import MovingTemplates, inject_moving_units, inject_units
from .motion import motion_um, moved_templates
from .poisson import random_sorting
from .population import Population, draw_population, with_synchrony
from .probes import named_probe
from .recording import generate_recording
from .settings import INDEPENDENT_POISSON, Disturbances, GenerationSettings, SpikeStatistics
from .synchrony import unit_locations
from .templates import random_far_templates, random_templates

__all__ = [
    "INDEPENDENT_POISSON",
    "ColoredNoiseRecording",
    "Disturbances",
    "DisturbedRecording",
    "GenerationSettings",
    "MovingTemplates",
    "Population",
    "SpikeStatistics",
    "cable_templates",
    "draw_population",
    "generate_recording",
    "inject_moving_units",
    "inject_units",
    "motion_um",
    "moved_templates",
    "named_probe",
    "random_far_templates",
    "random_sorting",
    "random_templates",
    "unit_locations",
    "with_synchrony",
]
