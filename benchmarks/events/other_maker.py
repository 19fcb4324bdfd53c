"""
A second maker of traces with known events, for `benchmarks/events/events.py`. No network is trained on its traces.

It shares no formula with `si_deepsort.events.simulate` and with the training. Its events are solved from kinetics:
release over a gamma-distributed time into a membrane, a receptor with a closed, an open and a desensitised state, and
a decay that follows a power law. Its noise is made in time, not in frequency: pink noise of Voss and McCartney
(Gardner 1978), Ornstein-Uhlenbeck processes, single channels that open and close, a causal amplifier, a converter.
Its hum is a clipped sine. Sizes begin at 2.5 noise standard deviations.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas
import scipy.interpolate
import scipy.linalg
import scipy.signal
import spikeinterface.core as si

DURATION_S = 30.0
# Smallest event in standard deviations of the noise.
SMALLEST_SIZE = 2.5
# Events are followed this long, in s.
LONGEST_S = 0.25


@dataclass(frozen=True)
class Preparation:
    """
    What is recorded, and with what.

    Attributes
    ----------
    rate : float
        Frames per second.
    direction : int
    noise_sd : tuple of float
        Smallest and largest, in the unit of the trace.
    sizes : callable
        (rng, count, noise_sd) gives amplitudes in the unit of the trace.
    events_per_s : tuple of float
    shape : callable
        (rng, times in s) gives one event of any size at these times since its release.
    mains_hz, baseline : float
    colour : float
        Largest standard deviation of pink and other slow noise, in standard deviations of the thermal noise.
    corner_hz : tuple of float
        Lowest and highest corner of the amplifier.
    kinetics_ms : tuple of float
        Rise (10 to 90 %) and decay time constant of a typical event, for methods that must be told.
    """

    rate: float
    direction: int
    noise_sd: tuple[float, float]
    sizes: Callable
    events_per_s: tuple[float, float]
    shape: Callable
    mains_hz: float
    baseline: float
    colour: float
    corner_hz: tuple[float, float]
    kinetics_ms: tuple[float, float]


def make_recording(kind: str, seed: int, noise: np.ndarray | None = None):
    """
    One trace and its truth.

    Parameters
    ----------
    kind : str
        A key of `PREPARATIONS`.
    seed : int
    noise : np.ndarray | None, default: None
        Real noise at the rate of the preparation, taken from a random place on; None makes noise.

    Returns
    -------
    recording : NumpyRecording
    truth : pandas.DataFrame
        `onset_s` is the release, `end_s` the decay to 1/e after the peak (one decay constant for an exponential),
        `tenth_s` the decay to a tenth, `size` the amplitude in standard deviations of the noise.
    """
    preparation = PREPARATIONS[kind]
    rng = np.random.default_rng([seed, *kind.encode()])
    num_frames = round(DURATION_S * preparation.rate)
    if noise is None:
        noise = amplified_noise(num_frames, preparation, rng) * rng.uniform(*preparation.noise_sd)
    else:
        noise = np.resize(np.roll(noise, -rng.integers(len(noise))), num_frames)
    events, truth = made_events(preparation, num_frames, noise.std(), rng)
    trace = noise + preparation.direction * events + hum(num_frames, preparation, noise.std(), rng)
    trace += preparation.baseline + drift(num_frames, preparation.rate, noise.std(), rng)
    trace += artefacts(num_frames, preparation.rate, noise.std(), rng)
    step = noise.std() / rng.uniform(3, 30)  # the converter
    trace = step * np.round(trace / step)
    return si.NumpyRecording([trace.astype("float32")[:, None]], preparation.rate), truth


def made_events(preparation, num_frames, noise_sd, rng):
    """Sum of all events and the table of their truth; they rest between releases for a random time."""
    rate = preparation.rate
    gaps = rng.gamma(1.3, 1 / (1.3 * rng.uniform(*preparation.events_per_s)), int(40 * DURATION_S))
    releases = np.cumsum(gaps)
    releases = releases[releases < DURATION_S - 0.05]
    sizes = preparation.sizes(rng, len(releases), noise_sd)
    trace, rows = np.zeros(num_frames + round(LONGEST_S * rate) + 2), []
    for release, size in zip(releases, sizes, strict=True):
        first = int(np.ceil(release * rate))
        times = np.arange(first, first + round(LONGEST_S * rate)) / rate - release
        values = preparation.shape(rng, times)
        values = size * values / values.max()
        trace[first : first + len(values)] += values
        peak = values.argmax()
        ends = [times[peak + np.argmax(values[peak:] < part * size)] for part in (np.exp(-1), 0.1)]
        rows.append((release, release + times[peak], release + ends[0], release + ends[1], size, size / noise_sd))
    columns = ["onset_s", "peak_s", "end_s", "tenth_s", "amplitude", "size"]
    return trace[:num_frames], pandas.DataFrame(rows, columns=columns)


def endplate_potential(rng, times_s):
    """Release over a gamma-distributed time charges a membrane that leaks: rise .6 to 1.1, decay 2 to 8 ms."""
    release = scipy.signal.fftconvolve(
        (times_s * 1000) ** 1.5 * np.exp(-times_s * 1000 / rng.uniform(0.18, 0.32)),
        np.exp(-(times_s - times_s[0]) * 1000 / rng.uniform(2.0, 8.0)),
    )
    return np.maximum(release[: len(times_s)], 0)


def receptor_current(rng, times_s):
    """Open part of a receptor with a closed, an open and a desensitised state after a brief transmitter."""
    closing, opening = 1 / rng.uniform(0.0008, 0.004), 1 / rng.uniform(0.0001, 0.0004)
    desensitising, recovering = 1 / rng.uniform(0.003, 0.02), 1 / rng.uniform(0.02, 0.08)
    rates = np.array(
        [[-opening, 0, 0, 0], [opening, -closing - desensitising, 0, recovering], [0, closing, 0, 0], [0] * 4], float
    )
    rates[3] = [0, desensitising, 0, -recovering]
    values, vectors = scipy.linalg.eig(rates)
    weights = np.linalg.solve(vectors, [1, 0, 0, 0])
    return np.maximum((vectors[1] * weights * np.exp(np.multiply.outer(times_s, values))).sum(axis=1).real, 0)


def slow_current(rng, times_s):
    """A sigmoid rise, and a decay that follows a power law."""
    rise_s, decay_s, order = rng.uniform(0.0004, 0.0012), rng.uniform(0.012, 0.03), rng.uniform(2.0, 4.0)
    return np.tanh(times_s / rise_s) ** 2 * (1 + times_s / decay_s) ** -order


def small_and_large(rng, count, noise_sd):
    """Gamma-distributed sizes from the smallest on."""
    return noise_sd * (SMALLEST_SIZE + rng.gamma(1.6, 2.0, count))


def quanta(rng, count, noise_sd):
    """Quantal potentials of .3 to 1 mV, whatever the noise is."""
    return np.maximum(rng.uniform(0.3, 1.0, count), SMALLEST_SIZE * noise_sd)


def amplified_noise(num_frames: int, preparation: Preparation, rng) -> np.ndarray:
    """Noise of standard deviation 1, as a causal amplifier gives it."""
    rate, colour = preparation.rate, preparation.colour
    noise = rng.standard_normal(num_frames)
    noise += rng.uniform(0, colour) * pink(num_frames, rng)
    noise += rng.uniform(0, colour) * wandering(num_frames, rate * 10 ** rng.uniform(-3, -1.5), rng)
    noise += rng.uniform(0, colour) * open_channels(num_frames, rate * rng.uniform(0.0005, 0.008), rng)
    corner = min(0.45 * rate, rng.uniform(*preparation.corner_hz))
    noise = scipy.signal.sosfilt(scipy.signal.bessel(4, corner, fs=rate, norm="mag", output="sos"), noise)
    return noise / noise.std()


def pink(num_frames, rng):
    """Voss and McCartney: a sum of values that are held for 1, 2, 4, ... frames."""
    total = np.zeros(num_frames)
    for octave in range(15):
        held = 2**octave
        values = np.repeat(rng.standard_normal(num_frames // held + 2), held)
        total += values[rng.integers(held) :][:num_frames]
    return total / total.std()


def wandering(num_frames, frames, rng):
    """Ornstein-Uhlenbeck process that forgets within so many frames."""
    left = np.exp(-1 / frames)
    return scipy.signal.lfilter([np.sqrt(1 - left**2)], [1, -left], rng.standard_normal(num_frames))


def open_channels(num_frames, frames, rng, num_channels=25):
    """Number of open channels, each of which opens and closes by itself; standard deviation 1, mean 0."""
    total = np.zeros(num_frames)
    for _ in range(num_channels):
        changes = np.cumsum(rng.exponential(frames, int(2.5 * num_frames / frames) + 20)).astype(int)
        np.add.at(total, changes[changes < num_frames][::2], 1)
        np.add.at(total, changes[changes < num_frames][1::2], -1)
    total = np.cumsum(total)
    return (total - total.mean()) / max(total.std(), 1e-9)


def hum(num_frames, preparation, noise_sd, rng):
    """A sine of the mains that a supply clips, and a part of it that is rectified."""
    phase = 2 * np.pi * (preparation.mains_hz + rng.uniform(-0.05, 0.05)) * np.arange(num_frames) / preparation.rate
    sine = np.sin(phase + rng.uniform(0, 6.3))
    return rng.uniform(0, 0.8) * noise_sd * (np.clip(1.5 * sine, -1, 1) + rng.uniform(0, 0.4) * np.abs(sine))


def drift(num_frames, rate, noise_sd, rng):
    """Breathing, a seal that settles, and a walk."""
    times = np.arange(num_frames) / rate
    breathing = rng.uniform(0, 2) * np.sin(2 * np.pi * rng.uniform(0.15, 0.5) * times + rng.uniform(0, 6.3))
    settling = rng.uniform(-10, 10) * np.exp(-times / rng.uniform(2, 20))
    steps = rng.standard_normal(int(DURATION_S) + 2).cumsum()
    walk = rng.uniform(0, 1.5) * scipy.interpolate.CubicSpline(np.arange(len(steps)), steps)(times)
    return noise_sd * (breathing + settling + walk)


def artefacts(num_frames, rate, noise_sd, rng):
    """Capacitive transients, ringing and movements of the cell, 0 to 12 a minute."""
    trace = np.zeros(num_frames)
    for _ in range(rng.poisson(rng.uniform(0, 0.2) * DURATION_S)):
        times = np.arange(round(0.25 * rate)) / rate
        kind = rng.integers(3)
        if kind == 0:
            shape = np.exp(-times / rng.uniform(0.00005, 0.0005))
        elif kind == 1:
            shape = np.exp(-times / rng.uniform(0.002, 0.008)) * np.sin(2 * np.pi * rng.uniform(200, 900) * times)
        else:
            shape = np.sin(np.minimum(times / rng.uniform(0.08, 0.25), 1) * np.pi) ** 2
        start = rng.integers(0, num_frames - len(times))
        trace[start : start + len(times)] += rng.choice([-1, 1]) * rng.uniform(4, 25) * noise_sd * shape
    return trace


_POTENTIALS = Preparation(
    rate=10_000.0,
    direction=1,
    noise_sd=(0.05, 0.14),
    sizes=quanta,
    events_per_s=(0.7, 1.5),
    shape=endplate_potential,
    mains_hz=50.0,
    baseline=-72.0,
    colour=0.6,
    corner_hz=(1500.0, 5000.0),
    kinetics_ms=(0.85, 5.0),
)
PREPARATIONS = {
    "end-plate potentials": _POTENTIALS,
    "potentials in coloured noise": replace(_POTENTIALS, colour=2.0, corner_hz=(400.0, 1500.0)),
    "receptor currents": replace(
        _POTENTIALS,
        rate=20_000.0,
        direction=-1,
        noise_sd=(1.5, 6.0),
        sizes=small_and_large,
        events_per_s=(0.8, 4.0),
        shape=receptor_current,
        mains_hz=60.0,
        baseline=-85.0,
        kinetics_ms=(0.35, 2.0),
    ),
    "slow currents": replace(
        _POTENTIALS,
        rate=25_000.0,
        direction=-1,
        noise_sd=(2.0, 8.0),
        sizes=small_and_large,
        events_per_s=(0.5, 2.0),
        shape=slow_current,
        baseline=-30.0,
        kinetics_ms=(0.9, 10.0),
    ),
}
