"""
Whitening over time and over neighbouring channels, so that template matching sees noise that is white.

A matched filter is optimal only in white noise. One autoregressive filter per recording flattens the spectrum of the
noise, then each channel is decorrelated from its neighbours (zero-phase component analysis of the local covariance).
Afterwards the noise of every channel has standard deviation 1.
"""

from dataclasses import dataclass

import numba
import numpy as np
import scipy.linalg
import scipy.signal
from scipy.ndimage import maximum_filter1d
from spikeinterface.core import get_chunk_with_margin
from spikeinterface.core.core_tools import define_function_from_class
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from ..chunks import CACHED_FRAMES
from ..geometry import channel_distances, recording_geometry
from ..noise import noise_levels, sample_traces
from .artefacts import blank_artefacts

# Noise is estimated from so many chunks of this length, shorter ones where there are many channels.
NUM_CHUNKS, CHUNK_S = 20, 0.25
MOST_SAMPLED = 30e6
MOST_FILTER_CHANNELS = 16
BLOCK_FRAMES = 20_000
QUIET_THRESHOLD = 4.0
RIDGE = 1e-3
LARGEST = 6e4
ARTEFACT_REACH_MS = 6.0
# Stretches in which a channel is this much quieter than usual, it was dead. If most channels are at once, though not
# silent, and for more than a share of all stretches, what is usual is an artefact.
DEAD_RATIO = 0.05
SILENT_RATIO = 1e-3
QUIET_SHARE = 0.2
STRETCH_FRAMES = 1000
# Singular values of the space matrix below this, relative to the largest, count as 0 when it is inverted.
SMALLEST_SINGULAR_VALUE = 1e-5


@dataclass(frozen=True, eq=False)
class Whitening:
    """
    A filter over time and a matrix over channels that make noise white.

    Attributes
    ----------
    time_filter : np.ndarray, shape (num_taps,), float32
        Causal filter over time, first tap 1; the same for all channels.
    space_matrix : np.ndarray, shape (num_channels, num_channels), float32
        Multiplies filtered traces (frames, channels) from the right; rows and columns of dead channels are 0.
    """

    time_filter: np.ndarray
    space_matrix: np.ndarray

    def __post_init__(self):
        for name in ("time_filter", "space_matrix"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype="float32"))

    @classmethod
    def identity(cls, num_channels: int) -> "Whitening":
        """The whitening that leaves traces as they are."""
        return cls(np.ones(1), np.eye(num_channels))

    def unwhiten(self, waveforms: np.ndarray) -> np.ndarray:
        """
        Undo the whitening of average waveforms.

        Parameters
        ----------
        waveforms : np.ndarray, shape (num_units, num_samples, num_channels), float
            Averages of white traces, in noise standard deviations.

        Returns
        -------
        np.ndarray, shape (num_units, num_samples, num_channels), float
            In the unit of the traces before whitening; 0 on dead channels.
        """
        if len(waveforms) == 0:
            return waveforms
        # Dead channels make the matrix singular.
        mixed = waveforms @ np.linalg.pinv(self.space_matrix.astype(float), rcond=SMALLEST_SINGULAR_VALUE)
        return scipy.signal.lfilter([1.0], self.time_filter.astype(float), mixed, axis=1)


class WhitenTimeSpaceRecording(BasePreprocessor):
    """
    Lazily whitened recording.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed traces in any unit.
    order : int, default: 24
        Order of the autoregressive filter over time; 0 whitens over channels alone.
    radius_um : float, default: 100.0
        Channels this close are decorrelated from each other.
    seed : int, default: 0
        Of the chunks on which noise is estimated.
    time_filter, space_matrix : np.ndarray | list | None, default: None
        The filter and the matrix, if they were computed before (they are part of the saved recording).

    Attributes
    ----------
    whitening : Whitening
        What is applied to the traces.
    """

    def __init__(self, recording, order=24, radius_um=100.0, seed=0, time_filter=None, space_matrix=None):
        if time_filter is None or space_matrix is None:
            self.whitening = estimate_whitening(recording, order=order, radius_um=radius_um, seed=seed)
        else:
            self.whitening = Whitening(time_filter, space_matrix)
        BasePreprocessor.__init__(self, recording, dtype="float32")
        reach = round(ARTEFACT_REACH_MS * recording.get_sampling_frequency() / 1000)
        for segment in recording.segments:
            self.add_recording_segment(_WhitenTimeSpaceSegment(segment, self.whitening, reach))
        self.set_channel_gains(1.0)
        self.set_channel_offsets(0.0)
        self._kwargs = dict(
            recording=recording,
            order=order,
            radius_um=radius_um,
            seed=seed,
            time_filter=self.whitening.time_filter,
            space_matrix=self.whitening.space_matrix,
        )


