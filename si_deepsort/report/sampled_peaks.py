"""Peaks in parts of the recording: what there is to sort, where on the probe, and which of it belongs to units."""

from dataclasses import dataclass

import numpy as np
import spikeinterface.core as si
from spikeinterface.core.node_pipeline import ExtractDenseWaveforms, run_node_pipeline

from ..chunks import spread_chunks
from ..detection.threshold_detectors import threshold_detector
from .measured import MeasuredUnits

# Seconds of the recording in which peaks are detected, in chunks of half a second spread over all of it: enough to see
# drift, and read in the same time however long the recording is.
SAMPLED_S, CHUNK_S = 30.0, 0.5
# Radius in um within which the largest of simultaneous peaks counts, and that of the channels that locate it:
# SpikeInterface's default.
RADIUS_UM = 75.0
# Waveform around a peak in ms, by whose size on each channel the peak is located.
MS_AROUND = 0.5
# Largest distance in ms between a peak and the spike of a unit that explains it: the second phase of a waveform may be
# a peak of its own.
MATCH_MS = 1.0
# Parts of the recording whose median depths are compared, and the fewest peaks of a part: depths of single peaks vary
# by some 5 um, medians of 20 by less than 2 um.
NUM_DRIFT_PARTS, LEAST_DRIFT_PEAKS = 10, 20


@dataclass(frozen=True)
class SampledPeaks:
    """
    Peaks in chunks of a recording.

    Attributes
    ----------
    times_s : np.ndarray, shape (num_peaks,)
        Segments follow one another.
    depths_um : np.ndarray, shape (num_peaks,)
        Centre of mass of the peak along the probe.
    sizes : np.ndarray, shape (num_peaks,)
        Height of each peak, positive, in the unit of the traces.
    units : np.ndarray, shape (num_peaks,), int
        Place of the unit in `MeasuredUnits` that has a spike there; -1 where no unit has.
    """

    times_s: np.ndarray
    depths_um: np.ndarray
    sizes: np.ndarray
    units: np.ndarray

    def drift_um(self, unit: int) -> float:
        """Range of a unit's median depths in tenths of the recording; NaN where it has too few peaks."""
        own = self.units == unit
        edges = np.linspace(0, self.times_s.max(initial=0.0), NUM_DRIFT_PARTS + 1)
        part = np.digitize(self.times_s[own], edges[1:-1])
        depths = [self.depths_um[own][part == number] for number in range(NUM_DRIFT_PARTS)]
        medians = [np.median(some) for some in depths if len(some) >= LEAST_DRIFT_PEAKS]
        return float(np.ptp(medians)) if len(medians) > 1 else float("nan")

    @property
    def explained_share(self) -> float:
        """Share of the peaks that belong to a unit."""
        return float((self.units >= 0).mean()) if len(self.units) else 0.0


def sample_peaks(recording: si.BaseRecording, units: MeasuredUnits, *, job_kwargs: dict) -> SampledPeaks | None:
    """
    Detect and locate peaks in chunks of a recording.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed traces.
    units : MeasuredUnits
        The units that may explain the peaks.
    job_kwargs : dict
        SpikeInterface's job settings.

    Returns
    -------
    SampledPeaks | None
        None if all channels lie at one depth.
    """
    from spikeinterface.sortingcomponents.peak_localization.method_list import LocalizeCenterOfMass

    if np.ptp(units.channel_locations[:, 1]) == 0:
        return None
    detector = threshold_detector(
        recording, "locally_exclusive", threshold=None, radius_um=RADIUS_UM, exclusive_ms=None, seed=0
    )
    waveforms = ExtractDenseWaveforms(
        recording, parents=[detector], ms_before=MS_AROUND, ms_after=MS_AROUND, return_output=False
    )
    locate = LocalizeCenterOfMass(recording, parents=[detector, waveforms], radius_um=RADIUS_UM)
    peaks, locations = run_node_pipeline(
        recording,
        [detector, waveforms, locate],
        job_kwargs,
        job_name="sample peaks",
        slices=spread_chunks(recording, SAMPLED_S, CHUNK_S),
    )
    times_s = peaks["sample_index"] / recording.sampling_frequency + units.segment_starts_s[peaks["segment_index"]]
    return SampledPeaks(
        times_s=times_s,
        depths_um=locations["y"],
        sizes=np.abs(peaks["amplitude"]),
        units=explaining_units(times_s, units.channel_locations[peaks["channel_index"]], units),
    )


def explaining_units(times_s: np.ndarray, locations: np.ndarray, units: MeasuredUnits) -> np.ndarray:
    """
    The unit whose spike is nearest in time to each peak, among units near it.

    Parameters
    ----------
    times_s : np.ndarray, shape (num_peaks,)
        In s; segments follow one another.
    locations : np.ndarray, shape (num_peaks, 2)
        Places of the channels of the peaks, in um.
    units : MeasuredUnits

    Returns
    -------
    np.ndarray, shape (num_peaks,), int
        -1 where no unit has a spike.
    """
    best = np.full(len(times_s), MATCH_MS / 1000)
    found = np.full(len(times_s), -1)
    for unit in range(len(units.unit_ids)):
        place = units.channel_locations[units.main_channel(unit)]
        near = np.flatnonzero(np.linalg.norm(locations - place, axis=1) <= RADIUS_UM)
        spikes = units.spike_times_s[unit]
        after = np.searchsorted(spikes, times_s[near]).clip(0, len(spikes) - 1)
        distance = np.minimum(
            np.abs(spikes[after] - times_s[near]), np.abs(spikes[np.maximum(after - 1, 0)] - times_s[near])
        )
        closer = distance < best[near]
        best[near[closer]], found[near[closer]] = distance[closer], unit
    return found
