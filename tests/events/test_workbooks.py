"""Tables of events in files of spreadsheets."""

import datetime

import pytest

from si_deepsort.events.tables import read_events, save_events

openpyxl = pytest.importorskip("openpyxl", reason="reading .xlsx needs openpyxl")


@pytest.fixture
def workbook(tmp_path):
    def write(*sheets, name="marks.xlsx"):
        book = openpyxl.Workbook()
        book.remove(book.active)
        for index, rows in enumerate(sheets):
            sheet = book.create_sheet(f"cell {index}")
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / name)
        return tmp_path / name

    return write


ROWS = [["Time (ms)", "Amplitude", "note", "Decision"], [1250.123456789, -10, "1,5 or 1.5?", "accept"]]


@pytest.mark.parametrize("name", ["marks.xlsx", "renamed.csv"])
def test_numbers_are_read_in_full_precision_and_text_as_it_is(workbook, name):
    path = workbook([["Cell 3"], [], *ROWS, [None, None, None, None], [250, -8, None, None]], [["remarks"]], name=name)
    events = read_events(path)
    assert events["onset_s"].tolist() == [0.25, 1.250123456789]
    assert events["note"].tolist() == ["", "1,5 or 1.5?"] and events["decision"].tolist() == ["", "accept"]


def test_dates_and_formulas_outside_of_the_table_do_not_matter(workbook):
    above = [["Recorded on", datetime.date(2026, 1, 2)], ["Mean", "=1+1"], *ROWS]
    events = read_events(workbook(above, [["Day"], [datetime.date(2026, 1, 2)], ["=A1"]]))
    assert events["onset_s"].tolist() == [1.250123456789]


@pytest.mark.parametrize(
    "sheets, message",
    [
        ([ROWS, ROWS], "several of its sheets .'cell 0', 'cell 1'."),
        ([[["a", "b"], [1, 2]]], "none of its sheets"),
        ([[["Time (ms)"], ["=A1*2"]]], "cell A2 .* formula whose value is not saved"),
        ([[["Time (ms)"], [datetime.time(0, 1, 2)]]], "cell A2 .* formatted as a date"),
        ([[["Time (s)"], [datetime.datetime(2026, 1, 2)]]], "cell A2 .* formatted as a date"),
        ([[["Time (s)"], [1.0, "x"]]], "to the right of the heading"),
        ([[["Time (s)"], ["#VALUE!"]]], "mend the formula"),
        ([[["Time (s)", "note"], ["soon", "x"]]], "not a number"),
    ],
)
def test_what_is_not_certain_is_refused_with_its_place(workbook, sheets, message):
    with pytest.raises(ValueError, match=message):
        read_events(workbook(*sheets))


@pytest.mark.parametrize(
    "content, message", [(b"\xd0\xcf\x11\xe0xls", "old kind"), (b"PK\x03\x04zip", "no .xlsx file")]
)
def test_other_spreadsheets_and_archives_are_named(tmp_path, content, message):
    (tmp_path / "marks.xls").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_events(tmp_path / "marks.xls")


def test_text_is_never_written_into_a_file_that_is_called_a_spreadsheet(workbook, tmp_path):
    events = read_events(workbook(ROWS))
    before = (tmp_path / "marks.xlsx").read_bytes()
    with pytest.raises(ValueError, match=r"call it \.csv"):
        save_events(events, tmp_path / "marks.xlsx")
    assert (tmp_path / "marks.xlsx").read_bytes() == before
