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

from ...generation import GenerationSettings, random_templates
from ...geometry import channel_distances
from ...preprocessing.whitening import Whitening

# Places whose energy is measured together, so that it stays in the processor's cache.
MOST_BLOCK_PLACES = 2000
# Detected together: profiles are local, so on long probes most products would be with 0.
LEAST_GROUP_CHANNELS = 12
# Smaller weights of a profile, relative to its largest, are left out; together they hold 0.2 % of its energy.
SMALLEST_WEIGHT = 0.02
DECAYS_UM = (10.0, 30.0, 60.0)
DETECTION_DIRECTIONS = 4
REACH_UM = 150.0


@dataclass(frozen=True)
class EnergyFilters:
    """
    Filters of the detector.

    Attributes
    ----------
    directions : np.ndarray, shape (num_directions, num_samples), float32
        Orthonormal waveforms.
    profiles : np.ndarray, shape (num_decays, num_channels, num_channels), float32
        profiles[d, c] is the spatial profile, of norm 1, of a spike with decay d at channel c. That of the middle
        decay is the mixture of the two others that comes nearest to it: it costs no product of its own.
    mixing : np.ndarray, shape (num_channels, 2), float32
        How much of the first and of the last profile of a channel the middle one is made of.
    nbefore : int
        Sample of the peak in the directions.
    """

    directions: np.ndarray
    profiles: np.ndarray
    mixing: np.ndarray
    nbefore: int


def make_energy_filters(
    whitening: Whitening,
    channel_locations: np.ndarray,
    *,
    sampling_frequency: float,
    num_directions: int = DETECTION_DIRECTIONS,
    ms_before: float = 0.7,
    ms_after: float = 1.0,
) -> EnergyFilters:
    """
    Filters that find spikes in white traces.

    Parameters
    ----------
    whitening : Whitening
        The whitening that made the traces white.
    channel_locations : np.ndarray, shape (num_channels, 2), float
        Positions in um.
    sampling_frequency : float
        In Hz.
    """
    time_filter, matrix = whitening.time_filter.astype(float), whitening.space_matrix.astype(float)
    nbefore = round(ms_before * sampling_frequency / 1000)
    nafter = round(ms_after * sampling_frequency / 1000)
    shapes = spike_shapes(sampling_frequency, time_filter, nbefore=nbefore, nafter=nafter)
    _, _, right = np.linalg.svd(shapes, full_matrices=False)
    distances = channel_distances(channel_locations)
    profiles = []
    for decay in DECAYS_UM:
        profile = (np.exp(-distances / decay) * (distances <= REACH_UM)) @ matrix
        profile[np.abs(profile) < SMALLEST_WEIGHT * np.abs(profile).max(axis=1, keepdims=True)] = 0
        profiles.append(profile / np.maximum(np.linalg.norm(profile, axis=1, keepdims=True), 1e-9))
    mixing = _mixing(*profiles)
    profiles[1] = mixing[:, :1] * profiles[0] + mixing[:, 1:] * profiles[2]
    profiles, mixing = np.asarray(profiles, dtype="float32"), mixing.astype("float32")
    return EnergyFilters(right[:num_directions].astype("float32"), profiles, mixing, nbefore)


def _mixing(near, middle, far):
    """What mixture of norm 1 of the near and the far profile of each channel is most like the middle one."""
    common = np.sum(near * far, axis=1)
    seen = np.column_stack([np.sum(near * middle, axis=1), np.sum(far * middle, axis=1)])
    mixing = seen - common[:, None] * seen[:, ::-1]
    norms = np.sum(mixing**2, axis=1) + 2 * common * mixing[:, 0] * mixing[:, 1]
    # Where near and far are the same, with no other channel in reach, either will do.
    is_mixed = norms > 1e-9
    return np.where(is_mixed[:, None], mixing / np.sqrt(np.where(is_mixed, norms, 1.0))[:, None], [1.0, 0.0])


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


