"""
Lazy preprocessors for SpikeInterface recordings.

`PREPROCESSORS` names them all: the function's name -> (class, function). Importing this package does not import torch.
"""

from .deep_interpolate import DeepInterpolateRecording, deep_interpolate
from .matched_filter import MatchedFilterRecording, matched_filter
from .wavelet_denoise import WaveletDenoiseRecording, wavelet_denoise

PREPROCESSORS = {
    "deep_interpolate": (DeepInterpolateRecording, deep_interpolate),
    "matched_filter": (MatchedFilterRecording, matched_filter),
    "wavelet_denoise": (WaveletDenoiseRecording, wavelet_denoise),
}
