"""
Wavelet denoising: small coefficients of the stationary wavelet transform are set to 0.

The stationary (undecimated) transform has no grid of its own, so that the result does not depend on where a chunk
starts, and spikes stay in place. Donoho & Johnstone 1994 (thresholds), Nason & Silverman 1995 (stationary transform).
"""

import numpy as np
import pywt
from numpy.typing import DTypeLike
from spikeinterface.core import BaseRecording
from spikeinterface.core.core_tools import define_function_handling_dict_from_class
from spikeinterface.core.recording_tools import get_chunk_with_margin
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..noise import noise_levels, sample_signal
from .traces import cast_traces, check_has_traces, fill_gaps, output_dtype

THRESHOLD_MODES = ("soft", "hard", "garrote")


class WaveletDenoiseRecording(BasePreprocessor):
    """
    Lazily removes noise from each channel by thresholds on its wavelet coefficients. NaN and inf become NaN (0 in
    integers), and count as 0 for the frames around them.

    Parameters
    ----------
    recording : BaseRecording
        High-pass filtered traces, in any unit.
    wavelet : str, default: "sym4"
        Any discrete wavelet of PyWavelets, e.g. "db4", "haar", "bior2.2".
    num_levels : int, default: 4
        Levels of the transform; level j holds the octave below sampling_frequency / 2**j. Slower signals are kept.
    threshold : float, default: 2.0
        Threshold in noise levels (robust standard deviations) of each channel and level.
    mode : "soft" | "hard" | "garrote", default: "hard"
        "soft" shrinks all coefficients by the threshold, "hard" keeps large ones unchanged, "garrote" lies between.
    coefficient_levels : list | None, shape (num_levels, num_channels), default: None
        Noise level of each channel's coefficients. None measures them.
    dtype : dtype-like | None, default: None
        Dtype of the output; None keeps the dtype of the recording. Integers are rounded and saturate.
    seed : int, default: 0
        Random seed of the chunks in which noise is measured.

    Raises
    ------
    ValueError
        If the wavelet, the mode or a number is unusable.
    """

    def __init__(
        self,
        recording: BaseRecording,
        wavelet: str = "sym4",
        num_levels: int = 4,
        threshold: float = 2.0,
        mode: str = "hard",
        coefficient_levels: list | np.ndarray | None = None,
        dtype: DTypeLike | None = None,
        seed: int = 0,
    ) -> None:
        check_has_traces(recording)
        _check_settings(wavelet, num_levels, threshold, mode)
        dtype = output_dtype(recording, dtype)
        if coefficient_levels is None:
            coefficient_levels = measure_levels(sample_signal(recording, seed=seed), wavelet, num_levels)
        coefficient_levels = np.asarray(coefficient_levels, dtype="float32")
        expected = (num_levels, recording.get_num_channels())
        if coefficient_levels.shape != expected:
            raise ValueError(
                f"coefficient_levels has shape {coefficient_levels.shape}, expected {expected} "
                "(num_levels, num_channels); leave it None to measure them."
            )
        BasePreprocessor.__init__(self, recording, dtype=dtype)
        for segment in recording._recording_segments:
            self.add_recording_segment(
                WaveletDenoiseRecordingSegment(segment, wavelet, threshold * coefficient_levels, mode, dtype)
            )
        self._kwargs = dict(
            recording=recording,
            wavelet=wavelet,
            num_levels=num_levels,
            threshold=threshold,
            mode=mode,
            coefficient_levels=coefficient_levels.tolist(),
            dtype=dtype.str,
            seed=seed,
        )


