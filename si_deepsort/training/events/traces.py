"""
Simulated traces to learn miniature potentials from: every trace has its own kinetics, noise, size and disturbances.

All are made at the network's rate and go through the same preparation as a user's recording.
"""

import numpy as np
import scipy.signal
import spikeinterface.core as si
import torch

from ...events.prepare import MODEL_RATE, network_input, prepare_trace, trace_noise_level
from ...events.probability import WINDOW_FRAMES
from ...events.simulate import SimulationSettings, colored_noise, disturbances, event_sum, event_table, slow_drift
from ...events.waveform import biexponential, rise_time_ms, tau_of_rise_ms

# The network is asked whether an event begins within this time, in ms, to either side.
ONSET_HALF_WIDTH_MS = 1.0
# Smallest signal-to-noise ratio of the best linear detector; smaller events cannot be learnt.
SMALLEST_SNR = 4.2


def simulated_batches(seed: int, *, num_traces: int, duration_s: float = 10.0, batch_size: int = 12, real_noise=()):
    """
    Batches of windows from random traces.

    Parameters
    ----------
    seed : int
    num_traces : int
    duration_s : float, default: 10.0
        Duration of each trace in s.
    batch_size : int, default: 12
    real_noise : sequence of np.ndarray, shape (num_frames,)
        Event-free noise at `MODEL_RATE`; a third of the traces are made on it.

    Yields
    ------
    (windows, labels) : tuple of Tensor, shapes (batch_size, 1, frames) and (batch_size, 2, frames), float32
    """
    rng = np.random.default_rng(seed)
    windows, labels = [], []
    for _ in range(num_traces):
        inputs, targets = random_trace(rng, duration_s, real_noise)
        for start in range(0, len(inputs) - WINDOW_FRAMES + 1, WINDOW_FRAMES):
            windows.append(inputs[start : start + WINDOW_FRAMES])
            labels.append(targets[:, start : start + WINDOW_FRAMES])
        if len(windows) >= 24 * batch_size:  # windows of two dozen batches are mixed
            yield from _shuffled_batches(windows, labels, batch_size, rng)
            windows, labels = [], []
    yield from _shuffled_batches(windows, labels, batch_size, rng)


def random_trace(rng: np.random.Generator, duration_s: float, real_noise=()):
    """
    One trace as the network sees it, and what it should say.

    Returns
    -------
    inputs : np.ndarray, shape (num_frames,), float32
    targets : np.ndarray, shape (2, num_frames), float32
    """
    num_frames = round(duration_s * MODEL_RATE)
    settings = _random_settings(rng, duration_s)
    if len(real_noise) and rng.random() < 1 / 3:
        noise = _random_stretch(real_noise, num_frames, rng)
        noise = noise * rng.choice([-1, 1]) / noise.std()
    else:
        noise = colored_noise(num_frames, settings, rng)
    events = _random_events(noise, settings, rng)
    trace = noise + event_sum(events, num_frames, MODEL_RATE)
    if rng.random() < 0.3:  # events the other way are no events
        trace -= event_sum(_random_events(noise, settings, rng), num_frames, MODEL_RATE)
    trace += slow_drift(num_frames, settings, rng) + disturbances(num_frames, settings, rng)
    if rng.random() < 0.06:
        _add_stimulus_artefacts(trace, events, settings.artefact_size, rng)
    if settings.low_pass_hz is not None:
        sos = scipy.signal.bessel(2, settings.low_pass_hz, output="sos", fs=MODEL_RATE, norm="mag")
        trace = scipy.signal.sosfiltfilt(sos, trace)
    recording = si.NumpyRecording([trace.astype("float32")[:, None]], MODEL_RATE)
    prepared = prepare_trace(recording, 0)
    noise_level = trace_noise_level([prepared]) * np.exp(rng.normal(0, 0.1))
    inputs, targets = network_input(prepared.values[:], noise_level, 1), event_targets(events, num_frames, MODEL_RATE)
    if rng.random() < 0.1:
        _cut_into_sweeps(inputs, targets, rng)
    return inputs, targets


def event_targets(events, num_frames: int, rate: float, time_scale: float = 1.0) -> np.ndarray:
    """
    What the network should say: inside an event, and near an onset; shape (2, num_frames), float32.

    Parameters
    ----------
    events : pandas.DataFrame
        With `onset_s` and `end_s`.
    """
    targets = np.zeros((2, num_frames), dtype="float32")
    half_width = ONSET_HALF_WIDTH_MS * time_scale / 1000
    for onset, end in zip(events.onset_s, events.end_s, strict=True):
        targets[0, max(0, round(onset * rate)) : max(0, round(end * rate))] = 1
        targets[1, max(0, round((onset - half_width) * rate)) : max(0, round((onset + half_width) * rate) + 1)] = 1
    return targets


