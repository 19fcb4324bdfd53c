"""Depths of the most likely sources of peaks, from white traces of the channels around them."""

import numpy as np
from spikeinterface.core import BaseRecording

from ...detection.energy import make_energy_filters
from ...geometry import channels_within
from ...preprocessing.whitening import Whitening
from ...threads import each
from ..waveforms import read_waveforms

# Channels within this distance in um of the channel of a peak are used to find its source.
RADIUS_UM = 80.0
# Length scales in um by which the amplitude of a source may decay; they cover small and large neurons.
DECAYS_UM = (15.0, 30.0, 60.0)
# Distance in um of sources from the plane of the contacts.
DISTANCE_UM = 20.0
# Channels whose peaks a thread fits one after the other. Chosen by speed.
CHANNELS_TOGETHER = 8
# Grid of possible sources around the channel of a peak, in um.
GRID_X_UM = np.linspace(-32.0, 32.0, 5)
GRID_Y_UM = np.linspace(-40.0, 40.0, 33)


def peak_depths(traces: BaseRecording, whitening: Whitening, peaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Depths of the most likely sources of peaks.

    In white noise the most likely source is the one whose spatial profile explains most of the energy.

    Parameters
    ----------
    traces : BaseRecording
        White traces, cached.
    whitening : Whitening
        The whitening that made the traces white.
    peaks : np.ndarray, shape (num_peaks,)
        SpikeInterface's peak dtype, sorted by segment and sample.

    Returns
    -------
    depths : np.ndarray, shape (num_peaks,), float
        In um.
    energies : np.ndarray, shape (num_peaks,), float
        Square root of the energy that the source explains, in noise standard deviations.
    """
    locations = traces.get_channel_locations()[:, :2]
    filters = make_energy_filters(whitening, locations, sampling_frequency=traces.get_sampling_frequency())
    neighbors = channels_within(locations, RADIUS_UM)
    channels = peaks["channel_index"]
    parts = np.zeros((len(peaks), len(filters.directions), neighbors.shape[1]), dtype="float32")
    reach = dict(nbefore=filters.nbefore, nafter=filters.directions.shape[1] - filters.nbefore)

    def project(_, waveforms: np.ndarray) -> np.ndarray:
        return np.einsum("nsc,ks->nkc", waveforms, filters.directions, optimize=True)

    for positions, found in read_waveforms(traces, peaks, neighbors, **reach, describe=project):
        parts[positions] = found
    depths, energies = np.zeros(len(peaks)), np.zeros(len(peaks))

    def fit(channel: int) -> None:
        own = np.flatnonzero(channels == channel)
        profiles = source_profiles(locations, whitening.space_matrix, channel, neighbors[channel])
        fits = sum((parts[own, direction] @ profiles.T) ** 2 for direction in range(parts.shape[1]))
        fits = fits.reshape(len(own), -1, len(GRID_Y_UM))
        depths[own] = locations[channel, 1] + _highest(fits.max(axis=1))
        energies[own] = np.sqrt(fits.max(axis=(1, 2)))

    for _ in each(fit, np.unique(channels), together=CHANNELS_TOGETHER):
        pass
    return depths, energies


def source_profiles(locations, matrix, channel, seen) -> np.ndarray:
    """
    Spatial profiles, in white traces, of sources on a grid around a channel.

    Parameters
    ----------
    locations : np.ndarray, shape (num_channels, 2), float
        Positions in um.
    matrix : np.ndarray, shape (num_channels, num_channels), float32
        Whitening matrix.
    channel : int
        Channel at the center of the grid.
    seen : np.ndarray, shape (num_seen,), int
        Channels of the profiles; -1 for an empty place, whose profile is 0.

    Returns
    -------
    np.ndarray, shape (num_kinds * len(GRID_Y_UM), num_seen), float32
        Norm 1; the depth varies fastest, the decay slowest.
    """
    kinds, x, y = np.meshgrid(DECAYS_UM, GRID_X_UM, GRID_Y_UM, indexing="ij")
    places = locations[channel] + np.column_stack([x.ravel(), y.ravel()])
    # Whitening is local: far channels contribute nothing.
    near = np.flatnonzero(np.any(matrix[:, seen] != 0, axis=1))
    squares = ((places[:, None] - locations[near]) ** 2).sum(axis=-1)
    profiles = np.exp(-np.sqrt(squares + DISTANCE_UM**2) / kinds.ravel()[:, None]) @ matrix[np.ix_(near, seen)]
    profiles[:, seen < 0] = 0
    norms = np.linalg.norm(profiles, axis=1, keepdims=True)
    return (profiles / np.where(norms > 0, norms, 1.0)).astype("float32")


def _highest(fits):
    """Depth at which each row is highest, (num_rows,), interpolated by a parabola between the points of the grid."""
    rows = np.arange(len(fits))
    best = np.clip(fits.argmax(axis=1), 1, fits.shape[1] - 2)
    below, at, above = (fits[rows, best + step] for step in (-1, 0, 1))
    curvature = below - 2 * at + above
    shift = np.where(curvature < 0, 0.5 * (below - above) / np.where(curvature < 0, curvature, 1.0), 0.0)
    return GRID_Y_UM[best] + np.clip(shift, -0.5, 0.5) * (GRID_Y_UM[1] - GRID_Y_UM[0])
