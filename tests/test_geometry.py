"""Positions are in um and shanks are those of the probe, whatever the unit, the dimensions and the properties."""

import warnings

import numpy as np
import pytest
import spikeinterface.core as si
from probeinterface import Probe, ProbeGroup
from small_recording import line_probe

from si_deepsort.geometry import PROBE_DISTANCE_UM, channel_distances, recording_geometry, separated_locations

GRID = np.array([[0.0, 0.0], [25.0, 0.0], [0.0, 25.0], [25.0, 25.0], [0.0, 80.0]])


def recording_of(positions, **probe_options):
    positions = np.asarray(positions, dtype=float)
    probe = Probe(ndim=positions.shape[1], si_units=probe_options.pop("si_units", "um"))
    if positions.shape[1] == 3:
        probe_options["plane_axes"] = np.tile([[1.0, 0, 0], [0, 0, 1.0]], (len(positions), 1, 1))
    probe.set_contacts(positions, shapes="circle", shape_params={"radius": 5}, **probe_options)
    probe.set_device_channel_indices(np.arange(len(positions)))
    recording = si.NumpyRecording([np.zeros((100, len(positions)), "float32")], 30_000.0)
    recording.set_probe(probe)
    return recording


def in_space(columns, rotation=None):
    """The grid in three dimensions; its two coordinates become the given columns, or are rotated."""
    positions = np.zeros((len(GRID), 3))
    positions[:, columns] = GRID
    return positions if rotation is None else positions @ rotation.T


def turn(degrees):
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])


@pytest.mark.parametrize(
    "positions",
    [in_space([0, 1]), in_space([0, 2]), in_space([2, 1]), in_space([0, 1], turn(30)), in_space([0, 2], turn(45).T)],
    ids=["xy", "xz", "zy", "tilted xy", "tilted xz"],
)
def test_planes_in_space_keep_their_distances_and_their_depth(positions):
    locations, shanks = recording_geometry(recording_of(positions))
    np.testing.assert_allclose(channel_distances(locations), channel_distances(GRID), atol=1e-6)
    assert not shanks.any()


@pytest.mark.parametrize("columns", [[0, 1], [0, 2], [2, 1]])
def test_depth_is_the_long_axis_of_the_grid(columns):
    np.testing.assert_allclose(recording_geometry(recording_of(in_space(columns)))[0], GRID)


@pytest.mark.parametrize(("si_units", "um"), [("um", 1.0), ("mm", 1e3), ("m", 1e6)])
def test_positions_are_in_um(si_units, um):
    locations, _ = recording_geometry(recording_of(GRID / um, si_units=si_units))
    np.testing.assert_allclose(locations, GRID)


def test_an_unknown_unit_of_positions_is_refused():
    with pytest.raises(ValueError, match=r"in the unit 'nm', expected one of \['um', 'mm', 'm'\]"):
        recording_geometry(recording_of(GRID, si_units="nm"))


def test_positions_in_mm_that_are_said_to_be_in_um_are_refused():
    with pytest.raises(ValueError, match="probably in mm"):
        recording_geometry(recording_of(GRID / 1e3))


def test_a_solid_shank_is_refused_and_its_sides_are_two():
    front = in_space([0, 1])
    solid = np.concatenate([front, front + np.array([0, 0, 30])])
    with pytest.raises(ValueError, match=r"do not lie in a plane.*\d+ um.*contact_sides"):
        recording_geometry(recording_of(solid))
    locations, shanks = recording_geometry(recording_of(solid, contact_sides=["front"] * 5 + ["back"] * 5))
    assert len(set(shanks[:5])) == len(set(shanks[5:])) == 1 and shanks[0] != shanks[5]
    np.testing.assert_allclose(locations, np.concatenate([GRID, GRID]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_positions_that_are_not_finite_are_named(value):
    positions = GRID.copy()
    positions[3, 1] = value
    with pytest.raises(ValueError, match=r"no position.*1 of 5 channels: \[3\].*remove_channels"):
        recording_geometry(recording_of(positions))


@pytest.mark.parametrize("groups", [np.arange(5), np.arange(5) % 2])
def test_groups_that_divide_a_shank_are_told_and_not_used(groups):
    recording = recording_of(GRID)
    recording.set_property("group", groups)
    with pytest.warns(UserWarning, match="'group' divides"):
        _, shanks = recording_geometry(recording)
    assert not shanks.any()


def test_shanks_and_probes_are_told_apart_without_a_warning():
    probes = ProbeGroup()
    for number in range(2):
        probe = line_probe(24)
        probe.move([1000.0 * number, 0.0])
        probe.set_shank_ids(np.repeat([str(shank) for shank in range(12)], 2))
        probe.set_device_channel_indices(np.arange(24) + 24 * number)
        probes.add_probe(probe)
    recording = si.NumpyRecording([np.zeros((100, 48), "float32")], 30_000.0)
    recording.set_probegroup(probes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, shanks = recording_geometry(recording)
    assert len(np.unique(shanks)) == 24
    pairs = recording.select_channels(recording.channel_ids[[0, 1, 24]])
    assert recording_geometry(pairs)[1].tolist() == [0, 0, 1]


def test_one_channel_needs_no_probe_and_several_do():
    one = si.NumpyRecording([np.zeros((100, 1), "float32")], 30_000.0)
    locations, shanks = recording_geometry(one)
    assert locations.tolist() == [[0, 0]] and shanks.tolist() == [0]
    several = si.NumpyRecording([np.zeros((100, 3), "float32")], 30_000.0)
    with pytest.raises(ValueError, match=r"3 channels and no probe.*set_probe"):
        recording_geometry(several)


def two_shanks(pitch_um, sides=None):
    """A probe whose two shanks of three contacts are drawn `pitch_um` apart."""
    probe = Probe(ndim=2)
    positions = np.array([[pitch_um * (i // 3), 20.0 * (i % 3)] for i in range(6)])
    probe.set_contacts(positions, contact_sides=sides)
    probe.set_shank_ids(["0"] * 3 + ["1"] * 3)
    probe.set_device_channel_indices(range(6))
    return probe


def test_shanks_of_a_probe_stay_where_they_are():
    recording = si.NumpyRecording([np.zeros((100, 6), "float32")], 30_000.0)
    recording.set_probe(two_shanks(200.0))
    np.testing.assert_array_equal(separated_locations(recording), recording.get_channel_locations())


def test_sides_of_a_shank_are_moved_apart():
    recording = si.NumpyRecording([np.zeros((100, 6), "float32")], 30_000.0)
    recording.set_probe(two_shanks(0.0, sides=["front"] * 3 + ["back"] * 3))
    distances = channel_distances(separated_locations(recording))
    assert np.all(distances[:3, 3:] >= PROBE_DISTANCE_UM - 100)
    np.testing.assert_allclose(distances[:3, :3], distances[3:, 3:])


def test_probes_are_moved_apart():
    probes = ProbeGroup()
    for number in range(2):
        probe = two_shanks(200.0)
        probe.move([500.0 * number, 0.0])
        probe.set_device_channel_indices(np.arange(6) + 6 * number)
        probes.add_probe(probe)
    recording = si.NumpyRecording([np.zeros((100, 12), "float32")], 30_000.0)
    recording.set_probegroup(probes)
    distances = channel_distances(separated_locations(recording))
    assert np.all(distances[:6, 6:] >= PROBE_DISTANCE_UM - 1000)
    assert distances[0, 3] == 200.0