def _add_stimulus_artefacts(trace, events, size, rng):
    """A sharp pulse just before some events, as of a stimulus or a presynaptic spike, does not make them artefacts."""
    width, lead = rng.integers(1, 6), rng.integers(0, 10)
    for onset in events.onset_s[rng.random(len(events)) < 0.7]:
        stop = round(onset * MODEL_RATE) - lead
        trace[max(0, stop - width) : max(0, stop)] += size * rng.choice([-1, 1]) * rng.uniform(0.5, 1.5)


def _cut_into_sweeps(inputs, targets, rng):
    """Nothing but zeros (whose truth is unknown) between short sweeps."""
    for start in range(0, len(inputs), WINDOW_FRAMES):
        length = round(np.exp(rng.uniform(np.log(100), np.log(2000))))
        first = start + rng.integers(0, WINDOW_FRAMES - length)
        for gap in (slice(start, first), slice(first + length, start + WINDOW_FRAMES)):
            inputs[gap], targets[:, gap] = 0.0, -1.0


def _random_settings(rng, duration_s):
    """Noise of standard deviation 1 with everything else random."""
    log_uniform = lambda low, high: float(np.exp(rng.uniform(np.log(low), np.log(high))))  # noqa: E731
    sometimes = lambda chance, value: float(value) if rng.random() < chance else 0.0  # noqa: E731
    return SimulationSettings(
        duration_s=duration_s,
        sampling_frequency=MODEL_RATE,
        event_rate=sometimes(0.85, log_uniform(0.3, 12.0)),
        noise_slope=sometimes(0.65, rng.uniform(0.2, 1.0)),
        noise_corner_hz=log_uniform(30.0, 1000.0),
        low_pass_hz=log_uniform(300.0, 4000.0) if rng.random() < 0.5 else None,
        drift=sometimes(0.7, log_uniform(0.1, 20.0)),
        hum=sometimes(0.3, log_uniform(0.1, 1.5)),
        artefact_rate=sometimes(0.6, log_uniform(0.1, 3.0)),
        artefact_size=log_uniform(2.0, 60.0),
        step_rate=sometimes(0.15, 0.3),
        pulse_rate=sometimes(0.15, 0.3),
    )


def _random_events(noise, settings, rng):
    """Events whose sizes are spread around a typical signal-to-noise ratio of the trace."""
    count = rng.poisson(settings.event_rate * settings.duration_s)
    onsets = np.sort(rng.uniform(0, settings.duration_s, count))
    typical_decay = np.exp(rng.uniform(np.log(0.5), np.log(25.0)))
    typical_rise = np.clip(typical_decay * np.exp(rng.uniform(np.log(0.04), np.log(1.0))), 0.1, 4.0)
    jitter = rng.uniform(0.05, 0.4)
    decay = typical_decay * np.exp(jitter * rng.standard_normal(count))
    tau_rise = tau_of_rise_ms(typical_rise * np.exp(jitter * rng.standard_normal(count)), decay)
    typical_snr = np.exp(rng.uniform(np.log(5.7), np.log(85.0)))
    snr = np.maximum(SMALLEST_SNR, typical_snr * np.exp(rng.uniform(0.1, 0.6) * rng.standard_normal(count)))
    unit_snr = matched_snr(noise, float(tau_of_rise_ms(typical_rise, typical_decay)), typical_decay)
    return event_table(onsets, snr / unit_snr, tau_rise, decay, rise_time_ms(tau_rise, decay))


def matched_snr(noise: np.ndarray, tau_rise_ms: float, tau_decay_ms: float) -> float:
    """Signal-to-noise ratio of an event of amplitude 1 for the best linear detector in this noise, above 5 Hz."""
    size = 4096
    frequencies, power = scipy.signal.welch(noise, MODEL_RATE, nperseg=size)
    waveform = biexponential(np.arange(size) / MODEL_RATE * 1000, tau_rise_ms, tau_decay_ms)
    energy = np.abs(np.fft.rfft(waveform) / MODEL_RATE) ** 2
    floor = 1e-3 * power.max()  # beyond the amplifier's filter there is neither noise nor signal
    return float(np.sqrt((4 * energy / np.maximum(power, floor))[frequencies > 5].sum() * frequencies[1]))


def _random_stretch(pool, num_frames, rng):
    noise = pool[rng.integers(len(pool))]
    start = rng.integers(len(noise))
    return np.resize(np.roll(noise, -start), num_frames)


def _shuffled_batches(windows, labels, batch_size, rng):
    order = rng.permutation(len(windows))
    for first in range(0, len(order) - batch_size + 1, batch_size):
        chosen = order[first : first + batch_size]
        yield (
            torch.from_numpy(np.stack([windows[index] for index in chosen])[:, None]),
            torch.from_numpy(np.stack([labels[index] for index in chosen])),
        )
