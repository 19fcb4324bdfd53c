"""Recordings from disk: formats by their names, gains and channel ids of binary files, probe files of several kinds."""

import json

import numpy as np
import pytest
import spikeinterface.core as si
from probeinterface import ProbeGroup, generate_linear_probe, write_prb, write_probeinterface
from small_recording import SAMPLING_FREQUENCY, line_probe, small_recording

from si_deepsort.io import IDS_ARE_POSITIONS, format_names, open_recording, open_sorting

BINARY = dict(sampling_frequency=SAMPLING_FREQUENCY, num_channels=4, dtype="int16")


@pytest.fixture
def samples(tmp_path):
    """A file of bare samples."""
    counts = np.arange(4000, dtype="int16").reshape(1000, 4)
    counts.tofile(tmp_path / "samples.raw")
    return tmp_path / "samples.raw"


def open_samples(samples, probe=None, **options):
    return open_recording(samples, file_format="binary", options={**BINARY, **options}, probe=probe)


@pytest.mark.parametrize("name", ["spikeglx", "openephys", "intan", "nwb", "zarr", "binary", "OpenEphys", "open-ephys"])
def test_formats_that_help_and_readme_name_are_known(tmp_path, name):
    """There is nothing to read in the folder: the error is the reader's own, and says what the reader takes."""
    with pytest.raises(ValueError, match=rf"(?s)cannot be read as '{name}'.*it takes (folder_path|file_path)"):
        open_recording(tmp_path, file_format=name)


@pytest.mark.parametrize("name", format_names())
def test_every_listed_format_has_a_reader(tmp_path, name):
    with pytest.raises(ValueError, match=f"cannot be read as '{name}'"):
        open_recording(tmp_path, file_format=name)


def test_unknown_format_is_told_the_nearest(tmp_path):
    with pytest.raises(
        ValueError, match=r"Unknown format 'spikeglxx'. Did you mean spikeglx.*Expected one of.*openephys"
    ):
        open_recording(tmp_path, file_format="spikeglxx")


def test_anything_but_a_recording_is_refused(tmp_path):
    small_recording(duration_s=1.0)[1].save(folder=tmp_path / "sorting")
    with pytest.raises(ValueError, match="expected a recording"):
        open_recording(tmp_path / "sorting")


def test_gain_alone_gives_microvolts(samples):
    assert not open_samples(samples).has_scaleable_traces()
    recording = open_samples(samples, gain_to_uV=0.195)
    np.testing.assert_allclose(recording.get_traces(return_in_uV=True), 0.195 * recording.get_traces(), rtol=1e-6)
    assert open_samples(samples, gain_to_uV=0.195, offset_to_uV=-6.0).get_channel_offsets().tolist() == [-6.0] * 4


def test_channels_without_names_are_marked(samples):
    assert open_samples(samples).get_annotation(IDS_ARE_POSITIONS)
    named = open_samples(samples, channel_ids=["a", "b", "c", "d"])
    assert named.channel_ids.tolist() == ["a", "b", "c", "d"] and named.get_annotation(IDS_ARE_POSITIONS) is None


def test_wiring_of_a_probe_file_is_followed(samples, tmp_path):
    probe = line_probe(4)
    probe.set_device_channel_indices([3, 1, 0, 2])
    write_probeinterface(tmp_path / "probe.json", probe)
    group = ProbeGroup()
    group.add_probe(probe)
    write_prb(tmp_path / "probe.prb", group)
    for name in ("probe.json", "probe.prb"):
        locations = open_samples(samples, probe=tmp_path / name).get_channel_locations()
        np.testing.assert_array_equal(locations[[3, 1, 0, 2]], line_probe(4).contact_positions)


def test_probe_file_may_make_its_contacts_in_a_loop(samples, tmp_path):
    program = """
def positions(channels):
    return {channel: [0, 20 * channel] for channel in channels}

channel_groups = {0: {"channels": list(range(4)), "geometry": positions(range(4)), "graph": []}}
"""
    (tmp_path / "probe.prb").write_text(program, encoding="utf-8")
    locations = open_samples(samples, probe=tmp_path / "probe.prb").get_channel_locations()
    np.testing.assert_array_equal(locations[:, 1], [0, 20, 40, 60])


