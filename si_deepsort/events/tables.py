"""Event tables on disk: our own CSV with the user's corrections, and the tables of other programs."""

from pathlib import Path

import numpy as np
import pandas

# Names that other programs (MiniAnalysis, Clampfit, Eventer, Stimfit) use, in lower case, and the factor to our unit.
ONSET_NAMES = {
    "onset_s": 1.0,
    "onset (s)": 1.0,
    "time_s": 1.0,
    "time (s)": 1.0,
    "onset_ms": 1e-3,
    "onset (ms)": 1e-3,
    "time (ms)": 1e-3,
    "event start time (ms)": 1e-3,
    "time of peak (ms)": 1e-3,
}
END_NAMES = {"end_s": 1.0, "end (s)": 1.0, "end_ms": 1e-3, "end (ms)": 1e-3, "event end time (ms)": 1e-3}
SEGMENT_NAMES = {"segment": 0, "sweep": 1, "trace": 1}  # name -> number of the first segment
DECISION, ACCEPT, REJECT = "decision", "accept", "reject"


def read_events(path: str | Path) -> pandas.DataFrame:
    """
    Read a table of events.

    Parameters
    ----------
    path : path
        CSV or tab-separated text: ours, or one with a column such as "Time (ms)", "Onset (s)" (MiniAnalysis,
        Clampfit). Lines of units and empty lines are skipped.

    Returns
    -------
    pandas.DataFrame
        At least `onset_s`, by segment and onset; `end_s`, `segment`, `decision` where the file has them, and all its
        other columns.

    Raises
    ------
    ValueError
        If the file cannot be read or no column holds onsets.
    """
    try:
        table = pandas.read_csv(path, sep=None, engine="python", thousands=None, comment="#", skip_blank_lines=True)
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as a table: {error}. Save it as CSV with a column onset_s (or 'Time (ms)')."
        ) from error
    return as_events(table, str(path))


def as_events(table: pandas.DataFrame, source: str = "the table") -> pandas.DataFrame:
    """A table in any of the known namings as one with `onset_s`; a ValueError if there are no onsets."""
    by_name = {str(name).strip().lower(): name for name in table.columns}
    events = table.copy()
    for target, names in (("onset_s", ONSET_NAMES), ("end_s", END_NAMES)):
        found = next((name for name in names if name in by_name), None)
        if found is not None:
            events[target] = (
                pandas.to_numeric(_without_thousands(table[by_name[found]]), errors="coerce") * names[found]
            )
    if "onset_s" not in events:
        raise ValueError(
            f"{source} has columns {list(table.columns)}, expected one of {list(ONSET_NAMES)}. Rename the column that "
            "holds the time of each event."
        )
    for name, first in SEGMENT_NAMES.items():
        if name in by_name and "segment" not in events:
            events["segment"] = (
                pandas.to_numeric(table[by_name[name]], errors="coerce").fillna(first).astype(int) - first
            )
    events = events[np.isfinite(events["onset_s"])]  # a line of units, a line of sums
    order = ["segment", "onset_s"] if "segment" in events else ["onset_s"]
    return events.sort_values(order, ignore_index=True)


def check_events_fit(events: pandas.DataFrame, recording):
    """A ValueError if onsets lie outside the recording: a table of another file, or seconds taken for milliseconds."""
    segments = events["segment"] if "segment" in events else pandas.Series(0, index=events.index)
    durations = np.array([recording.get_num_frames(i) for i in range(recording.get_num_segments())])
    durations = durations / recording.get_sampling_frequency()
    is_known = segments.between(0, len(durations) - 1)
    is_outside = ~is_known | (events["onset_s"] < 0)
    is_outside |= events["onset_s"].to_numpy() > durations[np.where(is_known, segments, 0)]
    if is_outside.any():
        worst = events["onset_s"][is_outside].iloc[0]
        raise ValueError(
            f"{int(is_outside.sum())} of {len(events)} events lie outside the recording (e.g. at {worst:.3f} s; "
            f"segments last {np.round(durations[:5], 3).tolist()} s). The table belongs to another file, or "
            "its unit is not what its column name says."
        )


def apply_decisions(
    events: pandas.DataFrame, earlier: pandas.DataFrame, tolerance_s: float = 0.003
) -> pandas.DataFrame:
    """
    Carry a user's corrections over to a new table of the same recording.

    Parameters
    ----------
    events : pandas.DataFrame
        From `segment_events`.
    earlier : pandas.DataFrame
        An earlier table whose column `decision` holds "accept", "reject" or nothing.
    tolerance_s : float, default: 0.003
        Events nearer than this are the same.

    Returns
    -------
    pandas.DataFrame
        `events` with `decision`; accepted events that were not found this time are added as they were.

    Raises
    ------
    ValueError
        If a decision is neither of the two words.
    """
    events = events.copy()
    events[DECISION] = ""
    if DECISION not in earlier:
        return events
    words = earlier[DECISION].fillna("").astype(str).str.strip().str.lower()
    wrong = sorted(set(words) - {"", ACCEPT, REJECT})
    if wrong:
        raise ValueError(f"The column '{DECISION}' holds {wrong[:5]}, expected '{ACCEPT}', '{REJECT}' or nothing.")
    earlier = earlier.assign(**{DECISION: words})[words != ""]
    missing = []
    for _, row in earlier.iterrows():
        distance = (events["onset_s"] - row["onset_s"]).abs()
        distance[events["segment"] != row.get("segment", 0)] = np.inf
        if len(distance) and distance.min() <= tolerance_s:
            events.loc[distance.idxmin(), DECISION] = row[DECISION]
        elif row[DECISION] == ACCEPT:
            missing.append(row)
    if missing:
        added = pandas.DataFrame(missing).reindex(columns=events.columns)
        kinds = {name: kind for name, kind in events.dtypes.items() if name in ("segment", "overlap")}
        added = added.fillna({name: 0 for name in kinds}).astype(kinds)
        events = pandas.concat([events, added] if len(events) else [added], ignore_index=True)
        events = events.sort_values(["segment", "onset_s"], ignore_index=True)
    return events


def _without_thousands(column):
    """Numbers like 12,345.6 (MiniAnalysis writes them so) without the commas."""
    return (
        column.astype(str).str.replace(",", "", regex=False)
        if not pandas.api.types.is_numeric_dtype(column)
        else column
    )
