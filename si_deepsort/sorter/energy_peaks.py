"""
Peaks of the energy in the spike subspace, as a node of SpikeInterface's pipelines.

The energy is known at every second frame; a peak lies within a frame of one, and is a little higher than there.
So whatever may be a peak is moved to the frame where it is highest before peaks are compared.
"""

import numba
import numpy as np
from spikeinterface.core.base import base_peak_dtype
from spikeinterface.core.node_pipeline import PeakDetector

from ..geometry import channel_distances, channels_within
from .correlate import correlation_stride
from .energy import spike_energy

# At the place that is nearest to a peak the energy is at least this part of the peak's, as a square root.
LEAST_AT_PLACE = 0.95
# A peak next to one this much larger is its shadow: a side lobe of the same spike, or too mixed up to learn from.
SHADOW_RATIO = 0.5
SHADOW_MS = 1.2
SHADOW_UM = 120.0


@numba.njit(cache=True, nogil=True, inline="always")
def _is_highest(height, energy, channel, place, neighbors, reach):
    """Whether nothing in reach on any neighbour is higher."""
    first, last = max(0, place - reach), min(energy.shape[1], place + reach + 1)
    for neighbor in neighbors[channel]:
        if neighbor < 0:
            break
        for other in range(first, last):
            if energy[neighbor, other] > height:
                return False
    return True


@numba.njit(cache=True, nogil=True)
def _may_be_peak(energy, threshold, neighbors, reach):
    """Where a peak may be the highest in reach once it is known between places; (num_channels, num_places), bool."""
    num_channels, num_places = energy.shape
    result = np.zeros(energy.shape, dtype=np.bool_)
    for channel in range(num_channels):
        for place in range(num_places):
            height = energy[channel, place]
            if height <= LEAST_AT_PLACE * threshold:
                continue
            if place > 0 and energy[channel, place - 1] > height:
                continue
            if place < num_places - 1 and energy[channel, place + 1] > height:
                continue
            result[channel, place] = _is_highest(height / LEAST_AT_PLACE, energy, channel, place, neighbors, reach)
    return result


@numba.njit(cache=True, nogil=True)
def _are_highest(energy, channels, places, neighbors, reach):
    """Which of some places are the highest in reach."""
    highest = np.empty(len(places), dtype=np.bool_)
    for peak in range(len(places)):
        channel, place = channels[peak], places[peak]
        highest[peak] = _is_highest(energy[channel, place], energy, channel, place, neighbors, reach)
    return highest


@numba.njit(cache=True, nogil=True)
def _move_to_peaks(traces, starts, channels, heights, directions, profiles, stride):
    """Move each waveform, in place, to the frame at which its energy is highest, less than a stride away."""
    num_samples = directions.shape[1]
    for peak in range(len(starts)):
        first = max(0, starts[peak] - stride + 1)
        last = min(len(traces) - num_samples, starts[peak] + stride - 1)
        energies = np.zeros(last - first + 1, dtype=np.float32)
        for decay in range(len(profiles)):
            waveform = np.zeros(last - first + num_samples, dtype=np.float32)
            for channel in np.flatnonzero(profiles[decay, channels[peak]]):
                weight = profiles[decay, channels[peak], channel]
                for sample in range(len(waveform)):
                    waveform[sample] += weight * traces[first + sample, channel]
            for shift in range(len(energies)):
                energy = np.float32(0.0)
                for direction in range(len(directions)):
                    product = np.float32(0.0)
                    for sample in range(num_samples):
                        product += directions[direction, sample] * waveform[shift + sample]
                    energy += product * product
                energies[shift] = max(energies[shift], energy)
        starts[peak], heights[peak] = first + np.argmax(energies), np.sqrt(np.max(energies))


class EnergyDetector(PeakDetector):
    """
    The detector as a node of SpikeInterface's pipelines.

    Parameters
    ----------
    recording : BaseRecording
        White.
    filters : EnergyFilters
    threshold : float
        Smallest square root of the energy, in noise standard deviations.
    radius_um, exclusive_ms : float
        Of several peaks within this radius and time the largest stays.
    """

    name = "energy"
    engine = "numpy"
    need_noise_levels = False
    preferred_mp_context = None
    _compute_has_extended_signature = True

    def __init__(self, recording, filters, threshold=6.5, radius_um=60.0, exclusive_ms=0.4, return_output=True):
        PeakDetector.__init__(self, recording, return_output=return_output)
        self.filters = filters
        self.threshold = threshold
        sampling_frequency = recording.get_sampling_frequency()
        self.distances = channel_distances(recording.get_channel_locations()[:, :2])
        self.neighbors = channels_within(recording.get_channel_locations()[:, :2], radius_um)
        self.stride = correlation_stride(sampling_frequency)
        self.exclusive_frames = max(1, round(exclusive_ms * sampling_frequency / 1000))
        self.shadow_frames = round(SHADOW_MS * sampling_frequency / 1000)

    def get_margin(self):
        """Frames on either side that a peak depends on; a multiple of the stride, so that chunks share their places."""
        margin = self.filters.directions.shape[1] + self.exclusive_frames + self.shadow_frames
        return margin + self.stride + -margin % self.stride

    def get_dtype(self):
        """Of the peaks."""
        return np.dtype(base_peak_dtype)

    def compute(self, traces, start_frame, end_frame, segment_index, max_margin):
        """Peaks of a chunk; sample indices count from the start of the margin."""
        energy = spike_energy(traces, self.filters, self.stride)
        frames, channels, heights = self._peaks(traces, energy)
        kept = self._not_in_shadow(frames, channels, heights)
        kept &= (frames >= max_margin) & (frames < len(traces) - max_margin)
        peaks = np.zeros(kept.sum(), dtype=base_peak_dtype)
        peaks["sample_index"], peaks["channel_index"] = frames[kept], channels[kept]
        peaks["amplitude"], peaks["segment_index"] = heights[kept], segment_index
        return (peaks,)

    def _peaks(self, traces, energy):
        """Frames, channels and heights of the peaks of the energy, sorted by frame."""
        reach = max(1, self.exclusive_frames // self.stride)
        channels, places = np.nonzero(_may_be_peak(energy, self.threshold, self.neighbors, reach))
        starts, heights = places * self.stride, energy[channels, places]
        _move_to_peaks(traces, starts, channels, heights, self.filters.directions, self.filters.profiles, self.stride)
        energy[channels, places] = heights
        kept = np.flatnonzero(
            (heights > self.threshold) & _are_highest(energy, channels, places, self.neighbors, reach)
        )
        kept = kept[np.lexsort((channels[kept], starts[kept]))]
        return starts[kept] + self.filters.nbefore, channels[kept], heights[kept]

    def _not_in_shadow(self, frames, channels, heights):
        keep = np.ones(len(frames), dtype=bool)
        starts = np.searchsorted(frames, frames - self.shadow_frames)
        stops = np.searchsorted(frames, frames + self.shadow_frames, side="right")
        for peak in range(len(frames)):
            others = slice(starts[peak], stops[peak])
            close = self.distances[channels[peak], channels[others]] <= SHADOW_UM
            keep[peak] = heights[peak] >= SHADOW_RATIO * heights[others][close].max()
        return keep
