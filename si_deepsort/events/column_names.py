"""Names of the columns of tables and traces, and the unit of time in them, as programs and people write them."""

import re
import unicodedata

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
    "t",
    "times",
    "zeit",
    "temps",
)
# Names of the column that holds the end of an event.
END_NAMES = ("end", "end time", "event end time", "event end", "stop")
# Names of the column that holds the sweep. "segment" counts from 0, the others from 1 unless a 0 occurs.
SEGMENT_NAMES = ("segment", "sweep", "trace", "episode")
# Seconds in each unit that a heading may name.
SECONDS_PER_UNIT = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "\N{GREEK SMALL LETTER MU}s", "usec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
}
# What stands around a name and is not seen: spaces, quotation marks, and characters without width.
_ENDS = re.compile("^[\\s\"'\ufeff\u200b\u2060]+|[\\s\"'\ufeff\u200b\u2060]+$")
# "time (ms)", "time[ms]", and "time ms", "time_ms", "time, ms", "time/ms", "time in ms"; R writes "time..ms.".
_UNIT_IN_BRACKETS = re.compile(r"(.*?)[\s_]*[\[({]\s*(\w+)\s*[\])}]")
_UNIT_AS_LAST_WORD = re.compile(r"(.*?)(?:[\s_.]+in)?[\s_,/.:;]+([^\W_]+)\.*")


def parse_name(name: object) -> tuple[str, float | None]:
    """Name of a column without unit, in lower case with single spaces, and seconds per unit (None if not named)."""
    text = _ENDS.sub("", unicodedata.normalize("NFKC", str(name))).lower()
    match = _UNIT_IN_BRACKETS.fullmatch(text) or _UNIT_AS_LAST_WORD.fullmatch(text)
    factor = None if match is None else SECONDS_PER_UNIT.get(match.group(2))
    text = text if match is None or factor is None else match.group(1)
    text = re.sub(r"[\s_.]+", " ", text).strip()
    return text if factor is not None else re.sub(r"\s*(#|number|no)$", "", text), factor


def unit_of_cell(cell: object) -> float | None:
    """Seconds per unit of a cell that holds nothing but a unit of time, such as "(ms)"; else None."""
    text = _ENDS.sub("", unicodedata.normalize("NFKC", str(cell))).lower()
    return SECONDS_PER_UNIT.get(text.strip("[](){} "))


def names_events(cells: list[str]) -> bool:
    """Whether cells are a heading: one of them names the time of an event."""
    return any(parse_name(cell)[0] in ONSET_NAMES for cell in cells)


def unknown_unit(cells: list[str]) -> str | None:
    """A cell that would name the times of events if its unit were known, such as "Time (samples)"; else None."""
    bare = {cell: re.sub(r"\s*[\[({].*", "", cell) for cell in cells}
    return next((cell for cell, name in bare.items() if name != cell and parse_name(name)[0] in ONSET_NAMES), None)
