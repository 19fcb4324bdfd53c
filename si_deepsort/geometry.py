"""
Positions of the channels: neighbours, offsets between them, shanks.

A network that serves every probe must not know channel numbers, only positions relative to a channel. Neighbours are
therefore ordered by a fixed rule on relative position, never by channel number.
"""

import warnings

import numpy as np
from scipy.spatial import KDTree
from spikeinterface.core import BaseRecording

# The units of length that a probe may have, in um.
UM_PER_UNIT = {"um": 1.0, "mm": 1e3, "m": 1e6}
# Contacts whose distance from a plane, in um, differs by less than this lie in it; less than the size of a contact.
FLATNESS_UM = 1.0
# Distance in um by which probes are moved apart: farther than any radius in this package.
PROBE_DISTANCE_UM = 10_000.0
# Least distance between contacts in um: those of real probes are at least some um wide. Positions in mm that are taken
# for um are closer.
LEAST_PITCH_UM = 1.0


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
    All channels within a radius of each channel, itself included, in ascending order.

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


def recording_geometry(recording: BaseRecording) -> tuple[np.ndarray, np.ndarray]:
    """
    Channel locations and shanks of a SpikeInterface recording, both from its probe.

    Contacts belong to the same shank if their probe, their shank and their side of the shank are the same. The property
    `group` is not used: it may hold anything, such as brain regions.

    A three-dimensional probe is projected on the plane of each shank, so that distances within a shank are kept. A
    recording of one channel needs no probe: its channel lies at the origin.

    Parameters
    ----------
    recording : BaseRecording

    Returns
    -------
    channel_locations : np.ndarray, shape (num_channels, 2), float
        Positions across and along the shank in um, whatever the unit of the probe.
    shanks : np.ndarray, shape (num_channels,), int
        Shank of each channel, counted from 0 over all probes.

    Raises
    ------
    ValueError
        If there are several channels and no probe, if a position is not finite or in another unit than the probe says,
        or if the contacts of a shank do not lie in a plane.

    Warns
    -----
    UserWarning
        If the property `group` divides the contacts of a shank.
    """
    num_channels = recording.get_num_channels()
    if not recording.has_probe():
        if num_channels == 1:
            return np.zeros((1, 2)), np.zeros(1, dtype=int)
        raise ValueError(
            f"The recording has {num_channels} channels and no probe, but the positions of the contacts are needed. "
            "Attach one with recording.set_probe(probe), or several (tetrodes) with recording.set_probegroup(group); "
            "probeinterface makes and reads probes."
        )
    contacts = recording.get_probegroup().to_numpy(complete=True)
    keys = [name for name in ("probe_index", "shank_ids", "contact_sides") if name in contacts.dtype.names]
    _, shanks = np.unique(contacts[keys], return_inverse=True)
    axes = [name for name in ("x", "y", "z") if name in contacts.dtype.names]
    positions = np.column_stack([contacts[name] for name in axes]).astype(float)
    unknown = sorted({str(unit) for unit in contacts["si_units"]} - set(UM_PER_UNIT))
    if unknown:
        raise ValueError(f"The probe is in the unit {unknown[0]!r}, expected one of {list(UM_PER_UNIT)} (si_units).")
    positions *= np.array([UM_PER_UNIT[unit] for unit in contacts["si_units"]])[:, None]
    _check_positions(recording, positions)
    _warn_if_groups_divide(recording, shanks)
    if len(axes) == 3:
        planar = np.zeros((num_channels, 2))
        for shank in np.unique(shanks):
            planar[shanks == shank] = _in_plane(positions[shanks == shank])
        positions = planar
    return positions, shanks


