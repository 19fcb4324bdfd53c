"""Neighbouring neurons that fire together: spikes of one are copied into the train of another with a short lag."""

import numpy as np

from .trains import after_refractory

# Neurons that fire together do so within this many ms: lags of monosynaptic connections and of common input.
SYNCHRONY_MS = 0.8
# The partner of a unit is drawn from this many nearest units.
NUM_NEIGHBOURS = 3


def unit_locations(templates: np.ndarray, channel_locations: np.ndarray) -> np.ndarray:
    """
    Centres of mass of the squared peak-to-peak amplitudes.

    Parameters
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um.

    Returns
    -------
    np.ndarray, shape (num_units, 2), float64
        In um.
    """
    energies = np.ptp(np.asarray(templates, dtype=float), axis=1) ** 2
    return energies @ np.asarray(channel_locations) / np.maximum(energies.sum(axis=1, keepdims=True), 1e-12)


def draw_partners(locations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """
    For each unit one of its three nearest units.

    Parameters
    ----------
    locations : np.ndarray, shape (num_units, 2), float
        In um.
    rng : np.random.Generator

    Returns
    -------
    np.ndarray, shape (num_units,), int64
        -1 if there is no other unit.
    """
    distances = np.linalg.norm(locations[:, None] - locations[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    num_choices = min(NUM_NEIGHBOURS, len(locations) - 1)
    if num_choices < 1:
        return np.full(len(locations), -1)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :num_choices]
    return nearest[np.arange(len(locations)), rng.integers(0, num_choices, len(locations))]


def copied_spikes(
    trains_s: list[np.ndarray], partners: np.ndarray, rng: np.random.Generator, *, share: float, max_lag_ms: float
) -> list[np.ndarray]:
    """
    Spikes that each unit fires because its partner fires.

    Parameters
    ----------
    trains_s : list of np.ndarray, shape (num_spikes,), float64
        Spike times of each unit in s.
    partners : np.ndarray, shape (num_units,), int64
        Unit whose spikes are copied; -1 for none.
    rng : np.random.Generator
    share : float
        Share of the spikes of the partner that are copied.
    max_lag_ms : float
        Lags are uniform between minus and plus this.

    Returns
    -------
    list of np.ndarray, shape (num_copied,), float64
        In s, ascending.
    """
    copies = []
    for partner, own_rng in zip(partners, rng.spawn(len(partners)), strict=True):
        source = trains_s[partner] if partner >= 0 else np.zeros(0)
        chosen = source[own_rng.random(len(source)) < share]
        copies.append(np.sort(chosen + own_rng.uniform(-max_lag_ms, max_lag_ms, len(chosen)) / 1000))
    return copies


def join_copies(times_s: np.ndarray, copies_s: np.ndarray, *, refractory_ms: float) -> tuple[np.ndarray, np.ndarray]:
    """
    A train with copied spikes; own spikes within the refractory period of a copied one give way.

    Parameters
    ----------
    times_s, copies_s : np.ndarray, shape (num_spikes,), (num_copies,), float64
        In s, ascending.
    refractory_ms : float

    Returns
    -------
    times_s : np.ndarray, shape (num_joined,), float64
        Ascending.
    origin : np.ndarray, shape (num_joined,), int64
        Index of the spike in the own train, -1 for copied spikes.
    """
    refractory_s = refractory_ms / 1000
    copies_s = copies_s[after_refractory(copies_s, refractory_s)]
    bounded = np.concatenate([[-np.inf], copies_s, [np.inf]])
    above = np.searchsorted(copies_s, times_s)
    own = np.flatnonzero(np.minimum(times_s - bounded[above], bounded[above + 1] - times_s) >= refractory_s)
    joined = np.concatenate([times_s[own], copies_s])
    origin = np.concatenate([own, np.full(len(copies_s), -1)])
    order = np.argsort(joined, kind="stable")
    return joined[order], origin[order]


def join_neighbours(
    times_s: list[np.ndarray],
    amplitudes: list[np.ndarray],
    locations: np.ndarray,
    rng: np.random.Generator,
    *,
    share: float,
    refractory_ms: float,
    amplitude_sd: float,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """
    Let each unit fire together with one of its three nearest neighbours.

    Parameters
    ----------
    times_s, amplitudes : list of np.ndarray, shape (num_spikes,), float64
        Result of `draw_spikes`.
    locations : np.ndarray, shape (num_units, 2), float64
        In um.
    rng : np.random.Generator
    share : float
        Share of the spikes of the neighbour that are copied into the train, with uniform lags of up to `SYNCHRONY_MS`.
    refractory_ms : float
        Own spikes this close to a copied one give way.
    amplitude_sd : float
        Standard deviation of the amplitudes of copied spikes around 1.

    Returns
    -------
    times_s, amplitudes : list of np.ndarray, shape (num_spikes,), float64
    """
    partner_rng, copy_rng, amplitude_rng = rng.spawn(3)
    partners = draw_partners(locations, partner_rng)
    copies = copied_spikes(times_s, partners, copy_rng, share=share, max_lag_ms=SYNCHRONY_MS)
    joined_times, joined_amplitudes = [], []
    own_rngs = amplitude_rng.spawn(len(times_s))
    for times, own, copied, own_rng in zip(times_s, amplitudes, copies, own_rngs, strict=True):
        # A unit that has not started yet, or has stopped, joins nobody.
        copied = copied[(copied >= times[0]) & (copied <= times[-1])] if len(times) else times
        joined, origin = join_copies(times, copied, refractory_ms=refractory_ms)
        values = own[origin] if len(own) else np.zeros(0)
        is_copy = origin < 0
        values[is_copy] = 1 + amplitude_sd * own_rng.standard_normal(is_copy.sum())
        joined_times.append(joined)
        joined_amplitudes.append(values)
    return joined_times, joined_amplitudes
