"""Going on with a sorting that was interrupted or killed, from its last finished step."""

import json
from pathlib import Path

from .adapter import PARAMS_FILE, DeepSortSorter

LOG_FILE = "spikeinterface_log.json"


def resume_sorter(folder: str | Path, *, verbose: bool = False):
    """
    Go on with a run of `run_sorter("deepsort", recording, folder=folder)` that did not end.

    The recording and the settings are those of the first run. A run that did end is only read.

    Parameters
    ----------
    folder : str | Path
        Of the first run.
    verbose : bool, default: False
        Show progress bars.

    Returns
    -------
    BaseSorting

    Raises
    ------
    ValueError
        If the folder holds no run of this sorter.
    SpikeSortingError
        If the run fails.
    """
    folder = Path(folder)
    sorting_settings(folder)
    if not is_finished(folder):
        DeepSortSorter.run_from_folder(folder, raise_error=True, verbose=verbose)
    return DeepSortSorter.get_result_from_folder(folder)


def is_finished(folder: str | Path) -> bool:
    """Whether the run in a folder came to its end without an error."""
    log_file = Path(folder) / LOG_FILE
    return log_file.exists() and not json.loads(log_file.read_text(encoding="utf-8"))["error"]


def sorting_settings(folder: str | Path) -> dict:
    """
    Settings of the run in a folder.

    Raises
    ------
    ValueError
        If the folder holds no run of this sorter.
    """
    params_file = Path(folder) / PARAMS_FILE
    if not params_file.exists():
        raise ValueError(
            f"{folder} holds no sorting to go on with ({PARAMS_FILE} is missing). Give the folder of an interrupted "
            "run, or start a new one with run_sorter."
        )
    params = json.loads(params_file.read_text(encoding="utf-8"))
    if params["sorter_name"] != DeepSortSorter.sorter_name:
        raise ValueError(f"{folder} was made by {params['sorter_name']}; only runs of deepsort can be resumed.")
    return params["sorter_params"]
