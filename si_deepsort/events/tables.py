"""Read and write tables of events."""

import itertools
import re
import shutil
from pathlib import Path

import numpy as np
import pandas

from .aligned_tables import split_at_spaces
from .column_names import END_NAMES, ONSET_NAMES, SEGMENT_NAMES, names_events, parse_name, unknown_unit
from .columns import DECISION, as_events, texts_of
from .decimal_numbers import parse_numbers, table_decimal_mark
from .measure import COLUMNS
from .text_files import DELIMITERS, MAX_HEAD_LINES, TextFormat, TextTable, read_text, split_table
from .workbooks import is_workbook, read_workbook

# MiniAnalysis writes tables without a heading: number, time in ms with at most this many decimals, amplitude, ...
MINI_ANALYSIS_DECIMALS = 2
# What programs for versions write where two versions of a line differ.
_CONFLICT = re.compile(r"^(<{7} .*|>{7} .*)$", re.MULTILINE)
# Files of spreadsheets, which are not text.
SPREADSHEET_SUFFIXES = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
# Digits of a written table: times, even of a day, are exact to a tenth of a microsecond; measurements have seven.
TIMES, TIME_DECIMALS, TIME_FORMAT, MEASURED_FORMAT = ("onset_s", "peak_s", "end_s"), 7, "%.12g", "%.7g"


def read_events(path: str | Path) -> pandas.DataFrame:
    """
    Read a table of events.

    Parameters
    ----------
    path : str | Path
        Text in any encoding, columns separated by comma, semicolon, tab, | or spaces, with decimal point or comma, or
        the .xlsx file of a spreadsheet (with openpyxl): a table of this package, or one with a column such as
        "Time (ms)" or "Onset (s)" (MiniAnalysis, Clampfit). Lines above the heading, a line of units below it, and
        empty lines are skipped. A table of MiniAnalysis without a heading is recognised too.

    Returns
    -------
    pandas.DataFrame
        By segment and onset, with at least `onset_s`; `end_s`, `segment` and `decision` where the file has them, and
        all its other columns as text.

    Raises
    ------
    ValueError
        If the file cannot be read, no column holds onsets, their unit is not named, or a number may be read in two
        ways.
    """
    return read_events_and_format(path)[0]


def read_events_and_format(path: str | Path) -> tuple[pandas.DataFrame, TextFormat]:
    """The table of `read_events`, and how it was written."""
    try:
        table, is_spreadsheet = _read_cells(path)
        columns = [table.column(index) for index in range(len(table.heading))]
        mark = "." if is_spreadsheet else table_decimal_mark(columns, table.format.delimiter)
        repeated = sorted({name for name in table.heading if name and table.heading.count(name) > 1})
        if any(parse_name(name)[0] in (*ONSET_NAMES, *END_NAMES, *SEGMENT_NAMES, DECISION) for name in repeated):
            raise ValueError(f"the columns {repeated} occur twice")
        names = [name if name not in repeated else f"{name} {index}" for index, name in enumerate(table.heading)]
        frame = pandas.DataFrame(table.rows, columns=names, index=table.line_numbers, dtype=object)
        events = _numbers_of_own_columns(as_events(frame, decimal=mark), mark)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a table of events: {error}.") from error
    return events, TextFormat(table.format.encoding, table.format.delimiter, mark or ".")


def check_events_fit(events: pandas.DataFrame, recording) -> None:
    """A ValueError if onsets lie outside the recording: a table of another file, or seconds taken for milliseconds."""
    segments = events["segment"] if "segment" in events else pandas.Series(0, index=events.index)
    durations = np.array([recording.get_num_frames(i) for i in range(recording.get_num_segments())])
    durations = durations / recording.get_sampling_frequency()
    is_known = segments.between(0, len(durations) - 1)
    is_outside = ~is_known | (events["onset_s"] < 0)
    is_outside |= events["onset_s"].to_numpy() > durations[np.where(is_known, segments, 0)]
    if is_outside.any():
        worst = events[is_outside].iloc[0]
        place = f", in segment {segments[is_outside].iloc[0]} (the first is 0)" if len(durations) > 1 else ""
        raise ValueError(
            f"{int(is_outside.sum())} of {len(events)} events lie outside the recording (e.g. at "
            f"{worst['onset_s']:.3f} s{place}; it has {len(durations)} segments of "
            f"{np.round(durations[:5], 3).tolist()} s). The table belongs to another file, or its unit is not what its "
            "column name says."
        )


