"""
Events of many shapes to learn from: fast and slow rises, alpha functions, double decays, filtered by a dendrite.

One formula holds them all: `(1 - exp(-t / rise))^power * ((1 - slow) exp(-t / decay) + slow exp(-t / slow decay))`,
then a low-pass of the first order. A rise that is much slower than the decay gives the alpha function.
"""

from dataclasses import dataclass

import numpy as np
import scipy.signal

from ...events.waveform import TENTH

# An event begins where it first exceeds this part of its peak: where a person sees it begin. Events with a high power
# of the rise stay near 0 for a while after their formal start.
VISIBLE_PART = 0.02
# Part of the traces whose events have this kind of shape; the rest are differences of two exponentials.
ALPHA_PART, POWER_PART, DOUBLE_DECAY_PART, DENDRITE_PART = 0.12, 0.25, 0.2, 0.3
# Time constant of the rise of an alpha function, in decay time constants: any that is much longer than 1.
ALPHA_RISE = 30.0
# An event is computed for this many of its slowest decay time constants, at most so many ms.
NUM_DECAYS, LONGEST_MS = 7.0, 400.0


@dataclass(frozen=True)
class Shapes:
    """
    Shapes of the events of one trace.

    Attributes
    ----------
    tau_rise_ms, tau_decay_ms, slow_part : np.ndarray, shape (num_events,), float
    power : float
        Of the rise.
    slow_factor : float
        The slow decay, in fast decays.
    dendrite_ms : float
        Time constant of the low-pass; 0 for none.
    """

    tau_rise_ms: np.ndarray
    tau_decay_ms: np.ndarray
    slow_part: np.ndarray
    power: float
    slow_factor: float
    dendrite_ms: float


def random_shapes(rng: np.random.Generator, count: int) -> Shapes:
    """Shapes of `count` events around one random kind with random kinetics; the last of them is the typical one."""
    log_uniform = lambda low, high: float(np.exp(rng.uniform(np.log(low), np.log(high))))  # noqa: E731
    decay = log_uniform(0.5, 25.0)
    rise = np.clip(decay * log_uniform(0.02, 0.6), 0.05, 3.0)
    is_double = rng.random() < DOUBLE_DECAY_PART
    dendrite = log_uniform(0.1, 3.0) if rng.random() < DENDRITE_PART else 0.0
    spread = rng.uniform(0.05, 0.4) * np.append(np.ones(count), 0.0)
    rise = ALPHA_RISE * decay if rng.random() < ALPHA_PART else rise
    return Shapes(
        tau_rise_ms=rise * np.exp(spread * rng.standard_normal(count + 1)),
        tau_decay_ms=decay * np.exp(spread * rng.standard_normal(count + 1)),
        slow_part=np.full(count + 1, rng.uniform(0.1, 0.4) if is_double else 0.0),
        power=float(rng.uniform(1.5, 4.0)) if rng.random() < POWER_PART else 1.0,
        slow_factor=log_uniform(2.5, 8.0),
        dendrite_ms=min(dendrite, 0.5 * decay),
    )


def shape_of(shapes: Shapes, event: int, rate: float, delay_s: float = 0.0) -> np.ndarray:
    """
    One event of peak 1, sampled from its formal start on.

    Parameters
    ----------
    shapes : Shapes
    event : int
    rate : float
        Frames per second.
    delay_s : float, default: 0.0
        Time from the first frame to the formal start, below one frame.

    Returns
    -------
    np.ndarray, shape (num_frames,), float
    """
    rise, decay = shapes.tau_rise_ms[event], shapes.tau_decay_ms[event]
    slow = shapes.slow_factor * decay
    longest = (slow if shapes.slow_part[event] else decay) + shapes.dendrite_ms
    num_frames = int(min(NUM_DECAYS * longest, LONGEST_MS) * rate / 1000) + 3
    times = np.maximum((np.arange(num_frames) / rate - delay_s) * 1000, 0.0)
    falling = (1 - shapes.slow_part[event]) * np.exp(-times / decay)
    if shapes.slow_part[event]:
        falling += shapes.slow_part[event] * np.exp(-times / slow)
    values = -np.expm1(-times / rise)
    values = (values if shapes.power == 1 else values**shapes.power) * falling
    if shapes.dendrite_ms:
        left = np.exp(-1000 / (rate * shapes.dendrite_ms))
        values = scipy.signal.lfilter([1 - left], [1, -left], values)
    return values / values.max()


def visible_frames(values: np.ndarray) -> tuple[int, int]:
    """First frame at which an event of peak 1 is visible, and the first after its peak at which a tenth is left."""
    peak = int(values.argmax())
    first = int(np.argmax(values > VISIBLE_PART))
    is_over = values[peak:] < TENTH
    return first, peak + (int(np.argmax(is_over)) if is_over.any() else len(is_over))
