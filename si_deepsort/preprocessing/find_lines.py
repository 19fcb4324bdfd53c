"""Find narrow lines in the spectrum of a recording, such as the mains and its harmonics."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom
from spikeinterface.core import BaseRecording

from ..noise import noise_levels, sample_traces
from ..threads import each
from .line_noise import LineFit

# Lines are searched in this many chunks of this duration in s, which tells lines apart that are 2 Hz from each other.
NUM_CHUNKS, CHUNK_S = 10, 1.0
# Channels in which lines are searched, spread over the probe.
MOST_CHANNELS = 8
# Probability that a line is found in stationary noise without lines.
FALSE_ALARM = 1e-3
# Width of the stretches in Hz in which the power between the lines is measured.
FLOOR_HZ = 20.0
# Lines below this frequency in Hz are slow drift.
MIN_HZ = 10.0
# Lines are subtracted only if their power together exceeds this share of the variance of the noise: with less, the
# noise level changes by less than half a percent. A line that has less than a tenth of it stays.
MIN_SHARE, MIN_LINE_SHARE = 0.01, 0.001
# Half of the width in Hz that a fitted line takes away: two functions and their products with polynomials of degree 2
# in half a second. Lines that lie closer cannot be fitted one by one.
LINE_WIDTH_HZ = 6.0
# Lines with a smaller share of the largest power than this, relative to the noise around, are found in a later pass:
# frames that are left out make small lines beside large ones.
MOST_BESIDE = 20.0
# Values are cut off at this many noise levels: spikes raise the power of all frequencies less.
CLIP_LEVEL = 6.0
# Most lines. More of them are the harmonics of something that happens regularly, such as a stimulus.
MOST_LINES = 16
# Most passes: each one finds lines that stronger ones had hidden.
MAX_PASSES = 6


@dataclass(frozen=True)
class LineNoise:
    """
    Lines of a recording.

    Attributes
    ----------
    frequencies_hz : np.ndarray, shape (num_lines,), float
        Ascending.
    ratios : np.ndarray, shape (num_lines,), float
        Amplitude of each line, relative to the noise level without lines; the largest over the channels.
    levels : np.ndarray, shape (num_channels,), float
        Noise level of each channel in the unit of the traces, lines included.
    """

    frequencies_hz: np.ndarray
    ratios: np.ndarray
    levels: np.ndarray


def find_lines(recording: BaseRecording, *, seed: int = 0) -> LineNoise:
    """
    Find lines that are strong enough to matter.

    A line is a frequency at which, in most chunks, the power is larger than noise with the power of the frequencies
    around can make it.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed traces in any unit.
    seed : int, default: 0
        Seed of the choice of chunks.

    Returns
    -------
    LineNoise
        Without lines if they do not matter, or if the recording is shorter than three chunks.
    """
    sampling_frequency = recording.get_sampling_frequency()
    step = -(-recording.get_num_channels() // MOST_CHANNELS)
    some = recording.select_channels(recording.channel_ids[::step])
    traces = sample_traces(some, seed=seed, num_chunks=NUM_CHUNKS, chunk_s=CHUNK_S)
    fit_frames = 2 * round(CHUNK_S * sampling_frequency / 2)
    num_chunks = len(traces) // fit_frames
    none = LineNoise(np.zeros(0), np.zeros(0), np.zeros(recording.get_num_channels()))
    if num_chunks < 3 or not np.isfinite(traces).all():
        return none
    chunks = traces[: num_chunks * fit_frames].reshape(num_chunks, fit_frames, -1)
    levels = noise_levels(traces)
    frequencies, powers, cleaned = _lines_of(chunks, levels, sampling_frequency)
    variances = noise_levels(cleaned.reshape(len(traces[: num_chunks * fit_frames]), -1)) ** 2
    shares = (powers / np.where(variances > 0, variances, np.inf)).max(axis=1, initial=0)
    matters = shares >= MIN_LINE_SHARE
    if shares[matters].sum() < MIN_SHARE:
        return none
    order = np.flatnonzero(matters)[np.argsort(frequencies[matters])]
    all_levels = noise_levels(sample_traces(recording, seed=seed))
    return LineNoise(frequencies[order], np.sqrt(2 * shares[order]), all_levels)


def _lines_of(chunks, levels, sampling_frequency):
    """Frequencies of lines, their power on each channel (num_lines, num_channels), and chunks without them."""
    frequencies, cleaned = np.zeros(0), chunks
    powers = np.zeros((0, chunks.shape[2]))
    # Spikes are cut off, and what all channels share for a moment is left out, so that they hide no line.
    counts = np.stack([LineFit([], levels, sampling_frequency, tile_s=CHUNK_S).counted(chunk)[0] for chunk in chunks])
    for _ in range(MAX_PASSES):
        new = _standing_out(cleaned, counts, sampling_frequency, known=frequencies)
        if len(new) == 0:
            break
        frequencies = np.concatenate([frequencies, new])[:MOST_LINES]
        fit = LineFit(frequencies, levels, sampling_frequency, tile_s=CHUNK_S)
        cleaned = np.stack([chunk - fit.lines(chunk) for chunk in chunks])
        powers = np.median([fit.powers(fit.coefficients(chunk)[0]) for chunk in chunks], axis=0)
        if len(frequencies) == MOST_LINES:
            break
    return frequencies, powers, cleaned


def _standing_out(chunks, counts, sampling_frequency, known) -> list[float]:
    """Frequencies in Hz that stand out of those around, the strongest first, apart from each other and known ones."""
    num_chunks, num_frames, num_channels = chunks.shape
    window = np.hanning(num_frames).astype("float32")
    bins_hz = np.fft.rfftfreq(num_frames, 1 / sampling_frequency)
    ratios = np.empty((num_channels, len(bins_hz)))
    clipped = np.empty_like(chunks)

    def compare(channel):
        most = CLIP_LEVEL * noise_levels(chunks[:, :, channel].reshape(-1, 1))[0]
        clipped[:, :, channel] = np.clip(chunks[:, :, channel], -most, most) * counts * window
        power = np.abs(np.fft.rfft(clipped[:, :, channel], axis=1)) ** 2
        floor = _floor(power, round(FLOOR_HZ / bins_hz[1]))
        ratios[channel] = np.median(power / np.where(floor > 0, floor, np.inf), axis=0)

    for _ in each(compare, range(num_channels)):
        pass
    best = ratios.max(axis=0) * np.log(2)
    best[bins_hz < MIN_HZ] = 0
    lowest = max(_threshold(num_chunks, num_channels * len(bins_hz)), best.max() / MOST_BESIDE)
    found: list[float] = []
    for place in np.flatnonzero(best > lowest)[np.argsort(-best[best > lowest])]:
        hz = bins_hz[place]
        if all(abs(hz - other) >= LINE_WIDTH_HZ for other in (*known, *found)):
            found.append(_refined(clipped[:, :, ratios[:, place].argmax()], hz, sampling_frequency))
    return found


def _threshold(num_chunks, num_values) -> float:
    """Power, relative to that of the noise, that the median over chunks exceeds by chance in one of many values."""
    # Powers of noise are exponentially distributed. The median over chunks exceeds a power if half of them do.
    powers = np.linspace(0.7, 40.0, 4000)
    is_rare = binom.sf((num_chunks - 1) // 2, num_chunks, np.exp(-powers)) < FALSE_ALARM / num_values
    return powers[is_rare.argmax()] if is_rare.any() else np.inf


def _floor(power, width):
    """Median power of the frequencies around each, (num_chunks, num_frequencies); between two medians interpolated."""
    num_frequencies = power.shape[1]
    width = min(width, num_frequencies)
    num_stretches = num_frequencies // width
    centers = (np.arange(num_stretches) + 0.5) * width
    medians = np.median(power[:, : num_stretches * width].reshape(len(power), num_stretches, width), axis=2)
    logs = np.log(np.maximum(medians, np.finfo("float32").tiny))
    return np.exp([np.interp(np.arange(num_frequencies), centers, own) for own in logs])


def _refined(windowed, hz, sampling_frequency) -> float:
    """Frequency near `hz` with the largest power, between the frequencies of the Fourier transform."""
    num_frames = windowed.shape[1]
    near = hz + np.linspace(-1, 1, 41) * sampling_frequency / num_frames
    waves = np.exp(-2j * np.pi * np.outer(near, np.arange(num_frames) / sampling_frequency))
    return float(near[np.median(np.abs(waves @ windowed.T) ** 2, axis=1).argmax()])
