"""Describe the shape of a miniature potential: a difference of two exponentials, its rise, peak, decay and end."""

import numpy as np

# Where an event ends: "tenth", where it has decayed to a tenth of its amplitude; "decay_constant", one decay time
# constant after its peak; or a number, where it has decayed to this part of its amplitude.
ENDS = ("tenth", "decay_constant")
# Part of the amplitude at the end "tenth".
TENTH = 0.1
# Halvings of the interval in which a crossing lies: 2^-30 of it is below a nanosecond.
NUM_HALVINGS = 30
# The end is searched up to this many decay time constants beyond the peak; e^-8 is below the lowest level allowed.
LONGEST_DECAYS = 8.0


def biexponential(times_ms: np.ndarray, tau_rise_ms, tau_decay_ms) -> np.ndarray:
    """
    Difference of two exponentials with peak 1; 0 before the onset at time 0.

    Parameters
    ----------
    times_ms : np.ndarray, any shape
        Times since the onset.
    tau_rise_ms, tau_decay_ms : float | np.ndarray
        Time constants, broadcast against the times; the decay must be slower than the rise.

    Returns
    -------
    np.ndarray, float
        Value at each time, in the broadcast shape.
    """
    times_ms = np.maximum(times_ms, 0.0)
    return _difference(times_ms, tau_rise_ms, tau_decay_ms) / _peak_value(tau_rise_ms, tau_decay_ms)


def peak_time_ms(tau_rise_ms, tau_decay_ms) -> np.ndarray:
    """Time from the onset to the peak, for time constants in ms."""
    tau_rise_ms, tau_decay_ms = np.asarray(tau_rise_ms, float), np.asarray(tau_decay_ms, float)
    return tau_rise_ms * tau_decay_ms / (tau_decay_ms - tau_rise_ms) * np.log(tau_decay_ms / tau_rise_ms)


def rise_time_ms(tau_rise_ms, tau_decay_ms) -> np.ndarray:
    """Time from 10 % to 90 % of the peak on the way up."""
    peak = peak_time_ms(tau_rise_ms, tau_decay_ms)
    low, high = (_crossing(level, np.zeros_like(peak), peak, tau_rise_ms, tau_decay_ms) for level in (0.1, 0.9))
    return high - low


def end_time_ms(tau_rise_ms, tau_decay_ms, end: str | float = "tenth") -> np.ndarray:
    """
    Time from the onset to the end of an event.

    Parameters
    ----------
    tau_rise_ms, tau_decay_ms : float | np.ndarray
        Time constants.
    end : "tenth" | "decay_constant" | float, default: "tenth"
        Where an event ends, see `ENDS`; a number is a part of the amplitude.

    Returns
    -------
    np.ndarray, float
        In ms, of the broadcast shape.
    """
    peak = peak_time_ms(tau_rise_ms, tau_decay_ms)
    if end == "decay_constant":
        return peak + np.asarray(tau_decay_ms, float)
    level = TENTH if end == "tenth" else float(end)
    outside = peak + LONGEST_DECAYS * np.asarray(tau_decay_ms, float)
    return _crossing(level, outside, peak, tau_rise_ms, tau_decay_ms)


def check_end(end: str | float) -> str | float:
    """The end as a known word or a number between 0 and 1 (a text such as "0.37" too); a ValueError otherwise."""
    if end in ENDS:
        return end
    try:
        level = float(end)
    except (TypeError, ValueError):
        level = np.nan
    if not 0.001 <= level <= 0.999:
        raise ValueError(
            f"end={end!r}, expected one of {ENDS} or the part of the amplitude (between 0 and 1) at which events end."
        )
    return level


def end_words(end: str | float) -> str:
    """Where an event ends, in words."""
    if end == "decay_constant":
        return "one decay time constant after the peak"
    return f"where the event has decayed to {100 * (TENTH if end == 'tenth' else float(end)):.3g} % of its amplitude"


def area_of_unit_ms(tau_rise_ms, tau_decay_ms) -> np.ndarray:
    """Area under an event of amplitude 1, in ms."""
    return (np.asarray(tau_decay_ms, float) - tau_rise_ms) / _peak_value(tau_rise_ms, tau_decay_ms)


def tau_of_rise_ms(rise_ms, tau_decay_ms) -> np.ndarray:
    """Rise time constant that gives a 10-90 % rise time; at most 0.9 of the decay's."""
    rise_ms, tau_decay_ms = np.broadcast_arrays(np.asarray(rise_ms, float), np.asarray(tau_decay_ms, float))
    low, high = np.full(rise_ms.shape, 1e-3), 0.9 * tau_decay_ms
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        is_slow = rise_time_ms(middle, tau_decay_ms) > rise_ms
        low, high = np.where(is_slow, low, middle), np.where(is_slow, middle, high)
    return (low + high) / 2


def _difference(times_ms, tau_rise_ms, tau_decay_ms):
    return np.exp(-times_ms / tau_decay_ms) - np.exp(-times_ms / tau_rise_ms)


def _peak_value(tau_rise_ms, tau_decay_ms):
    return _difference(peak_time_ms(tau_rise_ms, tau_decay_ms), tau_rise_ms, tau_decay_ms)


def _crossing(level, outside, inside, tau_rise_ms, tau_decay_ms):
    """Time between `outside` (where the event is below the level) and `inside` (above) at which it crosses."""
    for _ in range(NUM_HALVINGS):
        middle = (outside + inside) / 2
        is_above = biexponential(middle, tau_rise_ms, tau_decay_ms) > level
        outside, inside = np.where(is_above, outside, middle), np.where(is_above, middle, inside)
    return (outside + inside) / 2
