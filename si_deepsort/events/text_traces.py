"""Read traces from text: a column of times that names its unit, and columns of values."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pandas
import spikeinterface.core as si
from spikeinterface.core import BaseRecording

from .columns import SECONDS_PER_UNIT, parse_name
from .decimal_numbers import decimal_mark, parse_numbers
from .text_files import DELIMITERS, read_text
from .units import clean_unit

TIME_NAMES = ("time", "t", "times", "zeit", "temps")
# A column of times without a unit is taken for seconds only above this rate, in Hz: milliseconds that are read as
# seconds give rates below it, and so slow a trace shows no miniature event.
SLOWEST_UNNAMED_RATE = 500.0
# Largest relative uncertainty of a rate that was found from rounded times.
MAX_RATE_ERROR = 2e-3
# Lines that a file may have above its values.
MAX_HEAD_LINES = 200


def read_text_trace(path: str | Path) -> BaseRecording:
    """
    Open a trace in text form.

    Parameters
    ----------
    path : str | Path
        Text in any encoding, columns separated by tab, semicolon, comma or spaces, decimal point or comma. The
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
    traces = np.delete(values, time_column, axis=1).astype("float32")
    names = [name for index, name in enumerate(heading) if index != time_column]
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
    """Unit in the name of a column: "pA" of "I (pA)", "I [pA]" and "I_pA"; "" if there is none."""
    brackets = re.search(r"[\[(]\s*([^\])]+?)\s*[\])]\s*$", name)
    if brackets:
        return clean_unit(brackets.group(1))
    ending = clean_unit(re.split(r"[\s_,/]+", name.strip())[-1])
    return ending if re.fullmatch(r"[munp]?[VA]", ending) and ending != name.strip() else ""


def sampling_rate_of(times: np.ndarray, seconds: float) -> float:
    """
    Sampling rate from a column of times that may be rounded.

    Parameters
    ----------
    times : np.ndarray, shape (num_frames,), float64
    seconds : float
        Seconds per unit of `times`.

    Returns
    -------
    float
        In Hz: the roundest number that agrees with the times.

    Raises
    ------
    ValueError
        If times are missing, do not increase, are not evenly spaced, or are too coarse to give the rate.
    """
    if len(times) < 3 or not np.isfinite(times).all():
        missing = np.flatnonzero(~np.isfinite(times))
        place = f"row {missing[0] + 1} has no time" if len(missing) else f"there are {len(times)} rows"
        raise ValueError(f"{place}; expected at least three evenly spaced times")
    steps = np.diff(times)
    if steps.min() < 0 or times[-1] == times[0]:
        row = int(np.argmin(steps)) + 2
        raise ValueError(f"the times do not increase (row {row}); give one sweep per file, or one column per sweep")
    span, grid = times[-1] - times[0], np.linspace(times[0], times[-1], len(times))
    error = np.abs(times - grid).max()
    # Rounding moves the first, the last and each other time by half of the last decimal.
    resolution = max(_resolution(times), 1e-12 * np.abs(times).max())
    if error > 1.01 * resolution + 0.02 * span / (len(times) - 1):
        row = int(np.abs(times - grid).argmax()) + 1
        raise ValueError(f"the times are not evenly spaced (row {row}); samples are missing or sweeps were joined")
    uncertainty = resolution / span
    if uncertainty > MAX_RATE_ERROR:
        raise ValueError(
            f"the times are rounded to {resolution:g}, too coarse for {len(times)} rows in {span:g}; write more digits"
        )
    rate = (len(times) - 1) / (span * seconds)
    return _roundest(rate * (1 - uncertainty), rate * (1 + uncertainty), rate)


def _resolution(times):
    """Value of the last decimal with which times were written."""
    scale = np.abs(times).max()
    for decimals in range(-3, 13):
        step = 10.0**-decimals
        if np.abs(times / step - np.round(times / step)).max() < 1e-6 + 1e-15 * scale / step:
            return step
    return 1e-12


def _roundest(low, high, middle):
    """The number between two limits with the fewest digits; the middle if they are closer than double precision."""
    for digits in range(1, 16):
        candidate = float(f"{middle:.{digits - 1}e}")
        if low <= candidate <= high:
            return candidate
    return middle


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


def _read_columns(text):
    """Lines above the values, names of the columns (empty if there are none) and values of shape (rows, columns)."""
    lines = text.splitlines()
    delimiters = [delimiter for delimiter in (*DELIMITERS, None) if delimiter is None or delimiter in text]
    problem = "no line holds numbers"
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
    rows = [_cells(line, delimiter) for line in head_lines if line.strip() and not line.lower().startswith("sep=")]
    rows = [row for row in rows if not row[0].startswith("#") or len(row) > 1]
    if not rows:
        return []
    last = [cell.lstrip("# ") for cell in rows[-1]]
    has_units = all(re.fullmatch(r"[\[(]?\s*\w{1,3}\s*[\])]?", cell) and parse_name(cell)[0] != "t" for cell in last)
    if has_units and len(rows) > 1 and len(rows[-2]) == len(last):
        units = [cell.strip("[]() ") for cell in last]
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
