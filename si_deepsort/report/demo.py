"""A recording with known spikes, sorted, compared and reported: shows that an installation works."""

import warnings
from pathlib import Path

import pandas as pd

from ..generation import GenerationSettings, generate_recording, named_probe
from .write import write_report

# Units on 16 channels: enough for collisions, few enough for a table that is read at a glance.
NUM_UNITS = 8


def run_demo(folder: str | Path, *, duration_s: float = 30.0, seed: int = 0) -> tuple[pd.DataFrame, int, Path]:
    """
    Generate, sort, compare, report.

    Parameters
    ----------
    folder : str | Path
        New folder for `recording`, `sorting`, `report` and `accuracy.csv`.
    duration_s : float, default: 30.0
        Length of the recording in s.
    seed : int, default: 0
        Seed of the recording.

    Returns
    -------
    table : pandas.DataFrame
        One row for each true unit: peak_uV, num_spikes, best_unit, accuracy, recall, precision.
    num_units : int
        Number of units that were found.
    page : Path
        The report's page.
    """
    from spikeinterface.comparison import compare_sorter_to_ground_truth
    from spikeinterface.sorters import run_sorter

    folder = Path(folder)
    settings = GenerationSettings(duration_s=duration_s, num_units=NUM_UNITS, amplitude_min_uV=60.0, seed=seed)
    generated, truth = generate_recording(_probe(), settings)
    # Generated traces cost more than the sorting, so they are computed once.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*provenance will not be saved")
        # SpikeInterface searches the memory for garbage after each chunk, which takes longer than to make 1 s of it.
        recording = generated.save(folder=folder / "recording", chunk_duration="10s", progress_bar=False, verbose=False)
    sorting = run_sorter("deepsort", recording, folder=folder / "sorting")
    comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
    table = comparison.get_performance()[["accuracy", "recall", "precision"]].astype(float)
    table.insert(0, "peak_uV", truth.get_property("gt_peak_uV").round(1))
    table.insert(1, "num_spikes", truth.count_num_spikes_per_unit(outputs="array"))
    table.insert(2, "best_unit", comparison.best_match_12.loc[truth.unit_ids].to_numpy())
    table.to_csv(folder / "accuracy.csv")
    return table, len(sorting.unit_ids), write_report(sorting, recording, folder / "report")


def _probe():
    probe = named_probe("linear32")
    return probe.get_slice(range(16))
