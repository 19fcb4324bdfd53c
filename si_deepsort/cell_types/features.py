"""Features that tell cell types apart: the duration of the spike and the tendency to burst."""

import numpy as np
from scipy.interpolate import CubicSpline

# The trough is searched this far around the given sample, in ms; the peak after it up to this much later, which is as
# long as the training waveforms are.
TROUGH_MS, LONGEST_MS = 0.3, 0.8
# Waveforms are interpolated at this step, in ms: a tenth of the difference that matters.
STEP_MS = 0.005
# Lags of bursts in ms, and lags without refractoriness or bursts, with which they are compared; edges of bins of .5 ms.
BURST_MS, BASE_MS = (2.25, 8.25), (19.75, 50.25)
# Added to both rates in Hz, so that units with few spikes have a ratio near 1.
OFFSET_HZ = 0.5


def trough_to_peak_ms(waveform: np.ndarray, sampling_frequency: float, nbefore: int) -> float:
    """
    Time from the trough of a spike to the peak after it.

    Parameters
    ----------
    waveform : np.ndarray, shape (num_samples,), float
        Mean waveform on the main channel, in any unit.
    sampling_frequency : float
        In Hz.
    nbefore : int
        Sample near the trough.

    Returns
    -------
    float
        In ms; NaN if the waveform is shorter than a trough and a peak, or flat.
    """
    waveform = np.asarray(waveform, dtype=float)
    if len(waveform) < 4 or not np.isfinite(waveform).all() or np.ptp(waveform) == 0:
        return np.nan
    times = (np.arange(len(waveform)) - nbefore) * 1000 / sampling_frequency
    fine = np.arange(times[0], times[-1], STEP_MS)
    values = CubicSpline(times, waveform)(fine)
    near = np.flatnonzero(np.abs(fine) <= TROUGH_MS)
    if len(near) == 0:
        return np.nan
    trough = near[values[near].argmin()]
    after = np.flatnonzero((fine > fine[trough]) & (fine <= fine[trough] + LONGEST_MS))
    if len(after) == 0:
        return np.nan
    return float(fine[after[values[after].argmax()]] - fine[trough])


def burst_index(trains_s: list[np.ndarray]) -> float:
    """
    Logarithm of the rate of spikes 2 to 8 ms after another one over the rate 20 to 50 ms after it.

    Parameters
    ----------
    trains_s : list of np.ndarray, shape (num_spikes,), float64
        Spike times in s, ascending, of each segment.

    Returns
    -------
    float
        0 for a unit without spikes.
    """
    num_spikes = sum(len(train) for train in trains_s)
    burst, base = (_rate_hz(trains_s, num_spikes, *limits) for limits in (BURST_MS, BASE_MS))
    return burst_index_of_rates(burst, base)


def burst_index_of_rates(burst_hz: float, base_hz: float) -> float:
    """The burst index from the two rates of an autocorrelogram, in Hz."""
    return float(np.log((burst_hz + OFFSET_HZ) / (base_hz + OFFSET_HZ)))


def _rate_hz(trains_s, num_spikes, low_ms, high_ms) -> float:
    """Mean rate at some lags after a spike, in Hz."""
    if num_spikes == 0:
        return 0.0
    pairs = sum(
        (np.searchsorted(train, train + high_ms / 1000) - np.searchsorted(train, train + low_ms / 1000)).sum()
        for train in trains_s
    )
    return pairs / (num_spikes * (high_ms - low_ms) / 1000)