class _WhitenTimeSpaceSegment(BasePreprocessorSegment):
    def __init__(self, parent_segment, whitening, reach):
        BasePreprocessorSegment.__init__(self, parent_segment)
        self.time_filter, self.space_matrix = whitening.time_filter, whitening.space_matrix
        self.reach = reach

    def get_traces(self, start_frame, end_frame, channel_indices):
        """White traces, (num_frames, num_channels), float32; the same whatever the chunks."""
        reach = self.reach
        margin = len(self.time_filter) - 1 + reach
        traces, _, _ = get_chunk_with_margin(
            self.parent_recording_segment, start_frame, end_frame, None, margin, add_reflect_padding=True
        )
        traces = traces[: len(traces) - margin + reach].astype("float32", copy=False)
        check_finite(traces, f"between frames {start_frame} and {end_frame}")
        whitened = self._whiten(traces)
        blank_artefacts(whitened, reach)
        whitened = whitened[reach : len(whitened) - reach]
        return whitened if channel_indices is None else whitened[:, channel_indices]

    def _whiten(self, traces):
        order = len(self.time_filter) - 1
        whitened = np.empty((max(0, len(traces) - order), traces.shape[1]), dtype="float32")
        for start in range(0, len(whitened), CACHED_FRAMES):
            stretch = np.ascontiguousarray(traces[start : start + CACHED_FRAMES + order])
            block = filter_over_time(stretch, self.time_filter) @ self.space_matrix
            # The cache holds half-precision floats, which end at 65504.
            np.clip(block, -LARGEST, LARGEST, out=whitened[start : start + len(block)])
        return whitened


whiten_time_space = define_function_from_class(source_class=WhitenTimeSpaceRecording, name="whiten_time_space")


