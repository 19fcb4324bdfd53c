"""Cells whose type is known, from optogenetic tagging or juxtacellular recording: features, type and animal."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...cell_types.features import BASE_MS, BURST_MS, burst_index_of_rates, trough_to_peak_ms

# The label of excitatory cells; all others are inhibitory.
EXCITATORY_LABEL = "Pyramidal"


@dataclass(frozen=True, eq=False, kw_only=True)
class KnownCells:
    """
    Cells with features.

    Attributes
    ----------
    features : np.ndarray, shape (num_cells, 2), float64
        `trough_to_peak_ms` and `burst_index`.
    is_excitatory : np.ndarray, shape (num_cells,), bool
    animals, labels : np.ndarray, shape (num_cells,), str
    """

    features: np.ndarray
    is_excitatory: np.ndarray
    animals: np.ndarray
    labels: np.ndarray


def load_cells(file: str | Path) -> KnownCells:
    """
    Read cells of CellExplorer's ground truth, each once.

    Parameters
    ----------
    file : str | Path
        `cells.npz` with `waveform_uV`, `time_ms`, `acg_narrow_hz` (lags of -50 to 50 ms in steps of .5 ms), `label`
        and `animal`.

    Returns
    -------
    KnownCells

    Raises
    ------
    ValueError
        If there is no such file.
    """
    if not Path(file).exists():
        raise ValueError(f"There is no file {file}, expected cells.npz with waveforms and types of known cells.")
    with np.load(file) as data:
        waveforms, times, correlograms = data["waveform_uV"], data["time_ms"], data["acg_narrow_hz"]
        labels, animals = data["label"].astype(str), data["animal"].astype(str)
    _, first = np.unique(np.nan_to_num(waveforms), axis=0, return_index=True)
    first = np.sort(first)
    lags = np.abs(np.linspace(-50, 50, correlograms.shape[1]))
    rates = [correlograms[:, (lags >= low) & (lags <= high)].mean(axis=1) for low, high in (BURST_MS, BASE_MS)]
    bursts = [burst_index_of_rates(burst, base) for burst, base in zip(*rates, strict=True)]
    durations = [_duration(waveform, time) for waveform, time in zip(waveforms, times, strict=True)]
    features = np.stack([durations, bursts], axis=1)
    return KnownCells(
        features=features[first],
        is_excitatory=(labels == EXCITATORY_LABEL)[first],
        animals=animals[first],
        labels=labels[first],
    )


def _duration(waveform, time) -> float:
    known = np.isfinite(waveform)
    waveform, time = waveform[known], time[known]
    return trough_to_peak_ms(waveform, 1000 / np.diff(time).mean(), int(np.argmin(np.abs(time))))
