"""The folder of a stress test: what was asked, what is injected, which runs have ended; so that it can go on later."""

import json
import shutil
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import spikeinterface.core as si
from spikeinterface.core import Motion

from ..preprocessing.hybrid import HybridRecording
from .draw import Repetition
from .request import Request

PLAN_FILE, UNITS_FILE, RESULT_FILE = "stress_test.json", "units.csv", "result.json"
# Version of the files; raised when an older folder cannot be continued.
FORMAT_VERSION = 2
# Frames of the first segment that are part of the identity of a recording.
IDENTITY_FRAMES = 1000


@dataclass(frozen=True, kw_only=True)
class Run:
    """
    One sorter on the recording with injected units, or without.

    Attributes
    ----------
    repetition : int | None
        None for the first sorting, of the recording as it is.
    sorter : str
    folder : Path
        Gets the result.
    """

    repetition: int | None
    sorter: str
    folder: Path

    @property
    def sorter_folder(self) -> Path:
        """Where the sorter works; it is deleted afterwards."""
        return self.folder / "run"

    def result(self) -> dict[str, Any] | None:
        """What was written when the run ended; None if it has not."""
        file = self.folder / RESULT_FILE
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def sorting(self) -> si.BaseSorting:
        """The sorting of a run that is done."""
        return si.load(self.folder / "sorting")

    def is_done(self, params: dict[str, Any]) -> bool:
        """Whether the run ended well, with these parameters of the sorter."""
        result = self.result()
        return result is not None and result["status"] == "done" and result["params"] == as_plain(params)

    def finish(self, result: dict[str, Any], params: dict[str, Any], sorting: si.BaseSorting | None = None) -> None:
        """Keep result and sorting, the result last; what the sorter left behind goes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        result = {**result, "params": as_plain(params)}
        if sorting is not None:
            shutil.rmtree(self.folder / "sorting", ignore_errors=True)
            si.NumpySorting.from_sorting(sorting).save(folder=self.folder / "sorting")
        partial = self.folder / f"{RESULT_FILE}.partial"
        partial.write_text(json.dumps(result, indent=1), encoding="utf-8")
        partial.replace(self.folder / RESULT_FILE)
        shutil.rmtree(self.sorter_folder, ignore_errors=True)


def as_plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values as JSON holds them."""
    return json.loads(json.dumps(values, default=str))


def repetition_folder(folder: Path, number: int) -> Path:
    """Where a repetition is kept."""
    return folder / f"repetition_{number}"


def open_folder(folder: Path, request: Request) -> None:
    """
    Begin a folder, or check that the one at hand is of the same test.

    Parameters
    ----------
    folder : Path
    request : Request

    Raises
    ------
    ValueError
        If the folder holds something else, or a test of another recording or with other settings.
    """
    identity = as_plain(
        dict(
            format_version=FORMAT_VERSION,
            recording=recording_identity(request.recording),
            settings=asdict(request.settings),
            sorting=_short(request.sorting),
            templates=None if request.library is None else len(request.library.names),
            motion=_short(request.motion),
        )
    )
    file = folder / PLAN_FILE
    if file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))
        differing = _differences(found, identity)
        if differing:
            raise ValueError(
                f"{folder} holds a stress test with other {', '.join(differing)}. Give the same ones to continue it, "
                "or another folder; nothing in this one was changed."
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} exists and holds no stress test, expected a new folder or one to be continued.")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(identity, indent=1), encoding="utf-8")


def recording_identity(recording: si.BaseRecording) -> dict[str, Any]:
    """What tells a recording from others: sizes, positions and the beginning of its traces."""
    last = min(IDENTITY_FRAMES, recording.get_num_frames(0))
    beginning = np.ascontiguousarray(recording.get_traces(segment_index=0, start_frame=0, end_frame=last))
    return dict(
        num_channels=recording.get_num_channels(),
        num_frames=[recording.get_num_frames(i) for i in range(recording.get_num_segments())],
        sampling_frequency=recording.get_sampling_frequency(),
        dtype=str(recording.get_dtype()),
        beginning=zlib.crc32(beginning.tobytes()),
    )


def _short(thing: si.BaseSorting | Motion | None) -> list | None:
    """A few numbers that tell a sorting or a motion from others."""
    if thing is None:
        return None
    if isinstance(thing, Motion):
        return [round(float(np.abs(displacement).sum()), 3) for displacement in thing.displacement]
    return [len(thing.unit_ids), int(thing.count_total_num_spikes())]


def _differences(found: dict, expected: dict) -> list[str]:
    parts = [name for name in expected if name != "settings" and found.get(name) != expected[name]]
    settings = found.get("settings", {})
    return parts + [name for name, value in expected["settings"].items() if settings.get(name) != value]


def save_repetition(repetition: Repetition, folder: Path) -> None:
    """Keep what is injected; the table of the units last, which says that the rest is whole."""
    repetition.spikes.save(folder)
    shutil.rmtree(folder / "injected_sorting", ignore_errors=True)
    repetition.sorting.save(folder=folder / "injected_sorting")
    repetition.units.to_csv(folder / UNITS_FILE, index=False)


def load_units(folder: Path) -> pd.DataFrame | None:
    """The table of the injected units of a repetition; None if it has not been drawn."""
    file = folder / UNITS_FILE
    if not file.exists():
        return None
    return pd.read_csv(file, dtype=dict(unit_id=str, source=str, replaces=str)).fillna({"replaces": ""})


def hybrid_of(recording: si.BaseRecording, folder: Path) -> HybridRecording:
    """The recording with the spikes of a repetition."""
    return HybridRecording(recording, folder=folder)


def saved(recording: si.BaseRecording, folder: Path) -> si.BaseRecording:
    """A recording that is in memory only, on disk, where sorters find it."""
    if not folder.exists():
        recording.save(folder=folder, n_jobs=1, progress_bar=False, verbose=False)
    return si.load(folder)


def injected_sorting(folder: Path) -> si.BaseSorting:
    """The true spikes of a repetition."""
    sorting = si.load(folder / "injected_sorting")
    sorting.annotate(exhaustive_gt=False)
    return sorting