def test_probe_file_without_wiring_is_read_in_order_and_says_so(samples, tmp_path, caplog):
    probe = line_probe(4)
    probe.set_device_channel_indices([-1] * 4)
    write_probeinterface(tmp_path / "probe.json", probe)
    recording = open_samples(samples, probe=tmp_path / "probe.json")
    np.testing.assert_array_equal(recording.get_channel_locations(), probe.contact_positions)
    assert "has no device_channel_indices" in caplog.text and "wiring_to_device" in caplog.text


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("probe.csv", "0,0", r"ends with '\.csv', expected one that ends with \.json or \.prb.*Convert"),
        ("probe.json", "not JSON", "cannot be read as a probe.*write_probeinterface"),
        ("probe.prb", "channels = 3", "cannot be read as a probe.*channel_groups"),
        ("probe.prb", "channel_groups = {}", "holds no contacts"),
        ("probe.prb", "channel_groups = dictt(a=3)", "cannot be read as a probe.*dictt"),
        ("none.json", None, "cannot be read as a probe"),
    ],
)
def test_probe_files_that_cannot_be_read_are_named(samples, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        open_samples(samples, probe=tmp_path / name)


def test_probe_with_another_number_of_contacts_is_refused(samples, tmp_path):
    for wired in (True, False):
        probe = line_probe(7)
        probe.set_device_channel_indices(np.arange(7) if wired else [-1] * 7)
        write_probeinterface(tmp_path / "probe.json", probe)
        with pytest.raises(ValueError, match="7 connected contacts, the recording 4 channels"):
            open_samples(samples, probe=tmp_path / "probe.json")


def test_recording_saved_by_spikeinterface_needs_no_format(tmp_path):
    recording, _ = small_recording(tmp_path / "recording", duration_s=0.5)
    opened = open_recording(str(tmp_path / "recording"))
    assert isinstance(opened, si.BaseRecording)
    np.testing.assert_array_equal(opened.get_traces(), recording.get_traces())


def phy_folder(folder, times, clusters):
    folder.mkdir()
    np.save(folder / "spike_times.npy", times)
    np.save(folder / "spike_clusters.npy", clusters)
    (folder / "params.py").write_text(
        "sample_rate = 30000.\ndat_path = 'x.dat'\nn_channels_dat = 8\ndtype = 'int16'\noffset = 0\n", encoding="utf-8"
    )
    return folder


TIMES, CLUSTERS = np.array([100, 200, 300, 400]), np.array([0, 1, 1, 2])


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("kind", ["uint64", "int32", "float64"])
def test_spikes_of_a_folder_for_phy_are_as_they_were_written(shape, kind, tmp_path):
    folder = phy_folder(tmp_path / "phy", TIMES.astype(kind).reshape(shape), CLUSTERS.reshape(shape))
    sorting = open_sorting(folder)
    assert sorting.get_unit_spike_train(1).tolist() == [200, 300]


@pytest.mark.parametrize(
    ("times", "clusters", "words"),
    [
        (TIMES / 30_000, CLUSTERS, "spike_times.npy holds 0.003.*frames, not in seconds"),
        (TIMES - 150, CLUSTERS, "spike_times.npy holds -50"),
        (TIMES[::-1], CLUSTERS, "do not increase"),
        (TIMES, CLUSTERS[:3], "4 spikes, spike_clusters.npy 3"),
        (TIMES, CLUSTERS + 0.5, "numbers of units"),
        (TIMES.astype(str), CLUSTERS, "spike_times.npy holds 100"),
    ],
)
def test_spikes_that_cannot_be_right_are_refused(times, clusters, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        open_sorting(phy_folder(tmp_path / "phy", times, clusters))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(device_channel_indices=[1, 2, 3, 4]), "they count from 1: subtract 1"),
        (dict(device_channel_indices=[0, 0, 1, 2]), "each once; list each channel once"),
        (dict(contact_positions=[[0, 0], [0, None], [0, 50], [0, 75]]), "contact 1 of probe 0 has the position"),
        (dict(contact_positions=[[0, 0], [0, float("nan")], [0, 50], [0, 75]]), "contact 1 of probe 0"),
        (dict(contact_positions=[["0", "0"], ["0", "25"], ["0", "50"], ["0", "75"]]), "contact 0 of probe 0"),
    ],
)
def test_probe_files_that_cannot_be_right_are_refused(change, words, tmp_path):
    probe = generate_linear_probe(4, ypitch=25.0)
    probe.set_device_channel_indices(np.arange(4))
    write_probeinterface(tmp_path / "probe.json", probe)
    content = json.loads((tmp_path / "probe.json").read_text(encoding="utf-8"))
    content["probes"][0] |= change
    (tmp_path / "probe.json").write_text(json.dumps(content), encoding="utf-8")
    si.NumpyRecording([np.zeros((100, 4), "int16")], 30_000.0).save(folder=tmp_path / "saved", progress_bar=False)
    with pytest.raises(ValueError, match=words):
        open_recording(tmp_path / "saved", probe=tmp_path / "probe.json")
