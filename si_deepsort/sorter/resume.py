"""Go on with a sorting that was interrupted or killed, from its last finished step."""

import json
from pathlib import Path
from typing import Any

from spikeinterface.core import BaseSorting

from .._version import __version__
from ..settings import default_params, settings_from_dict
from .adapter import PARAMS_FILE, VERSION_FILE, DeepSortSorter
from .settings import DeepSortSettings

LOG_FILE = "spikeinterface_log.json"


class CannotResumeError(ValueError):
    """
    A folder holds no run that can be resumed.

    Attributes
    ----------
    reason : str
        Why; the command line adds its own remedy.
    """

    def __init__(self, reason: str):
        super().__init__(
            f"{reason} Begin anew with run_sorter(..., remove_existing_folder=True), or choose another folder."
        )
        self.reason = reason


def resume_sorter(
    folder: str | Path, *, verbose: bool = False, job_kwargs: dict[str, Any] | None = None
) -> BaseSorting:
    """
    Go on with a run of `run_sorter("deepsort", recording, folder=folder)` that was interrupted.

    The recording and the settings are those of the first run. A finished run is read and not computed again.

    Parameters
    ----------
    folder : str | Path
        Output folder of the first run.
    verbose : bool, default: False
        Show progress bars.
    job_kwargs : dict | None, default: None
        Other options for parallel processing than in the first run, such as `dict(n_jobs=2)`. They do not change the
        spikes. None takes those of the first run.

    Returns
    -------
    BaseSorting

    Raises
    ------
    ValueError
        If the folder holds no run of this sorter, or one that another version of this package has begun, or if
        `job_kwargs` has names that SpikeInterface does not know.
    SpikeSortingError
        If the run fails.
    """
    folder = Path(folder)
    settings = sorting_settings(folder)
    if not is_finished(folder):
        _check_version(folder)
        if job_kwargs is not None:
            _write_settings(folder, settings | dict(job_kwargs=job_kwargs))
        DeepSortSorter.run_from_folder(folder, raise_error=True, verbose=verbose)
    return DeepSortSorter.get_result_from_folder(folder)


def is_finished(folder: str | Path) -> bool:
    """Whether the run in a folder ended without an error."""
    try:
        return not json.loads((Path(folder) / LOG_FILE).read_text(encoding="utf8"))["error"]
    except (FileNotFoundError, json.JSONDecodeError):
        # The log is written at the end; a process that is killed meanwhile leaves half of it.
        return False


def sorting_settings(folder: str | Path) -> dict[str, Any]:
    """
    Settings of the run in a folder; a setting that its version did not have yet has its default.

    Raises
    ------
    CannotResumeError
        If the folder holds no run of this sorter.
    """
    params_file = Path(folder) / PARAMS_FILE
    try:
        params = json.loads(params_file.read_text(encoding="utf8"))
        sorter_name, stored = params["sorter_name"], params["sorter_params"]
    except FileNotFoundError:
        raise CannotResumeError(f"{folder} holds no sorting to go on with ({PARAMS_FILE} is missing).") from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise CannotResumeError(f"{params_file} is damaged ({type(error).__name__}: {error}).") from error
    if sorter_name != DeepSortSorter.sorter_name:
        raise CannotResumeError(f"{folder} was made by {sorter_name}; only runs of deepsort can be resumed.")
    return {**default_params(DeepSortSettings), **stored}


def _write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Replace the stored settings, which SpikeInterface reads when it runs a folder."""
    settings_from_dict(DeepSortSettings, settings)
    params_file = folder / PARAMS_FILE
    params = json.loads(params_file.read_text(encoding="utf8"))
    params["sorter_params"] = settings
    params_file.write_text(json.dumps(params, indent=4), encoding="utf8")


def _check_version(folder: Path) -> None:
    """Steps of two versions must not be mixed: their files may mean different things."""
    version_file = folder / VERSION_FILE
    begun_by = version_file.read_text(encoding="utf8").strip() if version_file.exists() else "0.1.0 or earlier"
    if begun_by != __version__:
        raise CannotResumeError(
            f"The run in {folder} was begun by si_deepsort {begun_by} and cannot be finished by {__version__}. Install "
            "the version that began it."
        )
