"""Tell a user who sits in front of the screen what was measured or chosen; programs get it by logging alone."""

import logging
import multiprocessing
import sys

from tqdm import tqdm


def is_watched() -> bool:
    """Whether a person sees what this process writes: a terminal or a notebook, and not a worker process."""
    if multiprocessing.parent_process() is not None:
        return False
    return sys.stderr is not None and (sys.stderr.isatty() or "ipykernel" in sys.modules)


def announce(logger: logging.Logger, text: str) -> None:
    """Log a sentence, and show it where somebody watches and does not see the log."""
    logger.info(text)
    if is_watched() and not logger.isEnabledFor(logging.INFO):
        tqdm.write(text, file=sys.stderr)
