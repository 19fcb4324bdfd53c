"""True spikes of a generated recording, and which of them a detector has found."""

import numpy as np

from si_deepsort.geometry import channel_distances
from si_deepsort.noise import noise_levels, sample_traces
from si_deepsort.training.detection.examples import clean_labels

# Edges of the bins of SNR.
SNR_EDGES = (0.0, 3.0, 4.0, 5.0, 6.5, 8.0, np.inf)
# A spike is found if a peak lies this near in time and space.
MATCH_MS, MATCH_UM = 0.4, 100.0


class Truth:
    """Spikes of the known units, with the SNR of each, and of the far ones."""

    def __init__(self, recording, raw_sorting, far, filtered, unit_snrs=None):
        sampled = sample_traces(filtered)
        scaled = filtered.get_traces() / noise_levels(sampled)
        frequency = self.frequency = recording.get_sampling_frequency()
        self.distances = channel_distances(recording.get_channel_locations())
        self.tolerance = round(MATCH_MS * frequency / 1000)
        labels = clean_labels([scaled], raw_sorting, frequency)
        self.frames, self.units = labels.frames[0], labels.units[0]
        self.unit_snrs = np.abs(labels.peaks).max(axis=1) if unit_snrs is None else unit_snrs
        self.channels = np.abs(labels.peaks).argmax(axis=1)[self.units]
        self.unit_bins = np.digitize(self.unit_snrs, SNR_EDGES) - 1
        self.bins = self.unit_bins[self.units]
        far_labels = clean_labels([scaled], far, frequency)
        self.far_frames = far_labels.frames[0]
        self.far_channels = np.abs(far_labels.peaks).argmax(axis=1)[far_labels.units[0]]

    def match(self, frames, channels):
        """Which known spikes are found, which detections find one, which find a far spike."""
        order = np.argsort(frames, kind="stable")
        found, used = one_to_one(
            self.frames, self.channels, frames[order], channels[order], self.tolerance, self.distances
        )
        rest = order[~used]
        _, far_used = one_to_one(
            self.far_frames, self.far_channels, frames[rest], channels[rest], self.tolerance, self.distances
        )
        return found, int(used.sum()), int(far_used.sum())


def one_to_one(frames, channels, found_frames, found_channels, tolerance: int, distances):
    """Pair known and found spikes near in time and space, the nearest in time first; each is used once."""
    first = np.searchsorted(found_frames, frames - tolerance)
    number = np.searchsorted(found_frames, frames + tolerance, side="right") - first
    known = np.repeat(np.arange(len(frames)), number)
    found = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + first[known]
    apart = distances[channels[known], found_channels[found]]
    near = apart <= MATCH_UM
    known, found, apart = known[near], found[near], apart[near]
    lag = np.abs(frames[known] - found_frames[found])
    is_known, is_used = np.zeros(len(frames), bool), np.zeros(len(found_frames), bool)
    for pair in np.lexsort((apart, lag)):
        if not is_known[known[pair]] and not is_used[found[pair]]:
            is_known[known[pair]] = is_used[found[pair]] = True
    return is_known, is_used
