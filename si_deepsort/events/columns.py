"""Columns of a table of events, in any naming and unit, as onset, end, segment and decision."""

import re
import warnings

import numpy as np
import pandas

from .decimal_numbers import parse_numbers
from .text_files import SPREADSHEET_ERROR

# Names of the column that holds the time of an event, without unit, the best first. MiniAnalysis writes "Time",
# Clampfit "Event Start Time", Eventer and Stimfit similar names.
ONSET_NAMES = (
    "onset",
    "onset time",
    "event onset",
    "event start time",
    "event start",
    "start time",
    "start",
    "time",
    "event time",
    "time of event",
    "time of peak",
    "peak time",
)
# Names of the column that holds the end of an event.
END_NAMES = ("end", "end time", "event end time", "event end", "stop")
# Names of the column that holds the sweep. "segment" counts from 0, the others from 1 unless a 0 occurs.
SEGMENT_NAMES = ("segment", "sweep", "trace", "episode")
# Seconds in each unit that a heading may name.
SECONDS_PER_UNIT = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "usec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
}
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
    onset, onset_factor = _time_column(table, ONSET_NAMES)
    if onset is None:
        raise ValueError(f"no column holds times of events; the columns are {[str(name) for name in table.columns]}")
    decision = next((name for name in table.columns if parse_name(name)[0] == DECISION), None)
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


def parse_name(name: object) -> tuple[str, float | None]:
    """Name of a column without unit, in lower case with single spaces, and seconds per unit (None if not named)."""
    text = str(name).strip().strip("\"'\ufeff").lower()
    text = text.replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")
    text = re.sub(r"[\s_]+", " ", text).strip()
    match = re.fullmatch(r"(.*?)\s*[\[(]\s*(\w+)\s*[\])]", text) or re.fullmatch(r"(.*) (\w+)", text)
    if match and match.group(2) in SECONDS_PER_UNIT:
        return match.group(1).strip(), SECONDS_PER_UNIT[match.group(2)]
    return re.sub(r"\s*(#|number|no\.?)$", "", text), None


def names_events(cells: list[str]) -> bool:
    """Whether cells are a heading: one of them names the time of an event."""
    return any(parse_name(cell)[0] in ONSET_NAMES for cell in cells)


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
        return parse_numbers(["" if pandas.isna(cell) else str(cell) for cell in column], decimal)
    except ValueError as error:
        raise ValueError(f"the column '{column.name}' cannot be read: {error}") from error


def _onsets(table, onset, decision, decimal):
    """Onsets in the unit of the column; NaN for lines of units and of sums, which are left out."""
    values, is_text = _parsed(table[onset], decimal)
    cells = np.array([str(cell) for cell in table[onset]], dtype=object)
    is_error = np.array([SPREADSHEET_ERROR.fullmatch(cell.strip()) is not None for cell in cells], dtype=bool)
    if is_error.any():
        line = table.index[is_error][0]
        raise ValueError(
            f"the column '{onset}' holds '{cells[is_error][0]}' (line {line}), which a spreadsheet writes instead of a "
            "number; make the column wider, or mend the formula, and save the table again"
        )
    has_digits = np.array([any(map(str.isdigit, cell)) for cell in cells], dtype=bool) & is_text
    if has_digits.any():
        line = table.index[has_digits][0]
        raise ValueError(f"the column '{onset}' holds '{cells[has_digits][0]}' (line {line}), not a number")
    if decision is not None:
        words = [str(word).strip().lower() for word in table[decision]]
        is_lost = ~np.isfinite(values) & np.isin(words, (ACCEPT, REJECT))
        if is_lost.any():
            line, word = table.index[is_lost][0], table[decision][is_lost].iloc[0]
            raise ValueError(f"line {line} holds the decision '{word}', but no time of an event")
    if len(table) and not np.isfinite(values).any() and _holds_numbers(table):
        raise ValueError(
            f"no line below the heading holds a time in the column '{onset}'; is the table turned by 90 degrees"
        )
    return np.where(np.isinf(values), np.nan, values)


def _holds_numbers(table):
    return any(any(map(str.isdigit, str(cell))) for column in table for cell in table[column])


def is_filled(column):
    """True where a cell holds more than spaces."""
    return np.array([not pandas.isna(cell) and str(cell).strip() != "" for cell in column], dtype=bool)


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
    """An error if an event ends or peaks before it begins or much later: units are wrong or a number was split."""
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
