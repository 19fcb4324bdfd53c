"""
Lazy preprocessors for SpikeInterface recordings.

Preprocessors for users, which `PREPROCESSORS` lists as function name -> (class, function):

- `deep_interpolate`: DeepInterpolation, with `prediction`, `calibration`, `injection` and `surrogate`.
- `wavelet_denoise`: thresholds on wavelet coefficients.
- `matched_filter`: correlation with the waveform of a spike.

Recordings of the sorter, in the order of its flow: `fill_blanks`, `band_pass`, `line_noise` (with `find_lines`),
`reference` (with `shared_noise`), `motion_interpolation`, `whiten` (with `estimate_whitening`, `local_whitening`,
`whitening` and `artefacts`), `half_precision`, and `even_noise`, in which peaks are found. `white_on_device` computes
them on a GPU, with `device_steps` and `device_lines`.

Importing this package does not import torch.
"""

from .deep_interpolate import DeepInterpolateRecording, deep_interpolate
from .matched_filter import MatchedFilterRecording, matched_filter
from .wavelet_denoise import WaveletDenoiseRecording, wavelet_denoise

PREPROCESSORS = {
    "deep_interpolate": (DeepInterpolateRecording, deep_interpolate),
    "matched_filter": (MatchedFilterRecording, matched_filter),
    "wavelet_denoise": (WaveletDenoiseRecording, wavelet_denoise),
}
