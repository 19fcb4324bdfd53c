"""Independent Poisson trains: usual in simulations, but unlike the trains of real neurons."""

import numpy as np
import spikeinterface.core as si

from .settings import GenerationSettings
from .trains import EDGE_S

# Refractory period in s: shorter intervals are rare in cortical neurons.
REFRACTORY_S = 0.002
# A burst has this many spikes, uniformly, and intervals in this range in s: typical of complex spike bursts.
FEWEST_IN_BURST, MOST_IN_BURST = 2, 5
BURST_INTERVALS_S = (0.003, 0.008)
# Rates are at least this many Hz, so that their logarithm exists.
LOWEST_RATE = 1e-3


def random_sorting(
    num_units: int, settings: GenerationSettings, rng: np.random.Generator, rates: np.ndarray | None = None
) -> si.NumpySorting:
    """
    Poisson spike trains with a refractory period of 2 ms; some units fire bursts of 2 to 5 spikes.

    Parameters
    ----------
    num_units : int
    settings : GenerationSettings
        Timing, rates and share of bursting units are taken from it.
    rng : np.random.Generator
    rates : np.ndarray | None, shape (num_units,), float64, default: None
        In Hz. None draws them, uniformly in the logarithm.

    Returns
    -------
    NumpySorting
        With unit ids "0", "1", ...
    """
    sampling_frequency = settings.sampling_frequency
    num_frames = round(settings.duration_s * sampling_frequency)
    edge = round(EDGE_S * sampling_frequency)
    if rates is None:
        lowest, highest = np.log(np.maximum([settings.firing_rate_min, settings.firing_rate_max], LOWEST_RATE))
        rates = np.exp(rng.uniform(lowest, highest, num_units))
    trains = {}
    for unit in range(num_units):
        is_bursting = rng.random() < settings.burst_fraction
        mean_burst = (FEWEST_IN_BURST + MOST_IN_BURST) / 2 if is_bursting else 1.0
        times = rng.uniform(0, settings.duration_s, rng.poisson(rates[unit] / mean_burst * settings.duration_s))
        if is_bursting:
            sizes = rng.integers(FEWEST_IN_BURST, MOST_IN_BURST + 1, len(times))
            delays = [np.cumsum(np.r_[0, rng.uniform(*BURST_INTERVALS_S, size - 1)]) for size in sizes]
            times = np.concatenate([time + delay for time, delay in zip(times, delays, strict=True)] or [times])
        frames = np.sort(np.round(times * sampling_frequency).astype("int64"))
        frames = frames[(frames >= edge) & (frames < num_frames - edge)]
        frames = frames[np.diff(frames, prepend=-(10**9)) >= REFRACTORY_S * sampling_frequency]
        trains[str(unit)] = frames
    return si.NumpySorting.from_unit_dict([trains], sampling_frequency)
