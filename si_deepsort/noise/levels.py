"""
Noise of a recording: level, spectrum, correlation between channels, and synthetic noise with the same properties.

Levels are robust (median absolute deviation), so that spikes hardly change them. Units are those of the traces.
"""

import numpy as np
import scipy.signal
from spikeinterface.core import BaseRecording

from ..threads import each
from .blanks import blank_frames, shortest_blank

# Power spectrum of the noise of a Neuropixels 1.0 recording after the common median was subtracted, relative to its
# mean between 300 Hz and 6 kHz; frequencies in Hz. The usual simulated noise (a resonance at 300 Hz plus white noise)
# is far more predictable.
NEUROPIXELS_NOISE_FREQUENCIES = (0, 100, 200, 300, 450, 600, 800, 1000, 1300, 1700, 2200, 2800, 3500, 4500, 6000, 15000)
NEUROPIXELS_NOISE_POWER = (0.8, 1.4, 2.06, 3.0, 2.86, 2.47, 2.2, 1.85, 1.7, 1.6, 1.26, 0.91, 0.61, 0.36, 0.2, 0.06)
# Correlation of the same noise (300-6000 Hz) between two contacts at a distance d: C exp(-d / L), L in um.
NEUROPIXELS_NOISE_CORRELATION = 0.65
NEUROPIXELS_NOISE_LENGTH_UM = 115.0

# Standard deviation of a normal distribution, relative to its median absolute deviation.
MAD_TO_SD = 1.4826
# Most samples (frames times channels) that are read to measure noise.
MOST_SAMPLED = 30_000_000


def noise_levels(traces: np.ndarray, axis: int = 0) -> np.ndarray:
    """
    Robust standard deviation of each channel: 1.4826 times the median absolute deviation.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels)

    Returns
    -------
    np.ndarray, shape (num_channels,), float
        In the unit of the traces; 0 for a constant channel.
    """
    # The values of a channel are brought together: to gather them again for each median would take as long as both.
    traces = np.ascontiguousarray(np.moveaxis(np.asarray(traces), axis, -1))
    center = medians(traces)[..., None]
    return MAD_TO_SD * medians(np.abs(traces - center))


def medians(values: np.ndarray) -> np.ndarray:
    """
    Median along the last axis: the result of `np.median` in a third of the time.

    NumPy partitions around both middle values and looks for NaN. Here one partition and two maxima suffice.

    Parameters
    ----------
    values : np.ndarray, shape (..., num_values)

    Returns
    -------
    np.ndarray, shape (...)
        NaN if there is one among the values; of the dtype of the values if they are floating-point numbers.
    """
    middle = values.shape[-1] // 2
    if middle == 0 or not np.issubdtype(values.dtype, np.floating):
        return np.median(values, axis=-1)
    parted = np.partition(values, middle, axis=-1)
    lower = parted[..., :middle].max(axis=-1) if values.shape[-1] % 2 == 0 else parted[..., middle]
    has_nan = np.isnan(parted[..., middle:].max(axis=-1))
    return np.where(has_nan, np.nan, (0.5 * lower + 0.5 * parted[..., middle])).astype(values.dtype)


def recording_noise_levels(
    recording: BaseRecording, *, seed: int = 0, num_chunks: int = 20, chunk_s: float = 0.5
) -> np.ndarray:
    """
    Robust standard deviation of each channel of a recording, from random chunks over all segments, without blanks.

    SpikeInterface's `get_noise_levels` is not seeded by default; this one always is.

    Returns
    -------
    np.ndarray, shape (num_channels,), float
        In the unit of the stored traces (counts for a recording in counts).
    """
    return noise_levels(sample_signal(recording, seed=seed, num_chunks=num_chunks, chunk_s=chunk_s))


def sample_signal(recording: BaseRecording, *, seed: int = 0, num_chunks: int = 20, chunk_s: float = 0.5) -> np.ndarray:
    """
    As `sample_traces`, without blanks, in which there is no noise to measure; with them where there is nothing else.

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels), float32
    """
    traces = sample_traces(recording, seed=seed, num_chunks=num_chunks, chunk_s=chunk_s)
    is_blank = blank_frames(traces, shortest_blank(recording))
    return traces[~is_blank] if is_blank.any() and not is_blank.all() else traces


def sample_traces(recording: BaseRecording, *, seed: int = 0, num_chunks: int = 20, chunk_s: float = 0.5) -> np.ndarray:
    """
    Random chunks of a recording, one after the other.

    Parameters
    ----------
    recording : BaseRecording
    seed : int, default: 0
        Random seed.
    num_chunks : int, default: 20
    chunk_s : float, default: 0.5
        Duration of a chunk in s. Chunks are shorter where there are so many channels that the result would hold more
        than 30 million samples (120 MB).

    Returns
    -------
    np.ndarray, shape (num_chunks * chunk_frames, num_channels), float32
        Fewer frames if the recording is shorter. Segments are drawn in proportion to their duration.
    """
    stretches = sampled_stretches(recording, seed=seed, num_chunks=num_chunks, chunk_s=chunk_s)
    chunks = list(each(lambda stretch: recording.get_traces(*stretch), stretches))
    return np.concatenate(chunks, dtype="float32", casting="unsafe")


