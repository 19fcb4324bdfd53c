"""Lines of a table that hold no event: a line of units below the heading, and lines of statistics."""

import re
from collections.abc import Sequence

import numpy as np
import pandas

from .column_names import parse_name, unit_of_cell

# What programs and people write at the side of a line that summarises the events.
_STATISTICS = re.compile(
    r"(grand )?(mean|average|avg|median|mode|sd|s\.d|std|stdev|std\.? dev|std\.? error|sem|s\.e\.m|se|"
    r"standard deviation|standard error|var|variance|cv|min|minimum|max|maximum|sum|total|n|count|number|"
    r"mittelwert|moyenne|media|summe|anzahl)( of events| interval| time)?[.:]?(\s*=?\s*[\d.,]+)?",
    re.IGNORECASE,
)
# Names of columns in which a person writes any word.
_REMARKS = re.compile(r"note|comment|remark|kommentar|decision", re.IGNORECASE)


def with_units_of_first_line(table: pandas.DataFrame, time_names: Sequence[str]) -> pandas.DataFrame:
    """
    A table whose columns of times are named with the unit that stands in the line below the heading.

    Parameters
    ----------
    table : pandas.DataFrame
    time_names : sequence of str
        Names of columns of times, without unit.

    Returns
    -------
    pandas.DataFrame
        The line of units stays; it holds no number, and so it is no event.

    Raises
    ------
    ValueError
        If heading and line name different units.
    """
    named = {}
    for column in table.columns if len(table) else ():
        name, factor = parse_name(column)
        unit = str(table[column].iloc[0]).strip()
        below = unit_of_cell(unit) if name in time_names else None
        if below is None:
            continue
        if factor is not None and factor != below:
            raise ValueError(
                f"the heading '{column}' and the cell '{unit}' below it (line {table.index[0]}) name different units; "
                "keep the right one"
            )
        named[column] = f"{name} ({unit.strip('[](){} ')})" if factor is None else column
    return table.rename(columns=named)


def is_statistics(table: pandas.DataFrame, onset: object) -> np.ndarray:
    """
    Lines of statistics, such as "Mean" or "SD" at the side of the events or in their place.

    Parameters
    ----------
    table : pandas.DataFrame
    onset : object
        Name of the column of onsets.

    Returns
    -------
    np.ndarray, shape (num_lines,), bool
        A word for a statistic left of the onset counts only if the column otherwise holds numbers or numbered names:
        in a column of letters, "n" may mean "no".
    """
    is_found = np.array([_is_word(cell) for cell in table[onset]], dtype=bool)
    for position in range(list(table.columns).index(onset)):
        if _REMARKS.search(str(table.columns[position])):
            continue
        cells = table.iloc[:, position]
        is_word = np.array([_is_word(cell) for cell in cells], dtype=bool)
        others = [str(cell) for cell in cells[~is_word] if not pandas.isna(cell) and str(cell).strip()]
        if not is_word.all() and all(any(map(str.isdigit, cell)) or unit_of_cell(cell) for cell in others):
            is_found |= is_word
    return is_found


def _is_word(cell):
    return isinstance(cell, str) and _STATISTICS.fullmatch(cell.strip()) is not None
