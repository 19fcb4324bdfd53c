"""Results of a benchmark as a `SorterStudy` of SpikeInterface, for all its plots and tables."""

from pathlib import Path
from typing import TYPE_CHECKING

import spikeinterface.core as si

from .case import load_case_recording
from .study import recording_key

if TYPE_CHECKING:
    from spikeinterface.benchmark import SorterStudy


def as_sorter_study(results: list[dict], folder: str | Path, study_folder: str | Path) -> "SorterStudy":
    """
    Finished cases as SpikeInterface's `SorterStudy`, compared with the truth and ready to be plotted.

    Parameters
    ----------
    results : list of dict
        From `study.run_cases`.
    folder : str | Path
        Results folder that holds their sortings.
    study_folder : str | Path
        Must not exist; the study is made here.

    Returns
    -------
    spikeinterface.benchmark.SorterStudy
        With the levels "recording" and "sorter".

    Raises
    ------
    ValueError
        If no case is done, or the study folder exists.
    """
    from spikeinterface.benchmark import SorterStudy

    done = [result for result in results if result["status"] == "done"]
    if not done:
        raise ValueError("None of the cases is done, so there is nothing to show.")
    if Path(study_folder).exists():
        raise ValueError(f"The folder {study_folder} exists already, expected a new one.")
    analyzers, cases, sortings = {}, {}, {}
    for result in done:
        recording_name, sorter = recording_key(result["case"]["recording"]), result["case"]["sorter"]
        if recording_name not in analyzers:
            analyzers[recording_name] = _analyzer_of_truth(result["case"])
        key = (recording_name, sorter)
        params = dict(sorter_name=sorter, **result["case"]["params"])
        cases[key] = dict(label=f"{sorter} on {recording_name}", dataset=recording_name, params=params)
        sorting = si.load(Path(folder) / recording_name / sorter / "sorting")
        sortings[key] = dict(sorting=si.NumpySorting.from_sorting(sorting), run_time=result["wall_s"])
    study = SorterStudy.create(study_folder, datasets=analyzers, cases=cases, levels=["recording", "sorter"])
    study.set_precomputed_results(sortings)
    study.compute_results(exhaustive_gt=True)
    return study


def _analyzer_of_truth(case: dict):
    import spikeinterface.preprocessing as spre

    recording, truth = load_case_recording(case)
    filtered = spre.bandpass_filter(recording, freq_min=150.0, freq_max=7000.0, dtype="float32")
    analyzer = si.create_sorting_analyzer(truth, filtered, sparse=False, format="memory")
    analyzer.compute({"random_spikes": dict(seed=0), "templates": {}, "noise_levels": {}})
    return analyzer
