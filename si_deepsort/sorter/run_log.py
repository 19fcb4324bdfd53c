"""The log of a run: a file beside the result, and lines in the console if the user asked for them."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm.auto import tqdm

# Logger of the package.
LOGGER = logging.getLogger(__name__.split(".")[0])


class _RunLogHandler(logging.Handler):
    """
    Writes what the package logs to a file, shows it, and gives the program's own handlers what they would have got.

    Parameters
    ----------
    file : Path
    shown_level : int
        Lines from this level on are shown in the console, if the program has no handlers of its own.
    own_level : int
        Level of the package's logger before the run.
    """

    def __init__(self, file: Path, *, shown_level: int, own_level: int):
        super().__init__(logging.INFO)
        self.file, self.shown_level, self.own_level = file, shown_level, own_level

    def emit(self, record: logging.LogRecord) -> None:
        """Write, show and forward one line."""
        text = record.getMessage()
        with open(self.file, "a", encoding="utf-8") as stream:
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
        return self.own_level or logging.getLogger().getEffectiveLevel()


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
    if any(isinstance(handler, _RunLogHandler) for handler in LOGGER.handlers):
        # Another run of this process, in another thread: its log has both, and the level stays as it is.
        yield
        return
    level, propagates = LOGGER.level, LOGGER.propagate
    handler = _RunLogHandler(file, shown_level=logging.INFO if is_verbose else logging.WARNING, own_level=level)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(min(level or logging.INFO, logging.INFO))
    LOGGER.propagate = False
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        LOGGER.propagate = propagates
