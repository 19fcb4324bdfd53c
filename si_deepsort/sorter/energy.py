"""
Detection by the energy in the subspace of spike waveforms.

Small, distant and wide spikes never cross a threshold on one sample of one channel, though their energy over time and
neighbouring channels stands far above the noise. In white noise the best linear detector of a waveform is its matched
filter; spikes of unknown shape are served by the energy in the few directions that all spikes share. The directions
come from generated waveforms sent through the same filters as the traces, the spatial profiles from exponential decay
seen through the same whitening matrix: nothing is fitted to the recording.
"""

import math
from dataclasses import dataclass
from functools import cache

import numba
import numpy as np
import scipy.fft
import scipy.signal
from spikeinterface.core.base import base_peak_dtype
from spikeinterface.core.node_pipeline import PeakDetector

from ..generation import GenerationSettings, random_templates
from ..geometry import channel_distances, channels_within

MOST_BLOCK_FRAMES = 2000
# Detected together: profiles are local, so on long probes most products would be with 0.
LEAST_GROUP_CHANNELS = 12
# Smaller weights of a profile, relative to its largest, are left out; together they hold 0.2 % of its energy.
SMALLEST_WEIGHT = 0.02
DECAYS_UM = (10.0, 30.0, 60.0)
NUM_DIRECTIONS = 4
REACH_UM = 150.0
# A peak next to one this much larger is its shadow: a side lobe of the same spike, or too mixed up to learn from.
SHADOW_RATIO = 0.5
SHADOW_MS = 1.2
SHADOW_UM = 120.0


@dataclass(frozen=True)
class EnergyFilters:
    """
    Filters of the detector.

    Attributes
    ----------
    directions : np.ndarray, shape (num_directions, num_samples), float32
        Orthonormal waveforms.
    profiles : np.ndarray, shape (num_decays, num_channels, num_channels), float32
        profiles[d, c] is the spatial profile, of norm 1, of a spike with decay d at channel c.
    nbefore : int
        Sample of the peak in the directions.
    """

    directions: np.ndarray
    profiles: np.ndarray
    nbefore: int


def make_energy_filters(
    recording, *, num_directions: int = NUM_DIRECTIONS, ms_before: float = 0.7, ms_after: float = 1.0
) -> EnergyFilters:
    """
    Filters for a whitened recording (`whiten_time_space`), or for any other by assuming white noise.

    Parameters
    ----------
    recording : BaseRecording
        Its own whitening filter and matrix are used if it has them.
    """
    kwargs = recording._kwargs
    sampling_frequency = recording.get_sampling_frequency()
    time_filter = np.asarray(kwargs.get("time_filter", [1.0]), dtype=float)
    matrix = np.asarray(kwargs.get("space_matrix", np.eye(recording.get_num_channels())), dtype=float)
    nbefore = round(ms_before * sampling_frequency / 1000)
    nafter = round(ms_after * sampling_frequency / 1000)
    shapes = spike_shapes(sampling_frequency, time_filter, nbefore=nbefore, nafter=nafter)
    _, _, right = np.linalg.svd(shapes, full_matrices=False)
    distances = channel_distances(recording.get_channel_locations()[:, :2])
    profiles = []
    for decay in DECAYS_UM:
        profile = (np.exp(-distances / decay) * (distances <= REACH_UM)) @ matrix
        profile[np.abs(profile) < SMALLEST_WEIGHT * np.abs(profile).max(axis=1, keepdims=True)] = 0
        profiles.append(profile / np.maximum(np.linalg.norm(profile, axis=1, keepdims=True), 1e-9))
    return EnergyFilters(right[:num_directions].astype("float32"), np.asarray(profiles, dtype="float32"), nbefore)


