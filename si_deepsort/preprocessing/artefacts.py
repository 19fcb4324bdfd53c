"""Artefacts: frames at which most channels are far louder than any spike."""

import math
from dataclasses import dataclass

import numba
import numpy as np
from scipy.ndimage import maximum_filter1d

from ..compiled import COMPILED
from ..geometry import channel_distances

# Levels in noise standard deviations that more than half of the channels exceed in an artefact. A common reference
# leaves a twentieth of a stimulus of 4 mV, about 30 standard deviations; noise exceeds 10 on no channel.
FAR_LEVEL = 10.0
# On a probe so small that a spike may be seen on half of its channels, an artefact exceeds this level on nearly all: in
# recordings of 8 channels by SpikeInterface's generator, neurons of SNR 40 to 50 exceeded it on most, and on the second
# quietest channel only where two of them fired at once.
SMALL_PROBE_LEVEL, SMALL_PROBE_SHARE = 30.0, 7 / 8
# A large unit may be seen on all channels of a probe with fewer channels than this, such as a tetrode.
FEW_CHANNELS = 8
FEW_CHANNELS_LEVEL = 150.0
# Distance in um within which a spike may exceed 10 standard deviations.
SPIKE_REACH_UM = 150.0
# Frames this close to an artefact, in ms, are blanked too.
ARTEFACT_REACH_MS = 6.0
# Frames up to this far from an artefact, in ms, belong to it where most channels exceed FAR_LEVEL: its decay.
DECAY_MS = 14.0


@dataclass(frozen=True)
class ArtefactRule:
    """
    Which frames of white traces are artefacts.

    Attributes
    ----------
    level : float
        Level in noise standard deviations that channels exceed in an artefact.
    fewest_loud : int
        Channels that exceed it, at least.
    num_living : int
        Number of channels that are not dead in the whole recording. A channel may be silent in one chunk and not in
        another.
    decay : int
        Frames before and after an artefact that belong to it where most channels exceed FAR_LEVEL.
    reach : int
        Frames before and after these that are blanked too.
    """

    level: float
    fewest_loud: int
    num_living: int
    decay: int
    reach: int

    @property
    def margin(self) -> int:
        """Frames on both sides of a frame that decide whether it is blanked."""
        return self.decay + self.reach


def artefact_rule(
    locations: np.ndarray, shanks: np.ndarray, is_living: np.ndarray, sampling_frequency: float
) -> ArtefactRule:
    """
    The rule for a probe.

    Parameters
    ----------
    locations : np.ndarray, shape (num_channels, 2), float
        Positions in um.
    shanks : np.ndarray, shape (num_channels,), int
    is_living : np.ndarray, shape (num_channels,), bool
    sampling_frequency : float
        In Hz.
    """
    num_living = int(is_living.sum())
    sees = (channel_distances(locations) <= SPIKE_REACH_UM) & (shanks[:, None] == shanks)
    num_seeing = int(sees[np.ix_(is_living, is_living)].sum(axis=1).max(initial=0))
    level, fewest_loud = FAR_LEVEL, num_living // 2 + 1
    if num_living < FEW_CHANNELS:
        level = FEW_CHANNELS_LEVEL
    elif 2 * num_seeing > num_living:
        level, fewest_loud = SMALL_PROBE_LEVEL, math.ceil(SMALL_PROBE_SHARE * num_living)
    decay, reach = (round(ms * sampling_frequency / 1000) for ms in (DECAY_MS, ARTEFACT_REACH_MS))
    return ArtefactRule(level, fewest_loud, num_living, decay, reach)


def blank_artefacts(whitened: np.ndarray, rule: ArtefactRule) -> None:
    """
    Set artefacts to 0, in place: frames at which an amplifier saturates, or a stimulus is given.

    Parameters
    ----------
    whitened : np.ndarray, shape (num_frames, num_channels), float32
        White traces, in noise standard deviations.
    rule : ArtefactRule
    """
    is_loud = _num_loud(whitened, rule.level) >= rule.fewest_loud
    if not np.any(is_loud):
        return
    if rule.level > FAR_LEVEL:
        is_loud |= _spread(is_loud, rule.decay) & (2 * _num_loud(whitened, FAR_LEVEL) > rule.num_living)
    whitened[_spread(is_loud, rule.reach)] = 0


def _spread(is_true, reach):
    """Frames within a reach of true ones, (num_frames,) bool."""
    return maximum_filter1d(is_true.astype("uint8"), 2 * reach + 1, mode="constant").astype(bool)


def _num_loud(traces, level):
    """Number of channels that exceed a level, at each frame."""
    counts = np.zeros(len(traces), dtype="int64")
    _count_loud(traces, level, counts)
    return counts


@numba.njit(**COMPILED)
def _count_loud(traces, level, counts):
    """Add the number of channels that exceed a level to the counts of each frame."""
    for frame in range(len(traces)):
        for channel in range(traces.shape[1]):
            counts[frame] += abs(traces[frame, channel]) > level
