"""`si-deepsort stress-test`: options are the settings, errors are in their words."""

import pytest
from small_recording import small_recording
from typer.testing import CliRunner

from si_deepsort import StressTestSettings, cli

RUNNER = CliRunner()


def test_settings_are_options():
    text = RUNNER.invoke(cli.app, ["stress-test", "--help"]).output
    assert "--num-repetitions" in text and "--snr-min" in text and "--statistics" not in text


def test_defaults_in_the_help_are_those_of_the_settings():
    """They are written down there, because the settings would import SpikeInterface for the help."""
    text = " ".join(RUNNER.invoke(cli.app, ["stress-test", "--help"], env={"COLUMNS": "200"}).output.split())
    for name in ("num_repetitions", "snr_min", "snr_max"):
        option = text[text.index(f"--{name.replace('_', '-')}") :]
        default = option[option.index("Default: ") + len("Default: ") :].split()[0]
        assert float(default) == getattr(StressTestSettings(), name), name


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
