"""
Noise of a recording: its level, spectrum and covariance, synthetic noise with the same properties, and a clean
recording made as noisy as another one.
"""

from .blanks import blank_frames, shortest_blank
from .levels import (
    MAD_TO_SD,
    NEUROPIXELS_NOISE_CORRELATION,
    NEUROPIXELS_NOISE_FREQUENCIES,
    NEUROPIXELS_NOISE_LENGTH_UM,
    NEUROPIXELS_NOISE_POWER,
    medians,
    noise_filter,
    noise_levels,
    noise_spectrum,
    recording_noise_levels,
    sample_signal,
    sample_traces,
    sampled_stretches,
    spatial_correlation,
    synthesize_noise,
)

_MATCHING = ("NoiseModel", "match", "match_traces", "measure_noise")
__all__ = [
    "MAD_TO_SD",
    "NEUROPIXELS_NOISE_CORRELATION",
    "NEUROPIXELS_NOISE_FREQUENCIES",
    "NEUROPIXELS_NOISE_LENGTH_UM",
    "NEUROPIXELS_NOISE_POWER",
    *_MATCHING,
    "blank_frames",
    "medians",
    "noise_filter",
    "noise_levels",
    "noise_spectrum",
    "recording_noise_levels",
    "sample_signal",
    "sample_traces",
    "sampled_stretches",
    "shortest_blank",
    "spatial_correlation",
    "synthesize_noise",
]


def __getattr__(name: str):
    # SpikeInterface's preprocessing, which matching needs, takes seconds to import
    if name in _MATCHING:
        from . import matching

        return getattr(matching, name)
    raise AttributeError(f"module 'si_deepsort.noise' has no attribute '{name}'")
