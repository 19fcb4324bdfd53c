"""The compiled part of measuring the energy of white traces in the subspace of spike waveforms."""

import numba
import numpy as np

from ..compiled import COMPILED, INNER

# Waveform directions in which energy is measured: more hold more noise. Tuned on generated development recordings
# (seeds 1-5).
DETECTION_DIRECTIONS = 4
# Places that one matrix product compares with all directions: more places share its rows, but most of these are 0.
# Chosen by speed.
PLACES_AT_ONCE = 16
# A match with the opposite of the waveform counts this much: most of them are second peaks, along dendrites or before
# and after the main one, but large spikes of the other polarity are neurons. Tuned on generated development recordings
# (seed 1; polarity: seeds 5 and 6).
OPPOSITE_WEIGHT = np.float32(0.5)


@numba.njit(fastmath=True, **COMPILED)
def measure_energies(
    traces: np.ndarray, starts, channels, directions, near, far, mixing, bounds, is_signed, seen, energies
):
    """
    Write the largest energy over profiles of waveforms at successive frames, or their largest match with a direction.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
    starts, channels : np.ndarray, shape (num_spikes,), int
        First frame of the first waveform, and the channel.
    directions : np.ndarray, shape (num_directions, num_samples), float32
    near, far : np.ndarray, shape (num_channels, num_channels), float32
        Spatial profiles of each channel; the third one is a mixture of them.
    mixing : np.ndarray, shape (num_channels, 2), float32
        Its weights.
    bounds : np.ndarray, shape (num_channels, 2), int
        First channel and end of the range that the profiles reach.
    is_signed : bool
        Whether the match with the only direction takes the place of the energy.
    seen : np.ndarray, shape (2, num_samples + num_frames - 1), float32
        Room for what is seen through two profiles.
    energies : np.ndarray, shape (num_frames, num_spikes), float32
        Filled.
    """
    for spike in range(len(starts)):
        channel = channels[spike]
        first, last = bounds[channel]
        near_weights, far_weights = near[channel, first:last], far[channel, first:last]
        # Channels are summed first: what remains are two traces, which successive waveforms share.
        for sample in range(seen.shape[1]):
            row = traces[starts[spike] + sample, first:last]
            of_near, of_far = np.float32(0.0), np.float32(0.0)
            for place in range(len(row)):
                of_near += near_weights[place] * row[place]
                of_far += far_weights[place] * row[place]
            seen[0, sample], seen[1, sample] = of_near, of_far
        for frame in range(len(energies)):
            by_near, by_far = seen[0, frame:], seen[1, frame:]
            energies[frame, spike] = _largest_energy(by_near, by_far, directions, mixing[channel], is_signed)


@numba.njit(fastmath=True, **INNER)
def _largest_energy(by_near, by_far, directions, weights, is_signed):
    """The largest energy of a waveform, seen through two profiles, or its largest match."""
    of_near, of_far, of_both = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    one, other = np.float32(0.0), np.float32(0.0)
    for direction in range(len(directions)):
        one, other = np.float32(0.0), np.float32(0.0)
        for sample in range(directions.shape[1]):
            one += directions[direction, sample] * by_near[sample]
            other += directions[direction, sample] * by_far[sample]
        of_near += one * one
        of_far += other * other
        of_both += one * other
    if is_signed:
        return _match(one, other, weights)
    return max(of_near, of_far, _mixed(of_near, of_far, of_both, weights))


@numba.njit(fastmath=True, **COMPILED)
def find_highest_energy(near, far, mixing, rows, energy):
    """
    Write the root of the largest energy of three profiles to the rows of some channels.

    Parameters
    ----------
    near, far : np.ndarray, shape (num_rows, num_blocks, DETECTION_DIRECTIONS * PLACES_AT_ONCE), float32
        Products of the traces with two profiles of each channel; the third one is a mixture of them.
    mixing : np.ndarray, shape (num_channels, 2), float32
        Its weights.
    rows : np.ndarray, shape (num_rows,), int
        The channels.
    energy : np.ndarray, shape (num_channels, num_energies), float32
        Filled in these rows; at most as long as all blocks together.
    """
    for row in range(len(rows)):
        weights, found = mixing[rows[row]], energy[rows[row]]
        for block in range(near.shape[1]):
            one, other = near[row, block], far[row, block]
            highest = found[block * PLACES_AT_ONCE : (block + 1) * PLACES_AT_ONCE]
            for place in range(len(highest)):
                of_near, of_far, of_both = np.float32(0.0), np.float32(0.0), np.float32(0.0)
                # The compiler unrolls this loop, whose length it knows, and vectorises the one around it.
                for direction in range(DETECTION_DIRECTIONS):
                    column = direction * PLACES_AT_ONCE + place
                    of_near += one[column] * one[column]
                    of_far += other[column] * other[column]
                    of_both += one[column] * other[column]
                highest[place] = np.sqrt(max(of_near, of_far, _mixed(of_near, of_far, of_both, weights)))


@numba.njit(fastmath=True, **COMPILED)
def find_highest_match(near, far, mixing, rows, matches):
    """
    Write the largest match of three profiles to the rows of some channels.

    Parameters as in `find_highest_energy`, for one direction; `matches` is filled.
    """
    for row in range(len(rows)):
        weights, found = mixing[rows[row]], matches[rows[row]]
        for block in range(near.shape[1]):
            one, other = near[row, block], far[row, block]
            highest = found[block * PLACES_AT_ONCE : (block + 1) * PLACES_AT_ONCE]
            for place in range(len(highest)):
                highest[place] = _match(one[place], other[place], weights)


@numba.njit(fastmath=True, **COMPILED)
def find_highest_match_at_places(found, mixing, matches):
    """
    As `find_highest_match`, from the products at all places.

    Parameters
    ----------
    found : np.ndarray, shape (2, num_channels, num_places), float32
        Products with the first and the last profile, see `energy.spike_matches`.
    mixing : np.ndarray, shape (num_channels, 2), float32
        Weights of the third one.
    matches : np.ndarray, shape (num_channels, num_places), float32
        Filled.
    """
    for channel in range(len(matches)):
        near, far, highest = found[0, channel], found[1, channel], matches[channel]
        for place in range(len(highest)):
            highest[place] = _match(near[place], far[place], mixing[channel])


@numba.njit(fastmath=True, **INNER)
def _match(of_near, of_far, weights):
    """The largest of three matches; those with the opposite waveform count less."""
    mixed = weights[0] * of_near + weights[1] * of_far
    return max(max(of_near, of_far, mixed), -OPPOSITE_WEIGHT * min(of_near, of_far, mixed))


@numba.njit(fastmath=True, **INNER)
def _mixed(of_near, of_far, of_both, weights):
    """Energy of the mixture of two profiles, from their energies and the sum of their products."""
    return weights[0] ** 2 * of_near + weights[1] ** 2 * of_far + np.float32(2.0) * weights[0] * weights[1] * of_both
