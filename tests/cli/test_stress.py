"""`si-deepsort stress-test`: options are the settings, errors are in their words."""

import pytest
from small_recording import small_recording
from typer.testing import CliRunner

from si_deepsort import cli

RUNNER = CliRunner()


def test_settings_are_options():
    text = RUNNER.invoke(cli.app, ["stress-test", "--help"]).output
    assert "--num-repetitions" in text and "--snr-min" in text and "--statistics" not in text


def test_errors_name_options(tmp_path):
    small_recording(tmp_path / "recording", duration_s=1.0)
    arguments = ["stress-test", str(tmp_path / "recording"), "--out", str(tmp_path / "out")]
    result = RUNNER.invoke(cli.app, [*arguments, "--snr-min", "30"])
    assert isinstance(result.exception, ValueError) and "--snr-max" in str(result.exception)
    result = RUNNER.invoke(cli.app, [*arguments, "--sorters", "depsort"])
    assert "Unknown sorter 'depsort'" in str(result.exception) and not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_page_is_written(tmp_path):
    small_recording(tmp_path / "recording", duration_s=4.0, num_channels=4)
    arguments = ["stress-test", str(tmp_path / "recording"), "--out", str(tmp_path / "out"), "--num-repetitions", "1"]
    result = RUNNER.invoke(cli.app, arguments)
    assert result.exception is None and "deepsort found" in result.output
    assert (tmp_path / "out" / "stress_test.html").exists() and (tmp_path / "out" / "result" / "units.csv").exists()
