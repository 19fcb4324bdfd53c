"""
Make a clean, labelled recording as noisy as another one, with noise of the same spectrum and spatial covariance.

The noise of both recordings is measured away from spikes. The difference of their spectra is synthesised and added to
the clean recording. Its spikes keep their labels, so that networks and thresholds can be fitted to the noise of the
target without labels of the target.
"""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.signal
from spikeinterface.core import BaseRecording, NumpyRecording
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from .levels import MAD_TO_SD, noise_filter, sample_traces, synthesize_noise

# Lengths of windows in frames; the longest one of which a fifth of the windows holds no spike is used.
WINDOW_FRAMES = (1024, 512, 256, 128)
# Frames of noise that are made at once, always the same ones: Fourier transforms of other lengths round differently.
TILE_FRAMES = 30_000
# Durations in ms of running averages in which spikes are searched too: small slow spikes stand out in averages over
# about their own width.
AVERAGED_MS = (0.0, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class NoiseModel:
    """
    Noise of a recording.

    Attributes
    ----------
    frequencies : np.ndarray, shape (num_frequencies,), float
        In Hz.
    cross_spectrum : np.ndarray, shape (num_frequencies, num_channels, num_channels), complex
        In unit^2 / Hz; the diagonal is the power spectral density of each channel.
    """

    frequencies: np.ndarray
    cross_spectrum: np.ndarray

    @property
    def power(self) -> np.ndarray:
        """Power spectral density of each channel, shape (num_frequencies, num_channels), in unit^2 / Hz."""
        return np.einsum("fcc->fc", self.cross_spectrum).real

    @property
    def levels(self) -> np.ndarray:
        """Standard deviation of each channel, shape (num_channels,)."""
        return np.sqrt(self.covariance.diagonal())

    @property
    def covariance(self) -> np.ndarray:
        """Covariance between channels, shape (num_channels, num_channels)."""
        return self.cross_spectrum.real.sum(axis=0) * (self.frequencies[1] - self.frequencies[0])


def measure_noise(
    traces: np.ndarray,
    sampling_frequency: float,
    *,
    window_frames: int | None = None,
    detect_threshold: float = 4.5,
) -> NoiseModel:
    """
    Spectrum and covariance of the noise, from windows that hold no spike on any channel.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
    sampling_frequency : float
        In Hz.
    window_frames : int | None, default: None
        Frames of a window. None takes the longest of 1024, 512, 256 and 128 that leaves enough windows.
    detect_threshold : float, default: 4.5
        A window with a larger value, in noise levels from its median, is left out; running averages over up to 1 ms
        are looked at, too. If hardly any window is left, the quarter with the smallest peaks is taken.

    Raises
    ------
    ValueError
        If the traces are shorter than 5,120 frames or not finite.
    """
    traces = _checked(traces)
    window_frames = window_frames or choose_window(traces, sampling_frequency, detect_threshold=detect_threshold)
    windows, quiet = _cut_windows(traces, sampling_frequency, window_frames, detect_threshold)
    taper = scipy.signal.windows.hann(window_frames, sym=False)
    chosen = windows[quiet]
    spectra = np.fft.rfft((chosen - chosen.mean(axis=1, keepdims=True)) * taper[:, None], axis=1)
    scale = sampling_frequency * (taper**2).sum() * len(spectra)
    cross = 2 * np.einsum("wfc,wfd->fcd", spectra, spectra.conj(), optimize=True) / scale
    cross[0] = cross[1]  # the mean of each window was taken off
    return NoiseModel(np.fft.rfftfreq(window_frames, 1 / sampling_frequency), cross)


def choose_window(traces: np.ndarray, sampling_frequency: float, *, detect_threshold: float = 4.5) -> int:
    """Frames of the longest window of which a fifth holds no spike; the shortest one if there is none."""
    traces = _checked(traces)
    for window_frames in WINDOW_FRAMES[:-1]:
        if _cut_windows(traces, sampling_frequency, window_frames, detect_threshold, fallback=False)[1].mean() > 0.2:
            return window_frames
    return WINDOW_FRAMES[-1]


def match(
    recording_clean: BaseRecording,
    recording_target: BaseRecording,
    *,
    seed: int = 0,
    max_duration_s: float = 60.0,
) -> BaseRecording:
    """
    The clean recording with noise added, until its noise is that of the target: spectrum, level and covariance.

    Parameters
    ----------
    recording_clean : BaseRecording
        Recording to which noise is added; its spikes stay in place.
    recording_target : BaseRecording
        Recording with the same sampling rate, unit and number of channels. Its labels are not needed, and none of its
        samples enter the result.
    seed : int, default: 0
        Random seed of the noise; another seed gives another copy.
    max_duration_s : float, default: 60.0
        Duration in s of the random chunks of each recording from which the noise is measured.

    Returns
    -------
    BaseRecording
        Lazy, float32. Nothing is added at frequencies at which the clean recording is the noisier one.

    Raises
    ------
    ValueError
        If sampling rates or numbers of channels differ, or a recording is too short to measure its noise.
    """
    _check_alike(recording_clean, recording_target)
    sampling_frequency = recording_clean.get_sampling_frequency()
    num_chunks = max(1, round(max_duration_s))
    samples = [sample_traces(each, num_chunks=num_chunks, chunk_s=1.0) for each in (recording_clean, recording_target)]
    window_frames = min(choose_window(traces, sampling_frequency) for traces in samples)
    models = [measure_noise(traces, sampling_frequency, window_frames=window_frames) for traces in samples]
    taps, mixing = missing_noise(models[0], models[1], sampling_frequency)
    return NoiseMatchedRecording(recording_clean, taps.tolist(), mixing.tolist(), seed)


def match_traces(
    traces_clean: np.ndarray, traces_target: np.ndarray, sampling_frequency: float, *, seed: int = 0
) -> np.ndarray:
    """`match` for arrays of shape (num_frames, num_channels); returns float32 of the shape of `traces_clean`."""
    clean, target = (NumpyRecording([traces], sampling_frequency) for traces in (traces_clean, traces_target))
    return match(clean, target, seed=seed, max_duration_s=len(traces_clean) / sampling_frequency).get_traces()


def missing_noise(clean: NoiseModel, target: NoiseModel, sampling_frequency: float) -> tuple[np.ndarray, np.ndarray]:
    """
    What has to be added to noise `clean` to make it noise `target`.

    Returns
    -------
    taps : np.ndarray, shape (num_taps, num_channels), float
        Filter over time of each channel.
    mixing : np.ndarray, shape (num_channels, num_channels), float
        Applied to white noise before the filters; each row has norm 1 times the missing standard deviation.
    """
    frequencies = target.frequencies
    power = np.maximum(target.power - clean.power, 0)
    step = frequencies[1] - frequencies[0]
    num_taps = max(255, 2 * len(frequencies) - 3)
    taps = np.stack(
        [noise_filter(frequencies, channel + 1e-30, sampling_frequency, num_taps) for channel in power.T], axis=1
    )
    values, vectors = np.linalg.eigh(target.covariance - clean.covariance)
    mixing = vectors * np.sqrt(np.maximum(values, 0))
    missing_sd = np.sqrt(power.sum(axis=0) * step)
    mixing *= (missing_sd / np.maximum(np.linalg.norm(mixing, axis=1), 1e-30))[:, None]
    return taps, mixing


class NoiseMatchedRecording(BasePreprocessor):
    """
    Lazily adds synthetic noise to a recording; float32. See `match`.

    Parameters
    ----------
    recording : BaseRecording
        Traces in any unit.
    taps : array-like, shape (num_taps, num_channels), float
        Filter over time of each channel.
    mixing : array-like, shape (num_channels, num_channels), float
        Matrix that is applied to white noise before the filters; in the unit of the traces.
    seed : int, default: 0
        Random seed of the noise.
    """

    name = "noise_matched"

    def __init__(self, recording: BaseRecording, taps: np.ndarray | list, mixing: np.ndarray | list, seed: int = 0):
        BasePreprocessor.__init__(self, recording, dtype="float32")
        for index, segment in enumerate(recording.segments):
            segment_seed = int(np.random.default_rng([seed, index]).integers(2**31))
            self.add_recording_segment(
                _NoiseMatchedSegment(segment, np.asarray(taps), np.asarray(mixing), segment_seed)
            )
        self._kwargs = dict(recording=recording, taps=taps, mixing=mixing, seed=seed)


class _NoiseMatchedSegment(BasePreprocessorSegment):
    def __init__(self, parent, taps, mixing, seed):
        BasePreprocessorSegment.__init__(self, parent)
        self.taps, self.mixing, self.seed = taps, mixing, seed

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Traces with the noise that is missing, (num_frames, num_channels)."""
        traces = self.parent_recording_segment.get_traces(start_frame, end_frame, slice(None)).astype("float32")
        taps = self.taps.astype("float32")
        for first in range(start_frame // TILE_FRAMES * TILE_FRAMES, end_frame, TILE_FRAMES):
            last = first + TILE_FRAMES + len(taps) - 1
            white = synthesize_noise(first, last, taps=np.ones(1), mixing=self.mixing, seed=self.seed)
            noise = scipy.signal.oaconvolve(white, taps, mode="valid", axes=0)
            start, end = max(first, start_frame), min(first + TILE_FRAMES, end_frame)
            traces[start - start_frame : end - start_frame] += noise[start - first : end - first]
        return traces if channel_indices is None else traces[:, channel_indices]


def _check_alike(recording_clean, recording_target):
    rates = [recording.get_sampling_frequency() for recording in (recording_clean, recording_target)]
    if not np.isclose(rates[0], rates[1]):
        raise ValueError(
            f"The clean recording has {rates[0]} Hz and the target {rates[1]} Hz, expected the same sampling rate. "
            "Resample one with spikeinterface.preprocessing.resample."
        )
    numbers = [recording.get_num_channels() for recording in (recording_clean, recording_target)]
    if numbers[0] != numbers[1]:
        raise ValueError(
            f"The clean recording has {numbers[0]} channels and the target {numbers[1]}, expected the same number. "
            "Select channels with recording.select_channels."
        )


def _checked(traces):
    traces = np.asarray(traces, dtype=float)
    shortest = 5 * WINDOW_FRAMES[0]
    if len(traces) < shortest:
        raise ValueError(
            f"Noise cannot be measured on {len(traces)} frames, expected at least {shortest}. Give a longer recording."
        )
    if not np.isfinite(traces).all():
        raise ValueError("The traces hold NaN or infinite values, the noise cannot be measured. Cut these out first.")
    return traces


def _cut_windows(traces, sampling_frequency, window_frames, detect_threshold, fallback=True):
    """
    Windows that overlap by half, less their medians, and which of them hold no spike.

    The level is the median over windows of each window's robust level: slow drift does not count.
    """
    starts = np.arange(0, len(traces) - window_frames + 1, window_frames // 2)
    places = starts[:, None] + np.arange(window_frames)
    largest = np.zeros(len(starts))
    for width in {max(1, round(ms * sampling_frequency / 1000)) for ms in AVERAGED_MS}:
        averaged = scipy.ndimage.uniform_filter1d(traces, width, axis=0)[places]
        averaged -= np.median(averaged, axis=1, keepdims=True)
        levels = MAD_TO_SD * np.median(np.median(np.abs(averaged), axis=1), axis=0)
        largest = np.maximum(largest, np.abs(averaged / np.maximum(levels, 1e-12)).max(axis=(1, 2)))
    quiet = largest < detect_threshold
    if fallback and quiet.sum() < max(10, 0.1 * len(starts)):
        quiet = largest <= np.quantile(largest, 0.25)
    windows = traces[places]
    return windows - np.median(windows, axis=1, keepdims=True), quiet
