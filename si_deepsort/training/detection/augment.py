"""Vary the windows from which a detector learns: gain, noise, and a second spike nearby."""

import numpy as np

from .examples import Examples

# Values of added noise are clipped to this, in noise levels: what is larger may be a spike without label.
LARGEST_NOISE = 6.0
# Part of the windows to which noise is added, so that half of them stay as they were recorded.
NOISY_FRACTION = 0.5
# A second spike is at least so many frames of a window (0.5 ms at 20 kHz) from the middle...
CLOSEST_FRAMES = 10
# ...and has at least this part of its own size.
SMALLEST_SECOND = 0.3


def augment(
    examples: Examples,
    chosen: np.ndarray,
    spikes: np.ndarray,
    silence: np.ndarray,
    rng: np.random.Generator,
    *,
    gain_sd: float,
    noise_max: float,
    overlap_fraction: float,
) -> np.ndarray:
    """
    Windows with a random gain, some with more noise, some with a second spike.

    The added noise is a window without spike, reversed in time. The added spike is moved so far that its peak is not
    in the middle. Labels stay as they are.

    Parameters
    ----------
    examples : Examples
    chosen, spikes, silence : np.ndarray of int
        Indices of the examples to vary, and of all examples with and without a spike.
    gain_sd : float
        Standard deviation of the logarithm of the gain.
    noise_max : float
        Largest factor of the added noise.
    overlap_fraction : float
        Part of the windows that get a second spike.
    rng : np.random.Generator

    Returns
    -------
    np.ndarray, shape (num_chosen, num_neighbors, num_frames), float32
    """
    windows = examples.windows[chosen].astype("float32")
    number = len(chosen)
    windows *= np.exp(rng.normal(0, gain_sd, (number, 1, 1))).astype("float32")
    if noise_max > 0 and len(silence):
        noise = np.clip(examples.windows[rng.choice(silence, number)].astype("float32"), -LARGEST_NOISE, LARGEST_NOISE)
        share = rng.uniform(0, noise_max, number) * (rng.random(number) < NOISY_FRACTION)
        windows += noise[:, :, ::-1] * share[:, None, None].astype("float32")
        windows /= np.sqrt(1 + share[:, None, None] ** 2).astype("float32")
    if len(spikes):
        for row in np.flatnonzero(rng.random(number) < overlap_fraction):
            windows[row] += _moved(examples.windows[rng.choice(spikes)].astype("float32"), rng)
    return windows


def _moved(window, rng):
    num_frames = window.shape[1]
    shift = int(rng.integers(CLOSEST_FRAMES, num_frames // 2)) * int(rng.choice([-1, 1]))
    moved = np.zeros_like(window)
    if shift > 0:
        moved[:, shift:] = window[:, :-shift]
    else:
        moved[:, :shift] = window[:, -shift:]
    return moved * rng.uniform(SMALLEST_SECOND, 1.0)
