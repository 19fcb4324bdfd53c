"""
Where the channels are: neighbours, offsets between them, shanks.

A network that serves every probe must not know channel numbers, only positions relative to a channel. Neighbours are
therefore ordered by a fixed rule on relative position, never by channel number.
"""

import numpy as np


def channel_distances(channel_locations: np.ndarray) -> np.ndarray:
    """
    Distance between each pair of channels.

    Parameters
    ----------
    channel_locations : np.ndarray, shape (num_channels, 2 or 3), float
        Positions in um.

    Returns
    -------
    np.ndarray, shape (num_channels, num_channels), float
        Distances in um.
    """
    return np.linalg.norm(channel_locations[:, None] - channel_locations[None], axis=-1)


def channels_within(channel_locations: np.ndarray, radius_um: float) -> np.ndarray:
    """
    All channels within a radius of each channel, itself included, in the order of their numbers.

    Parameters
    ----------
    channel_locations : np.ndarray, shape (num_channels, 2 or 3), float
        Positions in um.
    radius_um : float

    Returns
    -------
    np.ndarray, shape (num_channels, max_neighbors), int
        -1 where there are fewer.
    """
    nearby = channel_distances(channel_locations) <= radius_um
    neighbors = np.full((len(nearby), nearby.sum(axis=1).max(initial=1)), -1)
    for channel, row in enumerate(nearby):
        neighbors[channel, : row.sum()] = np.flatnonzero(row)
    return neighbors


def neighbor_indices(
    channel_locations: np.ndarray,
    num_neighbors: int,
    *,
    radius_um: float = np.inf,
    shanks: np.ndarray | None = None,
    usable: np.ndarray | None = None,
) -> np.ndarray:
    """
    The nearest channels of each channel, itself first, on the same shank, -1 where there are fewer.

    Ties in distance are broken by relative position (y, then x), so renumbering the channels renumbers the result
    and changes nothing else.

    Parameters
    ----------
    channel_locations : np.ndarray, shape (num_channels, 2), float
        Positions in um.
    num_neighbors : int
        Neighbours per channel, the channel itself included.
    radius_um : float, default: np.inf
        Channels farther away than this are never neighbours.
    shanks : np.ndarray | None, shape (num_channels,), default: None
        Shank of each channel. None means one shank.
    usable : np.ndarray | None, shape (num_channels,), bool, default: None
        Channels that may serve as a neighbour (not dead). A channel is always its own first neighbour.

    Returns
    -------
    np.ndarray, shape (num_channels, num_neighbors), int
        Channel indices, -1 for an empty place.
    """
    num_channels = len(channel_locations)
    distances = channel_distances(channel_locations)
    allowed = distances <= radius_um
    if shanks is not None:
        shanks = np.asarray(shanks)
        allowed &= shanks[:, None] == shanks[None]
    if usable is not None:
        allowed &= np.asarray(usable)[None]
    np.fill_diagonal(allowed, True)
    neighbors = np.full((num_channels, num_neighbors), -1, dtype=int)
    for channel in range(num_channels):
        offsets = np.round(channel_locations - channel_locations[channel], 3)
        order = np.lexsort((offsets[:, 0], offsets[:, 1], np.round(distances[channel], 3)))
        order = order[allowed[channel][order]]
        order = np.concatenate(([channel], order[order != channel]))[:num_neighbors]
        neighbors[channel, : len(order)] = order
    return neighbors


def relative_offsets(channel_locations: np.ndarray, neighbors: np.ndarray) -> np.ndarray:
    """
    Offset of each neighbour from its channel.

    Parameters
    ----------
    channel_locations : np.ndarray, shape (num_channels, 2), float
        Positions in um.
    neighbors : np.ndarray, shape (num_channels, num_neighbors), int
        As returned by `neighbor_indices`.

    Returns
    -------
    np.ndarray, shape (num_channels, num_neighbors, 2), float
        Offsets in um, 0 for an empty place.
    """
    offsets = channel_locations[neighbors] - channel_locations[:, None]
    offsets[neighbors < 0] = 0.0
    return offsets


def recording_geometry(recording) -> tuple[np.ndarray, np.ndarray]:
    """
    Channel locations and shanks of a SpikeInterface recording.

    A recording of one channel needs no probe: its channel lies at the origin.

    Returns
    -------
    channel_locations : np.ndarray, shape (num_channels, 2), float
        Positions in um.
    shanks : np.ndarray, shape (num_channels,), int
        Shank of each channel, counted from 0 over all probes.

    Raises
    ------
    ValueError
        If there are several channels and no probe.
    """
    num_channels = recording.get_num_channels()
    if not recording.has_channel_location():
        if num_channels == 1:
            return np.zeros((1, 2)), np.zeros(1, dtype=int)
        raise ValueError(
            f"The recording has {num_channels} channels and no probe, but the positions of the contacts are needed. "
            "Attach one with recording.set_probe(probe); probeinterface makes and reads probes."
        )
    locations = np.asarray(recording.get_channel_locations(), dtype=float)[:, :2]
    groups = recording.get_channel_groups() if "group" in recording.get_property_keys() else None
    if recording.has_probe():
        contacts = recording.get_property("contact_vector")
        if contacts is not None:
            groups = [f"{c['probe_index']}/{c['shank_ids'] if 'shank_ids' in c.dtype.names else ''}" for c in contacts]
    if groups is None:
        groups = np.zeros(num_channels, dtype=int)
    _, shanks = np.unique(np.asarray(groups), return_inverse=True)
    return locations, shanks
