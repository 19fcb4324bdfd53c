"""
Step 2 of the sorter: each peak becomes a short vector that tells units apart.

The waveform around a peak is described on the neighbouring channels, each by its coefficients in the directions that
spikes share. In white traces the noise of every coefficient has the same variance, so distances between embeddings
are distances in noise units.
"""

import numpy as np
import scipy.signal

from ..geometry import channel_distances
from .energy import make_energy_filters


def select_peaks(peaks: np.ndarray, *, most_per_channel: int, seed: int) -> np.ndarray:
    """
    A random subset with at most so many peaks of each channel, in order of time.

    Parameters
    ----------
    peaks : np.ndarray
        SpikeInterface's peak dtype.
    """
    rng = np.random.default_rng(seed)
    kept = []
    for channel in np.unique(peaks["channel_index"]):
        own = np.flatnonzero(peaks["channel_index"] == channel)
        kept.append(own if len(own) <= most_per_channel else rng.choice(own, most_per_channel, replace=False))
    return peaks[np.sort(np.concatenate(kept))] if kept else peaks[:0]


def unexplained_peaks(peaks, frames, channels, segments, nearby: np.ndarray, *, reach: int) -> np.ndarray:
    """
    Peaks that no spike explains.

    Parameters
    ----------
    peaks : np.ndarray
        SpikeInterface's peak dtype.
    frames, channels, segments : np.ndarray, shape (num_spikes,), int
        Of the largest peak of each spike.
    nearby : np.ndarray, shape (num_channels, num_channels), bool
        Channels on which a spike explains a peak.
    reach : int
        Frames between a peak and the spike that explains it, at most.

    Returns
    -------
    np.ndarray, shape (num_peaks,), bool
    """
    # Segments are laid end to end, far apart.
    times = frames + segments * 2**40
    order = np.argsort(times, kind="stable")
    times, channels = times[order], channels[order]
    peak_times = peaks["sample_index"] + peaks["segment_index"] * 2**40
    first, last = np.searchsorted(times, [peak_times - reach, peak_times + reach + 1])
    return np.array(
        [
            not nearby[channel, channels[start:stop]].any()
            for channel, start, stop in zip(peaks["channel_index"], first, last, strict=True)
        ],
        dtype=bool,
    )


class PeakWaveforms:
    """
    Waveforms of many peaks, read in one pass over the recording.

    Each peak keeps the channels around its own, so memory follows the number of peaks, not the number of channels.

    Attributes
    ----------
    values : np.ndarray, shape (num_peaks, num_samples, max_neighbors), float32
    neighbors : np.ndarray, shape (num_channels, max_neighbors), int
        Channels around each channel, -1 where there are fewer.
    """

    def __init__(self, recording, peaks, *, radius_um: float, nbefore: int, nafter: int, chunk_s: float = 2.0):
        nearby = channel_distances(recording.get_channel_locations()[:, :2]) <= radius_um
        self.neighbors = np.full((len(nearby), nearby.sum(axis=1).max()), -1)
        for channel, row in enumerate(nearby):
            self.neighbors[channel, : row.sum()] = np.flatnonzero(row)
        self.values = np.zeros((len(peaks), nbefore + nafter, self.neighbors.shape[1]), dtype="float32")
        self.peaks, self.nbefore = peaks, nbefore
        chunk = round(chunk_s * recording.get_sampling_frequency())
        for segment_index in range(recording.get_num_segments()):
            own = np.flatnonzero(peaks["segment_index"] == segment_index)
            frames = peaks["sample_index"][own]
            for start in range(0, recording.get_num_frames(segment_index), chunk):
                first, last = np.searchsorted(frames, [start, start + chunk])
                if last > first:
                    self._read(recording, segment_index, own[first:last], start, chunk)

    def _read(self, recording, segment_index, positions, start, chunk):
        num_samples = self.values.shape[1]
        begin = max(0, start - num_samples)
        end = min(recording.get_num_frames(segment_index), start + chunk + num_samples)
        traces = recording.get_traces(segment_index, begin, end).astype("float32", copy=False)
        traces = np.pad(traces, ((num_samples, num_samples), (0, 1)))
        frames = self.peaks["sample_index"][positions] - begin + num_samples - self.nbefore
        channels = self.neighbors[self.peaks["channel_index"][positions]]
        self.values[positions] = traces[(frames[:, None] + np.arange(num_samples))[:, :, None], channels[:, None, :]]

    def on_channels(self, positions: np.ndarray, channels: np.ndarray) -> np.ndarray:
        """Waveforms of some peaks on given channels; (num_positions, num_samples, num_channels), 0 where unknown."""
        result = np.zeros((len(positions), self.values.shape[1], len(channels)), dtype="float32")
        own = self.neighbors[self.peaks["channel_index"][positions]]
        for place, channel in enumerate(channels):
            row, column = np.nonzero(own == channel)
            result[row, :, place] = self.values[positions[row], :, column]
        return result


