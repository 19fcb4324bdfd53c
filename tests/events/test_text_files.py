"""Separators of columns: those that are read, and what is said of others."""

import time

import numpy as np
import pandas
import pytest

from si_deepsort.events.tables import read_events, read_events_and_format, save_events
from si_deepsort.events.text_files import TextFormat


@pytest.mark.parametrize(
    "text",
    [
        "onset_s|end_s\n0.5|0.6\n1|1.1\n",
        "Onset (ms) | End (ms)\n500 | 600\n1000 | 1100\n",
        "| onset_s | end_s |\n|:---|---:|\n| 0,5 | 0,6 |\n| 1,0 | 1,1 |\n",
    ],
)
def test_vertical_bars_separate_columns(text, tmp_path):
    (tmp_path / "marks.csv").write_text(text, encoding="utf-8")
    events = read_events(tmp_path / "marks.csv")
    np.testing.assert_allclose(events[["onset_s", "end_s"]], [[0.5, 0.6], [1.0, 1.1]])


@pytest.mark.parametrize(
    "heading", ["onset_s   end_s", "Time (s)   End (s)", "onset_s end_s", "# Start time (s)  End (s)"]
)
@pytest.mark.parametrize("decimal", [".", ","])
def test_columns_that_spaces_separate_are_read_and_written_back_with_tabs(heading, decimal, tmp_path):
    path = tmp_path / "marks.txt"
    path.write_text(
        f"Events of cell 3\n\n{heading}\n  0.5   0.6\n 10.25  11.5\n".replace(".", decimal), encoding="utf-8"
    )
    events, text_format = read_events_and_format(path)
    np.testing.assert_allclose(events[["onset_s", "end_s"]], [[0.5, 0.6], [10.25, 11.5]])
    save_events(events.assign(note=["a b", ""]), path, text_format)
    again = read_events(path)
    np.testing.assert_allclose(again["onset_s"], events["onset_s"])
    assert "\t" in path.read_text(encoding="utf-8") and again["note"].tolist() == ["a b", ""]


@pytest.mark.parametrize(
    "text, message",
    [
        ("Time (ms)   Amplitude\n500.5   600.1\n1000.0\n", "line 3 has 1 cells for these 2 columns"),
        ("Time (ms) Amplitude\n500.5 600.1\n1 000.0 3\n", "line 3 has 3 cells"),
        ("Peak time (ms) Amplitude\n500.5 600.1\n", "line 2 has 2 cells for these 3 columns"),
        ("onset (s)  a b\n1  2 3\n", "which may be onset .s., a b or onset .s., a, b"),
    ],
)
def test_spaces_that_leave_a_doubt_are_refused(text, message, tmp_path):
    (tmp_path / "marks.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_events(tmp_path / "marks.txt")


def test_one_space_within_a_cell_is_none_between_columns_where_these_lie_further_apart(tmp_path):
    (tmp_path / "marks.txt").write_text(
        "Event start time (ms)   Amplitude\n500.5   600.1\n1 000.0  3\n", encoding="utf-8"
    )
    np.testing.assert_allclose(read_events(tmp_path / "marks.txt")["onset_s"], [0.5005, 1.0])


def test_a_long_table_is_read_in_seconds(tmp_path):
    onset_s = np.sort(np.random.default_rng(0).uniform(0, 40_000, 50_000))
    table = pandas.DataFrame({name: onset_s + shift for shift, name in enumerate(("onset_s", "peak_s", "end_s"))})
    table = table.assign(amplitude=-12.345, snr=3.1, overlap=False, segment=0, decision="")
    for text_format in (TextFormat(), TextFormat("utf-8", ";", ",")):
        save_events(table, tmp_path / "events.csv", text_format)
        start = time.process_time()
        again = read_events(tmp_path / "events.csv")
        assert time.process_time() - start < 5.0  # under one second alone, four before columns were read at once
        np.testing.assert_allclose(again["onset_s"], onset_s, atol=1e-7)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<table><tr><th>onset_s</th></tr><tr><td>0.5</td></tr></table>", "a web page or XML"),
        ('<?xml version="1.0"?><Workbook><Cell>0.5</Cell></Workbook>', "a web page or XML"),
        ('[{"onset_s": 0.5}, {"onset_s": 1.5}]', "JSON"),
        ('{"onset_s": [0.5, 1.5]}', "JSON"),
    ],
)
@pytest.mark.parametrize("name", ["marks.csv", "marks.xls", "marks.json"])
def test_files_that_are_no_table_are_named(text, kind, name, tmp_path):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"the file is {kind}, not a table of text"):
        read_events(tmp_path / name)
