"""Read and write tables of events, and carry a user's corrections from one table to the next."""

import itertools
import re
import shutil
from pathlib import Path

import numpy as np
import pandas

from .column_names import END_NAMES, ONSET_NAMES, SEGMENT_NAMES, names_events, parse_name, unknown_unit
from .columns import ACCEPT, DECISION, REJECT, as_events, is_filled
from .decimal_numbers import parse_numbers, table_decimal_mark
from .matching import match_events
from .measure import COLUMNS
from .text_files import MAX_HEAD_LINES, TextFormat, TextTable, read_text, split_table

# MiniAnalysis writes tables without a heading: number, time in ms with at most this many decimals, amplitude, ...
MINI_ANALYSIS_DECIMALS = 2
# Onsets nearer than this, in s, are one event: the tolerance of the benchmark, above the 2.5 ms by which a fit moves.
SAME_EVENT_S = 0.003
# Digits of a written table: times, even of a day, are exact to a tenth of a microsecond; measurements have seven.
TIMES, TIME_DECIMALS, TIME_FORMAT, MEASURED_FORMAT = ("onset_s", "peak_s", "end_s"), 7, "%.12g", "%.7g"


def read_events(path: str | Path) -> pandas.DataFrame:
    """
    Read a table of events.

    Parameters
    ----------
    path : str | Path
        Text in any encoding, columns separated by comma, semicolon or tab, with decimal point or comma: a table of
        this package, or one with a column such as "Time (ms)" or "Onset (s)" (MiniAnalysis, Clampfit). Lines above
        the heading, a line of units below it, and empty lines are skipped. A table of MiniAnalysis without a heading
        is recognised too.

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
        text, encoding = read_text(path)
        table = split_table(text, encoding, names_events)
        if not table.heading:
            table = _mini_analysis_table(table)
        mark = table_decimal_mark([table.column(index) for index in range(len(table.heading))], table.format.delimiter)
        repeated = sorted({name for name in table.heading if name and table.heading.count(name) > 1})
        if any(parse_name(name)[0] in (*ONSET_NAMES, *END_NAMES, *SEGMENT_NAMES, DECISION) for name in repeated):
            raise ValueError(f"the columns {repeated} occur twice")
        names = [name if name not in repeated else f"{name} {index}" for index, name in enumerate(table.heading)]
        frame = pandas.DataFrame(table.rows, columns=names, index=table.line_numbers, dtype=object)
        events = _numbers_of_own_columns(as_events(frame, decimal=mark), mark)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as a table of events: {error}. A table needs a heading and a column such as "
            "onset_s or 'Time (ms)'; save it as CSV."
        ) from error
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


def decisions_of(events: pandas.DataFrame) -> pandas.Series:
    """
    Column of "accept", "reject" or "" of each event.

    Parameters
    ----------
    events : pandas.DataFrame
        From `as_events`, with a column `decision` or without.

    Raises
    ------
    ValueError
        If another word occurs.
    """
    if DECISION not in events:
        return pandas.Series("", index=events.index, dtype=object)
    words = ["" if pandas.isna(word) else str(word).strip().lower() for word in events[DECISION]]
    words = pandas.Series(words, events.index, dtype=object)
    wrong = sorted(set(words) - {"", ACCEPT, REJECT})
    if wrong:
        raise ValueError(f"The column '{DECISION}' holds {wrong[:5]}, expected '{ACCEPT}', '{REJECT}' or nothing.")
    return words


def apply_decisions(
    events: pandas.DataFrame, earlier: pandas.DataFrame, tolerance_s: float = SAME_EVENT_S
) -> pandas.DataFrame:
    """
    Carry a user's corrections over to a new table of the same recording.

    Parameters
    ----------
    events : pandas.DataFrame
        From `segment_events`.
    earlier : pandas.DataFrame
        An earlier table, whose column `decision` holds "accept", "reject" or nothing. Its own columns, which
        `segment_events` does not write, are carried over too.
    tolerance_s : float, default: 0.003
        Events whose onsets are nearer than this are the same.

    Returns
    -------
    pandas.DataFrame
        `events` with `decision` and the user's columns. Rows with a decision or a remark for which there is no event
        this time (another threshold, say) are added as they were, so that nothing is lost.

    Raises
    ------
    ValueError
        If a decision is neither of the two words, one event is both accepted and rejected, or events were rejected and
        no row agrees with an event.
    """
    earlier = as_events(earlier)
    earlier = earlier.assign(**{DECISION: decisions_of(earlier)})
    if "segment" not in earlier:
        earlier["segment"] = 0
    _check_no_contradiction(earlier)
    events = events.copy()
    own = [name for name in earlier.columns if name not in events.columns and name != DECISION]
    for name in [DECISION, *own]:
        events[name] = events[name].astype(object) if name in events else pandas.Series("", events.index, dtype=object)
    is_decided = (earlier[DECISION] != "").to_numpy()
    partner = _partners(events, earlier, is_decided, tolerance_s)
    if (earlier[DECISION] == REJECT).any() and len(events) and (partner < 0).all():
        raise ValueError(
            f"None of the {int(is_decided.sum())} decisions agrees with an event (within {1000 * tolerance_s:g} ms). "
            "The table belongs to another recording or channel, or its times are in another unit."
        )
    matched = np.flatnonzero(partner >= 0)
    rows = events.index[partner[matched]]
    for name in own:
        events.loc[rows, name] = earlier[name].to_numpy()[matched]
    decided = matched[is_decided[matched]]
    events.loc[events.index[partner[decided]], DECISION] = earlier[DECISION].to_numpy()[decided]
    has_remark = np.zeros(len(earlier), dtype=bool)
    for name in own:
        has_remark |= is_filled(earlier[name])
    return _with_rows(events, earlier[(partner < 0) & (is_decided | has_remark)])


def _check_no_contradiction(earlier):
    """An error if one event is both accepted and rejected, in two rows of the same time."""
    decided = earlier[earlier[DECISION] != ""]
    num_words = decided.groupby(["segment", "onset_s"])[DECISION].nunique()
    if (num_words > 1).any():
        segment, onset_s = num_words[num_words > 1].index[0]
        raise ValueError(
            f"The event at {onset_s:g} s of segment {segment} is both accepted and rejected, in two rows. "
            "Keep the row that you mean."
        )


def added_by_hand(events: pandas.DataFrame, earlier: pandas.DataFrame, tolerance_s: float = SAME_EVENT_S):
    """
    Accepted events of an earlier table that are not among the events found.

    Returns
    -------
    pandas.DataFrame
        With `onset_s` and `segment`.
    """
    earlier = as_events(earlier)
    if "segment" not in earlier:
        earlier["segment"] = 0
    is_accepted = (decisions_of(earlier) == ACCEPT).to_numpy()
    is_missing = _partners(events, earlier, decisions_of(earlier).to_numpy() != "", tolerance_s) < 0
    return earlier.loc[is_accepted & is_missing, ["onset_s", "segment"]]


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
    path, text_format = Path(path), text_format or TextFormat()
    rounded = events.round(dict.fromkeys(TIMES, TIME_DECIMALS))
    for name in rounded.select_dtypes("float").columns.difference(TIMES):
        rounded[name] = [float(MEASURED_FORMAT % value) for value in rounded[name]]
    text = rounded.to_csv(index=False, sep=text_format.delimiter, decimal=text_format.decimal, float_format=TIME_FORMAT)
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


def _partners(events, earlier, is_first, tolerance_s):
    """Position of the event that each earlier row is, -1 for none; the rows of `is_first` choose before the others."""
    partner = np.full(len(earlier), -1)
    is_free = np.ones(len(events), dtype=bool)
    event_segment, event_onset = events["segment"].to_numpy(), events["onset_s"].to_numpy(float)
    row_segment, row_onset = earlier["segment"].to_numpy(), earlier["onset_s"].to_numpy(float)
    for chosen in (is_first, ~is_first):
        for segment in np.unique(row_segment[chosen]):
            rows = np.flatnonzero(chosen & (row_segment == segment))
            free = np.flatnonzero(is_free & (event_segment == segment))
            pairs = match_events(row_onset[rows], event_onset[free], tolerance_s)
            partner[rows[pairs[:, 0]]] = free[pairs[:, 1]]
            is_free[free[pairs[:, 1]]] = False
    return partner


def _with_rows(events, rows):
    """The events and further rows, as they were, by segment and onset."""
    if not len(rows):
        return events
    rows = rows.reindex(columns=events.columns)
    for name, kind in events.dtypes.items():
        if pandas.api.types.is_bool_dtype(kind):
            rows[name] = rows[name].astype(str).str.strip().str.lower().isin(("true", "1", "1.0"))
        elif pandas.api.types.is_numeric_dtype(kind):
            rows[name] = pandas.to_numeric(rows[name], errors="coerce")
    rows["segment"] = rows["segment"].fillna(0).astype(int)
    attributes = events.attrs
    joined = pandas.concat([events, rows] if len(events) else [rows], ignore_index=True)
    joined = joined.sort_values(["segment", "onset_s"], ignore_index=True, kind="stable")
    joined.attrs = attributes
    return joined


def _numbers_of_own_columns(events, mark):
    """Columns that `segment_events` writes as numbers where they are numbers; the user's columns stay as typed."""
    for name in set(COLUMNS) & set(events.columns) - {"onset_s", "end_s", "segment", "overlap", "doubtful"}:
        try:
            values, is_text = parse_numbers(["" if pandas.isna(cell) else str(cell) for cell in events[name]], mark)
        except ValueError:
            continue
        if not is_text.any():
            events[name] = values
    return events


def _mini_analysis_table(table: TextTable) -> TextTable:
    """The rows of a MiniAnalysis table without heading; an error if it does not look like one."""
    rows = [row for row in table.head if any(row)]
    width = len(rows[0]) if rows else 0
    columns = [[row[index] for row in rows] for index in range(width)] if len({len(row) for row in rows}) == 1 else []
    if columns and width >= 3 and table.format.delimiter != "|":
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
