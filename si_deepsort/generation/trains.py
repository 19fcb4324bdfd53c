"""Spike trains like those of real neurons: refractory gamma intervals, lognormal rates, bursts and shared rhythms."""

import numpy as np

# Spikes this close to an end of the recording, in s, are left out: their templates would be cut off.
EDGE_S = 0.003
# Grid on which the shared rate modulation is computed, in s: well below a period of gamma (25 ms).
MODULATION_STEP_S = 0.001
# Centre frequencies of the theta and gamma rhythms in Hz: Buzsaki, Rhythms of the Brain (2006).
THETA_HZ, GAMMA_HZ = 8.0, 40.0
# The phase of a rhythm wanders by this much (standard deviation, in cycles) within a second: rhythms are no pure lines.
PHASE_WANDER = 0.5
# Mean durations of up and down states in s: slow oscillation below 1 Hz, Steriade et al. 1993.
UP_STATE_S, DOWN_STATE_S = 0.8, 0.4


def lognormal_rates(
    num_units: int, rng: np.random.Generator, *, rate_min: float, rate_max: float, log_rate_sd: float
) -> np.ndarray:
    """
    Firing rates with a lognormal distribution, cut off at both ends (Buzsaki and Mizuseki 2014).

    Parameters
    ----------
    num_units : int
    rng : np.random.Generator
    rate_min, rate_max : float
        Lowest and highest rate in Hz. The median of the distribution is their geometric mean.
    log_rate_sd : float
        Standard deviation of the natural logarithm of the rate. 0 gives every unit the median rate.

    Returns
    -------
    np.ndarray, shape (num_units,), float64
        In Hz.
    """
    from scipy.stats import norm

    low, high = np.log(max(rate_min, 1e-3)), np.log(max(rate_max, 1e-3))
    uniform = rng.random(num_units)
    if log_rate_sd == 0 or high <= low:
        return np.full(num_units, np.exp((low + high) / 2))
    reach = (high - low) / 2 / log_rate_sd
    # Inverse of the distribution function of a normal variable that is cut off at +-reach.
    quantiles = norm.cdf(-reach) + uniform * (norm.cdf(reach) - norm.cdf(-reach))
    return np.exp((low + high) / 2 + log_rate_sd * norm.ppf(quantiles))


def rate_modulation(
    duration_s: float, rng: np.random.Generator, *, theta: float, gamma: float, up_down: float
) -> np.ndarray:
    """
    Factor by which the rates of all neurons rise and fall together.

    Parameters
    ----------
    duration_s : float
    rng : np.random.Generator
    theta, gamma : float
        Depth of the modulation by each rhythm, from 0 (none) to 1 (silence at the trough).
    up_down : float
        Depth of the modulation by up and down states, from 0 (none) to 1 (silence in down states).

    Returns
    -------
    np.ndarray, shape (num_steps,), float64
        One value for each `MODULATION_STEP_S`, with mean 1.
    """
    num_steps = int(np.ceil(duration_s / MODULATION_STEP_S)) + 1
    factor = np.ones(num_steps)
    for depth, frequency, own_rng in zip((theta, gamma), (THETA_HZ, GAMMA_HZ), rng.spawn(2), strict=True):
        wander = PHASE_WANDER * np.sqrt(MODULATION_STEP_S) * np.cumsum(own_rng.standard_normal(num_steps))
        factor *= 1 + depth * np.sin(2 * np.pi * (frequency * MODULATION_STEP_S * np.arange(num_steps) + wander))
    states_rng = rng.spawn(1)[0]
    if up_down > 0:
        num_states = 2 * int(np.ceil(duration_s / min(UP_STATE_S, DOWN_STATE_S))) + 20
        lengths = states_rng.exponential(np.resize([UP_STATE_S, DOWN_STATE_S], num_states))
        times = MODULATION_STEP_S * np.arange(num_steps)
        is_down = np.searchsorted(np.cumsum(lengths), times, side="right") % 2 == 1
        factor *= np.where(is_down, 1 - up_down, 1.0)
    return factor / factor.mean()


