"""
The sorter as SpikeInterface sees it: a thin adapter. The flow itself is in `pipeline.py`.

PyTorch is not imported here: this module is loaded by `import si_deepsort`.
"""

import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting, load
from spikeinterface.core.job_tools import fix_job_kwargs
from spikeinterface.sorters import BaseSorter

from .._version import __version__
from ..io import IDS_ARE_POSITIONS
from ..settings import SettingError, default_params, params_description, settings_from_dict
from .settings import THRESHOLD_DETECTORS, DeepSortSettings

logger = logging.getLogger(__name__)

# Where SpikeInterface writes the settings of a run.
PARAMS_FILE = "spikeinterface_params.json"
# Where the log of a run is written, beside the result.
RUN_LOG_FILE = "log.txt"
# The version of this package that began a run.
VERSION_FILE = "si_deepsort_version.txt"


class DeepSortSorter(BaseSorter):
    """The sorter "deepsort": it detects, embeds, clusters and matches spikes in whitened traces."""

    sorter_name = "deepsort"
    sorter_description = (
        "deepsort whitens traces over time and space, detects spikes with a network or by the energy of their "
        "waveforms, clusters them, and matches the templates of the clusters."
    )
    installation_mesg = "pip install si-deepsort"
    requires_locations = False
    gpu_capability = "nvidia-optional"
    requires_binary_data = False
    handle_multi_segment = True
    compatible_with_parallel = {"loky": True, "multiprocessing": True, "threading": True}  # noqa: RUF012
    _default_params = default_params(DeepSortSettings)
    _params_description = params_description(DeepSortSettings)

    @classmethod
    def is_installed(cls) -> bool:
        """Whether every library that a run imports is installed."""
        return all(find_spec(name) is not None for name in ("torch", "numba", "sklearn"))

    @classmethod
    def get_sorter_version(cls) -> str:
        """Version of this package."""
        return __version__

    @classmethod
    def use_gpu(cls, params: dict) -> bool:
        """Whether a run with these settings computes on an NVIDIA GPU if there is one; containers then ask for it."""
        return str(params.get("device", "cpu")).startswith(("auto", "cuda"))

    @classmethod
    def _check_apply_filter_in_params(cls, params: dict) -> bool:
        return False

    @classmethod
    def initialize_folder(
        cls, recording: BaseRecording, output_folder: str | Path | None, verbose: bool, remove_existing_folder: bool
    ) -> Path:
        """
        Make the output folder; an earlier one is set aside until the settings have been checked.

        Raises
        ------
        ValueError
            If the recording cannot be sorted, or the folder exists and may not be replaced. Nothing has been written
            or deleted then.
        """
        from .front_end.check import check_recording

        folder = Path(output_folder or f"{cls.sorter_name}_output")
        if folder.is_dir() and not remove_existing_folder:
            has_run = (folder / PARAMS_FILE).exists()
            resume = " Go on with the run in it by si_deepsort.resume_sorter(folder)." if has_run else ""
            raise ValueError(
                f"The folder {folder} exists.{resume} Replace it by remove_existing_folder=True, or choose another "
                "name."
            )
        check_recording(recording)
        if not any(recording.check_serializability(kind) for kind in ("json", "pickle")):
            raise ValueError(
                "The recording exists in memory only, where the sorter cannot find it again. Save it first: "
                "recording = recording.save(folder=...)."
            )
        _check_recording_is_elsewhere(recording, folder)
        _set_aside(folder)
        try:
            return super().initialize_folder(recording, output_folder, verbose, remove_existing_folder)
        except BaseException:
            _put_back(folder)
            raise

    @classmethod
    def set_params_to_folder(
        cls, recording: BaseRecording, output_folder: Path, new_params: dict, verbose: bool
    ) -> dict:
        """
        Check the settings, write them to the folder, and delete the earlier folder that was set aside.

        Raises
        ------
        SettingError
            If a setting is wrong. The earlier folder is back in its place then, or there is none, as before.
        """
        from .device import with_device

        folder = Path(output_folder)
        try:
            settings = settings_from_dict(DeepSortSettings, new_params)
            _load_networks(settings)
            with_device(settings)
            checked = {name: getattr(settings, name) for name in new_params}
            params = super().set_params_to_folder(recording, folder, checked, verbose)
            (folder / VERSION_FILE).write_text(__version__, encoding="utf8")
        except BaseException:
            _put_back(folder)
            raise
        shutil.rmtree(_aside(folder), ignore_errors=True)
        return params

    @classmethod
    def _setup_recording(cls, recording: BaseRecording, sorter_output_folder: Path, params: dict, verbose: bool):
        """Nothing to do: the recording is read where it is."""

    @classmethod
    def _run_from_folder(cls, sorter_output_folder: str | Path, params: dict, verbose: bool) -> None:
        from .run_log import run_log

        folder = Path(sorter_output_folder)
        with run_log(folder / RUN_LOG_FILE, is_verbose=verbose):
            cls._sort(folder, params)

    @classmethod
    def _sort(cls, folder: Path, params: dict) -> None:
        from ..known_units.labelled_units import labelled_units_of
        from ..threads import threads
        from ..zoo import model_provenance
        from .clusters.embed import load_autoencoder
        from .device import with_device
        from .pipeline import sort_recording
        from .progress import progress_line, run_steps
        from .reproducible import one_thread

        recording = cls.load_recording_from_folder(folder.parent, with_warnings=False)
        settings = with_device(settings_from_dict(DeepSortSettings, params))
        job_kwargs = fix_job_kwargs(settings.job_kwargs)
        # One line for the whole run instead of a bar for each of SpikeInterface's jobs.
        is_shown, job_kwargs["progress_bar"] = job_kwargs["progress_bar"], False
        _choose_workers(job_kwargs, settings)
        _tell_of_compilation()
        nets = _load_networks(settings)
        # Other matching methods know no thresholds of single units; the network then assigns spikes afterwards.
        is_matched = "classifier" in nets and settings.matching == "pursuit"
        labelled = labelled_units_of(nets["classifier"], recording) if is_matched else None
        if "classifier" in nets and labelled is None and settings.assess:
            logger.info("Units are not judged: the classifier assigns their spikes afterwards")
            settings = replace(settings, assess=False)
        # From here on the settings name the exact weights: a tag on the Hub that moves meanwhile changes nothing.
        settings = replace(settings, **{name: net.info.source["reference"] for name, net in nets.items()})
        with one_thread(), threads(job_kwargs["n_jobs"]), warnings.catch_warnings():
            # The cached traces need no provenance: they are deleted at the end.
            warnings.filterwarnings("ignore", message=".*provenance will not be saved")
            with progress_line(run_steps(settings, recording.get_total_duration()), is_shown=is_shown) as progress:
                sorting = sort_recording(recording, settings, folder, job_kwargs, progress.begin, labelled)
            if "classifier" in nets and labelled is None:
                sorting = _assigned(recording, sorting, nets["classifier"], settings)
            if recording.get_annotation(IDS_ARE_POSITIONS) and "main_channel_id" in sorting.get_property_keys():
                # Another reader of the same file may name the channels differently, and create_sorting_analyzer would
                # look for the ids of this one.
                sorting.set_property("main_channel_index", sorting.get_property("main_channel_id"))
                sorting.delete_property("main_channel_id")
            # The folder of the sorting alone tells how it was made, wherever it is taken.
            sorting.annotate(sorter_name=cls.sorter_name, sorter_params=params)
            if settings.embedding == "autoencoder":
                nets["embedding"] = load_autoencoder()
            sorting.annotate(models={name: model_provenance(net) for name, net in nets.items()})
            sorting.save(folder=folder / "sorting", overwrite=True)

    @classmethod
    def _get_result_from_folder(cls, sorter_output_folder: str | Path) -> BaseSorting:
        sorting = load(Path(sorter_output_folder) / "sorting")
        # SpikeInterface reads the ids of no units as floats.
        return sorting if len(sorting.unit_ids) > 0 else sorting.select_units(np.zeros(0, dtype="int64"))


