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


def test_no_file_is_written_over_another_and_a_link_stays_a_link(tmp_path):
    trace, out, link, target = (tmp_path / name for name in ("cell.npz", "e.csv", "link.csv", "elsewhere.csv"))
    np.savez(trace, trace=np.random.default_rng(0).normal(size=20_000), sampling_frequency=10_000.0)
    before = trace.read_bytes()
    for report in (out, trace):
        result = CliRunner().invoke(app, ["events", str(trace), "--out", str(out), "--report", str(report)])
        assert "one file" in str(result.exception) and trace.read_bytes() == before and not out.exists()
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("links are not allowed here")
    assert CliRunner().invoke(app, ["events", str(trace), "--out", str(link)]).exit_code == 0
    assert link.is_symlink() and target.read_text(encoding="utf-8").startswith("onset_s")