class WaveletDenoiseRecordingSegment(BasePreprocessorSegment):
    """One segment of a `WaveletDenoiseRecording`."""

    def __init__(self, parent_segment, wavelet, thresholds, mode, dtype):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.wavelet, self.thresholds, self.mode, self.dtype = wavelet, thresholds, mode, dtype

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Denoised traces, (num_frames, num_channels); the same whatever the chunks."""
        channel_indices = slice(None) if channel_indices is None else channel_indices
        thresholds = self.thresholds[:, channel_indices]
        margin = transform_margin(self.wavelet, len(thresholds))
        traces, _, _ = get_chunk_with_margin(
            self.parent_recording_segment, start_frame, end_frame, channel_indices, margin, add_reflect_padding=True
        )
        traces, is_gap = fill_gaps(traces)
        details, approximation = decompose(traces, self.wavelet, len(thresholds))
        details = [shrink(detail, threshold, self.mode) for detail, threshold in zip(details, thresholds, strict=True)]
        denoised = reconstruct(details, approximation, self.wavelet)
        return cast_traces(denoised, self.dtype, is_gap[margin : margin + len(denoised)])


def measure_levels(sample: np.ndarray, wavelet: str, num_levels: int) -> np.ndarray:
    """
    Noise level of each channel's coefficients; gaps do not count, and a channel without any value has level 0.

    Parameters
    ----------
    sample : np.ndarray, shape (num_frames, num_channels), float

    Returns
    -------
    np.ndarray, shape (num_levels, num_channels), float
    """
    sample, is_gap = fill_gaps(sample)
    margin = transform_margin(wavelet, num_levels)
    details, _ = decompose(_pad(sample, margin), wavelet, num_levels)
    if not is_gap.any():
        return np.stack([noise_levels(detail) for detail in details])
    measured = ~_interior(_pad(is_gap, margin), len(details[0]))
    return np.array(
        [
            [noise_levels(own[known]) if known.any() else 0.0 for own, known in zip(detail.T, measured.T, strict=True)]
            for detail in details
        ]
    )


def transform_margin(wavelet: str, num_levels: int) -> int:
    """Frames on either side that one output frame of decomposition and reconstruction depends on."""
    return (pywt.Wavelet(wavelet).dec_len - 1) * (2**num_levels - 1)


def decompose(traces: np.ndarray, wavelet: str, num_levels: int):
    """
    Stationary wavelet transform of the interior of some traces.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames + 2 * margin, num_channels), float32
        Padded by `transform_margin` on both sides.

    Returns
    -------
    details : list of np.ndarray, shape (num_frames + margin, num_channels)
        Finest level first; half of the margin on either side is left for the reconstruction.
    approximation : np.ndarray, shape (num_frames + margin, num_channels)
        The signal that is slower than the last level.
    """
    bank = pywt.Wavelet(wavelet)
    details, approximation = [], traces
    for level in range(num_levels):
        step = 2**level
        details.append(_dilated_filter(approximation, bank.dec_hi, step))
        approximation = _dilated_filter(approximation, bank.dec_lo, step)
    return [_interior(detail, len(approximation)) for detail in details], approximation


def reconstruct(details, approximation: np.ndarray, wavelet: str) -> np.ndarray:
    """
    Inverse of `decompose`.

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels), float32
    """
    bank = pywt.Wavelet(wavelet)
    for level in reversed(range(len(details))):
        step = 2**level
        detail = _interior(details[level], len(approximation))
        approximation = 0.5 * (
            _dilated_filter(approximation, bank.rec_lo, step) + _dilated_filter(detail, bank.rec_hi, step)
        )
    return approximation


def shrink(coefficients: np.ndarray, threshold: np.ndarray, mode: str) -> np.ndarray:
    """
    Set small coefficients to 0.

    Parameters
    ----------
    coefficients : np.ndarray, shape (num_frames, num_channels)
    threshold : np.ndarray, shape (num_channels,)
    mode : "soft" | "hard" | "garrote"

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels)
    """
    magnitudes = np.abs(coefficients)
    if mode == "hard":
        return np.where(magnitudes >= threshold, coefficients, 0)
    if mode == "soft":
        return np.sign(coefficients) * np.maximum(magnitudes - threshold, 0)
    nonzero = np.where(magnitudes > 0, coefficients, 1)
    return np.where(magnitudes > threshold, coefficients - threshold**2 / nonzero, 0).astype(coefficients.dtype)


def _dilated_filter(traces, taps, step):
    num_frames = len(traces) - (len(taps) - 1) * step
    filtered = np.zeros((num_frames, traces.shape[1]), dtype="float32")
    for index, tap in enumerate(reversed(taps)):
        if tap:
            filtered += np.float32(tap) * traces[index * step : index * step + num_frames]
    return filtered


def _interior(traces, num_frames):
    surplus = (len(traces) - num_frames) // 2
    return traces[surplus : surplus + num_frames]


def _pad(traces, margin):
    return np.pad(traces, ((margin, margin), (0, 0)), mode="reflect")


def _check_settings(wavelet, num_levels, threshold, mode):
    if wavelet not in pywt.wavelist(kind="discrete"):
        raise ValueError(
            f"Unknown wavelet '{wavelet}'. PyWavelets knows these discrete ones: {pywt.wavelist(kind='discrete')}"
        )
    if isinstance(num_levels, bool) or not isinstance(num_levels, int | np.integer) or not 1 <= num_levels <= 10:
        raise ValueError(f"num_levels={num_levels!r}, expected a whole number from 1 to 10.")
    if not np.isfinite(threshold) or threshold < 0:
        raise ValueError(f"threshold={threshold!r}, expected a number of noise levels that is not negative.")
    if mode not in THRESHOLD_MODES:
        raise ValueError(f"mode={mode!r}, expected one of {THRESHOLD_MODES}.")


wavelet_denoise = define_function_handling_dict_from_class(source_class=WaveletDenoiseRecording, name="wavelet_denoise")