def describe_waveforms(waveforms: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """
    Coefficients of waveforms in the directions that spikes share.

    Parameters
    ----------
    waveforms : np.ndarray, shape (num_peaks, num_samples, num_channels), float32
    directions : np.ndarray, shape (num_directions, num_samples), float32

    Returns
    -------
    np.ndarray, shape (num_peaks, num_directions * num_channels), float32
    """
    return np.einsum("nsc,ks->nkc", waveforms, directions, optimize=True).reshape(len(waveforms), -1)


ALIGN_SAMPLES = 5
# More than the detector needs: units of the same site differ in the fine shape of their waveforms.
NUM_DIRECTIONS = 8
# Samples of the waveforms that the bundled autoencoder knows: 0.7 ms before the peak, 1 ms after it, at 30 kHz.
AUTOENCODER_SAMPLES = 51


def describe_peaks(traces, white, peaks: np.ndarray, settings):
    """
    Embeddings of peaks, channel by channel, and their times once clusters are known.

    Returns
    -------
    embeddings_of_channel : callable
        (channel_index, positions) -> (num_positions, num_features) floats.
    aligned : callable
        labels -> sample_index of each peak, moved by a few samples to where it fits the average of its cluster.
    """
    filters = make_energy_filters(white, num_directions=NUM_DIRECTIONS)
    num_samples = filters.directions.shape[1]
    waveforms = PeakWaveforms(
        traces,
        peaks,
        radius_um=settings.embedding_radius_um,
        nbefore=filters.nbefore + ALIGN_SAMPLES,
        nafter=num_samples - filters.nbefore + ALIGN_SAMPLES,
    )
    core = slice(ALIGN_SAMPLES, ALIGN_SAMPLES + num_samples)
    describe = waveform_encoder(settings.embedding, filters.directions, traces.get_sampling_frequency())

    def embeddings_of_channel(channel, positions):
        channels = waveforms.neighbors[channel]
        return describe(waveforms.on_channels(positions, channels[channels >= 0])[:, core])

    def aligned(labels):
        frames = peaks["sample_index"].copy()
        for label in np.unique(labels[labels >= 0]):
            own = np.flatnonzero(labels == label)
            channels = waveforms.neighbors[peaks["channel_index"][own[0]]]
            frames[own] += _lags_to_mean(waveforms.on_channels(own, channels[channels >= 0]))
        return frames

    return embeddings_of_channel, aligned


def _lags_to_mean(waveforms):
    num_samples = waveforms.shape[1] - 2 * ALIGN_SAMPLES
    mean = waveforms[:, ALIGN_SAMPLES : ALIGN_SAMPLES + num_samples].mean(axis=0)
    fits = [
        np.einsum("nsc,sc->n", waveforms[:, lag : lag + num_samples], mean, optimize=True)
        for lag in range(2 * ALIGN_SAMPLES + 1)
    ]
    return np.argmax(fits, axis=0) - ALIGN_SAMPLES


def waveform_encoder(embedding: str, directions: np.ndarray, sampling_frequency: float):
    """
    The function that turns waveforms into embeddings.

    Parameters
    ----------
    embedding : "pca" | "autoencoder"
    directions : np.ndarray, shape (num_directions, num_samples), float32
        Principal components of spike waveforms, used by "pca".

    Returns
    -------
    callable
        (num_peaks, num_samples, num_channels) -> (num_peaks, num_features)
    """
    if embedding == "pca":
        return lambda waveforms: describe_waveforms(waveforms, directions)
    from ..inference import predict_in_batches
    from ..zoo import load_model

    net = load_model("waveform-autoencoder")

    def encode(waveforms):
        # Each channel on its own, so one network serves every probe; resampled to the rate that it knows.
        num_peaks, num_samples = waveforms.shape[:2]
        if num_samples != AUTOENCODER_SAMPLES:
            waveforms = scipy.signal.resample(waveforms, AUTOENCODER_SAMPLES, axis=1)
        single = np.swapaxes(waveforms, 1, 2).reshape(-1, 1, AUTOENCODER_SAMPLES).astype("float32")
        return predict_in_batches(_Encoder(net), single).reshape(num_peaks, -1)

    return encode


class _Encoder:
    """The first half of an autoencoder, called like a network."""

    def __init__(self, net):
        self.net = net

    def __call__(self, waveforms):
        return self.net.encode(waveforms)