def spike_shapes(
    sampling_frequency: float, time_filter: np.ndarray, *, nbefore: int, nafter: int, num_shapes: int = 300
) -> np.ndarray:
    """
    Generated single-channel waveforms as the whitened traces would show them, of norm 1.

    Returns
    -------
    np.ndarray, shape (num_shapes, nbefore + nafter), float
    """
    shapes, peak = _unfiltered_shapes(sampling_frequency, num_shapes)
    pad = len(time_filter) + 4 * (nbefore + nafter)
    shapes = np.pad(shapes, ((0, 0), (pad, pad)))
    band = (150.0, min(7000.0, 0.45 * sampling_frequency))
    sos = scipy.signal.bessel(2, band, "bandpass", fs=sampling_frequency, output="sos")
    shapes = scipy.signal.sosfiltfilt(sos, shapes, axis=1)
    shapes = scipy.signal.oaconvolve(shapes, time_filter[None], axes=1)
    shapes = shapes[:, pad + peak - nbefore : pad + peak + nafter]
    return shapes / np.linalg.norm(shapes, axis=1, keepdims=True)


@cache
def _unfiltered_shapes(sampling_frequency, num_shapes):
    """Generated waveforms, (num_shapes, num_samples), and the sample of their peak; costly, and needed often."""
    settings = GenerationSettings(num_units=num_shapes, sampling_frequency=sampling_frequency, positive_fraction=0.0)
    templates, peak = random_templates(np.zeros((1, 2)), settings, np.random.default_rng(0))
    return templates[:, :, 0], peak


def spike_energy(traces: np.ndarray, filters: EnergyFilters) -> np.ndarray:
    """
    Square root of the energy in the spike subspace, the largest over the spatial profiles.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
        White.

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels), float32
        At the frame of the peak; 0 where the waveform would leave the traces.
    """
    num_frames, num_channels = traces.shape
    num_directions, num_samples = filters.directions.shape
    energy = np.zeros((num_frames, num_channels), dtype="float32")
    num_starts = max(0, num_frames - num_samples + 1)
    num_blocks = max(1, math.ceil(num_starts / (MOST_BLOCK_FRAMES - num_samples + 1)))
    step = max(1, math.ceil(num_starts / num_blocks))
    size = scipy.fft.next_fast_len(step + num_samples - 1, real=True)
    spectra = np.conj(scipy.fft.rfft(filters.directions, size, axis=1))
    order, groups = _local_groups(filters.profiles)
    for start in range(0, num_starts, step):
        stretch = traces[start : start + step + num_samples - 1]
        block = np.zeros((num_channels, size), dtype="float32")
        block[:, : len(stretch)] = stretch.T[order]
        products = scipy.fft.rfft(block, axis=1)[:, None] * spectra
        projected = scipy.fft.irfft(products, size, axis=2, overwrite_x=True)
        stop = min(start + step, num_starts)
        for rows, parts in groups:
            highest = np.zeros((len(rows), size), dtype="float32")
            for columns, weights in parts:
                seen = weights @ projected[columns].reshape(-1, num_directions * size)
                _raise_to_energy(highest, seen.reshape(len(rows), num_directions, size))
            energy[start + filters.nbefore : stop + filters.nbefore, rows] = np.sqrt(highest[:, : stop - start]).T
    return energy