def separated_locations(recording: BaseRecording) -> np.ndarray:
    """
    Locations of the channels at which distance alone tells what may see the same neuron.

    Probes are moved far apart, because their positions say nothing about each other. The shanks of a probe stay where
    they are: a neuron between two near shanks is seen on both. They are moved apart as well if they are drawn at the
    same place, or lie in planes of their own.

    Parameters
    ----------
    recording : BaseRecording

    Returns
    -------
    np.ndarray, shape (num_channels, 2), float
        In um.

    Raises
    ------
    ValueError
        As `recording_geometry`.
    """
    locations, shanks = recording_geometry(recording)
    if shanks.max(initial=0) == 0:
        return locations
    contacts = recording.get_probegroup().to_numpy(complete=True)
    probes = np.unique(contacts["probe_index"], return_inverse=True)[1]
    are_shanks_of_one = (probes[:, None] == probes[None]) & (shanks[:, None] != shanks[None])
    are_drawn_together = are_shanks_of_one & (channel_distances(locations) < LEAST_PITCH_UM)
    places = shanks if "z" in contacts.dtype.names or are_drawn_together.any() else probes
    return locations + np.outer(places, [PROBE_DISTANCE_UM, 0.0])


def _check_positions(recording, positions):
    """An error if positions are not finite, or if most contacts are closer to each other than contacts can be."""
    num_channels = len(positions)
    unknown = ~np.isfinite(positions).all(axis=1)
    if unknown.any():
        raise ValueError(
            f"The probe holds no position (NaN or inf) for {unknown.sum()} of {num_channels} channels: "
            f"{recording.channel_ids[unknown][:10].tolist()}. Correct the probe and attach it with "
            "recording.set_probe(probe), or leave the channels out with recording.remove_channels([...])."
        )
    if num_channels < 2:
        return
    nearest, _ = KDTree(positions).query(positions, k=2)
    pitch_um = float(np.median(nearest[:, 1]))
    if 0 < pitch_um < LEAST_PITCH_UM:
        raise ValueError(
            f"The contacts of the probe are {pitch_um:.2g} um from each other, which is less than their size: their "
            "positions are probably in mm. Give them in um, or say so when you make the probe: Probe(si_units='mm')."
        )


def _warn_if_groups_divide(recording, shanks):
    """Warn if the property "group" gives channels of the same shank different values."""
    if "group" not in recording.get_property_keys():
        return
    groups = recording.get_channel_groups()
    if any(len(np.unique(groups[shanks == shank])) > 1 for shank in np.unique(shanks)):
        warnings.warn(
            f"The property 'group' divides the channels into {len(np.unique(groups))} groups, the probe into "
            f"{shanks.max() + 1} shanks. The shanks of the probe are used. If the groups are shanks, set them with "
            "probe.set_shank_ids(...) and recording.set_probe(probe); if they are to be processed apart, use "
            "recording.split_by('group').",
            stacklevel=3,
        )


def _in_plane(positions: np.ndarray) -> np.ndarray:
    """Positions of the contacts of a shank, (num_contacts, 3), as positions across and along it, (num_contacts, 2)."""
    varying = np.flatnonzero(np.ptp(positions, axis=0) > FLATNESS_UM)
    if len(varying) < 3:
        depth_axis = 1 if 1 in varying or 2 not in varying else 2
        other_axis = next((int(axis) for axis in varying if axis != depth_axis), 0)
        return positions[:, [other_axis, depth_axis]]
    center = positions.mean(axis=0)
    _, _, directions = np.linalg.svd(positions - center)
    thickness_um = np.ptp(positions @ directions[2])
    if thickness_um > FLATNESS_UM:
        raise ValueError(
            f"The contacts of a shank do not lie in a plane, they are spread over {thickness_um:.0f} um across it. "
            "Tell shanks or sides apart with probe.set_shank_ids(...) or contact_sides, or select channels with "
            "recording.select_channels([...])."
        )
    plane = directions[:2]
    # The depth is y where the plane is not nearly perpendicular to it, else z.
    along = plane[:, 1] if np.linalg.norm(plane[:, 1]) > 0.5 else plane[:, 2]
    along = along / np.linalg.norm(along)
    across = np.array([along[1], -along[0]])
    return positions @ plane.T @ np.column_stack([across, along])
