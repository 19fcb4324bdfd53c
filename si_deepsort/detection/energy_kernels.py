"""The compiled part of measuring the energy of white traces in the subspace of spike waveforms."""

import numba
import numpy as np

from ..compiled import COMPILED, INNER

# A match with the opposite of the waveform counts this much: most of them are second peaks, along dendrites or before
# and after the main one, but large spikes of the other polarity are neurons. Tuned on generated development recordings
# (seed 1; polarity: seeds 5 and 6).
OPPOSITE_WEIGHT = np.float32(0.5)


@numba.njit(fastmath=True, **COMPILED)
def measure_energies(
    traces: np.ndarray, starts, channels, directions, near, far, mixing, bounds, is_signed, seen, energies
):
    """
    Write the largest energy over profiles of some waveforms, or their largest match with a direction.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
    starts, channels : np.ndarray, shape (num_spikes,), int
        First frame and channel of each waveform.
    directions : np.ndarray, shape (num_directions, num_samples), float32
    near, far : np.ndarray, shape (num_channels, num_channels), float32
        Spatial profiles of each channel; the third one is a mixture of them.
    mixing : np.ndarray, shape (num_channels, 2), float32
        Its weights.
    bounds : np.ndarray, shape (num_channels, 2), int
        First channel and end of the range that the profiles reach.
    is_signed : bool
        Whether the match with the only direction takes the place of the energy.
    seen : np.ndarray, shape (2, num_samples), float32
        Room for two waveforms.
    energies : np.ndarray, shape (num_spikes,), float32
        Filled.
    """
    num_samples = directions.shape[1]
    for spike in range(len(starts)):
        channel = channels[spike]
        first, last = bounds[channel]
        near_weights, far_weights = near[channel, first:last], far[channel, first:last]
        # Channels are summed first: what remains are two waveforms.
        for sample in range(num_samples):
            row = traces[starts[spike] + sample, first:last]
            of_near, of_far = np.float32(0.0), np.float32(0.0)
            for place in range(len(row)):
                of_near += near_weights[place] * row[place]
                of_far += far_weights[place] * row[place]
            seen[0, sample], seen[1, sample] = of_near, of_far
        of_near, of_far, of_both = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        one, other = np.float32(0.0), np.float32(0.0)
        for direction in range(len(directions)):
            one, other = np.float32(0.0), np.float32(0.0)
            for sample in range(num_samples):
                one += directions[direction, sample] * seen[0, sample]
                other += directions[direction, sample] * seen[1, sample]
            of_near += one * one
            of_far += other * other
            of_both += one * other
        if is_signed:
            energies[spike] = _match(one, other, mixing[channel])
        else:
            energies[spike] = max(of_near, of_far, _mixed(of_near, of_far, of_both, mixing[channel]))


@numba.njit(fastmath=True, **COMPILED)
def find_highest_energy(near, far, mixing, rows, room, energy):
    """
    Write the root of the largest energy of three profiles to the rows of some channels.

    Parameters
    ----------
    near, far : np.ndarray, shape (num_rows, num_directions, num_places), float32
        Products of the traces with two profiles of each channel; the third one is a mixture of them.
    mixing : np.ndarray, shape (num_channels, 2), float32
        Its weights.
    rows : np.ndarray, shape (num_rows,), int
        The channels.
    room : np.ndarray, shape (3, num_places), float32
        Room for three energies.
    energy : np.ndarray, shape (num_channels, num_energies), float32
        Filled in these rows; at most `num_places` long.
    """
    of_near, of_far, of_both = room
    for row in range(len(rows)):
        of_near[:], of_far[:], of_both[:] = 0.0, 0.0, 0.0
        for direction in range(near.shape[1]):
            one, other = near[row, direction], far[row, direction]
            for place in range(len(of_near)):
                of_near[place] += one[place] * one[place]
                of_far[place] += other[place] * other[place]
                of_both[place] += one[place] * other[place]
        weights, highest = mixing[rows[row]], energy[rows[row]]
        for place in range(len(highest)):
            mixed = _mixed(of_near[place], of_far[place], of_both[place], weights)
            highest[place] = np.sqrt(max(of_near[place], of_far[place], mixed))


@numba.njit(fastmath=True, **COMPILED)
def find_highest_match(near, far, mixing, rows, matches):
    """
    Write the largest match of three profiles to the rows of some channels.

    Parameters
    ----------
    near, far : np.ndarray, shape (num_rows, num_places), float32
        Products of the traces with two profiles of each channel and the waveform; the third profile is a mixture.
    mixing : np.ndarray, shape (num_channels, 2), float32
        Its weights.
    rows : np.ndarray, shape (num_rows,), int
        The channels.
    matches : np.ndarray, shape (num_channels, num_matches), float32
        Filled in these rows; at most `num_places` long.
    """
    for row in range(len(rows)):
        weights, highest, one, other = mixing[rows[row]], matches[rows[row]], near[row], far[row]
        for place in range(len(highest)):
            highest[place] = _match(one[place], other[place], weights)


@numba.njit(fastmath=True, **INNER)
def _match(of_near, of_far, weights):
    """The largest of three matches; those with the opposite waveform count less."""
    mixed = weights[0] * of_near + weights[1] * of_far
    return max(max(of_near, of_far, mixed), -OPPOSITE_WEIGHT * min(of_near, of_far, mixed))


@numba.njit(fastmath=True, **INNER)
def _mixed(of_near, of_far, of_both, weights):
    """Energy of the mixture of two profiles, from their energies and the sum of their products."""
    return weights[0] ** 2 * of_near + weights[1] ** 2 * of_far + np.float32(2.0) * weights[0] * weights[1] * of_both
