"""Text files as programs and spreadsheets write them: any encoding, any separator, lines above the heading."""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Separators of columns, in the order in which they are tried.
DELIMITERS = ("\t", ";", ",", "|")
# What separates nothing: so that a table of one column is read whatever its cells hold.
_NO_DELIMITER = "\x1f"
# Lines above the heading (title, date, number of columns ...) that a file may begin with.
MAX_HEAD_LINES = 60
# A file that ends within a number is recognised by its last characters, if they hold more than so many lines.
MAX_END_CHARACTERS, FEWEST_LINES = 2000, 5
_LAST_DECIMALS = re.compile(r"[.,](\d*)\s*$")
# What a spreadsheet writes instead of a number that does not fit into its column, or that it could not compute.
SPREADSHEET_ERROR = re.compile(r"#+|#(N/A|NUM!|NULL!|VALUE!|REF!|NAME\?|DIV/0!)", re.IGNORECASE)
# Two numbers in one cell: a row with another separator than the rest.
_JOINED_NUMBERS = re.compile(r"\d\s*[;\t|]\s*[+-]?\d")
# What a cell may hold in a column of numbers, and what shows that two cells became one: a separator, the end of a line,
# a quotation mark, or a sign after a comma.
_NUMBER = re.compile(r"[+-]?[\d.,' ]+([eE][+-]?\d+)?")
_JOINED_CELLS = re.compile(r"\d.*[;\t\n\"|].*\d|\d,\s*[+-]\s*\d", re.DOTALL)
_SIGN_AFTER_COMMA = re.compile(r",\s*[+-]")


@dataclass(frozen=True)
class TextFormat:
    """
    How a table was written, so that it can be written back in the same way.

    Attributes
    ----------
    encoding : str
    delimiter : str
    decimal : "." | ","
    """

    encoding: str = "utf-8"
    delimiter: str = ","
    decimal: str = "."


@dataclass(frozen=True)
class TextTable:
    """
    Cells of a text file below its heading.

    Attributes
    ----------
    heading : list of str
        Names of the columns; empty where the file has none.
    rows : list of list of str
        Cells, as many in each row as the heading has (a short row is filled with empty cells).
    line_numbers : list of int
        Line of each row in the file, from 1.
    head : list of list of str
        Cells of the lines above the heading.
    format : TextFormat
        Its `decimal` is a point here; `decimal_numbers.decimal_mark` finds the right one.
    """

    heading: list[str]
    rows: list[list[str]]
    line_numbers: list[int]
    head: list[list[str]]
    format: TextFormat

    def column(self, index: int) -> list[str]:
        """Cells of one column."""
        return [row[index] for row in self.rows]


def read_text(path: str | Path) -> tuple[str, str]:
    """
    Text of a file and the encoding that it was in: UTF-8 or UTF-16 with or without byte order mark, else Windows-1252.

    Parameters
    ----------
    path : str | Path

    Returns
    -------
    text, encoding : str

    Raises
    ------
    ValueError
        If the file is binary, a web page or JSON, or ends within a number.
    """
    text, encoding = _decoded(Path(path).read_bytes())
    _check_is_plain(text)
    _check_is_whole(text)
    return text, encoding


