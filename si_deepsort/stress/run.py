"""`stress_test`: inject known units into a recording, sort it again, and see what was found."""

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si
from spikeinterface.core import Motion

from .check import check_request, library_templates, params_by_sorter
from .draw import draw_repetition
from .own_units import look_at, own_templates
from .plan import Run, hybrid_of, load_units, open_folder, repetition_folder, save_repetition, saved
from .request import Models, OwnSpikes, Request
from .result import StressTest
from .score import describe, score_runs
from .settings import StressTestSettings
from .sizes import sizes_of_repetitions
from .sort import sort_all

# Injected units are this share of the recording's own units: fewer where they are added, so that the recording does not
# become much more crowded than it is, more where own units are taken out for them, but so that most stay.
SHARE_ADDED, SHARE_REPLACED = 0.2, 0.4
# Not fewer and not more units than this.
FEWEST_UNITS, MOST_UNITS = 2, 40


def stress_test(
    recording: si.BaseRecording,
    sorter: str | Sequence[str] = "deepsort",
    *,
    sorting: si.BaseSorting | None = None,
    templates: si.Templates | None = None,
    motion: Motion | None = None,
    folder: str | Path | None = None,
    settings: StressTestSettings | None = None,
    sorter_params: dict[str, Any] | None = None,
    engine: str = "loop",
    engine_kwargs: dict[str, Any] | None = None,
    progress_bar: bool = True,
) -> StressTest:
    """
    Find out what a sorter would find in this recording: inject units with known spikes, sort again, and compare.

    Injected units are copies of the recording's own units at another place. Each replaces an own unit, which is taken
    out, two fifths of them at a time. With `motion` or `templates` units are added, a fifth of the own number.

    Parameters
    ----------
    recording : BaseRecording
        As it would be given to the sorter, in any dtype and unit; with a probe if it has several channels.
    sorter : str | sequence of str, default: "deepsort"
        Any sorters of SpikeInterface; all get the same recordings. One that fails is reported, the others go on.
    sorting : BaseSorting | None, default: None
        Units of this recording, as models of the injected ones. None: it is sorted once, by the first sorter.
    templates : spikeinterface.core.Templates | None, default: None
        Models instead of the recording's own units, such as a library of real units, on any probe.
    motion : Motion | None, default: None
        Motion of the tissue along y, which injected units follow. None: they stay in place.
    folder : str | Path | None, default: None
        Where all is kept. Started again with the same arguments, only what is missing or failed is run.
    settings : StressTestSettings | None, default: None
        Repetitions, number of units, SNR, firing rates, bursts, synchrony and seed.
    sorter_params : dict | None, default: None
        Parameters of the sorter, or a dictionary of them by sorter.
    engine, engine_kwargs
        As for `run_sorter_jobs`. "slurm" needs folder and sorting, and returns before the runs have ended.
    progress_bar : bool, default: True

    Returns
    -------
    StressTest

    Raises
    ------
    ValueError
        If a sorter is unknown, there is no probe, or recording, sorting, templates, motion and folder do not fit.
    """
    sorters = [sorter] if isinstance(sorter, str) else list(sorter)
    params = params_by_sorter(sorters, sorter_params)
    check_request(recording, sorters, params=params, sorting=sorting, motion=motion, engine=engine, folder=folder)
    library = None if templates is None else library_templates(templates, recording)
    options: dict[str, Any] = dict(engine=engine, engine_kwargs=engine_kwargs, progress_bar=progress_bar)
    sort = partial(sort_all, sorter_params=params, **options)
    request = Request(recording, sorters, params, sorting, library, motion, settings or StressTestSettings(), sort)
    with nullcontext(folder) if folder is not None else _scratch_folder() as place:
        return _test_in(Path(place).absolute(), request)


def _scratch_folder() -> tempfile.TemporaryDirectory:
    """A folder for what is not kept. Windows leaves files to which an error refers; the error is what counts."""
    return tempfile.TemporaryDirectory(prefix="stress_test_", ignore_cleanup_errors=True)