def estimate_whitening(recording, *, order: int, radius_um: float, seed: int) -> Whitening:
    """
    Estimate the filter over time and the matrix over channels that whiten the noise of a recording.
    """
    sampled_s = MOST_SAMPLED / (recording.get_num_channels() * recording.get_sampling_frequency())
    traces = sample_traces(recording, seed=seed, chunk_s=min(CHUNK_S, sampled_s / NUM_CHUNKS), num_chunks=NUM_CHUNKS)
    check_finite(traces, "in randomly chosen chunks")
    locations, shanks = recording_geometry(recording)
    living = living_stretches(traces)
    levels = np.array([noise_levels(own[lives]) for own, lives in zip(traces.T, living.T, strict=True)])
    # The band-pass leaves rounding noise on a constant channel.
    alive = levels > 1e-3 * np.median(levels[levels > 0]) if np.any(levels > 0) else levels > 0
    scaled = traces[:, alive] / levels[alive].astype("float32")
    quiet = quiet_frames(scaled, reach=2 * max(order, 16)) & living[:, alive]
    # One filter for all channels: some of them tell enough.
    some = slice(None, None, max(1, scaled.shape[1] // MOST_FILTER_CHANNELS))
    time_filter = prediction_error_filter(scaled[:, some], quiet[:, some], order)
    del scaled
    order = len(time_filter) - 1
    traces[order:] = filter_over_time(traces, time_filter.astype("float32"))
    quiet[:order] = False
    nearby = (channel_distances(locations) <= radius_um) & (shanks[:, None] == shanks[None])
    return Whitening(time_filter, local_whitening_matrix(traces, quiet, nearby & alive[:, None] & alive[None]))


@numba.njit(fastmath=True, cache=True, nogil=True)
def filter_over_time(traces, time_filter):
    """
    Each channel filtered, frames that see the whole filter alone; several times cheaper than by Fourier transforms.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
    time_filter : np.ndarray, shape (num_taps,), float32
        Causal.

    Returns
    -------
    np.ndarray, shape (num_frames - num_taps + 1, num_channels), float32
    """
    order = len(time_filter) - 1
    filtered = np.zeros((max(0, len(traces) - order), traces.shape[1]), dtype=np.float32)
    for frame in range(len(filtered)):
        own = filtered[frame]
        for tap in range(order + 1):
            weight, earlier = time_filter[tap], traces[frame + order - tap]
            for channel in range(len(own)):
                own[channel] += weight * earlier[channel]
    return filtered


def check_finite(traces: np.ndarray, where: str) -> None:
    """
    Complain about NaN and inf, which filters spread over whole chunks.

    Raises
    ------
    ValueError
    """
    # The sum is finite if and only if everything is, and needs no second array.
    if not np.isfinite(traces.sum(dtype="float64")):
        bad = np.flatnonzero(~np.isfinite(traces).all(axis=0))
        raise ValueError(
            f"NaN or inf {where}, on {len(bad)} of {traces.shape[1]} channels (the first has index {bad[0]}). "
            "Sorting needs finite numbers: remove the channels with recording.remove_channels([...]), or replace the "
            "stretch, e.g. with spikeinterface.preprocessing.silence_periods(recording, ...)."
        )


def living_stretches(traces: np.ndarray) -> np.ndarray:
    """
    Where each channel carries a signal: a channel may die, or be switched off, or drowned by an artefact for a while.

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels), bool
        True throughout for a channel that is always dead: it has nothing to be compared with.
    """
    num_stretches = max(1, len(traces) // STRETCH_FRAMES)
    levels = np.stack([noise_levels(stretch) for stretch in np.array_split(traces, num_stretches)])
    usual = np.array([np.median(own[own > 0]) if np.any(own > 0) else 0.0 for own in levels.T])
    is_quiet = (levels < DEAD_RATIO * usual) & (levels > SILENT_RATIO * usual)
    are_quiet_together = is_quiet.mean(axis=1) > 0.5
    if are_quiet_together.mean() > QUIET_SHARE:
        usual = np.median(levels[are_quiet_together], axis=0)
    lives = (levels >= DEAD_RATIO * usual) & (levels <= usual / DEAD_RATIO)
    return np.repeat(lives, [len(stretch) for stretch in np.array_split(traces, num_stretches)], axis=0)


def quiet_frames(scaled_traces: np.ndarray, reach: int) -> np.ndarray:
    """
    Frames far from any threshold crossing of their channel.

    Parameters
    ----------
    scaled_traces : np.ndarray, shape (num_frames, num_channels)
        In noise levels.
    reach : int
        Frames to either side of a crossing that are not quiet.

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels), bool
    """
    crossings = (np.abs(scaled_traces) > QUIET_THRESHOLD).astype("uint8")
    return maximum_filter1d(crossings, 2 * reach + 1, axis=0, mode="constant") == 0


def prediction_error_filter(scaled_traces: np.ndarray, quiet: np.ndarray, order: int) -> np.ndarray:
    """
    Autoregressive whitening filter of the noise, one for all channels (Yule-Walker on the quiet frames).

    Returns
    -------
    np.ndarray, shape (order + 1,), float
        First tap 1; [1] if order is 0 or nothing is quiet.
    """
    masked = np.where(quiet, scaled_traces, 0.0)
    counts = quiet.astype("float32")
    if order == 0 or scaled_traces.shape[1] == 0 or counts.sum() < 100 * (order + 1):
        return np.ones(1)
    covariance = np.empty(order + 1)
    for lag in range(order + 1):
        stop = len(masked) - lag
        pairs = float(np.sum(counts[:stop] * counts[lag:], dtype="float64"))
        covariance[lag] = np.sum(masked[:stop] * masked[lag:], dtype="float64") / max(pairs, 1.0)
    # A little white noise keeps the filter from amplifying what the band-pass has already removed.
    covariance[0] *= 1.0 + RIDGE
    coefficients = scipy.linalg.solve_toeplitz(covariance[:-1], covariance[1:])
    return np.concatenate(([1.0], -coefficients))


def local_whitening_matrix(traces: np.ndarray, quiet: np.ndarray, nearby: np.ndarray) -> np.ndarray:
    """
    Matrix whose column c makes channel c white with respect to its neighbours.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels)
    quiet : np.ndarray, shape (num_frames, num_used_channels), bool
        Frames of each living channel that count.
    nearby : np.ndarray, shape (num_channels, num_channels), bool
        Which channels are decorrelated from which; a row of False is a dead channel, which stays 0.

    Returns
    -------
    np.ndarray, shape (num_channels, num_channels), float
    """
    num_channels = traces.shape[1]
    alive = np.diag(nearby)
    sums, pairs = np.zeros((2, num_channels, num_channels))
    living = np.ix_(alive, alive)
    for start in range(0, len(traces), BLOCK_FRAMES):
        block = slice(start, start + BLOCK_FRAMES)
        counts = quiet[block].astype("float32")
        masked = counts * traces[block, alive]
        sums[living] += masked.T @ masked
        pairs[living] += counts.T @ counts
    covariance = sums / np.maximum(pairs, 1.0)
    matrix = np.zeros((num_channels, num_channels))
    for channel in np.flatnonzero(alive):
        members = np.flatnonzero(nearby[channel])
        values, vectors = np.linalg.eigh(covariance[np.ix_(members, members)])
        values = np.maximum(values, 1e-3 * values.max())
        root = (vectors / np.sqrt(values)) @ vectors.T
        matrix[members, channel] = root[:, np.searchsorted(members, channel)]
    return matrix
