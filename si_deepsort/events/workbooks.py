"""Read the table of a spreadsheet's own file (.xlsx)."""

import datetime
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

from .text_files import MAX_HEAD_LINES, TextFormat, TextTable

# First bytes of a zip archive, which an .xlsx is, and of the files of old spreadsheets (.xls).
_ZIP, _OLD = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"


def is_workbook(path: str | Path) -> bool:
    """
    Whether a file is one of a spreadsheet, whatever it is called.

    Raises
    ------
    ValueError
        If it is one of an old kind, which nothing here reads.
    """
    with open(path, "rb") as file:
        begin = file.read(4)
    if begin == _OLD:
        raise ValueError(
            "it is a spreadsheet of an old kind (.xls) or with a password; save it as .xlsx without one, or as CSV"
        )
    return begin == _ZIP


def read_workbook(path: str | Path, is_heading: Callable[[list[str]], bool]) -> TextTable:
    """
    Cells of the sheet that holds a table of events, as text.

    Parameters
    ----------
    path : str | Path
        An .xlsx file.
    is_heading : callable
        True for the cells of a line that names the columns.

    Returns
    -------
    TextTable

    Raises
    ------
    ValueError
        If openpyxl is missing, the file is no workbook, no sheet or several hold a table, or a cell of the table holds
        a date, or a formula whose value is not saved.
    """
    values, formulas = _opened_twice(path)
    found = {}
    for sheet in values.worksheets:
        rows = list(_rows_of(sheet))
        first = next((i for i, (_, cells) in enumerate(rows[:MAX_HEAD_LINES]) if is_heading(cells)), None)
        if first is not None:
            found[sheet.title] = rows, first
    if len(found) != 1:
        sheets = ", ".join(f"'{sheet.title}'" for sheet in values.worksheets)
        raise ValueError(
            f"{'several' if found else 'none'} of its sheets ({sheets}) have a heading with times of events; expected "
            "one sheet"
        )
    ((title, table),) = found.items()
    _check_cells(values[title], formulas[title], table[0][table[1]][0])
    return _table_below(*table)


def _opened_twice(path):
    """A workbook with the values of its formulas, and with the formulas."""
    try:
        import openpyxl
    except ImportError as error:
        raise ValueError(
            "reading a spreadsheet needs the package openpyxl: pip install openpyxl (or save the table as CSV)"
        ) from error
    content = Path(path).read_bytes()  # openpyxl opens files with certain endings only
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns of styles and filters that it does not know
        try:
            return [openpyxl.load_workbook(BytesIO(content), data_only=only) for only in (True, False)]
        except Exception as error:  # it fails in many ways on archives that are no workbooks, or with a password
            raise ValueError(f"it is no .xlsx file of a spreadsheet, or it is damaged ({error})") from error


def _table_below(rows, first) -> TextTable:
    """The table whose heading is row `first` of a sheet."""
    heading = rows[first][1]
    while heading and not heading[-1]:
        heading.pop()
    below = [(number, cells) for number, cells in rows[first + 1 :] if not cells[0].startswith("# ")]
    longer = next((number for number, cells in below if any(cells[len(heading) :])), None)
    if longer is not None:
        raise ValueError(f"line {longer} has cells to the right of the heading ({', '.join(heading)}); name the column")
    cells = [[*row, *[""] * len(heading)][: len(heading)] for _, row in below]
    return TextTable(heading, cells, [number for number, _ in below], [row for _, row in rows[:first]], TextFormat())


def _rows_of(sheet) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells as text, numbers in full precision) of each line that is not empty."""
    for row in sheet.iter_rows():
        cells = ["" if cell.value is None else str(cell.value).strip() for cell in row]
        if any(cells):
            yield row[0].row, cells


def _check_cells(sheet, formulas, heading_line) -> None:
    """Refuse cells below the heading that are no numbers and no text: what is above or on other sheets is not read."""
    for row, with_formulas in zip(sheet.iter_rows(), formulas.iter_rows(), strict=True):
        for cell, with_formula in zip(row, with_formulas, strict=True):
            if cell.row > heading_line:
                _check_cell(cell, with_formula)


def _check_cell(cell, with_formula) -> None:
    if cell.value is None and with_formula.data_type == "f":
        raise ValueError(
            f"cell {cell.coordinate} of sheet '{cell.parent.title}' holds a formula whose value is not saved; open the "
            "file in a spreadsheet and save it again"
        )
    if isinstance(cell.value, datetime.date | datetime.time | datetime.timedelta):
        raise ValueError(
            f"cell {cell.coordinate} of sheet '{cell.parent.title}' is formatted as a date or a time of day "
            f"({cell.value}); format the column as a number"
        )
