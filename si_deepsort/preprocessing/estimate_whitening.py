"""
Estimate the whitening of a recording from its noise.

One autoregressive filter flattens the spectrum of the noise, then each channel is decorrelated from its neighbours.
Frames near threshold crossings and stretches in which a channel is dead do not count.
"""

import logging

import numpy as np
import scipy.linalg
from scipy.ndimage import maximum_filter1d
from spikeinterface.core import BaseRecording

from ..geometry import channel_distances, recording_geometry
from ..noise import noise_levels, sample_traces
from ..threads import each
from .local_whitening import local_whitening_matrix
from .traces import check_finite
from .whitening import Whitening, filter_over_time

logger = logging.getLogger(__name__)

# Noise is estimated from this many chunks of this duration in s.
NUM_CHUNKS, CHUNK_S = 20, 0.25
# The filter over time is the same for all channels, so that about this many channels are enough to estimate it.
MOST_FILTER_CHANNELS = 16
# Channels that a thread looks at together. Chosen by speed.
GROUP_CHANNELS = 16
# Frames near a sample beyond this, in noise levels, may hold a spike and do not count as noise; normal noise exceeds it
# once in 16,000 samples.
QUIET_THRESHOLD = 4.0
# White noise that is added to the covariance over time, relative to the variance: it keeps the filter from amplifying
# the frequencies that the band-pass has removed.
RIDGE = 1e-3
# Channels with fewer quiet frames than this are whitened with all their frames.
MIN_QUIET_FRAMES = 100
# A channel whose noise level is below this share of the median is dead: the band-pass leaves rounding noise on it.
DEAD_LEVEL = 1e-3
# A channel counts as dead in a stretch in which its level is below this ratio of its usual level, and as drowned by an
# artefact where its level is above the inverse.
DEAD_RATIO = 0.05
# Below this ratio a channel is silent: it was switched off.
SILENT_RATIO = 1e-3
# If most channels are dead, though not silent, in more than this share of the stretches, these stretches hold the
# neural signal and the others an artefact.
QUIET_SHARE = 0.2
# A channel is left out if it is without a signal in a share of the stretches that is larger by this than that of most
# channels: with its spikes before and after, a unit would look like two.
DYING_SHARE = 0.1
# Frames of a stretch.
STRETCH_FRAMES = 1000


