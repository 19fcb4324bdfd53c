"""Field potentials and spikes with known coupling, so that what an analysis recovers can be checked."""

from dataclasses import dataclass

import numpy as np
import scipy.signal
from scipy.special import i0

from .bands import BANDS
from .targets import Session


@dataclass(frozen=True)
class PlantedUnit:
    """
    A unit whose rate follows one band.

    Attributes
    ----------
    band : str
    strength : float
        0: no coupling. With coupling to the phase, the concentration of a von Mises law; with coupling to the
        amplitude, the change of the log rate per standard deviation of the log amplitude.
    rate_hz : float
        Mean rate.
    coupling : "phase" | "amplitude"
    preferred_phase : float
        In radians; 0 is the peak of the oscillation.
    label : str
        Cell type: "narrow" (inhibitory) or "wide" (excitatory).
    """

    band: str = "theta"
    strength: float = 0.6
    rate_hz: float = 5.0
    coupling: str = "phase"
    preferred_phase: float = 0.0
    label: str = "wide"


def simulate_session(
    units: list[PlantedUnit],
    *,
    duration_s: float = 300.0,
    sampling_frequency: float = 500.0,
    num_channels: int = 1,
    bands: dict | None = None,
    seed: int = 0,
    **labels,
) -> Session:
    """
    A field potential of 1/f background and one oscillation per band, and units that follow it.

    Parameters
    ----------
    units : list of PlantedUnit
    duration_s, sampling_frequency : float
    num_channels : int, default: 1
        Channels share the oscillations and have half of the background in common.
    bands : dict of (low, high) in Hz | None, default: None
        None takes `BANDS`.
    seed : int, default: 0
    **labels
        name, participant, region, hemisphere of the session.

    Returns
    -------
    Session
        Field potential in uV; spikes at the same sampling rate; `unit_labels` holds the cell types.
    """
    from spikeinterface.core import NumpyRecording

    bands = bands or BANDS
    unknown = sorted({unit.band for unit in units} - set(bands))
    if unknown:
        raise ValueError(f"Units are coupled to {unknown}, but the bands are {list(bands)}.")
    random = np.random.default_rng(seed)
    num_frames = round(duration_s * sampling_frequency)
    oscillations = {
        band: _oscillation(low, high, num_frames, sampling_frequency, random) for band, (low, high) in bands.items()
    }
    shared = _background(num_frames, sampling_frequency, random)
    channels = [
        (shared + _background(num_frames, sampling_frequency, random)) / np.sqrt(2) for _ in range(num_channels)
    ]
    # an oscillation is 1.5 times as strong as the background in its band
    for band, (low, high) in bands.items():
        level = 1.5 * _band_sd(shared, low, high, sampling_frequency)
        channels = [channel + level * oscillations[band].real for channel in channels]
    sorting = _draw_spikes(units, oscillations, sampling_frequency, random)
    traces = 100 * np.stack(channels, axis=1).astype(np.float32)
    cell_types = {f"unit{index}": unit.label for index, unit in enumerate(units)}
    return Session(NumpyRecording([traces], sampling_frequency), sorting, unit_labels=cell_types, **labels)


def threshold_toy(
    duration_s: float = 60.0, *, sampling_frequency: float = 1000.0, threshold: float = 2.0, seed: int = 0
):
    """
    Sines of 10, 15, 30 and 55 Hz plus noise of sd 0.5; a spike wherever the sum exceeds a threshold.

    To be predicted from the past. The noise cannot be predicted, so the best possible probability is known.

    Returns
    -------
    traces : np.ndarray, shape (num_frames, 1), float32
    has_spike : np.ndarray, shape (num_frames,), bool
    probability : np.ndarray, shape (num_frames,)
        Probability of a spike, for someone who knows the sines but not the noise.
    """
    from scipy.stats import norm

    time = np.arange(round(duration_s * sampling_frequency)) / sampling_frequency
    sines = sum(np.sin(2 * np.pi * frequency * time) for frequency in (10, 15, 30, 55))
    traces = sines + np.random.default_rng(seed).normal(0, 0.5, len(time))
    return traces[:, None].astype(np.float32), traces > threshold, norm.cdf((sines - threshold) / 0.5)


def _draw_spikes(units, oscillations, sampling_frequency, random):
    from spikeinterface.core import NumpySorting

    trains = {}
    for index, unit in enumerate(units):
        probability = unit.rate_hz * _modulation(unit, oscillations[unit.band]) / sampling_frequency
        trains[f"unit{index}"] = np.flatnonzero(random.random(len(probability)) < probability)
    return NumpySorting.from_unit_dict([trains], sampling_frequency)


def _background(num_frames, sampling_frequency, random):
    frequency = np.fft.rfftfreq(num_frames, 1 / sampling_frequency)
    spectrum = random.normal(size=(2, len(frequency))).T @ [1, 1j]
    spectrum *= np.maximum(frequency, 0.5) ** -0.75  # power falls as 1 / f^1.5
    trace = np.fft.irfft(spectrum, num_frames)
    return trace / trace.std()


def _oscillation(low, high, num_frames, sampling_frequency, random):
    """Analytic signal of noise in the middle of the band, so that phase and amplitude wander; real part has sd 1."""
    quarter = (high - low) / 4
    sos = scipy.signal.butter(2, [low + quarter, high - quarter], btype="bandpass", fs=sampling_frequency, output="sos")
    analytic = scipy.signal.hilbert(scipy.signal.sosfiltfilt(sos, random.normal(size=num_frames)))
    return analytic / analytic.real.std()


def _band_sd(trace, low, high, sampling_frequency):
    sos = scipy.signal.butter(2, [low, high], btype="bandpass", fs=sampling_frequency, output="sos")
    return scipy.signal.sosfiltfilt(sos, trace).std()


def _modulation(unit, oscillation):
    """Factor of the rate at each frame, with mean about 1."""
    if unit.coupling == "phase":
        factor = np.exp(unit.strength * np.cos(np.angle(oscillation) - unit.preferred_phase)) / i0(unit.strength)
    elif unit.coupling == "amplitude":
        amplitude = np.log(np.abs(oscillation) + 1e-9)
        factor = np.exp(unit.strength * (amplitude - amplitude.mean()) / amplitude.std())
    else:
        raise ValueError(f"coupling is '{unit.coupling}'; expected 'phase' or 'amplitude'.")
    return factor / factor.mean()
