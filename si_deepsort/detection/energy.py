"""
Energy of white traces in the subspace of spike waveforms.

Small, distant and wide spikes never cross a threshold on one sample of one channel, though their energy over time and
neighbouring channels is far above that of noise. In white noise the best linear detector of a known waveform is its
matched filter; for spikes of unknown shape it is the energy in the few directions that all spike waveforms share. The
directions come from generated waveforms that pass the same filters as the traces, the spatial profiles from an
exponential decay that passes the same whitening: nothing is fitted to the recording.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.signal

from ..generation import GenerationSettings, random_templates
from ..geometry import channel_distances
from ..preprocessing.whitening import Whitening
from .energy_kernels import (
    DETECTION_DIRECTIONS,
    find_highest_energy,
    find_highest_match,
    measure_energies,
)
from .products import num_places, products_of

# Rate in Hz at which traces are compared with waveforms at least: spikes hold next to nothing above half of it.
COMPARISON_FREQUENCY = 14_000.0
# Weights of a profile that are smaller than this, relative to its largest, are set to 0; they hold .2 % of its energy.
SMALLEST_WEIGHT = 0.02
# Distances in um over which the amplitude of a spike falls by a factor of e, from small to large neurons, and the
# distance beyond which it is 0. Tuned on generated development recordings (seeds 1-5).
DECAYS_UM = (10.0, 30.0, 60.0)
REACH_UM = 150.0
# Samples of a waveform before the peak and from it on, in ms: most energy of a spike after whitening.
MS_BEFORE, MS_AFTER = 0.7, 1.0
# Generated waveforms from which the directions are computed.
NUM_SHAPES = 300


@dataclass(frozen=True)
class EnergyFilters:
    """
    Filters of the detector.

    Attributes
    ----------
    directions : np.ndarray, shape (num_directions, num_samples), float32
        Orthonormal waveforms.
    profiles : np.ndarray, shape (num_decays, num_channels, num_channels), float32
        profiles[d, c] is the spatial profile, of norm 1, of a spike with decay d at channel c. The middle profile is
        approximated by a mixture of the two others, so that it costs no products of its own.
    mixing : np.ndarray, shape (num_channels, 2), float32
        Mixing weights of the first and the last profile of each channel that give the middle one.
    nbefore : int
        Sample of the peak in the directions.
    is_signed : bool, default: False
        There is one direction, and the match with it takes the place of the energy; its negative counts less.
    """

    directions: np.ndarray
    profiles: np.ndarray
    mixing: np.ndarray
    nbefore: int
    is_signed: bool = False


def make_energy_filters(
    whitening: Whitening,
    channel_locations: np.ndarray,
    *,
    sampling_frequency: float,
    num_directions: int = DETECTION_DIRECTIONS,
    ms_before: float = MS_BEFORE,
    ms_after: float = MS_AFTER,
) -> EnergyFilters:
    """
    Make the filters that measure the energy of spikes in white traces.

    Parameters
    ----------
    whitening : Whitening
        The whitening of the traces.
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
    profiles = [white_profile(channel_locations, matrix, decay) for decay in DECAYS_UM]
    return EnergyFilters(right[:num_directions].astype("float32"), *with_mixture(profiles), nbefore)


def white_profile(channel_locations: np.ndarray, matrix: np.ndarray, decay_um: float) -> np.ndarray:
    """Whitened profile of a spike at each channel, of norm 1, (num_channels, num_channels); `matrix` whitens."""
    distances = channel_distances(channel_locations)
    profile = (np.exp(-distances / decay_um) * (distances <= REACH_UM)) @ matrix
    profile[np.abs(profile) < SMALLEST_WEIGHT * np.abs(profile).max(axis=1, keepdims=True)] = 0
    norms = np.linalg.norm(profile, axis=1, keepdims=True)  # in the inverse unit of the traces: however small
    return profile / np.where(norms > 0, norms, 1.0)