def units_at_a_time(num_own: int, wanted: int | None, *, are_replaced: bool) -> int:
    """
    Number of units injected in a repetition.

    Raises
    ------
    ValueError
        If more units are wanted than the recording has of its own.
    """
    if wanted is None:
        share = SHARE_REPLACED if are_replaced else SHARE_ADDED
        return int(np.clip(round(share * num_own), FEWEST_UNITS, MOST_UNITS))
    most = max(num_own, FEWEST_UNITS)
    if wanted > most:
        raise ValueError(
            f"units_per_repetition={wanted}, expected at most {most}: the recording has {num_own} units of its own, "
            "and with more injected ones than that it would be another recording. Raise num_repetitions instead."
        )
    return wanted


def _test_in(folder: Path, request: Request) -> StressTest:
    open_folder(folder, request)
    if not any(request.recording.check_serializability(kind) for kind in ("json", "pickle")):
        request = request.with_recording(saved(request.recording, folder / "recording"))
    models = _find_models(folder, request)
    wanted = request.settings.units_per_repetition
    num_units = units_at_a_time(len(models.own.trains_s), wanted, are_replaced=models.replaces_units)
    runs = _hybrid_runs(folder, request, models, num_units)
    request.sort(runs)
    units, table = score_runs(folder, [run for run, _ in runs], models)
    test = StressTest(units=units, runs=table, facts=describe(request, models, num_units))
    test.save(folder / "result")
    return test


def _find_models(folder: Path, request: Request) -> Models:
    """Templates for injected units, and the recording's own units, with which they fire together."""
    recording, library = request.recording, request.library
    surroundings = look_at(recording, seed=request.settings.seed)
    first, first_sorter = (request.sorting, None) if request.sorting is not None else _first_sorting(folder, request)
    if first is None or len(first.unit_ids) == 0:
        own = OwnSpikes(trains_s=[], locations_um=np.zeros((0, 2)), names=[])
        return Models(surroundings, library, own, first, first_sorter, replaces_units=False)
    own_sources, locations = own_templates(first, surroundings, seed=request.settings.seed)
    spikes = first.to_spike_vector()
    lengths = [recording.get_num_frames(i) for i in range(recording.get_num_segments())]
    starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    times = (spikes["sample_index"] + starts[spikes["segment_index"]]) / recording.get_sampling_frequency()
    trains = [times[spikes["unit_index"] == unit] for unit in range(len(first.unit_ids))]
    fires = np.array([len(train) > 0 for train in trains])
    own = OwnSpikes(
        trains_s=[train for train in trains if len(train)],
        locations_um=locations[fires],
        names=[str(unit) for unit in np.asarray(first.unit_ids)[fires]],
    )
    sources = own_sources if library is None else library
    # Templates of units that move are averages over their way, and would take out another shape than is there.
    replaces_units = library is None and request.motion is None and len(sources.templates) > 0
    return Models(surroundings, sources, own, first, first_sorter, replaces_units=replaces_units)


def _first_sorting(folder: Path, request: Request):
    """The sorting of the first sorter that gives one, and its name; no sorting if all fail."""
    for name in request.sorters:
        run = Run(repetition=None, sorter=name, folder=folder / "first_sorting" / name)
        request.sort([(run, request.recording)])
        if run.is_done(request.params[name]):
            return run.sorting(), name
    return None, None


def _hybrid_runs(folder: Path, request: Request, models: Models, num_units: int):
    """Draw what has not been drawn, and list the runs of all sorters on all repetitions."""
    settings = request.settings
    sizes = sizes_of_repetitions(num_units, settings, models.sources, are_replaced=models.replaces_units)
    runs = []
    for number in range(settings.num_repetitions):
        own_folder = repetition_folder(folder, number)
        if load_units(own_folder) is None:
            drawn = draw_repetition(request, models, sizes[number], number=number)
            save_repetition(drawn, own_folder)
        hybrid = hybrid_of(request.recording, own_folder)
        runs += [(Run(repetition=number, sorter=name, folder=own_folder / name), hybrid) for name in request.sorters]
    return runs
