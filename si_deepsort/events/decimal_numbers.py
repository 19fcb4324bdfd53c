"""
Numbers with a decimal point or a decimal comma, with or without separators of thousands.

A number is never guessed. Where a cell such as 1,469 may be 1469 or 1.469 and nothing else in the file decides, the
file is refused with a message that says what to change.
"""

import re
from collections.abc import Sequence

import numpy as np

# Cells that mean "no value".
MISSING_WORDS = ("", "nan", "na", "n/a", "<na>", "none", "null", "-", "--", "\N{EN DASH}", "\N{EM DASH}")
# Spaces and apostrophes that separate thousands: 1 469.44, 1'469.44.
_GROUPING_MARKS = (
    " '\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}\N{FIGURE SPACE}\N{RIGHT SINGLE QUOTATION MARK}"
)
_GROUPED = re.compile(rf"[+-]?[1-9]\d{{0,2}}([{_GROUPING_MARKS}])\d{{3}}(\1\d{{3}})*(?=[.,]|$)")
# What stands around a number where a program or a spreadsheet keeps it as text: ="1.25", '1.25', '1.25.
_AS_TEXT = re.compile(r"""=?"(?P<number>[^"]+)"|'(?P<quoted>[^']+)'?""")
# A number whose thousands are grouped by the first mark and whose decimals follow the second one.
_NUMBER = r"[+-]?(?:(?:[1-9]\d{{0,2}}(?:{0}\d{{3}})+|\d+)(?:{1}\d*)?|{1}\d+)(?:[eE][+-]?\d+)?"
_WITH_POINT = re.compile(_NUMBER.format(",", r"\."))
_WITH_COMMA = re.compile(_NUMBER.format(r"\.", ","))
# All characters of a column of numbers without separators of thousands, words and spaces, for each decimal mark.
_USUAL_CHARACTERS = {".": re.compile("[0-9.eE+-]*"), ",": re.compile("[0-9,eE+-]*")}


def decimal_mark(cells: Sequence[str]) -> str | None:
    """
    Decimal mark that cells show: "." or ",", or None where no cell decides.

    Parameters
    ----------
    cells : sequence of str

    Raises
    ------
    ValueError
        If some cells have a decimal point and others a decimal comma.
    """
    usual = _usual_numbers(cells)
    return _decisive_mark(cells) if usual is None else _mark_of_usual(cells, usual[1])


def _mark_of_usual(cells, mark):
    """The only mark of cells with one kind of mark if one of them would be no number with the other, else None."""
    as_other = _WITH_COMMA if mark == "." else _WITH_POINT
    is_sure = mark is not None and any(mark in cell and not as_other.fullmatch(cell) for cell in cells)
    return mark if is_sure else None


def _decisive_mark(cells):
    """As `decimal_mark`, cell by cell."""
    only_point, only_comma = [], []
    for cell in dict.fromkeys(cells):
        cell = _ungrouped(_plain(cell))
        fits_point, fits_comma = _WITH_POINT.fullmatch(cell), _WITH_COMMA.fullmatch(cell)
        if fits_point and not fits_comma:
            only_point.append(cell)
        elif fits_comma and not fits_point:
            only_comma.append(cell)
    if only_point and only_comma:
        raise ValueError(f"'{only_point[0]}' has a decimal point and '{only_comma[0]}' a decimal comma")
    return "." if only_point else "," if only_comma else None


