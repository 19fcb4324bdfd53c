"""
Ground truth from elsewhere: units injected into a lab's own recording, and public data sets that a user downloaded.

Where the recording holds more units than the truth lists, the true sorting carries the annotation
`exhaustive_gt=False`, and units that match nothing are then not called false.
"""

from pathlib import Path

import numpy as np
import spikeinterface.core as si


def hybrid_recording(
    recording: si.BaseRecording,
    *,
    num_units: int = 10,
    firing_rate: float = 5.0,
    seed: int = 0,
    templates: si.Templates | None = None,
) -> tuple[si.BaseRecording, si.BaseSorting]:
    """
    Units with known spikes injected into a recording of one's own.

    Parameters
    ----------
    recording : BaseRecording
        With a probe; its noise and its own units stay as they are.
    num_units : int, default: 10
        Ignored if templates are given.
    firing_rate : float, default: 5.0
        In Hz.
    seed : int, default: 0
    templates : spikeinterface.core.Templates | None, default: None
        Templates of real units, for example from a curated sorting of another recording. None generates them.

    Returns
    -------
    recording, sorting
        The recording with the units, lazily, and their spikes.

    Raises
    ------
    ValueError
        If the recording has no probe.
    """
    from spikeinterface.generation import generate_hybrid_recording

    if not recording.has_probe():
        raise ValueError("The recording has no probe. Attach one with recording.set_probe(probe).")
    spike_kwargs = dict(
        num_units=num_units if templates is None else templates.num_units,
        firing_rates=firing_rate,
        refractory_period_ms=4.0,
        seed=seed,
    )
    hybrid, sorting = generate_hybrid_recording(
        recording, templates=templates, generate_sorting_kwargs=spike_kwargs, seed=seed
    )
    sorting = si.NumpySorting.from_sorting(sorting)
    sorting.annotate(exhaustive_gt=False)
    return hybrid, sorting


def save_ground_truth(recording: si.BaseRecording, sorting: si.BaseSorting, folder: str | Path) -> Path:
    """
    Save a recording and its true sorting where `load_ground_truth` and `si-deepsort benchmark` find them.

    Parameters
    ----------
    folder : str | Path
        Must not exist.

    Raises
    ------
    ValueError
        If the folder exists, or recording and sorting do not fit each other.
    """
    from .score import check_ground_truth

    folder = Path(folder)
    if folder.exists():
        raise ValueError(f"The folder {folder} exists already, expected a new one.")
    check_ground_truth(recording, sorting)
    recording.save(folder=folder / "recording", n_jobs=1, progress_bar=False)
    sorting.save(folder=folder / "sorting")
    return folder


def load_ground_truth(path: str | Path) -> tuple[si.BaseRecording, si.BaseSorting]:
    """
    A recording and its true sorting from disk.

    Parameters
    ----------
    path : str | Path
        A folder written by `save_ground_truth`; a MEArec file (`.h5`); or a folder with `raw.mda`, `geom.csv` and
        `firings_true.mda`, as hybrid Janelia and the paired recordings of SpikeForest are distributed.

    Returns
    -------
    recording, sorting

    Raises
    ------
    ValueError
        If the path is none of these.
    """
    path = Path(path)
    if (path / "recording").exists() and (path / "sorting").exists():
        return si.load(path / "recording"), si.load(path / "sorting")
    if path.suffix == ".h5":
        return _load_mearec(path)
    if (path / "raw.mda").exists() and (path / "firings_true.mda").exists():
        import spikeinterface.extractors as se

        recording = se.read_mda_recording(path)
        sorting = se.read_mda_sorting(path / "firings_true.mda", recording.get_sampling_frequency())
        sorting.annotate(exhaustive_gt=False)
        return recording, sorting
    raise ValueError(
        f"No ground truth in {path}: expected a folder with 'recording' and 'sorting' (see save_ground_truth), "
        "a MEArec file .h5, or a folder with raw.mda and firings_true.mda."
    )


def unit_snr(recording: si.BaseRecording, sorting: si.BaseSorting, *, seed: int = 0) -> np.ndarray:
    """
    Peak of each unit's average waveform over the noise level of its channel, after a band-pass of 150-7000 Hz.

    Returns
    -------
    np.ndarray, shape (num_units,), float
    """
    from spikeinterface.core import create_sorting_analyzer

    from ..preprocessing.band_pass import band_pass

    filtered = band_pass(recording, freq_min=150.0, freq_max=7000.0)
    analyzer = create_sorting_analyzer(sorting, filtered, sparse=False, format="memory")
    analyzer.compute("random_spikes", max_spikes_per_unit=100, seed=seed)
    analyzer.compute("templates")
    analyzer.compute("noise_levels", random_slices_kwargs=dict(seed=seed))
    templates = analyzer.get_extension("templates").get_data()
    levels = analyzer.get_extension("noise_levels").get_data()
    return (np.abs(templates).max(axis=1) / np.where(levels > 0, levels, np.inf)).max(axis=1)


def _load_mearec(path: Path):
    import spikeinterface.extractors as se

    try:
        return se.read_mearec(path)
    except ImportError as error:
        raise ValueError(f"Reading {path} needs MEArec: pip install MEArec") from error
