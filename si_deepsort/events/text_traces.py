"""Read traces from text: a column of times that names its unit, and columns of values."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pandas
import spikeinterface.core as si
from spikeinterface.core import BaseRecording

from .column_names import SECONDS_PER_UNIT, parse_name, unit_of_cell
from .decimal_numbers import decimal_mark, parse_numbers
from .sampling_rate import sampling_rate_of
from .text_files import DELIMITERS, read_text
from .units import clean_unit

TIME_NAMES = ("time", "t", "times", "zeit", "temps")
# Names of a column that may count the rows.
ROW_NAMES = ("", "index", "row", "sample", "samples", "point", "points", "frame", "n", "nr", "unnamed: 0")
# A column of times without a unit is taken for seconds only above this rate, in Hz: milliseconds that are read as
# seconds give rates below it, and so slow a trace shows no miniature event.
SLOWEST_UNNAMED_RATE = 500.0
# Lines that a file may have above its values.
MAX_HEAD_LINES = 200


def read_text_trace(path: str | Path) -> BaseRecording:
    """
    Open a trace in text form.

    Parameters
    ----------
    path : str | Path
        Text in any encoding, columns separated by tab, semicolon, comma, | or spaces, decimal point or comma. The
        heading names the columns and their units, such as "time (ms)" and "I (pA)". The sweeps of an Axon text file
        (ATF) become segments.

    Returns
    -------
    NumpyRecording
        One channel for each column of values, float32, with the property `physical_unit`.

    Raises
    ------
    ValueError
        If the columns, the unit of time or the rate are not certain, times are not evenly spaced, or a value is not a
        number.
    """
    text, _ = read_text(path)
    head, heading, values = _read_columns(text.lstrip("\ufeff"))
    _check_width_of_atf(head, values.shape[1])
    if values.shape[1] < 2:
        raise ValueError(
            "there is one column; expected a column of times and one of values (without times, save an .npz with "
            "'trace' and 'sampling_frequency')"
        )
    time_column, seconds = _time_column(heading)
    rate = sampling_rate_of(values[:, time_column], seconds or 1.0)
    if seconds is None and rate <= SLOWEST_UNNAMED_RATE:
        raise ValueError(
            f"the times do not name their unit; taken for seconds they give a rate of {rate:.6g} Hz. Call the column "
            "'time (ms)' or 'time (s)'"
        )
    empty = [index for index, name in enumerate(heading) if not name and np.isnan(values[:, index]).all()]
    dropped = [time_column, *empty, *_other_times(heading, values, time_column)]
    if len(dropped) == values.shape[1]:
        raise ValueError(f"the columns {heading} hold times and row numbers only; expected a column of values")
    traces = np.delete(values, dropped, axis=1).astype("float32")
    names = [name for index, name in enumerate(heading) if index not in dropped]
    units = [unit_in_name(name) for name in names] or [""] * traces.shape[1]
    if _num_sweeps(head) == traces.shape[1] and len(set(units)) == 1:
        recording = si.NumpyRecording(list(traces.T[:, :, None]), rate)
        units = units[:1]
    else:
        usable = len(set(names)) == len(names) == traces.shape[1] > 1
        recording = si.NumpyRecording([traces], rate, channel_ids=names if usable else None)
    if all(units):
        recording.set_property("physical_unit", units)
    return recording


def unit_in_name(name: str) -> str:
    """Unit in the name of a column: "pA" of "I (pA)", "I [pA]", "I_pA" and "pA"; "" if there is none."""
    brackets = re.search(r"[\[(]\s*([^\])]+?)\s*[\])]\s*$", name)
    if brackets:
        return clean_unit(brackets.group(1))
    words = re.split(r"[\s_,/]+", name.strip())
    ending = clean_unit(words[-1])
    # Alone, "V" and "A" may be names, and "NA" a missing value.
    is_name = len(words) == 1 and (len(ending) == 1 or words[0] == "NA")
    return ending if re.fullmatch(r"[munp]?[VA]", ending) and not is_name else ""


def _check_width_of_atf(head, width):
    """An error if an Axon text file has not as many columns as its second line says."""
    counts = re.split(r"[\s,]+", head[1].strip()) if len(head) > 1 and head[0].startswith("ATF") else []
    if len(counts) > 1 and counts[1].isdigit() and int(counts[1]) != width:
        raise ValueError(f"the second line says that there are {counts[1]} columns, but there are {width}")


def _num_sweeps(head):
    """Number of sweeps that an Axon text file lists, else 0."""
    starts = next((line for line in head if line.startswith("SweepStartTimesMS")), None)
    return 0 if starts is None else starts.count(",") + 1


def _time_column(heading):
    """Column that holds the times, and its seconds per unit (None where no unit is named)."""
    if not heading:
        return 0, None
    for index, name in enumerate(heading):
        bare, seconds = parse_name(name)
        if bare in TIME_NAMES:
            return index, seconds
    if unit_in_name(heading[0]) in SECONDS_PER_UNIT:
        return 0, SECONDS_PER_UNIT[unit_in_name(heading[0])]
    if heading[0].strip().lower() in SECONDS_PER_UNIT:
        return 0, SECONDS_PER_UNIT[heading[0].strip().lower()]
    raise ValueError(f"no column of {heading} is called 'time (s)' or 'time (ms)'")


def _other_times(heading, values, time_column):
    """Columns that hold the same times once more, or count the rows; an error if there are other times."""
    found = []
    seconds = (parse_name(heading[time_column])[1] or 1.0) * values[:, time_column] if heading else None
    for index, name in enumerate(heading):
        bare, factor = parse_name(name)
        if index == time_column:
            continue
        if bare in TIME_NAMES:
            step = (seconds[-1] - seconds[0]) / (len(seconds) - 1)
            if np.abs((factor or 1.0) * values[:, index] - seconds).max() > 0.5 * step:
                raise ValueError(f"the columns '{heading[time_column]}' and '{name}' hold different times; keep one")
            found.append(index)
        elif bare in ROW_NAMES and (np.diff(values[:, index]) == 1).all():
            found.append(index)
    return found


def _read_columns(text):
    """Lines above the values, names of the columns (empty if there are none) and values of shape (rows, columns)."""
    lines = text.splitlines()
    delimiters = [delimiter for delimiter in (*DELIMITERS, None) if delimiter is None or delimiter in text]
    problem = "no line holds numbers that tabs, semicolons, commas, | or spaces separate"
    for delimiter in delimiters:
        candidates = range(min(len(lines), MAX_HEAD_LINES))
        first = next((index for index in candidates if _begins_here(lines, index, delimiter)), None)
        if first is None:
            continue
        head = [line.strip().strip('"') for line in lines[:first]]
        width = len(_cells(lines[first], delimiter))
        heading = _heading(lines[:first], delimiter) if width > 1 else []
        if heading and len(heading) != width:
            problem = (
                f"line {first + 1} has {width} values, the heading has {len(heading)} columns ({', '.join(heading)}). "
                "Where numbers have a decimal comma, columns must be separated by ; or tab"
            )
            continue
        return head, heading, _values(lines, first, delimiter, width)
    raise ValueError(problem)


def _heading(head_lines, delimiter):
    """Names of the columns: the last line above the values, joined with a line of units if there is one."""
    if delimiter is None:  # the unit in "time (ms)" is no column of its own
        head_lines = [re.sub(r"(?<=\w)[ \t]+(?=[\[(])", "", line) for line in head_lines]
    rows = [_cells(line, delimiter) for line in head_lines if line.strip() and not line.lower().startswith("sep=")]
    rows = [row for row in rows if not row[0].startswith("#") or len(row) > 1]
    if not rows:
        return []
    last = [cell.lstrip("# ") for cell in rows[-1]]
    is_unit = [bool(re.fullmatch(r"[\[(]?\s*\w{1,3}\s*[\])]?", cell)) or unit_of_cell(cell) for cell in last]
    has_units = all(is_unit) and any(unit_of_cell(cell) for cell in last)
    if has_units and len(rows) > 1 and len(rows[-2]) == len(last):
        units = [cell.strip("[]() ") for cell in last]
        for name, unit in zip(rows[-2], units, strict=True):
            if parse_name(name)[1] not in (None, unit_of_cell(unit)):
                raise ValueError(f"the heading '{name}' and the line below it ('{unit}') name different units")
        return [f"{name.lstrip('# ')} ({unit})" for name, unit in zip(rows[-2], units, strict=True)]
    return last


def _values(lines, first, delimiter, width):
    """Numbers from a line onwards, shape (rows, columns), float64."""
    sample = [cell for line in lines[first : first + 200] for cell in _cells(line, delimiter)]
    mark = decimal_mark(sample) or "."
    body = "\n".join(lines[first:])
    try:
        table = pandas.read_csv(
            io.StringIO(body),
            sep=delimiter or r"\s+",
            header=None,
            decimal=mark,
            dtype="float64",
            comment="#",
            quotechar='"',
            skip_blank_lines=True,
        )
        values = table.to_numpy()
    except (ValueError, pandas.errors.ParserError):
        values = _slow_values(lines, first, delimiter, width)
    while values.shape[1] > width and np.isnan(values[:, -1]).all():
        values = values[:, :-1]
    return values


def _slow_values(lines, first, delimiter, width):
    """As `_values`, cell by cell: for separators of thousands, and to say where a cell is wrong."""
    rows, numbers = [], []
    for number, line in enumerate(lines[first:], start=first + 1):
        cells = _cells(line, delimiter)
        if not any(cells) or cells[0].startswith("#"):
            continue
        if len(cells) != width:
            raise ValueError(f"line {number} has {len(cells)} values, the lines above have {width}")
        rows.append(cells)
        numbers.append(number)
    columns = []
    for cells in zip(*rows, strict=True):
        values, is_text = parse_numbers(cells, decimal_mark([cell for row in rows for cell in row]))
        if is_text.any():
            index = int(is_text.argmax())
            raise ValueError(f"line {numbers[index]} holds '{cells[index]}', not a number")
        columns.append(values)
    return np.stack(columns, axis=1)


def _cells(line, delimiter):
    line = line.strip() if delimiter is None else line.strip("\r\n ")
    if '"' not in line:
        cells = line.split(delimiter)
    else:
        cells = next(csv.reader([line], delimiter=delimiter or " ", skipinitialspace=True), [])
    cells = [cell.strip() for cell in cells]
    while len(cells) > 1 and not cells[-1]:
        cells.pop()
    return cells


def _begins_here(lines, index, delimiter):
    """Whether this line and the next ones hold equally many numbers: counts in a head do not."""
    rows = [_cells(line, delimiter) for line in lines[index : index + 3]]
    return all(_is_numeric(row) for row in rows if any(row)) and len({len(row) for row in rows if any(row)}) == 1


def _is_numeric(cells):
    if len(cells) < 1 or not cells[0]:
        return False
    try:
        values, is_text = parse_numbers(cells, ".")
    except ValueError:
        return True  # decimal marks differ between the cells: numbers all the same
    return not is_text.any() and bool(np.isfinite(values).any())