def parse_numbers(cells: Sequence[str], table_mark: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """
    Numbers of one column.

    Parameters
    ----------
    cells : sequence of str
    table_mark : "." | "," | None, default: None
        Decimal mark of the rest of the table, for a column that does not decide itself.

    Returns
    -------
    values : np.ndarray, shape (num_cells,), float64
        NaN where a cell holds no number.
    is_text : np.ndarray, shape (num_cells,), bool
        True where a cell holds something that is neither a number nor a word for "no value".

    Raises
    ------
    ValueError
        If decimal marks are mixed or undecided.
    """
    usual = _usual_numbers(cells)
    mark = (_decisive_mark(cells) if usual is None else _mark_of_usual(cells, usual[1])) or table_mark
    if usual is not None and usual[1] in (None, mark):
        return usual[0], np.zeros(len(cells), dtype=bool)
    has_decimals = mark is not None and any(mark in cell for cell in cells)
    values, is_text = np.full(len(cells), np.nan), np.zeros(len(cells), dtype=bool)
    for index, cell in enumerate(cells):
        cell = _plain(cell)
        if cell.lower() in MISSING_WORDS:
            continue
        number = _ungrouped(cell)
        fits_point, fits_comma = _WITH_POINT.fullmatch(number), _WITH_COMMA.fullmatch(number)
        if not fits_point and not fits_comma:
            is_text[index] = cell.lower().lstrip("+-") not in ("inf", "infinity")
            continue
        if mark is None and ("," in number or "." in number):
            meanings = f"{_value(number, '.'):g} or {_value(number, ','):g}"
            raise ValueError(
                f"'{cell}' may be {meanings}: no other number of the column shows the decimal mark. Write one with "
                "another number of decimals, or without a separator of thousands"
            )
        if (fits_comma if mark == "," else fits_point) is None:
            is_text[index] = True
            continue
        has_groups = number != cell or "," in number or "." in number
        if has_decimals and has_groups and mark not in number:
            raise ValueError(
                f"'{cell}' may have separators of thousands or another decimal mark: other numbers of the column have "
                f"decimals after '{mark}'. Write all with as many decimals, or without a separator of thousands"
            )
        values[index] = _value(number, mark or ".")
    return values, is_text


def table_decimal_mark(columns: Sequence[Sequence[str]], delimiter: str) -> str | None:
    """
    Decimal mark of a whole table, for columns that do not decide themselves.

    Parameters
    ----------
    columns : sequence of sequence of str
        Cells of each column.
    delimiter : str
        What separates the columns.

    Returns
    -------
    "." | "," | None
        That of the columns that decide. Without any: a point where several columns are separated by commas.
    """
    marks = set()
    for cells in columns:
        try:
            marks.add(decimal_mark(cells))
        except ValueError:
            marks |= {".", ","}
    marks.discard(None)
    if marks:
        return marks.pop() if len(marks) == 1 else None
    return "." if delimiter == "," and len(columns) > 1 else None


def _usual_numbers(cells):
    """Values of cells that are empty or digits with one kind of mark at most, and this mark; None for other cells."""
    text = "".join(cells)
    mark = next((mark for mark, usual in _USUAL_CHARACTERS.items() if usual.fullmatch(text)), None)
    if mark is None:
        return None
    try:
        with_points = (cell.replace(",", ".") for cell in cells) if mark == "," else cells
        values = np.array([float(cell or "nan") for cell in with_points])
    except ValueError:
        return None
    return values, mark if mark in text else None


def _plain(cell):
    """The cell without spaces, invisible characters and marks of text around it, and with a plain minus sign."""
    cell = cell.strip(" \t\r\n\N{ZERO WIDTH SPACE}\ufeff\N{NO-BREAK SPACE}").replace("\N{MINUS SIGN}", "-")
    as_text = _AS_TEXT.fullmatch(cell) if cell[:1] in ("=", "'", '"') else None
    return cell if as_text is None else (as_text["number"] or as_text["quoted"]).strip()


def _ungrouped(cell):
    """The cell without the spaces or apostrophes that separate its thousands; any others stay."""
    grouped = _GROUPED.match(cell) if any(map(cell.__contains__, _GROUPING_MARKS)) else None
    return cell if grouped is None else grouped.group().replace(grouped.group(1), "") + cell[grouped.end() :]


def _value(number, mark):
    return float(number.replace(".", "").replace(",", ".") if mark == "," else number.replace(",", ""))