def estimate_whitening(recording: BaseRecording, *, order: int, radius_um: float, seed: int) -> Whitening:
    """
    Estimate the filter over time and the matrix over channels that whiten the noise of a recording.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed traces in any unit, with a probe.
    order : int
        Order of the filter over time; 0 for none.
    radius_um : float
        Channels of a shank this close are decorrelated from each other.
    seed : int
        Random seed of the chunks from which the noise is estimated.

    Raises
    ------
    ValueError
        If traces are not finite or not centred on 0.
    """
    traces = sample_traces(recording, seed=seed, chunk_s=CHUNK_S, num_chunks=NUM_CHUNKS)
    check_finite(traces, "in randomly chosen chunks")
    locations, shanks = recording_geometry(recording)
    living = living_stretches(traces)
    levels = _levels_of_living(traces, living)
    alive = levels > DEAD_LEVEL * np.median(levels[levels > 0]) if np.any(levels > 0) else levels > 0
    alive &= ~_left_out(living, alive, recording.channel_ids)
    scaled = traces[:, alive] / levels[alive].astype("float32")
    _check_centred(scaled, recording.channel_ids[alive])
    living = living[:, alive]
    quiet = quiet_frames(scaled, reach=2 * max(order, 16)) & living
    # A channel that is never quiet is whitened by all that it has.
    quiet |= living & (quiet.sum(axis=0) < MIN_QUIET_FRAMES)
    some = slice(None, None, max(1, scaled.shape[1] // MOST_FILTER_CHANNELS))
    time_filter = prediction_error_filter(scaled[:, some], quiet[:, some], order)
    del scaled
    order = len(time_filter) - 1
    traces[order:] = filter_over_time(traces, time_filter.astype("float32"))
    quiet[:order] = False
    nearby = (channel_distances(locations) <= radius_um) & (shanks[:, None] == shanks[None])
    return Whitening(time_filter, local_whitening_matrix(traces, quiet, nearby & alive[:, None] & alive[None]))


def _left_out(living, alive, channel_ids):
    """Channels that are dead, or without a signal for a part of the time, (num_channels,) bool; the log names them."""
    if not alive.any():
        return ~alive
    if not alive.all():
        logger.warning("Channels without a signal are left out: %s", ", ".join(map(str, channel_ids[~alive])))
    lost = 1 - living.mean(axis=0)
    is_dying = alive & (lost > np.median(lost[alive]) + DYING_SHARE)
    told = ", ".join(f"{channel_ids[one]} ({100 * lost[one]:.0f} %)" for one in np.flatnonzero(is_dying))
    if 2 * is_dying.sum() >= alive.sum():
        logger.warning(
            "Most channels are without a signal for a part of the recording: %s. A unit that they show may become two. "
            "Sort the parts one by one, e.g. recording.time_slice(...).",
            told,
        )
        return ~alive
    if is_dying.any():
        logger.warning(
            "Channels without a signal for a part of the recording are left out, because they would cut units in two: "
            "%s. To use them, sort the parts one by one, e.g. recording.time_slice(...).",
            told,
        )
    return ~alive | is_dying


def _check_centred(scaled_traces, channel_ids):
    """Refuse traces, in noise levels, whose median is far from 0: whitening has no use for a constant."""
    is_off = np.abs(np.median(scaled_traces[:: len(scaled_traces) // 1000 + 1], axis=0)) > QUIET_THRESHOLD
    if is_off.any():
        raise ValueError(
            f"The traces of {is_off.sum()} of {len(is_off)} channels are not centred on 0: "
            f"{channel_ids[is_off][:10].tolist()}. Band-pass the recording first, e.g. with "
            "spikeinterface.preprocessing.bandpass_filter(recording), or let the sorter do it with "
            "apply_preprocessing=True."
        )


def living_noise_levels(traces: np.ndarray) -> np.ndarray:
    """
    Noise level of each channel over the stretches in which it carries a neural signal.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float

    Returns
    -------
    np.ndarray, shape (num_channels,), float
        In the unit of the traces; 0 for a dead channel.
    """
    return _levels_of_living(traces, living_stretches(traces))


def _levels_of_living(traces, living):
    def levels_of(first):
        # The values of some channels are brought together: one channel alone is spread over as much memory.
        parts = (np.ascontiguousarray(part[:, first : first + GROUP_CHANNELS].T) for part in (traces, living))
        return [noise_levels(own[lives]) for own, lives in zip(*parts, strict=True)]

    return np.concatenate([[], *each(levels_of, range(0, traces.shape[1], GROUP_CHANNELS))])


def living_stretches(traces: np.ndarray) -> np.ndarray:
    """
    Find the stretches in which each channel carries a neural signal.

    A channel may die, be switched off, or be drowned by an artefact for a while.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
        In any unit.

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels), bool
        True throughout for a channel that is always dead, because it has no usual level.
    """
    num_stretches = max(1, len(traces) // STRETCH_FRAMES)
    levels: np.ndarray = np.stack(list(each(noise_levels, np.array_split(traces, num_stretches))))
    usual = np.array([np.median(own[own > 0]) if np.any(own > 0) else 0.0 for own in levels.T])
    is_quiet = (levels < DEAD_RATIO * usual) & (levels > SILENT_RATIO * usual)
    are_quiet_together = is_quiet.mean(axis=1) > 0.5
    if are_quiet_together.mean() > QUIET_SHARE:
        usual = np.median(levels[are_quiet_together], axis=0)
    lives = (levels >= DEAD_RATIO * usual) & (levels <= usual / DEAD_RATIO)
    return np.repeat(lives, [len(stretch) for stretch in np.array_split(traces, num_stretches)], axis=0)


def quiet_frames(scaled_traces: np.ndarray, reach: int) -> np.ndarray:
    """
    Find the frames that are far from any threshold crossing of their channel.

    Parameters
    ----------
    scaled_traces : np.ndarray, shape (num_frames, num_channels), float
        In noise levels.
    reach : int
        Frames before and after a crossing that are not quiet.

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels), bool
    """

    def find(some_channels):
        is_crossing = np.abs(some_channels) > QUIET_THRESHOLD
        return maximum_filter1d(is_crossing.astype("uint8"), 2 * reach + 1, axis=0, mode="constant") == 0

    groups = np.array_split(scaled_traces, range(GROUP_CHANNELS, scaled_traces.shape[1], GROUP_CHANNELS), axis=1)
    return np.concatenate(list(each(find, groups)), axis=1)


def prediction_error_filter(scaled_traces: np.ndarray, quiet: np.ndarray, order: int) -> np.ndarray:
    """
    Autoregressive whitening filter of the noise, one for all channels, by the Yule-Walker equations.

    Parameters
    ----------
    scaled_traces : np.ndarray, shape (num_frames, num_channels), float
        In noise levels.
    quiet : np.ndarray, shape (num_frames, num_channels), bool
        Frames that count.
    order : int
        Order of the filter.

    Returns
    -------
    np.ndarray, shape (order + 1,), float
        First tap 1. The filter is [1] if the order is 0 or too few frames are quiet.
    """
    masked = np.where(quiet, scaled_traces, 0.0)
    if order == 0 or scaled_traces.shape[1] == 0 or np.count_nonzero(quiet) < 100 * (order + 1):
        return np.ones(1)
    covariance = np.empty(order + 1)
    for lag in range(order + 1):
        stop = len(masked) - lag
        pairs = np.count_nonzero(quiet[:stop] & quiet[lag:])
        covariance[lag] = np.sum(masked[:stop] * masked[lag:], dtype="float64") / max(pairs, 1)
    covariance[0] *= 1.0 + RIDGE
    coefficients = scipy.linalg.solve_toeplitz(covariance[:-1], covariance[1:])
    return np.concatenate(([1.0], -coefficients))