def _assigned(recording: BaseRecording, sorting: BaseSorting, classifier, settings: DeepSortSettings) -> BaseSorting:
    """The sorting after a classifier has assigned the spikes to the units that it knows."""
    from ..known_units.sort_known_units import with_known_units
    from ..preprocessing.band_pass import band_pass

    if settings.apply_preprocessing:
        recording = band_pass(recording, freq_min=settings.freq_min, freq_max=settings.freq_max)
    assigned = with_known_units(recording, sorting, classifier, seed=settings.seed)
    assigned.annotate(dropped_units=sorting.get_annotation("dropped_units"))
    return assigned


def _choose_workers(job_kwargs: dict[str, Any], settings: DeepSortSettings) -> None:
    """
    Let threads of this process do the jobs, unless this run asks for processes; workers compute with one thread each.

    Nearly all work leaves the interpreter, and processes cost more than they save in a short recording. A device is fed
    by one process.
    """
    asked = settings.job_kwargs.get("pool_engine") if settings.device == "cpu" else None
    job_kwargs["pool_engine"] = asked or "thread"
    job_kwargs["max_threads_per_worker"] = 1


def _check_recording_is_elsewhere(recording: BaseRecording, folder: Path) -> None:
    """Refuse to replace a folder from which the recording is read: it would be deleted."""
    inside = [
        path for path in _paths_in(recording.to_dict(recursive=True)) if folder.resolve() in (path, *path.parents)
    ]
    if inside:
        raise ValueError(
            f"The folder {folder} holds the recording itself ({inside[0]}), which remove_existing_folder=True would "
            "delete. Choose another folder for the sorting."
        )


