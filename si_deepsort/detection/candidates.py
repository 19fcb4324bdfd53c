"""
Candidates for spikes: peaks of the energy in white traces.

A candidate is a place in time and space at which the energy in the subspace of spike waveforms is higher than anywhere
near. Detection by energy takes those above a threshold that no much larger peak overshadows; a network judges each by
its window.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np

from ..compiled import COMPILED
from ..geometry import channel_distances, channels_within
from .energy import EnergyFilters, comparison_stride, spike_energy, spike_energy_at, spike_matches
from .energy_kernels import find_highest_match_at_places
from .larger_spikes import LARGE_SIZE, REACH_MS, REACH_UM, Responses, learn_responses, subtract_responses

# Smallest energy at the place nearest to a peak, relative to its height between places.
LEAST_AT_PLACE = 0.9
# Peaks within this time in ms and distance in um may be side lobes of the same spike, or too mixed to be clustered.
# Tuned on generated development recordings (seeds 1-5).
SHADOW_MS = 1.2
SHADOW_UM = 120.0
# A large neuron has a second peak along its dendrites or axon, at the same time, within this distance in um and time in
# ms: the reach of pyramidal cells along a probe.
ECHO_UM, ECHO_MS = 250.0, 0.5
# Radius in um and time in ms within which the largest of several peaks is kept. Tuned on generated development
# recordings (seeds 1-5).
RADIUS_UM, EXCLUSIVE_MS = 60.0, 0.4


@dataclass(frozen=True)
class Candidates:
    """
    Peaks of the energy.

    Attributes
    ----------
    frames, channels : np.ndarray, shape (num_candidates,), int
        Where they are, ordered by frame.
    sizes : np.ndarray, shape (num_candidates,), float32
        Square root of the energy, in noise standard deviations.
    shares : np.ndarray, shape (num_candidates,), float32
        Size relative to the largest peak within `SHADOW_MS` and `SHADOW_UM`, at most 1.
    echoes : np.ndarray, shape (num_candidates, 3), float32
        Size relative to the largest peak within `ECHO_MS` and `ECHO_UM`, at most 1; distance of that peak in um, and
        its lag in ms.
    """

    frames: np.ndarray
    channels: np.ndarray
    sizes: np.ndarray
    shares: np.ndarray
    echoes: np.ndarray

    @property
    def context(self) -> np.ndarray:
        """What a network is told of each candidate beside its window: size, share and echo, (num, 5), float32."""
        return np.column_stack([self.sizes, self.shares, self.echoes]).astype("float32")

    def __len__(self) -> int:
        return len(self.frames)

    def where(self, chosen: np.ndarray) -> "Candidates":
        """The chosen candidates."""
        return Candidates(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


class CandidateFinder:
    """
    Finds the peaks of the energy in the traces of one probe.

    Parameters
    ----------
    filters : EnergyFilters
        As `make_energy_filters` makes them for the probe.
    channel_locations : np.ndarray, shape (num_channels, 2), float
        In um; shanks far apart.
    sampling_frequency : float
        In Hz.
    radius_um, exclusive_ms : float
        Within this radius and time only the largest of several peaks is a candidate.
    """

    def __init__(
        self,
        filters: EnergyFilters,
        channel_locations: np.ndarray,
        sampling_frequency: float,
        *,
        radius_um: float = RADIUS_UM,
        exclusive_ms: float = EXCLUSIVE_MS,
    ):
        self.filters = filters
        self.distances_um = channel_distances(channel_locations).astype("float32")
        self.ms_per_place = 1000.0 * comparison_stride(sampling_frequency) / sampling_frequency
        self.neighbors = channels_within(channel_locations, radius_um)
        self.stride = comparison_stride(sampling_frequency)
        self.exclusive_places = max(1, round(exclusive_ms * sampling_frequency / 1000 / self.stride))
        self.shadow_places = round(SHADOW_MS * sampling_frequency / 1000 / self.stride)
        self.neighbors_of_large = channels_within(channel_locations, REACH_UM)
        self.responses: Responses | None = None

    def learn_responses(self, traces: np.ndarray) -> None:
        """
        Learn what large spikes make of the matches around them, which is subtracted from then on.

        Parameters
        ----------
        traces : np.ndarray, shape (num_frames, num_channels), float32
            White traces, some seconds of them.
        """
        found = spike_matches(traces, self.filters, self.stride)
        places, channels, sizes = self._large_ones(found, self._matches(found))
        order = np.lexsort((channels, places))
        places, channels, sizes = places[order], channels[order], sizes[order]
        alone = self._largest(places, channels, sizes, SHADOW_UM, self.shadow_places) == np.arange(len(places))
        reach = round(REACH_MS / self.ms_per_place)
        large = places[alone], channels[alone], sizes[alone]
        self.responses = learn_responses(found, *large, self.neighbors_of_large, self.distances_um, reach)

    @property
    def margin(self) -> int:
        """Frames to either side that a candidate depends on."""
        # A multiple of the stride, so that all chunks are measured at the same frames if they start at multiples, too.
        places = math.ceil(self.filters.directions.shape[1] / self.stride)
        # Beside a spike there may be a larger one, which changes its size.
        beside = 0 if self.responses is None else 2 * self.responses.reach
        return (places + self.exclusive_places + self.shadow_places + beside) * self.stride

    def find(self, traces: np.ndarray, *, threshold: float, margin: int) -> Candidates:
        """
        Find the candidates in a stretch of traces.

        Parameters
        ----------
        traces : np.ndarray, shape (num_frames, num_channels), float32
            White traces.
        threshold : float
            Size that a candidate exceeds.
        margin : int
            Frames at either end that hold no candidate; those of `self.margin` and fewer depend on what lies beyond.
        """
        places, channels, heights, is_freed = self._local_maxima(traces, LEAST_AT_PLACE * threshold)
        around = self._largest(places, channels, heights, SHADOW_UM, self.shadow_places)
        echo = self._largest(places, channels, heights, ECHO_UM, max(1, round(ECHO_MS / self.ms_per_place)))
        lags_ms = (places[echo] - places) * self.ms_per_place
        echoes = np.column_stack([heights / heights[echo], self.distances_um[channels, channels[echo]], lags_ms])
        # Traces beside a larger spike are mostly its own.
        frames, sizes = places * self.stride + self.filters.nbefore, heights.copy()
        is_free = ~is_freed
        frames[is_free], sizes[is_free] = self._between_places(traces, places[is_free] * self.stride, channels[is_free])
        is_inside = (sizes > threshold) & (frames >= margin) & (frames < len(traces) - margin)
        order = np.flatnonzero(is_inside)
        order = order[np.argsort(frames[order], kind="stable")]
        return Candidates(frames, channels, sizes, heights / heights[around], echoes.astype("float32")).where(order)

    def _local_maxima(self, traces: np.ndarray, threshold: float) -> tuple[np.ndarray, ...]:
        """
        Places, channels and heights of the maxima of the energy above a threshold, ordered by place and channel.

        Last, which of them hold less than the traces show, as a larger spike is beside them.
        """
        if self.responses is not None:
            return self._freed_maxima(spike_matches(traces, self.filters, self.stride), threshold)
        energy = spike_energy(traces, self.filters, self.stride)
        places, channels = self._highest(energy, threshold)
        return places, channels, energy[channels, places], np.zeros(len(places), dtype=bool)

    def _freed_maxima(self, found: np.ndarray, threshold: float) -> tuple[np.ndarray, ...]:
        """As `_local_maxima`, of matches (2, num_channels, num_places), from which responses are subtracted."""
        assert self.responses is not None
        places, channels, heights = self._large_ones(found, self._matches(found))
        order = np.argsort(-heights, kind="stable")
        places, channels, sizes = places[order], channels[order], np.empty(len(order), dtype="float32")
        is_changed = np.zeros(found.shape[1:], dtype=bool)
        responses = self.responses.neighbors, self.responses.values
        subtract_responses(found, self.filters.mixing, channels, places, *responses, is_changed, sizes)
        matches = self._matches(found)
        is_large = sizes > 0
        places, channels = places[is_large], channels[is_large]
        matches[channels, places], is_changed[channels, places] = sizes[is_large], False
        places, channels = self._highest(matches, threshold)
        return places, channels, matches[channels, places], is_changed[channels, places]

    def _matches(self, found: np.ndarray) -> np.ndarray:
        """The largest match of three profiles, (num_channels, num_places), from those of the first and the last."""
        matches = np.empty(found.shape[1:], dtype="float32")
        find_highest_match_at_places(found, self.filters.mixing, matches)
        return matches

    def _large_ones(self, found: np.ndarray, matches: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places, channels and sizes of large spikes of the typical polarity."""
        places, channels = self._highest(matches, LARGE_SIZE)
        near, far = found[:, channels, places]
        mixed = (self.filters.mixing[channels] * np.column_stack([near, far])).sum(axis=1)
        is_typical = np.maximum(np.maximum(near, far), mixed) > LARGE_SIZE
        places, channels = places[is_typical], channels[is_typical]
        return places, channels, matches[channels, places]

    def _highest(self, energy: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Places and channels of the local maxima above a threshold, ordered by place and channel."""
        is_highest = np.zeros(energy.shape, dtype=bool)
        _find_local_maxima(energy, threshold, self.neighbors, self.exclusive_places, is_highest)
        channels, places = np.divmod(np.flatnonzero(is_highest), max(energy.shape[1], 1))
        order = np.lexsort((channels, places))
        return places[order], channels[order]

    def _largest(self, places, channels, heights, radius_um, reach):
        """Position of the largest peak within a radius and a number of places of each, itself included."""
        largest = np.arange(len(places))
        _find_largest_near(places, channels, heights, self.distances_um <= np.float32(radius_um), reach, largest)
        return largest

    def _between_places(self, traces, starts, channels):
        """Frames of the peaks, and their heights, the best of the frames nearest to each place."""
        reach, last = self.stride // 2, max(0, len(traces) - self.filters.directions.shape[1])
        first, num_frames = np.clip(starts - reach, 0, max(0, last - 2 * reach)), min(2 * reach, last) + 1
        heights = self._energy_at(traces, first, channels, num_frames)
        best = heights.argmax(axis=0)
        return first + best + self.filters.nbefore, heights[best, np.arange(len(starts))]

    def _energy_at(self, traces, starts, channels, num_frames):
        """Root of the energy of waveforms at successive frames, see `spike_energy_at`."""
        return spike_energy_at(traces, self.filters, starts, channels, num_frames)


@numba.njit(**COMPILED)
def _find_local_maxima(energy, threshold, neighbors, reach, is_highest):
    """Say in `is_highest`, all False, at which places no place within reach on any neighbour is higher."""
    num_channels, num_places = energy.shape
    for channel in range(num_channels):
        for place in range(num_places):
            height = energy[channel, place]
            if height <= threshold:
                continue
            first, last = max(0, place - reach), min(num_places, place + reach + 1)
            # Most places have a higher one beside them.
            if energy[channel, max(place - 1, first)] > height or energy[channel, min(place + 1, last - 1)] > height:
                continue
            is_highest[channel, place] = True
            for neighbor in neighbors[channel]:
                if neighbor < 0:
                    break
                for other in range(first, last):
                    if energy[neighbor, other] > height:
                        is_highest[channel, place] = False
                        break
                if not is_highest[channel, place]:
                    break


@numba.njit(**COMPILED)
def _find_largest_near(places, channels, heights, is_close, reach, largest):
    """Replace the position of each peak by that of the largest one within reach on a close channel."""
    first = 0
    for peak in range(len(places)):
        while places[first] < places[peak] - reach:
            first += 1
        for other in range(first, len(places)):
            if places[other] > places[peak] + reach:
                break
            if is_close[channels[peak], channels[other]] and heights[other] > heights[largest[peak]]:
                largest[peak] = other