def spike_energy(traces: np.ndarray, filters: EnergyFilters, stride: int = 1) -> np.ndarray:
    """
    Square root of the energy in the spike subspace, the largest over the spatial profiles.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
        White.
    stride : int, default: 1
        Frames between two places at which the energy is measured. Directions should hold nothing above half of the
        sampling rate that is left; it is passed over.

    Returns
    -------
    np.ndarray, shape (num_places, num_channels), float32
        Place p is of a waveform that starts at frame `p * stride`, so its peak is `filters.nbefore` later.
    """
    num_directions, num_samples = filters.directions.shape
    num_places = max(0, (len(traces) - num_samples) // stride + 1)
    energy = np.empty((num_places, traces.shape[1]), dtype="float32")
    num_blocks = max(1, math.ceil(num_places / MOST_BLOCK_PLACES))
    step = max(1, math.ceil(num_places / num_blocks))
    block_frames = (step - 1) * stride + num_samples
    size = scipy.fft.next_fast_len(math.ceil(block_frames / stride), real=True)
    spectra = np.conj(scipy.fft.rfft(filters.directions, size * stride, axis=1))[:, : size // 2 + 1]
    # An inverse transform of fewer places divides by fewer.
    spectra /= np.float32(stride)
    order, groups = _local_groups(filters.profiles)
    for start in range(0, num_places, step):
        stretch = traces[start * stride : start * stride + block_frames]
        block = np.zeros((traces.shape[1], size * stride), dtype="float32")
        block[:, : len(stretch)] = stretch.T[order]
        products = scipy.fft.rfft(block, axis=1)[:, None, : size // 2 + 1] * spectra
        projected = scipy.fft.irfft(products, size, axis=2, overwrite_x=True)
        stop = min(start + step, num_places)
        for rows, parts in groups:
            near, far = (
                (weights @ projected[columns].reshape(-1, num_directions * size)).reshape(-1, num_directions, size)
                for columns, weights in parts
            )
            energy[start:stop, rows] = np.sqrt(_highest_energy(near, far, filters.mixing[rows])[:, : stop - start]).T
    return energy


def spike_energy_at(traces: np.ndarray, filters: EnergyFilters, starts: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """
    As `spike_energy`, at some frames and channels alone.

    Parameters
    ----------
    starts : np.ndarray, shape (num_spikes,), int
        First frames of waveforms that lie inside of the traces.
    channels : np.ndarray, shape (num_spikes,), int

    Returns
    -------
    np.ndarray, shape (num_spikes,), float32
    """
    reached = np.any(filters.profiles != 0, axis=0)
    bounds = np.column_stack([reached.argmax(axis=1), reached.shape[1] - reached[:, ::-1].argmax(axis=1)])
    return np.sqrt(_energies_at(traces, starts, channels, filters.directions, filters.profiles, bounds))


@numba.njit(fastmath=True, cache=True, nogil=True)
def _energies_at(traces, starts, channels, directions, profiles, bounds):
    energies = np.zeros(len(starts), dtype=np.float32)
    for spike in range(len(starts)):
        first, last = bounds[channels[spike]]
        projected = np.zeros((len(directions), last - first), dtype=np.float32)
        for sample in range(directions.shape[1]):
            row = traces[starts[spike] + sample, first:last]
            for direction in range(len(directions)):
                own, weight = projected[direction], directions[direction, sample]
                for place in range(len(row)):
                    own[place] += weight * row[place]
        for decay in range(len(profiles)):
            total = np.float32(0.0)
            for direction in range(len(directions)):
                seen = np.float32(0.0)
                for place in range(last - first):
                    seen += profiles[decay, channels[spike], first + place] * projected[direction, place]
                total += seen * seen
            energies[spike] = max(energies[spike], total)
    return energies


def _local_groups(profiles):
    """
    Channels in an order that keeps neighbours together, and groups of them.

    Returns
    -------
    order : np.ndarray, shape (num_channels,), int
    groups : list
        For each group its channels and, for the first and the last decay, the stretch of ordered channels that its
        profiles reach and their weights there.
    """
    reached = np.any(profiles != 0, axis=0)
    first, last = reached.argmax(axis=1), reached.shape[1] - reached[:, ::-1].argmax(axis=1)
    order = np.argsort(first + last, kind="stable")
    groups = []
    for rows in np.array_split(order, max(1, len(order) // LEAST_GROUP_CHANNELS)):
        parts = []
        for profile in profiles[[0, -1]][:, rows][:, :, order]:
            used = np.flatnonzero(np.any(profile != 0, axis=0))
            columns = slice(used.min(initial=len(order)), used.max(initial=-1) + 1)
            parts.append((columns, np.ascontiguousarray(profile[:, columns])))
        groups.append((rows, parts))
    return order, groups


@numba.njit(fastmath=True, cache=True, nogil=True)
def _highest_energy(near, far, mixing):
    """Largest energy of three profiles, given what two show (channels, directions, places) and what makes the third."""
    num_rows, num_directions, num_places = near.shape
    highest = np.empty((num_rows, num_places), dtype=np.float32)
    of_near, of_far, of_both = np.empty((3, num_places), dtype=np.float32)
    for row in range(num_rows):
        of_near[:], of_far[:], of_both[:] = 0.0, 0.0, 0.0
        for direction in range(num_directions):
            one, other = near[row, direction], far[row, direction]
            for place in range(num_places):
                of_near[place] += one[place] * one[place]
                of_far[place] += other[place] * other[place]
                of_both[place] += one[place] * other[place]
        weights = mixing[row, 0] ** 2, mixing[row, 1] ** 2, np.float32(2.0) * mixing[row, 0] * mixing[row, 1]
        for place in range(num_places):
            mixed = weights[0] * of_near[place] + weights[1] * of_far[place] + weights[2] * of_both[place]
            highest[row, place] = max(of_near[place], of_far[place], mixed)
    return highest
