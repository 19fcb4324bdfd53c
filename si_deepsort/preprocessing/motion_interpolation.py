"""
Traces as electrodes that move with the tissue would record them.

Spikes are smooth in space: what a contact would see at another place follows from what its neighbours see. The best
linear guess needs the covariance of the signal between two places. Kriging with the usual Gaussian takes the signal
for smoother than it is; sources that decay exponentially with distance have a Matern covariance, which is used here.
"""

import numpy as np
from scipy.spatial.distance import cdist
from spikeinterface.core import Motion
from spikeinterface.core.core_tools import define_function_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..chunks import tiles
from ..geometry import recording_geometry
from ..noise import noise_levels, sample_traces

SCALE_UM = 20.0
RADIUS_UM = 100.0
# Power of the noise, relative to spikes.
NUGGET = 1e-3
# Traces are moved by multiples of this.
STEP_UM = 0.5
STEP_S = 0.25


class FollowMotionRecording(BasePreprocessor):
    """
    Lazily interpolated recording; float32.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed traces.
    motion : Motion | dict
        Displacement of the tissue along the depth, as an object or its `to_dict()`.
    usable : list | None, default: None
        Whether each channel is alive. None looks at the traces. A dead channel stays 0.
    seed : int, default: 0
        Of the chunks on which channels are looked at.
    """

    def __init__(self, recording, motion, usable=None, seed=0):
        motion = motion if isinstance(motion, Motion) else _motion_from_lists(motion)
        usable = _is_alive(recording, seed) if usable is None else np.asarray(usable, dtype=bool)
        BasePreprocessor.__init__(self, recording, dtype="float32")
        kernels = MovingKernels(*recording_geometry(recording), usable)
        step = max(1, round(STEP_S * recording.get_sampling_frequency()))
        for index, segment in enumerate(recording.segments):
            self.add_recording_segment(_FollowMotionSegment(segment, motion, index, kernels, step))
        self._kwargs = dict(recording=recording, motion=motion.to_dict(), usable=usable.tolist(), seed=seed)


def _motion_from_lists(values):
    arrays = {name: [np.asarray(part) for part in values[name]] for name in ("displacement", "temporal_bins_s")}
    return Motion.from_dict({**values, **arrays, "spatial_bins_um": np.asarray(values["spatial_bins_um"])})


def _is_alive(recording, seed):
    levels = noise_levels(sample_traces(recording, seed=seed))
    return levels > 1e-3 * np.median(levels[levels > 0]) if np.any(levels > 0) else levels > 0


follow_motion = define_function_from_class(source_class=FollowMotionRecording, name="follow_motion")


class MovingKernels:
    """
    Matrices that move traces along the depth; kept once made.

    Parameters
    ----------
    locations : np.ndarray, shape (num_channels, 2), float
    shanks : np.ndarray, shape (num_channels,), int
        Channels are guessed from those of their shank only.
    usable : np.ndarray, shape (num_channels,), bool
        Channels to guess from.
    """

    def __init__(self, locations, shanks, usable):
        self.locations, self.shanks, self.usable = locations, shanks, usable
        self._columns = {}

    def matrix(self, displacements_um: np.ndarray) -> np.ndarray:
        """
        Multiplies traces (frames, channels) from the right.

        Parameters
        ----------
        displacements_um : np.ndarray, shape (num_channels,), float
            Each column guesses the traces at its channel, moved up by this much.
        """
        matrix = np.zeros((len(self.locations), len(self.locations)), dtype="float32")
        for channel in np.flatnonzero(self.usable):
            members, weights, _ = self._column(channel, displacements_um[channel])
            matrix[members, channel] = weights
        return matrix

    def errors(self, displacements_um: np.ndarray) -> tuple[float, float]:
        """Expected error, relative to the signal and averaged over channels, of these guesses and without any."""
        channels = np.flatnonzero(self.usable)
        guessed = np.mean([self._column(channel, displacements_um[channel])[2] for channel in channels])
        return guessed, np.mean(2 - 2 * spike_covariance(np.abs(displacements_um[channels])))

    def _column(self, channel, displacement_um):
        step = round(displacement_um / STEP_UM)
        if (channel, step) not in self._columns:
            place = self.locations[channel] + np.array([0.0, step * STEP_UM])
            distances = np.linalg.norm(self.locations - place, axis=1)
            members = np.flatnonzero((distances <= RADIUS_UM) & self.usable & (self.shanks == self.shanks[channel]))
            between = spike_covariance(cdist(self.locations[members], self.locations[members]))
            between[np.diag_indices(len(members))] += NUGGET
            covariance = spike_covariance(distances[members])
            weights = np.linalg.solve(between, covariance)
            self._columns[channel, step] = members, weights.astype("float32"), 1 - covariance @ weights
        return self._columns[channel, step]


def spike_covariance(distances_um: np.ndarray) -> np.ndarray:
    """Covariance of the spikes at two places, relative to their variance (Matern, smoothness 5/2)."""
    scaled = distances_um / SCALE_UM
    return (1 + scaled + scaled**2 / 3) * np.exp(-scaled)


class _FollowMotionSegment(BasePreprocessorSegment):
    def __init__(self, parent_segment, motion, index, kernels, step):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.motion, self.index, self.kernels, self.step = motion, index, kernels, step

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Traces at the positions that the tissue had before it moved, (num_frames, num_channels)."""
        traces = self.parent_recording_segment.get_traces(start_frame, end_frame, slice(None))
        traces = traces.astype("float32", copy=False)
        moved = np.empty_like(traces)
        step, depths = self.step, self.kernels.locations[:, 1]
        for first, in_step, in_chunk in tiles(start_frame, end_frame, step):
            middle = min(first + step // 2, self.get_num_samples() - 1)
            time_s = self.parent_recording_segment.sample_index_to_time(middle)
            displacements = self.motion.get_displacement_at_time_and_depth(
                np.full(len(depths), time_s), depths, segment_index=self.index
            )
            # Always a product of whole steps: on some machines the last bits of a row depend on the number of rows.
            whole = np.zeros((step, traces.shape[1]), dtype="float32")
            whole[in_step] = traces[in_chunk]
            moved[in_chunk] = (whole @ self.kernels.matrix(displacements))[in_step]
        return moved if channel_indices is None else moved[:, channel_indices]
