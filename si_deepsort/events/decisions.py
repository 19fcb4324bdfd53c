"""Carry a user's decisions and remarks from one table of events to the next."""

import re

import numpy as np
import pandas

from .columns import ACCEPT, DECISION, REJECT, as_events, is_filled
from .matching import match_events
from .measure import COLUMNS

# Onsets nearer than this, in s, are one event: the tolerance of the benchmark, above the 2.5 ms by which a fit moves.
SAME_EVENT_S = 0.003
# A cell of a trace or of measurements, in which nobody wrote a word.
_NUMBER = re.compile(r"[\s\d.,+-]*(e[+-]?\d+)?|nan", re.IGNORECASE)


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


def check_has_corrections(events: pandas.DataFrame, where: str) -> None:
    """
    An error if a table holds nothing that a person could have corrected, such as a trace.

    Parameters
    ----------
    events : pandas.DataFrame
        From `as_events`.
    where : str
        What the user gave, for the message.

    Raises
    ------
    ValueError
        If there is neither a column `decision`, nor one that `segment_events` measures, nor one that holds words.
    """
    if not len(events) or DECISION in events or set(COLUMNS) & set(events.columns) - {"onset_s", "end_s", "segment"}:
        return
    own = [name for name in events.columns if name not in ("onset_s", "end_s", "segment")]
    if all(_NUMBER.fullmatch(str(cell)) for name in own for cell in events[name][is_filled(events[name])]):
        raise ValueError(
            f"{where} holds no corrections: its columns are {[str(name) for name in events.columns]}. Expected a table "
            f"of events with the words '{ACCEPT}' and '{REJECT}' in a column '{DECISION}', or with remarks in a column "
            "of your own. Give the table that an earlier run wrote, with your decisions; a trace is none."
        )


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
