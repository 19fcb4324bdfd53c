"""Messages of `si-deepsort events` name the option that is wrong, before any work is done."""

import numpy as np
import pytest
from typer.testing import CliRunner

from si_deepsort.cli import app


@pytest.mark.parametrize(
    "option, value",
    [
        ("--threshold", "7"),
        ("--time-scale", "0"),
        ("--polarity", "sideways"),
        ("--end", "half"),
        ("--end", "1.5"),
        ("--exclude", "3"),
        ("--exclude", "3:1"),
        ("--exclude", "0:inf"),
    ],
)
def test_a_wrong_value_names_its_option(option, value, tmp_path):
    np.savez(tmp_path / "cell.npz", trace=np.zeros(1000), sampling_frequency=10_000.0)
    result = CliRunner().invoke(
        app, ["events", str(tmp_path / "cell.npz"), "--out", str(tmp_path / "e.csv"), option, value]
    )
    assert result.exit_code != 0 and not (tmp_path / "e.csv").exists()
    assert option in f"{result.output} {result.exception}"