def with_mixture(profiles: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Profiles and mixing weights as of `EnergyFilters`, from a near, a middle and a far profile."""
    near, _, far = profiles
    mixing = _mixing(*profiles)
    mixed = [near, mixing[:, :1] * near + mixing[:, 1:] * far, far]
    return np.asarray(mixed, dtype="float32"), mixing.astype("float32")


def _mixing(near, middle, far):
    """Weights (num_channels, 2) of the mixture of near and far profiles, of norm 1, closest to the middle profile."""
    common = np.sum(near * far, axis=1)
    seen = np.column_stack([np.sum(near * middle, axis=1), np.sum(far * middle, axis=1)])
    mixing = seen - common[:, None] * seen[:, ::-1]
    norms = np.sum(mixing**2, axis=1) + 2 * common * mixing[:, 0] * mixing[:, 1]
    # Near and far profiles are the same if no other channel is in reach; then either serves.
    is_mixed = norms > 1e-9
    return np.where(is_mixed[:, None], mixing / np.sqrt(np.where(is_mixed, norms, 1.0))[:, None], [1.0, 0.0])


def spike_shapes(
    sampling_frequency: float, time_filter: np.ndarray, *, nbefore: int, nafter: int, num_shapes: int = NUM_SHAPES
) -> np.ndarray:
    """
    Generated single-channel waveforms, filtered and whitened like traces, of norm 1.

    Parameters
    ----------
    sampling_frequency : float
        In Hz.
    time_filter : np.ndarray, shape (order + 1,), float
        Whitening filter over time.
    nbefore, nafter : int
        Samples before and from the peak on.
    num_shapes : int, default: NUM_SHAPES

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


@lru_cache(maxsize=8)
def _unfiltered_shapes(sampling_frequency, num_shapes):
    """Generated waveforms (num_shapes, num_samples) and the sample of their peak; slow, so kept."""
    settings = GenerationSettings(num_units=num_shapes, sampling_frequency=sampling_frequency, positive_fraction=0.0)
    templates, peak = random_templates(np.zeros((1, 2)), settings, np.random.default_rng(0))
    return templates[:, :, 0], peak


def comparison_stride(sampling_frequency: float) -> int:
    """Frames between two places at which traces are compared with waveforms; sampling_frequency in Hz."""
    return max(1, int(sampling_frequency // COMPARISON_FREQUENCY))


def spike_energy(traces: np.ndarray, filters: EnergyFilters, stride: int = 1) -> np.ndarray:
    """
    Square root of the energy in the spike subspace, or the match with a waveform, largest over the spatial profiles.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
        White traces.
    filters : EnergyFilters
    stride : int, default: 1
        Frames between two places at which the energy is measured. What the directions hold above half of the resulting
        rate is left out: at so few places it would be noise.

    Returns
    -------
    np.ndarray, shape (num_channels, num_places), float32
        In noise standard deviations, at [c, p] for the waveform on channel c that starts at frame `p * stride` and has
        its peak `filters.nbefore` later.
    """
    energy = np.empty((traces.shape[1], num_places(traces, filters, stride)), dtype="float32")
    find = find_highest_match if filters.is_signed else find_highest_energy
    for start, stop, rows, near, far in products_of(traces, filters, stride):
        find(near, far, filters.mixing, rows, energy[:, start:stop])
    return energy


def spike_matches(traces: np.ndarray, filters: EnergyFilters, stride: int = 1) -> np.ndarray:
    """
    Match with a waveform through the nearest and the farthest profile, of either sign; arguments as `spike_energy`.

    Returns
    -------
    np.ndarray, shape (2, num_channels, num_places), float32
        In noise standard deviations.
    """
    matches = np.empty((2, traces.shape[1], num_places(traces, filters, stride)), dtype="float32")
    for start, stop, rows, *products in products_of(traces, filters, stride):
        for own, product in zip(matches, products, strict=True):
            own[rows, start:stop] = product.reshape(len(rows), -1)[:, : stop - start]
    return matches


def spike_energy_at(
    traces: np.ndarray, filters: EnergyFilters, starts: np.ndarray, channels: np.ndarray, num_frames: int = 1
) -> np.ndarray:
    """
    As `spike_energy`, at a few channels and successive frames.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
        White traces.
    filters : EnergyFilters
    starts : np.ndarray, shape (num_spikes,), int
        First frames of the first waveforms. All waveforms lie inside the traces.
    channels : np.ndarray, shape (num_spikes,), int
        Channel of each waveform.
    num_frames : int, default: 1
        Number of waveforms, each of which starts a frame later than the one before.

    Returns
    -------
    np.ndarray, shape (num_frames, num_spikes), float32
    """
    energies = np.empty((num_frames, len(starts)), dtype="float32")
    seen = np.empty((2, filters.directions.shape[1] + num_frames - 1), dtype="float32")
    profiles = filters.profiles[0], filters.profiles[-1], filters.mixing
    reached = np.any(filters.profiles != 0, axis=0)
    bounds = np.column_stack([reached.argmax(axis=1), reached.shape[1] - reached[:, ::-1].argmax(axis=1)])
    measure_energies(traces, starts, channels, filters.directions, *profiles, bounds, filters.is_signed, seen, energies)
    return energies if filters.is_signed else np.sqrt(energies)
