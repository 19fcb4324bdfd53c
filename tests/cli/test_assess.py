"""`si-deepsort assess`: tables of a saved sorting, and messages without tracebacks."""

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
