"""The folder of a run: results of finished steps, so that an interrupted run goes on where it stopped."""

import gc
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

logger = logging.getLogger(__name__)


class RunFolder:
    """
    Keeps the results of steps, the motion of the tissue and the cached traces of one run.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    begin : callable | None, default: None
        Is told the name of each step that is computed, before it begins.
    """

    def __init__(self, folder: Path, begin: Callable[[str], None] | None = None):
        self.folder = Path(folder)
        self.begin = begin or (lambda name: None)
        self.steps = self.folder / "steps"
        self.motion = self.folder / "motion"
        self.traces = self.folder / "traces"
        self.corrected_traces = self.folder / "traces_corrected"
        self.steps.mkdir(parents=True, exist_ok=True)

    def remove_traces(self) -> None:
        """Delete all cached traces, which are large and only serve the run itself."""
        self.remove_uncorrected_traces()
        _remove(self.corrected_traces)

    def remove_uncorrected_traces(self) -> None:
        """Delete the cached traces that are not corrected for drift."""
        _remove(self.traces)

    def save_table(self, name: str, table: pd.DataFrame) -> None:
        """Save a table as `<name>.csv`, for the user to read."""
        table.to_csv(self.folder / f"{name}.csv", index=False)

    def keep(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """
        Result of a step, read if the step was finished before, else computed and saved.

        Parameters
        ----------
        name : str
            Name of the result, unique in the run.
        compute : callable
            Takes nothing and returns an array.
        """
        return self.keep_all((name,), lambda: (compute(),))[0]

    def keep_all(self, names: Sequence[str], compute: Callable[[], Sequence[np.ndarray]]) -> tuple[np.ndarray, ...]:
        """As `keep`, for a step with several results: it is finished when all of them are saved."""
        paths = [self.steps / f"{name}.npy" for name in names]
        if all(path.exists() for path in paths):
            logger.info("Step %s was finished before", names[0])
            return tuple(np.load(path) for path in paths)
        self.begin(names[0])
        results = tuple(compute())
        for path, result in zip(paths, results, strict=True):
            # A file that bears the name of a result is whole: it is written under another name first.
            partial = path.with_name(f"partial_{path.name}")
            np.save(partial, result)
            partial.replace(path)
        return results


def _remove(folder: Path) -> None:
    """Delete a folder. Windows keeps files that are read: no recording that reads them may be in use any more."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        gc.collect()  # recordings that nothing uses, but that still hold their files
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        logger.warning("The cached traces in %s could not be deleted: delete them by hand.", folder)
