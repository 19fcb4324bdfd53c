"""What the command line shows beside its results: warnings, and on request the log."""

import logging
import sys
import warnings

from tqdm import tqdm

# Warnings of SpikeInterface about objects that a command makes for a moment: the user did not make them, and can do
# nothing about them.
NOT_FOR_USERS = (
    ".*provenance will not be saved",
    "The recording registered to this sorting object will not be saved",
    "Bin duration of .* is larger than recording duration",
)


class _AboveProgress(logging.Handler):
    """Writes lines above the progress line, which stays whole."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def show_log(is_verbose: bool) -> None:
    """Show warnings of the package, or all lines of its log. The process belongs to the command line."""
    logger = logging.getLogger(__name__.split(".")[0])
    if not any(isinstance(handler, _AboveProgress) for handler in logging.getLogger().handlers):
        logging.getLogger().addHandler(_AboveProgress())
    logger.setLevel(logging.INFO if is_verbose else logging.WARNING)


def hide_warnings_not_for_users() -> None:
    """Hide warnings that the user can do nothing about."""
    for message in NOT_FOR_USERS:
        warnings.filterwarnings("ignore", message=message)
