"""Tables of corrections: what is one, and what the user typed survives the next run of the command."""

import shutil

import numpy as np
import pandas
import pytest
from typer.testing import CliRunner

from si_deepsort.cli import app
from si_deepsort.events.columns import as_events
from si_deepsort.events.decisions import check_has_corrections
from si_deepsort.events.simulate import simulate_events
from si_deepsort.events.tables import read_events
from si_deepsort.events.text_files import TextFormat

RATE = 10_000.0


def command_of(folder):
    """The command that finds the events of the trace in a folder."""

    def command(*options):
        files = [str(folder / "cell.npz"), "--out", str(folder / "events.csv")]
        result = CliRunner().invoke(app, ["events", *files, *options])
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    return command


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """Folder of a short trace and the events that were found in it."""
    folder = tmp_path_factory.mktemp("events")
    trace = simulate_events("endplate", duration_s=4.0, noise_sd=0.06, seed=11)[0].get_traces()[:, 0]
    np.savez(folder / "cell.npz", trace=trace, sampling_frequency=RATE, unit="mV")
    command_of(folder)()
    return folder


@pytest.fixture
def run(first_run, tmp_path):
    shutil.copytree(first_run, tmp_path, dirs_exist_ok=True)
    return command_of(tmp_path), tmp_path / "events.csv"


@pytest.mark.parametrize(
    ("columns", "is_refused"),
    [
        ({"V (mV)": ["0.1", "0.2"]}, True),
        ({"V (mV)": ["-1.5e-05", "NaN"]}, True),
        ({"2": ["3e", "1"]}, False),
        ({}, True),
        ({"V (mV)": ["0.1", "0.2"], "decision": ["", ""]}, False),
        ({"note": ["", "small"]}, False),
        ({"amplitude": ["1", "2"]}, False),
    ],
)
def test_a_table_without_decisions_and_words_is_no_table_of_corrections(columns, is_refused):
    table = as_events(pandas.DataFrame({"time (s)": ["0.1", "0.2"], **columns}))
    if not is_refused:
        check_has_corrections(table, "trace.csv")
        return
    with pytest.raises(ValueError, match=r"trace.csv holds no corrections.*'decision'"):
        check_has_corrections(table, "trace.csv")


@pytest.mark.parametrize(
    "form, heading",
    [
        (TextFormat(), "decision"),
        (TextFormat("utf-8-sig"), "Decision"),
        (TextFormat("utf-16", "\t"), " DECISION "),
        (TextFormat("cp1252", ";", ","), "Decision"),
        (TextFormat("utf-8", ";", ","), " DECISION "),
    ],
)
def test_decisions_and_own_columns_survive_any_spreadsheet(run, form, heading):
    command, out = run
    table = read_events(out)
    words = ["reject", "Accept ", *[""] * (len(table) - 2)]
    edited = table.assign(decision=words, note=[f"Zelle {n}; 1,5" for n in range(len(table))]).rename(
        columns={"decision": heading}
    )
    edited.to_csv(out, index=False, sep=form.delimiter, decimal=form.decimal, encoding=form.encoding)
    command()
    again = read_events(out)
    assert again["decision"].tolist() == [word.strip().lower() for word in words]
    assert again["note"].tolist() == edited["note"].tolist()
    np.testing.assert_allclose(again["onset_s"], table["onset_s"], atol=1e-6)


def test_what_is_overwritten_is_kept_beside(run):
    command, out = run
    first = read_events(out).assign(decision="reject", amplitude=7.0)
    first.to_csv(out, index=False)
    content = out.read_bytes()
    command()
    backups = list(out.parent.glob("events.backup-*.csv"))
    assert [backup.read_bytes() for backup in backups] == [content]
    assert (read_events(out)["amplitude"] != 7.0).all()
    command()
    assert len(list(out.parent.glob("events.backup-*.csv"))) == 1  # nothing changed, nothing to keep


def test_the_trace_is_never_overwritten(run):
    _, out = run
    trace = out.with_name("cell.npz")
    before = trace.read_bytes()
    result = CliRunner().invoke(app, ["events", str(trace), "--out", str(trace)])
    assert result.exit_code != 0 and trace.read_bytes() == before
