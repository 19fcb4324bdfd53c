"""How the amplitudes of a unit's spikes vary: from spike to spike, within bursts, slowly, and when the unit fades."""

import numpy as np

# Time between the knots of the slow change in s: amplitudes change over tens of seconds.
SLOW_CHANGE_S = 20.0
# Bursts lower the amplitude no further than to this share of it (Purkinje-like and pyramidal cells).
LOWEST_IN_BURST = 0.5


def burst_amplitudes(position: np.ndarray, *, decay: float) -> np.ndarray:
    """
    Relative amplitudes of spikes within bursts.

    Parameters
    ----------
    position : np.ndarray, shape (num_spikes,), int
        0 for the first spike of a burst and for spikes outside of bursts, then 1, 2, ...
    decay : float
        Each spike is this times as large as the one before it, but never below `LOWEST_IN_BURST`.

    Returns
    -------
    np.ndarray, shape (num_spikes,), float64
    """
    return np.maximum(decay ** np.asarray(position, dtype=float), LOWEST_IN_BURST)


def slow_change(times_s: np.ndarray, duration_s: float, rng: np.random.Generator, *, sd: float) -> np.ndarray:
    """
    A smooth random factor around 1 that changes over tens of seconds.

    Parameters
    ----------
    times_s : np.ndarray, shape (num_spikes,), float64
    duration_s : float
    rng : np.random.Generator
    sd : float
        Standard deviation; 0 gives 1 everywhere.

    Returns
    -------
    np.ndarray, shape (num_spikes,), float64
    """
    from scipy.interpolate import CubicSpline

    num_knots = max(3, int(np.ceil(duration_s / SLOW_CHANGE_S)) + 1)
    # Three standard deviations are the most, so that no amplitude changes its sign.
    values = np.clip(rng.standard_normal(num_knots), -3, 3)
    return np.maximum(1 + sd * CubicSpline(np.linspace(0, duration_s, num_knots), values)(times_s), 0.0)


def draw_lifetimes(
    num_units: int, duration_s: float, rng: np.random.Generator, *, start_share: float, stop_share: float
) -> tuple[np.ndarray, np.ndarray]:
    """
    When each unit starts and stops to fire.

    Parameters
    ----------
    num_units : int
    duration_s : float
    rng : np.random.Generator
    start_share, stop_share : float
        Share of the units that start late, and of those that stop early: between a quarter and three quarters of the
        recording. Their number is rounded; no unit does both unless both shares add up to more than 1.

    Returns
    -------
    start_s, stop_s : np.ndarray, shape (num_units,), float64
    """
    order = rng.permutation(num_units)
    start_s, stop_s = np.zeros(num_units), np.full(num_units, float(duration_s))
    starting = order[: round(start_share * num_units)]
    stopping = order[::-1][: round(stop_share * num_units)]
    start_s[starting] = duration_s * rng.uniform(0.25, 0.5, len(starting))
    stop_s[stopping] = duration_s * rng.uniform(0.5, 0.75, len(stopping))
    return start_s, stop_s


def fade(times_s: np.ndarray, duration_s: float, *, from_s: float, fade_to: float) -> np.ndarray:
    """
    A factor that is 1 until `from_s`, then falls linearly to `fade_to` at the end of the recording.

    Parameters
    ----------
    times_s : np.ndarray, shape (num_spikes,), float64
    duration_s, from_s : float
    fade_to : float

    Returns
    -------
    np.ndarray, shape (num_spikes,), float64
    """
    passed = np.clip((np.asarray(times_s) - from_s) / max(duration_s - from_s, 1e-9), 0.0, 1.0)
    return 1 - (1 - fade_to) * passed