def _paths_in(description: Any) -> Iterator[Path]:
    """Files and folders that exist among the texts of SpikeInterface's description of a recording."""
    if isinstance(description, dict | list | tuple):
        for part in description.values() if isinstance(description, dict) else description:
            yield from _paths_in(part)
    elif isinstance(description, str | Path) and os.path.exists(description):
        yield Path(description).resolve()


def _tell_of_compilation() -> None:
    """Say why the first run takes longer: numba keeps what it compiles on disk, for all later runs."""
    from .matching.kernels import find_spikes

    compiled: Any = find_spikes
    if not any(Path(compiled.stats.cache_path).glob(f"*{compiled.__name__}-*.nbi")):
        logger.warning("Code is compiled, as this is the first run after installing: about 15 s more, this time only.")


def _aside(folder: Path) -> Path:
    """Where the earlier folder waits until the settings of the new run have been checked."""
    folder = folder.absolute()
    return folder.with_name(f".{folder.name}.replaced")


def _set_aside(folder: Path) -> None:
    if _aside(folder).exists():
        # A process was killed before it had checked its settings: what it had begun is worth nothing.
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.is_dir():
        folder.rename(_aside(folder))


def _put_back(folder: Path) -> None:
    """Remove what the new run has written, and give the earlier folder its name back."""
    shutil.rmtree(folder, ignore_errors=True)
    if _aside(folder).exists():
        _aside(folder).rename(folder)


def _load_networks(settings: DeepSortSettings) -> dict[str, Any]:
    """The networks of a run by setting, verified before anything is computed."""
    from ..detection.prepare import load_detector
    from ..known_units.load import load_classifier

    nets: dict[str, Any] = {}
    if settings.detection not in ("energy", *THRESHOLD_DETECTORS):
        try:
            nets["detection"] = load_detector(settings.detection)
        except ValueError as error:
            methods = ", ".join(("energy", "cnn", "gru", *THRESHOLD_DETECTORS))
            reason = f"got {settings.detection!r}, expected one of {methods}, or a model: {error}"
            raise SettingError("detection", reason) from error
    if settings.classifier is not None:
        try:
            nets["classifier"] = load_classifier(settings.classifier)
        except ValueError as error:
            raise SettingError("classifier", f"got {settings.classifier!r}, expected a model: {error}") from error
    return nets
