"""Detection of peaks of the energy in the subspace of spikes, as a node of SpikeInterface's pipelines."""

import math

import numba
import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.base import base_peak_dtype
from spikeinterface.core.node_pipeline import PeakDetector

from ...geometry import channel_distances, channels_within
from ..matching.correlate import correlation_stride
from .energy import spike_energy, spike_energy_at

# Smallest energy at the place nearest to a peak, relative to its height between places.
LEAST_AT_PLACE = 0.9
# A peak is dropped if another one within SHADOW_MS and SHADOW_UM is so much larger that the peak is less than
# SHADOW_RATIO of it: it is a side lobe of the same spike, or too mixed to be clustered. Tuned on generated development
# recordings (seeds 1-5).
SHADOW_RATIO = 0.5
SHADOW_MS = 1.2
SHADOW_UM = 120.0
# Time in ms within which the largest of several peaks is kept. Tuned on generated development recordings (seeds 1-5).
EXCLUSIVE_MS = 0.4


@numba.njit(cache=True, nogil=True)
def _is_local_maximum(energy, threshold, neighbors, reach):
    """Whether no place within reach on any neighbour is higher; (num_places, num_channels), bool."""
    num_places, num_channels = energy.shape
    result = np.zeros(energy.shape, dtype=np.bool_)
    for place in range(num_places):
        first, last = max(0, place - reach), min(num_places, place + reach + 1)
        for channel in range(num_channels):
            height = energy[place, channel]
            if height <= threshold:
                continue
            result[place, channel] = True
            for neighbor in neighbors[channel]:
                if neighbor < 0:
                    break
                for other in range(first, last):
                    if energy[other, neighbor] > height:
                        result[place, channel] = False
                        break
                if not result[place, channel]:
                    break
    return result


@numba.njit(cache=True, nogil=True)
def _is_not_in_shadow(places, channels, heights, is_close, reach):
    """Which peaks, ordered by place, have no much higher one within reach on a close channel."""
    result = np.ones(len(places), dtype=np.bool_)
    first = 0
    for peak in range(len(places)):
        while places[first] < places[peak] - reach:
            first += 1
        for other in range(first, len(places)):
            if places[other] > places[peak] + reach:
                break
            if is_close[channels[peak], channels[other]] and heights[peak] < SHADOW_RATIO * heights[other]:
                result[peak] = False
                break
    return result


class EnergyDetector(PeakDetector):
    """
    Node of SpikeInterface's pipelines that finds peaks of the energy.

    Parameters
    ----------
    recording : BaseRecording
        White traces.
    filters : EnergyFilters
    threshold : float
        Smallest square root of the energy, in noise standard deviations.
    radius_um, exclusive_ms : float
        Within this radius and time only the largest of several peaks is kept.
    """

    name = "energy"
    engine = "numpy"
    need_noise_levels = False
    preferred_mp_context = None
    _compute_has_extended_signature = True

    def __init__(
        self, recording: BaseRecording, filters, threshold, radius_um, exclusive_ms=EXCLUSIVE_MS, return_output=True
    ):
        PeakDetector.__init__(self, recording, return_output=return_output)
        self.filters = filters
        self.threshold = threshold
        sampling_frequency = recording.get_sampling_frequency()
        self.is_close = channel_distances(recording.get_channel_locations()[:, :2]) <= SHADOW_UM
        self.neighbors = channels_within(recording.get_channel_locations()[:, :2], radius_um)
        self.stride = correlation_stride(sampling_frequency)
        self.exclusive_places = max(1, round(exclusive_ms * sampling_frequency / 1000 / self.stride))
        self.shadow_places = round(SHADOW_MS * sampling_frequency / 1000 / self.stride)

    def get_margin(self):
        """Frames to either side of a chunk that its peaks depend on."""
        # A multiple of the stride, so that all chunks are measured at the same frames if they start at multiples, too.
        places = math.ceil(self.filters.directions.shape[1] / self.stride)
        return (places + self.exclusive_places + self.shadow_places) * self.stride

    def get_dtype(self):
        """SpikeInterface's peak dtype."""
        return np.dtype(base_peak_dtype)

    def compute(self, traces: np.ndarray, start_frame, end_frame, segment_index, max_margin):
        """Peaks of a chunk; sample indices count from the start of the margin."""
        energy = spike_energy(traces, self.filters, self.stride)
        threshold = LEAST_AT_PLACE * self.threshold
        is_highest = _is_local_maximum(energy, threshold, self.neighbors, self.exclusive_places)
        places, channels = np.divmod(np.flatnonzero(is_highest), energy.shape[1])
        keep = _is_not_in_shadow(places, channels, energy[places, channels], self.is_close, self.shadow_places)
        places, channels = places[keep], channels[keep]
        frames, heights = self._between_places(traces, places * self.stride, channels)
        is_peak = (heights > self.threshold) & (frames >= max_margin) & (frames < len(traces) - max_margin)
        peaks = np.zeros(is_peak.sum(), dtype=base_peak_dtype)
        peaks["sample_index"], peaks["channel_index"] = frames[is_peak], channels[is_peak]
        peaks["amplitude"] = heights[is_peak]
        peaks["segment_index"] = segment_index
        return (np.sort(peaks, order="sample_index", kind="stable"),)

    def _between_places(self, traces: np.ndarray, starts, channels):
        """Frames of the peaks, and their heights, the best of the frames nearest to each place."""
        reach, last = self.stride // 2, len(traces) - self.filters.directions.shape[1]
        near = np.clip(starts + np.arange(-reach, reach + 1)[:, None], 0, last)
        heights = spike_energy_at(traces, self.filters, near.ravel(), np.tile(channels, len(near))).reshape(near.shape)
        best = heights.argmax(axis=0), np.arange(len(starts))
        return near[best] + self.filters.nbefore, heights[best]