def _decoded(content):
    """Text and encoding of the bytes of a file."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16"), "utf-16"
    zeros = np.frombuffer(content[:4096].ljust(2), dtype="uint8") == 0
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):  # the zeros of Western text in two bytes a letter
        if zeros[first::2].mean() > 0.8 and not zeros[1 - first :: 2].any():
            return content.decode(encoding), encoding
    if zeros.any():
        raise ValueError("the file is not text (it holds zero bytes)")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        has_mark = content.startswith(b"\xef\xbb\xbf")
        return text, "utf-8" if encoding == "utf-8-sig" and not has_mark else encoding
    raise ValueError("the file is text in an unknown encoding; save it as UTF-8")


def _check_is_plain(text):
    """An error if the text is a web page, XML or JSON, as some programs call .xls or .csv."""
    start = text[:200].lstrip("\ufeff \t\r\n")
    is_json = re.match(r"[{\[]\s*[{\[\"]", start) is not None
    other = "a web page or XML" if re.match(r"<[!?a-zA-Z]", start) else "JSON" if is_json else ""
    if other:
        raise ValueError(f"the file is {other}, not a table of text; open it in a spreadsheet and save it as CSV")


def _check_is_whole(text):
    """An error if the last number has fewer decimals than those above it, and no line end: the rest is missing."""
    if text.endswith(("\n", "\r")):
        return
    lines = text[-MAX_END_CHARACTERS:].splitlines()[1:]
    decimals = [len(match.group(1)) if match else 0 for match in map(_LAST_DECIMALS.search, lines)]
    if len(lines) > FEWEST_LINES and len(set(decimals[:-1])) == 1 and decimals[-1] < decimals[0]:
        raise ValueError(
            f"the file ends within its last number: '{lines[-1]}' has {decimals[-1]} decimals, the lines above it have "
            f"{decimals[0]}. It was not written or copied to its end; copy it again, or delete this line"
        )


def split_table(text: str, encoding: str, is_heading: Callable[[list[str]], bool]) -> TextTable:
    """
    Find the separator of the columns and the heading of a table.

    Parameters
    ----------
    text, encoding : str
        From `read_text`.
    is_heading : callable
        True for the cells of a line that names the columns.

    Returns
    -------
    TextTable
        With an empty heading, and everything in `head`, where no line is a heading.

    Raises
    ------
    ValueError
        If rows have more cells than the heading, whatever the separator.
    """
    tables: list[TextTable] = []
    problems: list[str] = []
    for delimiter in _possible_delimiters(text):
        if tables and delimiter not in text:
            break  # a table of one column, when there is one of more
        try:
            rows = _split(text, delimiter, is_heading)
        except ValueError as error:
            problems.append(str(error))
            continue
        found = next((index for index, (_, row) in enumerate(rows[:MAX_HEAD_LINES]) if is_heading(row)), None)
        if found is None:
            continue
        heading = _without_empty_end(rows[found][1])
        below = [(number, row) for number, row in rows[found + 1 :] if any(row)]
        problem = _problem_of_rows(below, heading, _may_hold_joined_cells(text, delimiter))
        if problem:
            problems.append(problem)
            continue
        cells = [_of_length(row, len(heading)) for _, row in below]
        form = TextFormat(encoding, delimiter)
        tables.append(TextTable(heading, cells, [n for n, _ in below], [row for _, row in rows[:found]], form))
    if tables:
        return max(tables, key=lambda table: len(table.heading))
    if problems:
        raise ValueError(problems[0])
    delimiter = _possible_delimiters(text)[0]
    rows = [row for _, row in _split(text, delimiter, is_heading) if any(row)]
    return TextTable([], [], [], rows, TextFormat(encoding, delimiter))


def _problem_of_rows(below, heading, may_hold_joined_cells):
    """Why rows (line number, cells) do not belong to a heading; "" if they do."""
    longer = next(((number, row) for number, row in below if any(row[len(heading) :])), None)
    if longer is not None:
        number, row = longer
        return (
            f"line {number} has {len(_without_empty_end(row))} cells, the heading has {len(heading)} columns "
            f"({', '.join(heading)}). Where numbers have a decimal comma, columns must be separated by ; or tab"
        )
    if not may_hold_joined_cells:
        return ""
    joined = next((number for number, row in below if _has_other_delimiter(row, len(heading))), None)
    if joined is not None:
        return f"line {joined} separates its columns otherwise than the heading"
    joined = _line_of_joined_cells(below, len(heading))
    if joined is not None:
        return f"line {joined} holds several numbers in one cell; look at its separators and quotes"
    return ""


def _possible_delimiters(text):
    first_line = text.lstrip("\ufeff").split("\n", 1)[0].strip().lower().strip('"')
    if first_line.startswith("sep=") and len(first_line) <= len("sep=") + 2:
        return ("\t",) if first_line[4:] in ("", "\\t") else (first_line[4],)
    present = [delimiter for delimiter in DELIMITERS if delimiter in text]
    return (*present, next((mark for mark in DELIMITERS if mark not in present), _NO_DELIMITER))


def _split(text, delimiter, is_heading):
    """(line number, cells) of each line that is neither empty nor a remark; # before a heading is left out."""
    reader = csv.reader(
        io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    rows = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            is_sep = not rows and len(cells) <= 2 and "".join(cells).lower().startswith("sep=")
            if cells and cells[0].startswith("#") and is_heading([cells[0].lstrip("# "), *cells[1:]]):
                cells[0] = cells[0].lstrip("# ")
            if any(cells) and not is_sep and not _is_remark(cells) and not (delimiter == "|" and _is_rule(cells)):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} cannot be split into columns: {error}") from error
    return rows


def _is_remark(cells):
    """Whether a line begins with #, and not with what a spreadsheet writes instead of a number."""
    if not cells[0].startswith("#"):
        return False
    return SPREADSHEET_ERROR.fullmatch(cells[0]) is None or not any(cells[1:])


def _is_rule(cells):
    """Whether a line of a table in Markdown separates its heading from its rows: | --- | :---: |."""
    return all(re.fullmatch("(:?-+:?)?", cell) for cell in cells)


def _has_other_delimiter(row, width):
    """Whether cells would be as many as the heading has columns if ; or tab separated them, between numbers."""
    text = " ".join(row)
    return width > 1 and any(text.count(mark) == width - 1 for mark in ";\t|") and any(map(_JOINED_NUMBERS.search, row))


def _may_hold_joined_cells(text, delimiter):
    """Whether a mark that joins cells is in the text; most files hold none, which saves looking at each cell."""
    is_there = any(mark in text for mark in ';\t|"' if mark != delimiter)
    return is_there or (delimiter != "," and _SIGN_AFTER_COMMA.search(text) is not None)


def _line_of_joined_cells(below, width):
    """Line in which a cell of a column of numbers holds more than one number, else None."""
    for column in range(width):
        cells = [(number, row[column]) for number, row in below if len(row) > column and row[column]]
        if not any(_JOINED_CELLS.search(cell) for _, cell in cells):
            continue
        odd = [(number, cell) for number, cell in cells if not _NUMBER.fullmatch(cell)]
        if len(odd) == 1 and _JOINED_CELLS.search(odd[0][1]):
            return odd[0][0]
    return None


def _of_length(row, width):
    """The cells of a row, cut or filled with empty cells to as many as the heading has."""
    return row if len(row) == width else [*row, *[""] * width][:width]


def _without_empty_end(row):
    row = list(row)
    while row and not row[-1]:
        row.pop()
    return row
