"""
Motion correction: traces interpolated to the positions that the tissue had before it moved.

Spikes are smooth in space, so that the signal at any place can be estimated from the contacts around it (kriging). The
usual Gaussian covariance assumes a smoother signal than there is; sources whose amplitude decays exponentially with
distance have a Matern covariance, which is used here.
"""

import numpy as np
from scipy.spatial.distance import cdist
from spikeinterface.core import BaseRecording, Motion
from spikeinterface.core.core_tools import define_function_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..chunks import tiles
from ..geometry import recording_geometry
from ..noise import noise_levels, sample_traces

# Length scale of the covariance in um: about the distance over which the amplitude of a spike halves.
SCALE_UM = 20.0
# Contacts within this distance in um are used for interpolation; those farther away have weights near 0.
RADIUS_UM = 100.0
# Power of the noise, relative to the power of spikes.
NUGGET = 1e-3
# Displacements are rounded to multiples of this, in um, so that few matrices are computed.
STEP_UM = 0.5
# Duration in s during which the displacement is taken to be constant.
STEP_S = 0.25
# A channel whose noise level is below this share of the median level is dead: a filter leaves rounding noise on it.
DEAD_LEVEL = 1e-3


class FollowMotionRecording(BasePreprocessor):
    """
    Lazily corrects the traces for motion of the tissue; float32.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed traces with a probe.
    motion : Motion | dict
        Displacement of the tissue along the depth in um, as an object or its `to_dict()`.
    usable : list | None, default: None
        Whether each channel is alive. With None, this is measured. The traces of a dead channel become 0.
    seed : int, default: 0
        Random seed of the chunks in which dead channels are searched.
    """

    def __init__(self, recording: BaseRecording, motion: Motion | dict, usable: list | None = None, seed: int = 0):
        motion = motion if isinstance(motion, Motion) else _motion_from_lists(motion)
        is_usable = _is_alive(recording, seed) if usable is None else np.asarray(usable, dtype=bool)
        BasePreprocessor.__init__(self, recording, dtype="float32")
        kernels = MovingKernels(*recording_geometry(recording), is_usable)
        step = max(1, round(STEP_S * recording.get_sampling_frequency()))
        for index, segment in enumerate(recording.segments):
            self.add_recording_segment(_FollowMotionSegment(segment, motion, index, kernels, step))
        self._kwargs = dict(recording=recording, motion=motion.to_dict(), usable=is_usable.tolist(), seed=seed)


def _motion_from_lists(values):
    """The motion whose `to_dict()` was stored as JSON."""
    arrays = {name: [np.asarray(part) for part in values[name]] for name in ("displacement", "temporal_bins_s")}
    return Motion.from_dict({**values, **arrays, "spatial_bins_um": np.asarray(values["spatial_bins_um"])})


def _is_alive(recording, seed):
    """Whether each channel carries a signal, (num_channels,) bool."""
    levels = noise_levels(sample_traces(recording, seed=seed))
    return levels > DEAD_LEVEL * np.median(levels[levels > 0]) if np.any(levels > 0) else levels > 0


follow_motion = define_function_from_class(source_class=FollowMotionRecording, name="follow_motion")


class MovingKernels:
    """
    Matrices that interpolate traces along the depth. Weights are computed once for each channel and displacement.

    Parameters
    ----------
    locations : np.ndarray, shape (num_channels, 2), float
        Positions in um.
    shanks : np.ndarray, shape (num_channels,), int
        Only channels of the same shank are used to interpolate a channel.
    usable : np.ndarray, shape (num_channels,), bool
        Channels that are alive.
    """

    def __init__(self, locations, shanks, usable):
        self.locations, self.shanks, self.usable = locations, shanks, usable
        self._columns = {}

    def matrix(self, displacements_um: np.ndarray) -> np.ndarray:
        """
        Matrix that interpolates traces.

        Parameters
        ----------
        displacements_um : np.ndarray, shape (num_channels,), float
            Distance along the depth between each channel and the place whose signal it shall show.

        Returns
        -------
        np.ndarray, shape (num_channels, num_channels), float32
            Multiplies traces (frames, channels) from the right.
        """
        matrix = np.zeros((len(self.locations), len(self.locations)), dtype="float32")
        for channel in np.flatnonzero(self.usable):
            members, weights, _ = self._column(channel, displacements_um[channel])
            matrix[members, channel] = weights
        return matrix

    def errors(self, displacements_um: np.ndarray) -> tuple[float, float]:
        """
        Expected squared error relative to the power of the signal, averaged over channels.

        Returns
        -------
        interpolated, uncorrected : float
            The error after interpolation, and the error if the motion is left as it is.
        """
        channels = np.flatnonzero(self.usable)
        interpolated = np.mean([self._column(channel, displacements_um[channel])[2] for channel in channels])
        return interpolated, np.mean(2 - 2 * spike_covariance(np.abs(displacements_um[channels])))

    def _column(self, channel, displacement_um):
        """Channels used to interpolate a channel, their weights, and the expected error."""
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
    """Covariance of the signal at two places, relative to its variance (Matern, smoothness 5/2)."""
    scaled = distances_um / SCALE_UM
    return (1 + scaled + scaled**2 / 3) * np.exp(-scaled)


class _FollowMotionSegment(BasePreprocessorSegment):
    def __init__(self, parent_segment, motion, index, kernels, step):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.motion, self.index, self.kernels, self.step = motion, index, kernels, step

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Traces at the positions that the tissue had before it moved, (num_frames, num_channels), float32."""
        traces = self.parent_recording_segment.get_traces(start_frame, end_frame, slice(None))
        traces = traces.astype("float32", copy=False)
        moved = np.empty_like(traces)
        step = self.step
        for first, in_step, in_chunk in tiles(start_frame, end_frame, step):
            # Always a product of whole steps: on some machines the last bits of a row depend on the number of rows.
            whole = np.zeros((step, traces.shape[1]), dtype="float32")
            whole[in_step] = traces[in_chunk]
            moved[in_chunk] = (whole @ self.matrix_from(first))[in_step]
        return moved if channel_indices is None else moved[:, channel_indices]

    def matrix_from(self, first_frame: int) -> np.ndarray:
        """Matrix (num_channels, num_channels) that interpolates the step that begins at a frame, from the right."""
        middle, depths = first_frame + self.step // 2, self.kernels.locations[:, 1]
        time_s = self.parent_recording_segment.sample_index_to_time(min(middle, self.get_num_samples() - 1))
        displacements = self.motion.get_displacement_at_time_and_depth(
            np.full(len(depths), time_s), depths, segment_index=self.index
        )
        return self.kernels.matrix(displacements)
