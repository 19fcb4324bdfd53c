"""Products of white traces with spike waveforms and spatial profiles, a block of places after the other."""

import math
from collections.abc import Iterator

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from .energy_kernels import PLACES_AT_ONCE

# Values of projected traces that are computed together, so that they stay in the processor's cache. Chosen by speed.
MOST_PROJECTED = 250_000
# Smallest number of channels whose energy is computed together: profiles are local, so with all channels of a long
# probe together most products would be 0. Chosen by speed.
LEAST_GROUP_CHANNELS = 12


def num_places(traces: np.ndarray, filters, stride: int) -> int:
    """Places at which a waveform lies inside the traces."""
    return max(0, (len(traces) - filters.directions.shape[1]) // stride + 1)


def products_of(traces: np.ndarray, filters, stride: int) -> Iterator[tuple]:
    """
    Products of traces with directions and profiles: first and last place, channels, and products with both profiles.

    The products have the shape (num_rows, num_blocks, num_directions * PLACES_AT_ONCE).
    """
    num_channels, last = traces.shape[1], num_places(traces, filters, stride)
    delayed = _delayed(directions_below(filters.directions, stride), stride)
    num_blocks = max(1, MOST_PROJECTED // (delayed.shape[1] * num_channels))
    num_blocks = min(num_blocks, max(1, math.ceil(last / PLACES_AT_ONCE)))
    step = PLACES_AT_ONCE * num_blocks
    stretch = np.empty(((step - PLACES_AT_ONCE) * stride + len(delayed), num_channels), dtype="float32")
    blocks = sliding_window_view(stretch, len(delayed), axis=0)[:: PLACES_AT_ONCE * stride]
    projected = np.empty((num_channels, num_blocks, delayed.shape[1]), dtype="float32")
    order, groups = _local_groups(filters.profiles)
    for start in range(0, last, step):
        own = traces[start * stride : start * stride + len(stretch)]
        np.take(own, order, axis=1, out=stretch[: len(own)], mode="clip")
        stretch[len(own) :] = 0
        np.matmul(blocks, delayed, out=projected.swapaxes(0, 1))
        for rows, columns, weights in groups:
            products = weights @ projected[columns].reshape(-1, num_blocks * delayed.shape[1])
            yield start, min(start + step, last), rows, *products.reshape(2, len(rows), num_blocks, -1)


def directions_below(directions: np.ndarray, stride: int) -> np.ndarray:
    """Directions (num_directions, num_samples), float32, without what lies above half of the rate of places."""
    num_samples = directions.shape[1]
    size = 2 * stride * num_samples
    spectra = scipy.fft.rfft(directions, size, axis=1)
    spectra[:, num_samples + 1 :] = 0
    return scipy.fft.irfft(spectra, size, axis=1)[:, :num_samples]


def _delayed(directions: np.ndarray, stride: int) -> np.ndarray:
    """Directions, one after the other, at each of the places that are compared at once, (num_frames, num_columns)."""
    num_directions, num_samples = directions.shape
    num_frames = (PLACES_AT_ONCE - 1) * stride + num_samples
    delayed = np.zeros((num_frames, num_directions, PLACES_AT_ONCE), dtype="float32")
    for place in range(PLACES_AT_ONCE):
        delayed[place * stride : place * stride + num_samples, :, place] = directions.T
    return delayed.reshape(num_frames, -1)


def _local_groups(profiles):
    """
    Order channels so that neighbours are together, and group them.

    Returns the order and, for each group, its channels, the range of ordered channels that its profiles reach, and
    their weights there: those of the first profile of each channel, then those of the last one.
    """
    reached = np.any(profiles != 0, axis=0)
    first, last = reached.argmax(axis=1), reached.shape[1] - reached[:, ::-1].argmax(axis=1)
    order = np.argsort(first + last, kind="stable")
    groups = []
    for rows in np.array_split(order, max(1, len(order) // LEAST_GROUP_CHANNELS)):
        weights = profiles[[0, -1]][:, rows][:, :, order].reshape(2 * len(rows), -1)
        used = np.flatnonzero(np.any(weights != 0, axis=0))
        columns = slice(used.min(initial=len(order)), used.max(initial=-1) + 1)
        groups.append((rows, columns, np.ascontiguousarray(weights[:, columns])))
    return order, groups