def _local_groups(profiles):
    """
    Channels in an order that keeps neighbours together, and groups of them.

    Returns
    -------
    order : np.ndarray, shape (num_channels,), int
    groups : list
        For each group its channels and, for each decay, the stretch of ordered channels that its profiles reach and
        their weights there.
    """
    reached = np.any(profiles != 0, axis=0)
    first, last = reached.argmax(axis=1), reached.shape[1] - reached[:, ::-1].argmax(axis=1)
    order = np.argsort(first + last, kind="stable")
    groups = []
    for rows in np.array_split(order, max(1, len(order) // LEAST_GROUP_CHANNELS)):
        parts = []
        for profile in profiles[:, rows][:, :, order]:
            used = np.flatnonzero(np.any(profile != 0, axis=0))
            columns = slice(used.min(initial=len(order)), used.max(initial=-1) + 1)
            parts.append((columns, np.ascontiguousarray(profile[:, columns])))
        groups.append((rows, parts))
    return order, groups


@numba.njit(fastmath=True, cache=True, nogil=True)
def _raise_to_energy(highest, seen):
    """Raise `highest` (channels, frames), in place, to the energy of `seen` (channels, directions, frames)."""
    for row in range(len(seen)):
        total = seen[row, 0] ** 2
        for direction in range(1, seen.shape[1]):
            total += seen[row, direction] ** 2
        highest[row] = np.maximum(highest[row], total)


@numba.njit(cache=True, nogil=True)
def _is_local_maximum(energy, threshold, neighbors, reach):
    """Where no frame in reach on any neighbour is higher; (num_frames, num_channels), bool."""
    num_frames, num_channels = energy.shape
    result = np.zeros(energy.shape, dtype=np.bool_)
    for frame in range(num_frames):
        first, last = max(0, frame - reach), min(num_frames, frame + reach + 1)
        for channel in range(num_channels):
            height = energy[frame, channel]
            if height <= threshold:
                continue
            result[frame, channel] = True
            for neighbor in neighbors[channel]:
                if neighbor < 0:
                    break
                for other in range(first, last):
                    if energy[other, neighbor] > height:
                        result[frame, channel] = False
                        break
                if not result[frame, channel]:
                    break
    return result


class EnergyDetector(PeakDetector):
    """
    The detector as a node of SpikeInterface's pipelines.

    Parameters
    ----------
    recording : BaseRecording
        White.
    filters : EnergyFilters
    threshold : float
        Smallest square root of the energy, in noise standard deviations.
    radius_um, exclusive_ms : float
        Of several peaks within this radius and time the largest stays.
    """

    name = "energy"
    engine = "numpy"
    need_noise_levels = False
    preferred_mp_context = None
    _compute_has_extended_signature = True

    def __init__(self, recording, filters, threshold=6.5, radius_um=60.0, exclusive_ms=0.4, return_output=True):
        PeakDetector.__init__(self, recording, return_output=return_output)
        self.filters = filters
        self.threshold = threshold
        sampling_frequency = recording.get_sampling_frequency()
        self.distances = channel_distances(recording.get_channel_locations()[:, :2])
        self.neighbors = channels_within(recording.get_channel_locations()[:, :2], radius_um)
        self.exclusive_frames = max(1, round(exclusive_ms * sampling_frequency / 1000))
        self.shadow_frames = round(SHADOW_MS * sampling_frequency / 1000)

    def get_margin(self):
        """Frames on either side that a peak depends on."""
        return self.filters.directions.shape[1] + self.exclusive_frames + self.shadow_frames

    def get_dtype(self):
        """Of the peaks."""
        return np.dtype(base_peak_dtype)

    def compute(self, traces, start_frame, end_frame, segment_index, max_margin):
        """Peaks of a chunk; sample indices count from the start of the margin."""
        energy = spike_energy(traces, self.filters)
        frames, channels = self._local_maxima(energy)
        keep = self._not_in_shadow(frames, channels, energy[frames, channels])
        keep &= (frames >= max_margin) & (frames < len(traces) - max_margin)
        peaks = np.zeros(keep.sum(), dtype=base_peak_dtype)
        peaks["sample_index"], peaks["channel_index"] = frames[keep], channels[keep]
        peaks["amplitude"] = energy[peaks["sample_index"], peaks["channel_index"]]
        peaks["segment_index"] = segment_index
        return (peaks,)

    def _local_maxima(self, energy):
        return np.nonzero(_is_local_maximum(energy, self.threshold, self.neighbors, self.exclusive_frames))

    def _not_in_shadow(self, frames, channels, heights):
        keep = np.ones(len(frames), dtype=bool)
        starts = np.searchsorted(frames, frames - self.shadow_frames)
        stops = np.searchsorted(frames, frames + self.shadow_frames, side="right")
        for peak in range(len(frames)):
            others = slice(starts[peak], stops[peak])
            close = self.distances[channels[peak], channels[others]] <= SHADOW_UM
            keep[peak] = heights[peak] >= SHADOW_RATIO * heights[others][close].max()
        return keep
