"""Columns of a table of events, in any naming and unit, as onset, end, segment and decision."""

import warnings

import numpy as np
import pandas

from .column_names import END_NAMES, ONSET_NAMES, SEGMENT_NAMES, parse_name, unit_of_cell
from .decimal_numbers import parse_numbers
from .other_lines import is_statistics, with_units_of_first_line
from .text_files import SPREADSHEET_ERROR

DECISION, ACCEPT, REJECT = "decision", "accept", "reject"
# Repeated lines that a warning names at most.
SHOWN_LINES = 5
# Events further apart than this from their own end, in s, show that a column is not what its name says.
LONGEST_EVENT_S = 60.0


def as_events(table: pandas.DataFrame, *, decimal: str | None = None) -> pandas.DataFrame:
    """
    A table in any of the known namings as one with `onset_s`.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns of numbers or text; the index is used in messages as the number of the line.
    decimal : "." | "," | None, default: None
        Decimal mark of the table, for columns of text that do not decide themselves.

    Returns
    -------
    pandas.DataFrame
        By segment and onset. Columns with a known name are called `onset_s`, `end_s`, `segment` and `decision`.
        Lines that are the same in all columns, as after pasting twice, are one event; a warning names them.

    Raises
    ------
    ValueError
        If there is no column of onsets or a cell in it is not a number.
    """
    table = table if table.index.is_unique else table.reset_index(drop=True)
    table = with_units_of_first_line(table, (*ONSET_NAMES, *END_NAMES))
    onset, onset_factor = _time_column(table, ONSET_NAMES)
    if onset is None:
        raise ValueError(f"no column holds times of events; the columns are {[str(name) for name in table.columns]}")
    decision = _decision_column(table)
    onset_s = _onsets(table, onset, decision, decimal) * onset_factor
    events = table.rename(columns={decision: DECISION} if decision is not None else {})
    events = events.rename(columns={onset: "onset_s"})
    events["onset_s"] = onset_s
    end, end_factor = _time_column(table, END_NAMES)
    if end is not None:
        events = events.rename(columns={end: "end_s"})
        events["end_s"] = _numbers(table[end], decimal) * end_factor
    segment = _find(table, SEGMENT_NAMES)
    events = events[np.isfinite(onset_s)]
    if segment is not None:
        events = events.rename(columns={segment: "segment"})
        events["segment"] = _segments(table.loc[events.index, segment], decimal)
    _check_times(events)
    events = _without_repeated(events)
    order = ["segment", "onset_s"] if segment is not None else ["onset_s"]
    return events.sort_values(order, ignore_index=True, kind="stable")


def _without_repeated(events):
    """The events without lines that repeat an earlier one in all columns; a warning says which these are."""
    if events["onset_s"].is_unique:
        return events
    is_repeated = events.astype(str).duplicated()
    if is_repeated.any():
        lines = ", ".join(map(str, events.index[is_repeated][:SHOWN_LINES]))
        warnings.warn(
            f"In the table of events, {is_repeated.sum()} of {len(events)} lines repeat an earlier line in all columns "
            f"and are left out, because they are the same event: line {lines}"
            f"{' and others' if is_repeated.sum() > SHOWN_LINES else ''}.",
            stacklevel=3,
        )
    return events[~is_repeated]


def _decision_column(table):
    """Column of decisions, None if there is none; an error if they stand under another name or in two columns."""
    named = [name for name in table.columns if parse_name(name)[0] == DECISION]
    if len(named) > 1:
        raise ValueError(f"the columns {[str(name) for name in named]} hold the same thing; keep one")
    for name in () if named else table.columns:
        words = {str(cell).strip().lower() for cell in table[name][is_filled(table[name])]}
        if words and words <= {ACCEPT, REJECT}:
            raise ValueError(f"the column '{name}' holds decisions; call it '{DECISION}'")
    return named[0] if named else None


def _find(table, names):
    parsed = {}
    for column in table.columns:
        parsed.setdefault(parse_name(column)[0], column)
    return next((parsed[name] for name in names if name in parsed), None)


def _time_column(table, names):
    """Column of times and seconds per unit; (None, None) if there is none."""
    parsed = [(column, *parse_name(column)) for column in table.columns]
    for wanted in names:
        with_unit = [(column, factor) for column, name, factor in parsed if name == wanted and factor is not None]
        if len(with_unit) > 1:
            raise ValueError(f"the columns {[str(column) for column, _ in with_unit]} hold the same thing; keep one")
        if with_unit:
            return with_unit[0]
    column = _find(table, names)
    if column is not None:
        raise ValueError(f"the column '{column}' does not name its unit. Call it '{column} (s)' or '{column} (ms)'")
    return None, None


def _numbers(column, decimal):
    """Numbers of a column that may be text; an error if a cell is neither a number nor empty."""
    values, is_text = _parsed(column, decimal)
    if is_text.any():
        line = column.index[is_text][0]
        raise ValueError(f"the column '{column.name}' holds '{column[is_text].iloc[0]}' (line {line}), not a number")
    return values


