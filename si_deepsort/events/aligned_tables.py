"""Tables of text whose columns are separated by spaces alone."""

import csv
import re
from collections.abc import Callable

from .text_files import MAX_HEAD_LINES, TextFormat, TextTable

# Two ways to read a line: columns lie at least two spaces apart, or any spaces separate them but those before a unit in
# brackets.
_WIDE_GAP, _ANY_GAP = re.compile(r"\s{2,}"), re.compile(r"\s+(?![\[({])")


def split_at_spaces(text: str, encoding: str, is_heading: Callable[[list[str]], bool]) -> TextTable | None:
    """
    Read a table whose columns are separated by spaces, where there is one way only to do so.

    Parameters
    ----------
    text, encoding : str
        From `read_text`.
    is_heading : callable
        True for the cells of a line that names the columns.

    Returns
    -------
    TextTable | None
        It is written back with tabs, because spaces cannot hold an empty cell. None if no line is a heading, or tabs
        occur.

    Raises
    ------
    ValueError
        If a line has more or fewer cells than the heading, or both ways to read the table are possible and differ.
    """
    if "\t" in text:
        return None
    lines = [(number, line.strip()) for number, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1)]
    lines = [(number, line) for number, line in lines if line]
    found, problems = [], []
    for cells_of in (_cells_with_wide_gaps, _cells_with_any_gaps):
        first = next((i for i, (_, line) in enumerate(lines[:MAX_HEAD_LINES]) if is_heading(cells_of(line))), None)
        if first is None or len(cells_of(lines[first][1])) < 2:
            continue
        heading = cells_of(lines[first][1])
        below = [(number, cells_of(line)) for number, line in lines[first + 1 :] if not line.startswith("#")]
        odd = next(((number, cells) for number, cells in below if len(cells) != len(heading)), None)
        if odd is None:
            head = [cells_of(line) for _, line in lines[:first]]
            rows, numbers = [cells for _, cells in below], [number for number, _ in below]
            found.append(TextTable(heading, rows, numbers, head, TextFormat(encoding, "\t")))
        else:
            problems.append(
                f"spaces separate the columns of line {lines[first][0]} ({', '.join(heading)}), but line {odd[0]} has "
                f"{len(odd[1])} cells for these {len(heading)} columns"
            )
    if not found and problems:
        raise ValueError(problems[0])
    if len(found) == 2 and (found[0].heading, found[0].rows) != (found[1].heading, found[1].rows):
        raise ValueError(
            f"spaces separate the columns, which may be {', '.join(found[0].heading)} or {', '.join(found[1].heading)}"
        )
    return found[0] if found else None


def _cells_with_wide_gaps(line):
    return _WIDE_GAP.split(line.lstrip("# "))


def _cells_with_any_gaps(line):
    line = line.lstrip("# ")
    if '"' in line:
        return next(csv.reader([line], delimiter=" ", skipinitialspace=True))
    return _ANY_GAP.split(line)
