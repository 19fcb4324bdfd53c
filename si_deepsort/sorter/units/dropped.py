"""Units that are not in the result: what is kept of them, and the table that tells the user why."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from spikeinterface.core import BaseRecording

from ...preprocessing.whitening import Whitening
from .averages import UnitAverages

MERGED = "merged with a unit of more spikes"
FEW_SPIKES = "too few spikes (min_cluster_size)"
COLLISION = "other units explain its spikes as well, often two of them that fire together"
SATELLITE = "its spikes are what a larger unit leaves over"
RARE = "fires too rarely (min_firing_rate)"
SMALL = "peak too small (min_amplitude)"
NOT_TYPICAL = "spikes too small, or unlike their mean (min_spike_size)"
FRAGMENT = "a fragment or noise: most spikes of its neuron are missing (drop_fragments)"
BESIDE_BLANKS = "its spikes lie beside blanked artefacts alone"


@dataclass(frozen=True)
class DroppedUnit:
    """
    A unit that was dropped or merged.

    Attributes
    ----------
    num_spikes : int
    waveform : np.ndarray, shape (num_samples, num_channels), float32
        Average waveform in white traces.
    reason : str
    """

    num_spikes: int
    waveform: np.ndarray
    reason: str


def dropped_units(spikes: np.ndarray, averages: UnitAverages, is_dropped: np.ndarray, reason: str) -> list[DroppedUnit]:
    """The units that `is_dropped`, shape (num_units,), names, for one reason; their spikes are counted."""
    counts = np.bincount(spikes["unit_index"], minlength=len(averages.values))
    return [DroppedUnit(int(counts[unit]), averages.values[unit].copy(), reason) for unit in np.flatnonzero(is_dropped)]


def dropped_table(
    dropped: list[DroppedUnit], recording: BaseRecording, whitening: Whitening, noise_before: np.ndarray
) -> pd.DataFrame:
    """
    A table of dropped units, the largest first.

    Parameters
    ----------
    dropped : list of DroppedUnit
    recording : BaseRecording
        The sorted recording.
    whitening : Whitening
        The whitening of the traces.
    noise_before : np.ndarray, shape (num_channels,), float
        Noise levels of the traces before whitening.

    Returns
    -------
    pd.DataFrame
        Columns num_spikes, snr (peak in noise levels), main_channel_id, depth_um and reason.
    """
    columns = ["num_spikes", "snr", "main_channel_id", "depth_um", "reason"]
    if not dropped:
        return pd.DataFrame(columns=columns)
    waveforms = whitening.unwhiten(np.stack([unit.waveform for unit in dropped]))
    peaks = np.abs(waveforms).max(axis=1) / np.where(noise_before > 0, noise_before, np.inf)
    channels = peaks.argmax(axis=1)
    table = pd.DataFrame(
        {
            "num_spikes": [unit.num_spikes for unit in dropped],
            "snr": peaks.max(axis=1).round(1),
            "main_channel_id": recording.channel_ids[channels],
            "depth_um": recording.get_channel_locations()[channels, 1],
            "reason": [unit.reason for unit in dropped],
        }
    )
    return table.sort_values("snr", ascending=False, ignore_index=True)