def _parsed(column, decimal):
    if pandas.api.types.is_numeric_dtype(column):
        return column.to_numpy(float, na_value=np.nan), np.zeros(len(column), dtype=bool)
    try:
        return parse_numbers(texts_of(column), decimal)
    except ValueError as error:
        raise ValueError(f"the column '{column.name}' cannot be read: {error}") from error


def _onsets(table, onset, decision, decimal):
    """Onsets in the unit of the column; NaN for lines of units and of statistics, which are left out."""
    is_other = is_statistics(table, onset)
    values, is_text = np.full(len(table), np.nan), np.zeros(len(table), dtype=bool)
    values[~is_other], is_text[~is_other] = _parsed(table.loc[~is_other, onset], decimal)
    has_no_numbers = len(table) > 0 and not _holds_numbers(table[[onset]])
    if has_no_numbers and _holds_numbers(table):
        raise ValueError(
            f"no line below the heading holds a time in the column '{onset}'; is the table turned by 90 degrees"
        )
    _check_texts(table, onset, is_text)
    if decision is not None:
        words = [str(word).strip().lower() for word in table[decision]]
        is_lost = ~np.isfinite(values) & np.isin(words, (ACCEPT, REJECT))
        if is_lost.any():
            line, word = table.index[is_lost][0], table[decision][is_lost].iloc[0]
            raise ValueError(f"line {line} holds the decision '{word}', but no time of an event")
    _warn_of_lines_without_time(table, ~np.isfinite(values) & ~is_text & ~is_other, is_other)
    return np.where(np.isinf(values), np.nan, values)


def _check_texts(table, onset, is_text):
    """An error if the column of times holds text; units, a repeated heading and lone remarks may stand there."""
    for line, cell in table.loc[is_text, onset].items():
        cell = str(cell).strip()
        if SPREADSHEET_ERROR.fullmatch(cell):
            raise ValueError(
                f"the column '{onset}' holds '{cell}' (line {line}), which a spreadsheet writes instead of a "
                "number; make the column wider, or mend the formula, and save the table again"
            )
        is_alone = is_filled(table.loc[line]).sum() == 1 and not any(map(str.isdigit, cell))
        if not is_alone and unit_of_cell(cell) is None and parse_name(cell)[0] != parse_name(onset)[0]:
            raise ValueError(f"the column '{onset}' holds '{cell}' (line {line}), not a number")


def _warn_of_lines_without_time(table, has_no_time, is_statistics_line):
    """Name the lines that are left out: statistics of the events, and lines with numbers but without a time."""
    with_numbers = [any(map(str.isdigit, "".join(map(str, row)))) for row in table[has_no_time].to_numpy()]
    lines = [*table.index[has_no_time][with_numbers], *table.index[is_statistics_line]]
    if lines:
        warnings.warn(
            f"In the table of events, {len(lines)} of {len(table)} lines hold no time of an event, or a statistic of "
            f"the events, and are left out: line {', '.join(map(str, sorted(lines)[:SHOWN_LINES]))}"
            f"{' and others' if len(lines) > SHOWN_LINES else ''}.",
            stacklevel=4,
        )


def _holds_numbers(table):
    return any(any(map(str.isdigit, str(cell))) for column in table for cell in table[column])


def texts_of(column):
    """Cells as text, "" for none."""
    return [cell if isinstance(cell, str) else "" if pandas.isna(cell) else str(cell) for cell in column]


def is_filled(column):
    """True where a cell holds more than spaces."""
    return np.array([cell.strip() != "" for cell in texts_of(column)], dtype=bool)


def _segments(column, decimal):
    """Segment of each event from 0; an empty cell means the segment of all other events, if there is only one."""
    values = _numbers(column, decimal)
    is_known = np.isfinite(values)
    known = np.unique(values[is_known])
    if (known < 0).any() or (known != np.round(known)).any():
        raise ValueError(f"the column '{column.name}' holds {known[:5].tolist()}, expected whole numbers from 0 or 1")
    if not is_known.all() and len(known) > 1:
        raise ValueError(f"line {column.index[~is_known][0]} does not say to which {column.name} the event belongs")
    first = 0 if parse_name(column.name)[0] == "segment" or (known == 0).any() or not len(known) else 1
    return np.where(is_known, values, known[0] if len(known) else 0).astype(int) - first


def _check_times(events):
    """An error if an event begins before 0, or ends or peaks before it begins or much later."""
    if (events["onset_s"] < 0).any():
        line = events.index[events["onset_s"] < 0][0]
        raise ValueError(
            f"{(events['onset_s'] < 0).sum()} of {len(events)} events have a negative time (line {line}: "
            f"{events['onset_s'][line]:g} s), expected times from the start of the recording, or of each sweep; add "
            "the time that lies between this start and your zero, such as a stimulus"
        )
    for name in ("peak_s", "end_s"):
        if name not in events:
            continue
        length = pandas.to_numeric(events[name], errors="coerce") - events["onset_s"]
        is_wrong = (length.abs() > LONGEST_EVENT_S) | ((length < 0) & (name == "end_s"))
        if is_wrong.any():
            worst = events[is_wrong].iloc[0]
            raise ValueError(
                f"an event begins at {worst['onset_s']:.4f} s and has {name} = {worst[name]}; these columns are not in "
                "the units that their names say, or a number was split by its comma"
            )
