"""Neighbouring neurons that fire together: spikes of one are copied into the train of another with a short lag."""

import numpy as np

from .trains import after_refractory

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