def save_events(events: pandas.DataFrame, path: str | Path, text_format: TextFormat | None = None) -> Path | None:
    """
    Write a table of events; a file that is there already and differs is kept beside it.

    Parameters
    ----------
    events : pandas.DataFrame
    path : str | Path
    text_format : TextFormat | None, default: None
        How to write it; None is UTF-8 with commas and decimal points.

    Returns
    -------
    Path | None
        The copy of the earlier file, if one was made.
    """
    path, text_format = Path(path).resolve(), text_format or TextFormat()  # of a link, the file that it leads to
    check_is_text(path)
    written = events.round(dict.fromkeys(TIMES, TIME_DECIMALS))
    for name in written.select_dtypes("float"):
        values = written[name] if name in TIMES else [float(MEASURED_FORMAT % value) for value in written[name]]
        cells = ["" if value != value else TIME_FORMAT % value for value in values]
        written[name] = [cell.replace(".", text_format.decimal) for cell in cells]
    text = written.to_csv(index=False, sep=text_format.delimiter, lineterminator="\n")
    try:
        content = text.encode(text_format.encoding)
    except UnicodeEncodeError:
        content = text.encode("utf-8-sig")
    if text_format.encoding in ("utf-16-le", "utf-16-be"):
        content = text.encode("utf-16")
    backup = None
    if path.exists() and path.read_bytes() != content:
        numbers = itertools.count(1)
        backup = next(p for n in numbers if not (p := path.with_name(f"{path.stem}.backup-{n}{path.suffix}")).exists())
        shutil.copy2(path, backup)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    temporary.replace(path)
    return backup


def check_is_text(path: str | Path) -> None:
    """A ValueError if a table should be written to a file of a spreadsheet: tables are written as text."""
    if Path(path).suffix.lower() in SPREADSHEET_SUFFIXES:
        raise ValueError(f"{path}: a table of events is written as text, which spreadsheets open; call it .csv.")


def _numbers_of_own_columns(events, mark):
    """Columns that `segment_events` writes as numbers where they are numbers; the user's columns stay as typed."""
    for name in set(COLUMNS) & set(events.columns) - {"onset_s", "end_s", "segment", "overlap", "doubtful"}:
        try:
            values, is_text = parse_numbers(texts_of(events[name]), mark)
        except ValueError:
            continue
        if not is_text.any():
            events[name] = values
    return events


def _read_cells(path):
    """Cells of a file, and whether it is one of a spreadsheet."""
    try:
        if is_workbook(path):
            return read_workbook(path, names_events), True
        return _table_of_text(path), False
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    except ValueError as error:
        raise ValueError(
            f"{error}. A table needs a heading and a column such as onset_s or 'Time (ms)', and between the columns a "
            "comma, a semicolon, a tab, | or spaces; save it as CSV"
        ) from error


def _table_of_text(path):
    text, encoding = read_text(path)
    if _CONFLICT.search(text):
        raise ValueError("it holds both sides of a conflict (lines of <<<<<<<, ======= and >>>>>>>); keep one side")
    try:
        table = split_table(text, encoding, names_events)
    except ValueError as error:
        try:
            aligned = split_at_spaces(text, encoding, names_events)
        except ValueError:
            if not any(delimiter in text for delimiter in DELIMITERS):
                raise
            raise error from None  # what another separator gives tells more
        if aligned is None:
            raise
        return aligned
    if table.heading:
        return table
    return split_at_spaces(text, encoding, names_events) or _mini_analysis_table(table)


def _mini_analysis_table(table: TextTable) -> TextTable:
    """The rows of a MiniAnalysis table without heading; an error if it does not look like one."""
    rows = [row for row in table.head if any(row)]
    width = len(rows[0]) if rows else 0
    columns = [[row[index] for row in rows] for index in range(width)] if len({len(row) for row in rows}) == 1 else []
    if columns and width >= 3:
        numbers, _ = parse_numbers(columns[0])
        cells = [cell.replace(",", "") for cell in columns[1]]
        is_time = all(re.fullmatch(rf"\d+(\.\d{{1,{MINI_ANALYSIS_DECIMALS}}})?", cell) for cell in cells)
        times, _ = parse_numbers(columns[1], table_decimal_mark(columns, table.format.delimiter))
        if is_time and (np.diff(numbers) == 1).all() and numbers[0] in (0, 1) and (np.diff(times) >= 0).all():
            heading = ["Event #", "Time (ms)", "Amplitude", *[f"column {index}" for index in range(4, width + 1)]]
            return TextTable(heading, rows, list(range(1, len(rows) + 1)), [], table.format)
    first = rows[0] if rows else []
    unit = next(filter(None, map(unknown_unit, rows[:MAX_HEAD_LINES])), None)
    if unit is not None:
        raise ValueError(f"the column '{unit}' is in an unknown unit; expected s, ms, us or min")
    raise ValueError(f"no line names a column of times; the first line is {first}")