def sampled_stretches(
    recording: BaseRecording, *, seed: int, num_chunks: int, chunk_s: float
) -> list[tuple[int, int, int]]:
    """Segment, first frame and end of each of the chunks that `sample_traces` reads."""
    rng = np.random.default_rng(seed)
    lengths = np.array([recording.get_num_frames(i) for i in range(recording.get_num_segments())])
    most_frames = MOST_SAMPLED // (num_chunks * max(1, recording.get_num_channels()))
    chunk_frames = max(1, min(round(chunk_s * recording.get_sampling_frequency()), most_frames))
    if lengths.sum() <= num_chunks * chunk_frames:
        return [(index, 0, int(length)) for index, length in enumerate(lengths)]
    stretches = []
    for segment_index in np.sort(rng.choice(len(lengths), size=num_chunks, p=lengths / lengths.sum())):
        start = rng.integers(0, max(1, lengths[segment_index] - chunk_frames))
        stretches.append((int(segment_index), int(start), int(min(start + chunk_frames, lengths[segment_index]))))
    return stretches


def noise_spectrum(traces: np.ndarray, sampling_frequency: float, *, num_frames: int = 1024):
    """
    Power spectral density of each channel: the median over windows, which spikes hardly change.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels)
    sampling_frequency : float
        In Hz.
    num_frames : int, default: 1024
        Frames of a window.

    Returns
    -------
    frequencies : np.ndarray, shape (num_frequencies,), float
        In Hz.
    power : np.ndarray, shape (num_frequencies, num_channels), float
        In unit^2 / Hz.
    """
    num_frames = min(num_frames, len(traces))
    frequencies, power = scipy.signal.welch(
        traces, sampling_frequency, nperseg=num_frames, axis=0, average="median" if len(traces) > num_frames else "mean"
    )
    return frequencies, power


def noise_filter(frequencies: np.ndarray, power: np.ndarray, sampling_frequency: float, num_taps: int = 255):
    """
    Design a filter that turns white noise of variance 1 into noise of variance 1 with the given spectrum.

    Parameters
    ----------
    frequencies, power : np.ndarray, shape (num_frequencies,), float
        Spectrum; frequencies in Hz, power in any unit. The power is constant beyond both ends.
    sampling_frequency : float
        In Hz.
    num_taps : int, default: 255
        Length of the (linear phase) filter.

    Returns
    -------
    np.ndarray, shape (num_taps,), float
    """
    grid = np.fft.rfftfreq(4 * num_taps, 1 / sampling_frequency)
    amplitude = np.sqrt(np.maximum(np.interp(grid, frequencies, power), 0))
    impulse = np.fft.fftshift(np.fft.irfft(amplitude, 4 * num_taps))
    center = 2 * num_taps
    taps = impulse[center - num_taps // 2 : center - num_taps // 2 + num_taps] * np.hanning(num_taps + 2)[1:-1]
    return taps / np.linalg.norm(taps)


def spatial_correlation(
    channel_locations: np.ndarray,
    *,
    correlation: float = NEUROPIXELS_NOISE_CORRELATION,
    length_um: float = NEUROPIXELS_NOISE_LENGTH_UM,
    shanks: np.ndarray | None = None,
) -> np.ndarray:
    """
    Correlation of the noise between channels: `correlation * exp(-distance / length_um)`, 1 on the diagonal.

    Parameters
    ----------
    channel_locations : np.ndarray, shape (num_channels, 2), float
        Positions in um.
    shanks : np.ndarray | None, shape (num_channels,), default: None
        Channels of different shanks are uncorrelated.

    Returns
    -------
    np.ndarray, shape (num_channels, num_channels), float
    """
    distances = np.linalg.norm(channel_locations[:, None] - channel_locations[None], axis=-1)
    matrix = correlation * np.exp(-distances / length_um)
    if shanks is not None:
        matrix[np.asarray(shanks)[:, None] != np.asarray(shanks)[None]] = 0.0
    np.fill_diagonal(matrix, 1.0)
    return matrix


def synthesize_noise(
    start_frame: int,
    end_frame: int,
    *,
    taps: np.ndarray,
    mixing: np.ndarray,
    seed: int,
    block_frames: int = 30_000,
) -> np.ndarray:
    """
    Frames [start_frame, end_frame) of an endless noise with a given spectrum and covariance between channels.

    White noise is drawn in blocks that each have their own seed, so that any stretch can be computed alone; it equals
    that stretch of the whole up to rounding.

    Parameters
    ----------
    taps : np.ndarray, shape (num_taps,), float
        Filter over time, from `noise_filter`.
    mixing : np.ndarray, shape (num_channels, num_channels), float
        Matrix M whose product M @ M.T is the covariance, e.g. a Cholesky factor; in the unit of the traces.
    seed : int
        Random seed.
    block_frames : int, default: 30_000
        Frames of a block. Another value gives another noise.

    Returns
    -------
    np.ndarray, shape (end_frame - start_frame, num_channels), float32
    """
    num_channels = len(mixing)
    first = start_frame // block_frames
    last = (end_frame + len(taps) - 2) // block_frames
    white = np.concatenate(
        [
            np.random.default_rng([seed, block]).standard_normal((block_frames, num_channels), dtype="float32")
            for block in range(first, last + 1)
        ]
    )
    offset = start_frame - first * block_frames
    white = white[offset : offset + end_frame - start_frame + len(taps) - 1]
    colored = scipy.signal.oaconvolve(white, taps.astype("float32")[:, None], mode="valid", axes=0)
    return colored @ mixing.T.astype("float32")
