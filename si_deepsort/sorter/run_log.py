"""The log of a run: a file beside the result, and lines in the console if the user asked for them."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm.auto import tqdm

# Logger of the package.
LOGGER = logging.getLogger(__name__.split(".")[0])

# Runs in several threads of a process begin and end in any order.
_LOCK = threading.Lock()


class _RunLogHandler(logging.Handler):
    """
    Writes what the package logs to files, shows it, and gives the program's own handlers what they would have got.

    Parameters
    ----------
    file : Path
        File of the first run. Runs of other threads add theirs to `files`; each file gets the lines of all runs.
    shown_level : int
        Lines from this level on are shown in the console, if the program has no handlers of its own.
    """

    def __init__(self, file: Path, shown_level: int):
        super().__init__(logging.INFO)
        self.files, self.shown_level = [file], shown_level
        self.level_before, self.propagates_before = LOGGER.level, LOGGER.propagate

    def emit(self, record: logging.LogRecord) -> None:
        """Write, show and forward one line."""
        text = record.getMessage()
        for file in self.files:
            with open(file, "a", encoding="utf-8") as stream:
                stream.write(f"{logging.Formatter().formatTime(record)} {record.levelname} {text}\n")
        root = logging.getLogger()
        if not root.hasHandlers():
            if record.levelno >= self.shown_level:
                # tqdm writes above its own lines.
                tqdm.write(text, file=sys.stderr)
        elif record.levelno >= self._asked_level(record.name):
            root.callHandlers(record)

    def _asked_level(self, name: str) -> int:
        """Level from which on the program wants the lines of a logger, as if the run had not changed it."""
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None and logger is not LOGGER:
            if logger.level:
                return logger.level
            logger = logger.parent
        return self.level_before or logging.getLogger().getEffectiveLevel()


@contextmanager
def run_log(file: Path, *, is_verbose: bool) -> Iterator[None]:
    """
    Log a run.

    Parameters
    ----------
    file : Path
        Lines are appended to it.
    is_verbose : bool
        Show all lines; else warnings only. A program that has set up logging itself decides that alone.
    """
    with _LOCK:
        runs = [handler for handler in LOGGER.handlers if isinstance(handler, _RunLogHandler)]
        if not runs:
            handler = _RunLogHandler(file, logging.INFO if is_verbose else logging.WARNING)
            LOGGER.addHandler(handler)
            LOGGER.setLevel(min(handler.level_before or logging.INFO, logging.INFO))
            LOGGER.propagate = False
        else:
            handler = runs[0]
            handler.files.append(file)
    try:
        yield
    finally:
        with _LOCK:
            handler.files.remove(file)
            if not handler.files:
                LOGGER.removeHandler(handler)
                LOGGER.setLevel(handler.level_before)
                LOGGER.propagate = handler.propagates_before
