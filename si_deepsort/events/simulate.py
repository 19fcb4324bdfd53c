"""Simulate traces with known miniature potentials, overlaps, drift, mains hum, steps, artefacts and any noise."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas
import scipy.ndimage
import scipy.signal
import spikeinterface.core as si

from ..noise import noise_filter
from ..settings import Settings, setting
from .waveform import biexponential, end_time_ms, peak_time_ms, tau_of_rise_ms


@dataclass(frozen=True, kw_only=True)
class SimulationSettings(Settings):
    """A trace to be simulated. Amplitudes and noise are in one and the same unit, mV by default."""

    duration_s: float = setting(60.0, "Duration in s", minimum=0.01)
    sampling_frequency: float = setting(10_000.0, "In Hz", minimum=100.0)
    event_rate: float = setting(1.0, "Events per second, Poisson", minimum=0.0)
    amplitude_min: float = setting(0.3, "Smallest amplitude", minimum=0.0)
    amplitude_max: float = setting(1.0, "Largest amplitude; uniform between", minimum=0.0)
    rise_min_ms: float = setting(0.6, "Fastest rise from 10 to 90 %", minimum=0.01)
    rise_max_ms: float = setting(1.1, "Slowest rise", minimum=0.01)
    decay_min_ms: float = setting(2.0, "Fastest decay, a time constant", minimum=0.02)
    decay_max_ms: float = setting(8.0, "Slowest decay", minimum=0.02)
    polarity: int = setting(1, "1 for upward, -1 for downward events", choices=(1, -1))
    noise_sd: float = setting(0.1, "Standard deviation of the noise", minimum=0.0)
    noise_slope: float = setting(0.0, "Power of the noise falls as 1 / frequency^slope below the corner", minimum=0.0)
    noise_corner_hz: float = setting(300.0, "Corner of the coloured noise in Hz", minimum=1.0)
    low_pass_hz: float | None = setting(None, "Corner of the amplifier's filter in Hz; None: none", minimum=10.0)
    drift: float = setting(0.3, "Standard deviation of the slow drift", minimum=0.0)
    hum: float = setting(0.0, "Amplitude of the 50 Hz hum", minimum=0.0)
    artefact_rate: float = setting(0.1, "Electrode artefacts per second", minimum=0.0)
    artefact_size: float = setting(2.0, "Typical size of an artefact", minimum=0.0)
    step_rate: float = setting(0.0, "Steps of the baseline per second", minimum=0.0)
    pulse_rate: float = setting(0.0, "Test pulses per second", minimum=0.0)
    baseline: float = setting(0.0, "Resting level")
    seed: int = setting(0, "Random seed")


PRESETS = {
    "endplate": SimulationSettings(),
    "current": SimulationSettings(
        sampling_frequency=20_000.0,
        event_rate=2.0,
        amplitude_min=8.0,
        amplitude_max=40.0,
        rise_min_ms=0.3,
        rise_max_ms=1.0,
        decay_min_ms=2.0,
        decay_max_ms=8.0,
        polarity=-1,
        noise_sd=2.5,
        noise_slope=0.7,
        low_pass_hz=3000.0,
        drift=3.0,
        artefact_size=30.0,
        baseline=-120.0,
    ),
}


def simulate_events(
    settings: SimulationSettings | str = "endplate", *, noise: np.ndarray | None = None, **changes: Any
) -> tuple[si.NumpyRecording, pandas.DataFrame]:
    """
    A trace with miniature potentials and the table of their truth.

    Parameters
    ----------
    settings : SimulationSettings | "endplate" | "current", default: "endplate"
    noise : np.ndarray | None, shape (num_frames,), default: None
        Your own event-free noise at the same rate (see `event_free_noise`); repeated or cut to the duration. None
        makes noise as the settings say.
    **changes
        Settings to change, e.g. `seed=3, duration_s=20.0`.

    Returns
    -------
    recording : NumpyRecording
        One channel, float32.
    events : pandas.DataFrame
        onset_s, peak_s, end_s, amplitude (signed), rise_ms, decay_ms of each event, by onset.
    """
    if isinstance(settings, str):
        if settings not in PRESETS:
            raise ValueError(f"Unknown preset '{settings}', expected one of {sorted(PRESETS)} or SimulationSettings.")
        settings = PRESETS[settings]
    settings = replace(settings, **changes)
    rng = np.random.default_rng(settings.seed)
    rate = settings.sampling_frequency
    num_frames = max(1, round(settings.duration_s * rate))
    events = random_events(settings, rng)
    trace = settings.baseline + event_sum(events, num_frames, rate)
    if noise is None:
        trace += settings.noise_sd * colored_noise(num_frames, settings, rng)
    else:
        trace += np.resize(noise, num_frames)
    trace += slow_drift(num_frames, settings, rng) + disturbances(num_frames, settings, rng)
    recording = si.NumpyRecording([trace.astype("float32")[:, None]], rate)
    return recording, events


def random_events(settings: SimulationSettings, rng: np.random.Generator) -> pandas.DataFrame:
    """Table of events at Poisson times, with amplitude, rise and decay drawn uniformly within the settings."""
    count = rng.poisson(settings.event_rate * settings.duration_s)
    onsets = np.sort(rng.uniform(0, settings.duration_s, count))
    decay = rng.uniform(settings.decay_min_ms, settings.decay_max_ms, count)
    rise = rng.uniform(settings.rise_min_ms, settings.rise_max_ms, count)
    amplitude = settings.polarity * rng.uniform(settings.amplitude_min, settings.amplitude_max, count)
    return event_table(onsets, amplitude, tau_of_rise_ms(rise, decay), decay, rise)


def event_table(onsets_s, amplitude, tau_rise_ms, tau_decay_ms, rise_ms) -> pandas.DataFrame:
    """Table of bi-exponential events; all arguments of shape (num_events,)."""
    columns = dict(
        onset_s=onsets_s,
        peak_s=onsets_s + peak_time_ms(tau_rise_ms, tau_decay_ms) / 1000,
        end_s=onsets_s + end_time_ms(tau_rise_ms, tau_decay_ms) / 1000,
        amplitude=amplitude,
        rise_ms=rise_ms,
        decay_ms=tau_decay_ms,
        tau_rise_ms=tau_rise_ms,
    )
    return pandas.DataFrame(columns)


def event_sum(events: pandas.DataFrame, num_frames: int, rate: float) -> np.ndarray:
    """Trace of all events of a table, shape (num_frames,), float64."""
    return add_events(np.zeros(num_frames), events, rate)


def add_events(trace: np.ndarray, events: pandas.DataFrame, rate: float, first_frame: int = 0) -> np.ndarray:
    """Add all events of a table to a trace, or to frames of it from `first_frame` on, in place, and return it."""
    starts = np.maximum(0, np.ceil(events.onset_s.to_numpy() * rate)).astype(int)
    stops = starts + (10 * events.decay_ms.to_numpy() * rate / 1000).astype(int) + 2
    starts, stops = np.maximum(starts, first_frame), np.minimum(stops, first_frame + len(trace))
    columns = events[["onset_s", "amplitude", "tau_rise_ms", "decay_ms"]].to_numpy(float)
    for index in np.flatnonzero(starts < stops):
        onset, amplitude, tau_rise, tau_decay = columns[index]
        times = (np.arange(starts[index], stops[index]) / rate - onset) * 1000
        added = amplitude * biexponential(times, tau_rise, tau_decay)
        trace[starts[index] - first_frame : stops[index] - first_frame] += added
    return trace


def colored_noise(num_frames: int, settings: SimulationSettings, rng: np.random.Generator) -> np.ndarray:
    """Noise of standard deviation 1 with the slope and low-pass of the settings, shape (num_frames,)."""
    rate = settings.sampling_frequency
    frequencies = np.fft.rfftfreq(8192, 1 / rate)
    power = 1 + (settings.noise_corner_hz / np.maximum(frequencies, 2.0)) ** (2 * settings.noise_slope)
    power = power if settings.noise_slope > 0 else np.ones_like(frequencies)
    if settings.low_pass_hz is not None and settings.low_pass_hz < rate / 2:
        power = power / (1 + (frequencies / settings.low_pass_hz) ** 8)
    return shaped_noise(num_frames, frequencies, power, rate, rng)


def shaped_noise(num_frames, frequencies, power, rate, rng: np.random.Generator) -> np.ndarray:
    """Noise of standard deviation 1 with a given spectrum, shape (num_frames,)."""
    taps = noise_filter(frequencies, power, rate, num_taps=2047)
    return scipy.signal.oaconvolve(rng.standard_normal(num_frames + len(taps) - 1), taps, mode="valid")


def event_free_noise(trace: np.ndarray, onsets: np.ndarray, *, before: int, after: int) -> np.ndarray:
    """
    The stretches of a real trace that hold no event, joined without steps.

    Parameters
    ----------
    trace : np.ndarray, shape (num_frames,), float
    onsets : np.ndarray, shape (num_events,), int
        Frame of each event.
    before, after : int
        Frames to leave out around each onset.

    Returns
    -------
    np.ndarray, shape (num_quiet_frames,), float
        Each stretch minus the line through its ends.
    """
    is_quiet = np.ones(len(trace), dtype=bool)
    for onset in onsets:
        is_quiet[max(0, onset - before) : onset + after] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_quiet.astype("int8"), [0]])))
    pieces = []
    for start, stop in edges.reshape(-1, 2):
        if stop - start >= before + after:
            piece = trace[start:stop].astype(float)
            margin = max(1, before // 2)
            line = np.linspace(np.median(piece[:margin]), np.median(piece[-margin:]), len(piece))
            pieces.append(piece - line)
    return np.concatenate(pieces) if pieces else np.zeros(0)


def slow_drift(num_frames: int, settings: SimulationSettings, rng: np.random.Generator) -> np.ndarray:
    """Slow wandering of the baseline (below 1 Hz) of the standard deviation of the settings, shape (num_frames,)."""
    duration_s = num_frames / settings.sampling_frequency
    knots = np.cumsum(rng.standard_normal(int(duration_s) + 4))
    knots = (knots - knots.mean()) / max(knots.std(), 1e-9)
    times = np.linspace(1, len(knots) - 2, num_frames)
    return settings.drift * scipy.ndimage.map_coordinates(knots, times[None], order=3)


def disturbances(num_frames: int, settings: SimulationSettings, rng: np.random.Generator) -> np.ndarray:
    """Hum, steps, test pulses and electrode artefacts, shape (num_frames,)."""
    rate = settings.sampling_frequency
    duration_s = num_frames / rate
    times = np.arange(num_frames) / rate
    trace = settings.hum * np.sin(2 * np.pi * 50.0 * times + rng.uniform(0, 6.3))
    for start in rng.integers(0, num_frames, rng.poisson(settings.artefact_rate * duration_s)):
        shape = settings.artefact_size * rng.uniform(0.3, 1.5) * artefact_shape(rate, rng)
        stop = min(num_frames, start + len(shape))
        trace[start:stop] += shape[: stop - start]
    for start in rng.integers(0, num_frames, rng.poisson(settings.step_rate * duration_s)):
        trace[start:] += settings.artefact_size * rng.normal(0, 0.5)
    for start in rng.integers(0, num_frames, rng.poisson(settings.pulse_rate * duration_s)):
        stop = min(num_frames, start + round(rng.uniform(0.02, 0.2) * rate))
        pulse = 1 + 3 * np.exp(-np.arange(stop - start) / (rng.uniform(0.0003, 0.002) * rate))
        trace[start:stop] += settings.artefact_size * rng.choice([-1, 1]) * pulse
    return trace


def artefact_shape(rate: float, rng: np.random.Generator) -> np.ndarray:
    """One electrode artefact of size 1 that is no event: a click, a double click, a burst of hum, a slow bump."""
    sign = rng.choice([-1.0, 1.0])
    kind = rng.integers(4)
    if kind == 0:
        return sign * np.ones(max(1, round(rng.uniform(0.00005, 0.0008) * rate)))
    if kind == 1:
        half = np.ones(max(1, round(rng.uniform(0.0001, 0.003) * rate)))
        return sign * np.concatenate([half, -rng.uniform(0.5, 1) * half])
    if kind == 2:
        times = np.arange(round(rng.uniform(0.005, 0.03) * rate)) / rate
        return sign * np.sin(2 * np.pi * rng.uniform(200, 1500) * times) * np.hanning(len(times) + 2)[1:-1]
    return sign * np.hanning(round(rng.uniform(0.04, 0.15) * rate) + 2)[1:-1]
