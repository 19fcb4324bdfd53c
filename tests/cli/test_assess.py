"""`si-deepsort assess`: tables of a saved sorting, and messages without tracebacks."""

import numpy as np
import probeinterface
import pytest
import spikeinterface.core as si
from small_recording import small_recording
from typer.testing import CliRunner

from si_deepsort import cli
from si_deepsort.assessment import Assessment


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with a saved recording and its saved truth."""
    folder = tmp_path_factory.mktemp("assess")
    _, truth = small_recording(folder / "recording", duration_s=3.0)
    truth.save(folder=folder / "truth")
    return folder


def test_a_folder_for_phy_and_a_file_of_samples_are_read(folder, tmp_path):
    recording, truth = si.load(folder / "recording"), si.load(folder / "truth")
    phy, spikes = tmp_path / "phy", truth.to_spike_vector()
    phy.mkdir()
    np.save(phy / "spike_times.npy", spikes["sample_index"].astype("uint64"))
    np.save(phy / "spike_clusters.npy", spikes["unit_index"].astype("int32"))
    rate = recording.get_sampling_frequency()
    (phy / "params.py").write_text(f"dat_path = 'samples.bin'\nsample_rate = {rate}\n")
    recording.get_traces().tofile(tmp_path / "samples.bin")
    probeinterface.write_probeinterface(tmp_path / "probe.json", recording.get_probegroup())
    options = [f"sampling_frequency={rate}", f"num_channels={recording.get_num_channels()}"]
    options.append(f"dtype={recording.get_dtype()}")
    arguments = ["assess", str(phy), str(tmp_path / "samples.bin"), "--format", "binary"]
    arguments += ["--probe", str(tmp_path / "probe.json")]
    for option in options:
        arguments += ["--reader-option", option]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exception is None, result.output
    assert f"{len(truth.unit_ids)} units" in result.output


def test_tables_are_printed_and_written(folder, tmp_path):
    arguments = ["assess", str(folder / "truth"), str(folder / "recording"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exception is None, result.output
    assert "expected_precision" in result.output and "Missed neurons" in result.output
    loaded = Assessment.load(tmp_path / "out")
    assert list(loaded.units.index) == list(si.load(folder / "truth").unit_ids)
    again = CliRunner().invoke(cli.app, arguments)
    assert isinstance(again.exception, ValueError) and "overwrite" in str(again.exception)
    assert CliRunner().invoke(cli.app, [*arguments, "--overwrite"]).exception is None


def test_a_missing_probe_is_told_by_its_option(folder, tmp_path):
    bare = si.NumpyRecording([si.load(folder / "recording").get_traces()], 30_000.0)
    bare.save(folder=tmp_path / "bare")
    for arguments in (
        ["assess", str(folder / "truth"), str(tmp_path / "bare")],
        ["stress-test", str(tmp_path / "bare"), "--out", str(tmp_path / "out")],
    ):
        result = CliRunner().invoke(cli.app, arguments)
        assert isinstance(result.exception, ValueError) and "--probe" in str(result.exception)