def gamma_train(
    rate: float,
    duration_s: float,
    rng: np.random.Generator,
    *,
    refractory_ms: float,
    regularity: float,
    modulation: np.ndarray | None = None,
) -> np.ndarray:
    """
    A renewal train whose intervals are a refractory period and a gamma distributed rest.

    Parameters
    ----------
    rate : float
        Mean firing rate in Hz.
    duration_s : float
    rng : np.random.Generator
    refractory_ms : float
        No interval is shorter.
    regularity : float
        The gamma distribution has the shape 1 + regularity; 0 gives exponential intervals.
    modulation : np.ndarray | None, shape (num_steps,), default: None
        Result of `rate_modulation`: intervals are shorter where it is large. None leaves the rate constant.

    Returns
    -------
    np.ndarray, shape (num_spikes,), float64
        Spike times in s, ascending, from 0 to `duration_s`.

    Raises
    ------
    ValueError
        If the rate leaves no room for the refractory period.
    """
    refractory_s = refractory_ms / 1000
    rest_s = 1 / rate - refractory_s
    if rest_s <= 0:
        raise ValueError(f"A rate of {rate:g} Hz leaves no room for a refractory period of {refractory_ms:g} ms.")
    shape = 1 + regularity
    count = int(rate * duration_s + 10 * np.sqrt(rate * duration_s) + 20)
    times = np.cumsum(refractory_s + rng.gamma(shape, rest_s / shape, count)) - rng.uniform(0, 1 / rate)
    times = times[(times >= 0) & (times < duration_s)]
    if modulation is not None:
        passed = np.concatenate([[0.0], np.cumsum(modulation)])
        steps = np.linspace(0, duration_s, len(passed))
        times = np.interp(times, passed * (duration_s / passed[-1]), steps)
    return times[after_refractory(times, refractory_s)]


def add_bursts(
    times_s: np.ndarray,
    rng: np.random.Generator,
    *,
    probability: float,
    most_extra: int,
    interval_min_ms: float,
    interval_max_ms: float,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Let some spikes start bursts.

    Parameters
    ----------
    times_s : np.ndarray, shape (num_spikes,), float64
        In s, ascending.
    rng : np.random.Generator
    probability : float
        Share of the spikes that start a burst.
    most_extra : int
        A burst has 1 to `most_extra` more spikes, each number as likely.
    interval_min_ms, interval_max_ms : float
        Intervals within a burst are uniform in this range.

    Returns
    -------
    times_s : np.ndarray, shape (num_all_spikes,), float64
        Ascending.
    position : np.ndarray, shape (num_all_spikes,), int64
        0 for spikes outside of bursts and for the first of a burst, then 1, 2, ...
    """
    starts = times_s[rng.random(len(times_s)) < probability] if most_extra > 0 else times_s[:0]
    num_extra = rng.integers(1, max(most_extra, 1) + 1, len(starts))
    delays_s = (
        np.cumsum(rng.uniform(interval_min_ms, interval_max_ms, (len(starts), max(most_extra, 1))), axis=1) / 1000
    )
    burst, extra = np.nonzero(np.arange(max(most_extra, 1)) < num_extra[:, None])
    all_times = np.concatenate([times_s, starts[burst] + delays_s[burst, extra]])
    position = np.concatenate([np.zeros(len(times_s), dtype=int), extra + 1])
    order = np.argsort(all_times, kind="stable")
    return all_times[order], position[order]


def after_refractory(times: np.ndarray, refractory: float) -> np.ndarray:
    """
    Which spikes do not follow the last kept spike within the refractory period.

    Parameters
    ----------
    times : np.ndarray, shape (num_spikes,), float or int
        Ascending.
    refractory : float
        In the unit of the times.

    Returns
    -------
    np.ndarray, shape (num_spikes,), bool
    """
    kept = np.ones(len(times), dtype=bool)
    last = -np.inf
    for spike in np.flatnonzero(
        np.minimum(np.diff(times, prepend=-np.inf), np.diff(times, append=np.inf)) < refractory
    ):
        if times[spike] - last < refractory:
            kept[spike] = False
        else:
            last = times[spike]
    return kept
