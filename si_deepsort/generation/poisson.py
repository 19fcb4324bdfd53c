"""Independent Poisson trains: what simulations usually take, and real neurons never do."""

import numpy as np
import spikeinterface.core as si

from .settings import GenerationSettings


def random_sorting(num_units: int, settings: GenerationSettings, rng: np.random.Generator, rates=None):
    """
    Poisson spike trains with a refractory period of 2 ms; some units fire bursts of 2 to 5 spikes.

    Returns
    -------
    NumpySorting
        With unit ids "0", "1", ...
    """
    sampling_frequency = settings.sampling_frequency
    num_frames = round(settings.duration_s * sampling_frequency)
    edge = round(0.003 * sampling_frequency)
    if rates is None:
        low, high = np.log(max(settings.firing_rate_min, 1e-3)), np.log(max(settings.firing_rate_max, 1e-3))
        rates = np.exp(rng.uniform(low, high, num_units))
    trains = {}
    for unit in range(num_units):
        is_bursting = rng.random() < settings.burst_fraction
        mean_burst = 3.5 if is_bursting else 1.0
        times = rng.uniform(0, settings.duration_s, rng.poisson(rates[unit] / mean_burst * settings.duration_s))
        if is_bursting:
            sizes = rng.integers(2, 6, len(times))
            delays = [np.cumsum(np.r_[0, rng.uniform(0.003, 0.008, size - 1)]) for size in sizes]
            times = np.concatenate([time + delay for time, delay in zip(times, delays, strict=True)] or [times])
        frames = np.sort(np.round(times * sampling_frequency).astype("int64"))
        frames = frames[(frames >= edge) & (frames < num_frames - edge)]
        frames = frames[np.diff(frames, prepend=-(10**9)) >= 0.002 * sampling_frequency]
        trains[str(unit)] = frames
    return si.NumpySorting.from_unit_dict([trains], sampling_frequency)
