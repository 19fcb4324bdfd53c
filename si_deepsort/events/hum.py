"""Mains hum: sharp lines of the spectrum at multiples of 50 or 60 Hz are brought down to their surroundings."""

from typing import Any

import numpy as np
import scipy.fft

# Frequencies of the mains, in Hz: Europe and most of the world, the Americas and parts of Asia.
MAINS_HZ = (50.0, 60.0)
# Harmonics are looked for up to here, in Hz.
HIGHEST_HZ = 1000.0
# A line is lowered this far to each side, in Hz: the mains wander by about .2 Hz, times the harmonic.
HALF_WIDTH_HZ = 0.6
# Shorter traces, in s, do not resolve a line and stay as they are.
SHORTEST_S = 2.0
# Longer traces, in s, are cleaned in pieces that overlap by so much, in s: this bounds the memory, and hum may change.
LONGEST_PIECE_S, OVERLAP_S = 300.0, 10.0
# A line has this many times the power of its surroundings; noise alone reaches about 15.
SHARPNESS = 40.0


def remove_hum(values: Any, rate: float) -> None:
    """
    Remove mains hum where there is some, in place.

    Only lines that stand far above their surroundings are touched, and only within 0.6 Hz, so an event keeps its shape
    and a trace without hum stays as it is.

    Parameters
    ----------
    values : np.ndarray | StoredFrames, shape (num_frames,), float32
    rate : float
        Frames per second.
    """
    num_frames, longest, overlap = len(values), round(LONGEST_PIECE_S * rate), round(OVERLAP_S * rate)
    if num_frames <= longest:
        values[:] = _without_hum(values[:], rate)
        return
    num_pieces = -(-(num_frames - overlap) // (longest - overlap))
    starts = np.linspace(0, num_frames - overlap, num_pieces + 1).astype(int)
    weight, with_hum = np.linspace(0, 1, overlap, dtype="float32"), np.zeros(0, "float32")
    for start, stop in zip(starts[:-1], starts[1:] + overlap, strict=True):
        piece = np.array(values[start:stop])
        before = piece[: len(with_hum)].copy()  # the end of the piece before, from which hum is removed already
        piece[: len(with_hum)] = with_hum
        with_hum = piece[-overlap:].copy()
        piece = _without_hum(piece, rate)
        piece[: len(before)] = before + weight[: len(before)] * (piece[: len(before)] - before)  # without a step
        values[start:stop] = piece


def _without_hum(values, rate):
    """A trace without hum; the same array if there is none."""
    num_frames = len(values)
    if num_frames < SHORTEST_S * rate:
        return values
    size = scipy.fft.next_fast_len(num_frames, real=True)
    offset = values.mean()
    spectrum = scipy.fft.rfft(values - offset, size)
    hertz_per_bin = rate / size
    was_changed = False
    for mains in MAINS_HZ:
        for line in np.arange(mains, min(HIGHEST_HZ, 0.45 * rate), mains):
            was_changed |= _lower_line(spectrum, line, hertz_per_bin)
    if not was_changed:
        return values
    return (scipy.fft.irfft(spectrum, size)[:num_frames] + offset).astype("float32")


def _lower_line(spectrum, line, hertz_per_bin) -> bool:
    low, high = (round((line + side * HALF_WIDTH_HZ) / hertz_per_bin) for side in (-1, 1))
    width = max(8, round(3.0 / hertz_per_bin))
    around = np.abs(np.concatenate([spectrum[low - width : low], spectrum[high + 1 : high + 1 + width]]))
    inside = np.abs(spectrum[low : high + 1])
    usual = np.median(around)
    if usual == 0 or (inside.max() / usual) ** 2 < SHARPNESS:
        return False
    spectrum[low : high + 1] *= np.minimum(1.0, usual / np.maximum(inside, 1e-30))
    return True
