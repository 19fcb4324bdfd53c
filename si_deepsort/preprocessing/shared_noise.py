"""
Noise that many channels share, such as muscle activity or that of a far reference: how much each channel holds of it.

Whitening cannot remove strong shared noise: its spectrum differs from that of the other noise, so that no single filter
over time makes both white, and what is left of it splits units.
"""

from dataclasses import dataclass

import numpy as np
from spikeinterface.core import BaseRecording

from ..geometry import recording_geometry
from ..noise import noise_levels, sample_traces
from .estimate_whitening import living_noise_levels, living_stretches
from .frame_medians import frame_medians

# Duration in s of each of the chunks in which noise is measured.
CHUNK_S = 0.1

# The median over this many channels, or more, holds next to nothing of a spike, which few channels see.
MANY_CHANNELS = 16
# With fewer channels than this nothing tells shared noise from spikes that all of them see.
FEWEST_CHANNELS = 4
# Shared noise is removed from many channels if this halves the power of their noise: in generated recordings (seeds 2
# and 3, 16 channels) weaker noise cost less than what the median holds of spikes.
HALF_POWER = 0.5
# From few channels it is removed if less than this share of the power of their noise is left: whitening makes next to
# no use of a direction that holds ten times the noise of the others.
SMALL_POWER = 1 / 11
# Channels of which a smaller share of the power is left hold the same signal, such as shorted contacts: no noise.
NO_POWER = 1e-8
# Frames beyond this many levels of the shared noise do not decide the gains: they may hold spikes of many neurons.
LARGEST_SHARED = 4.0
# Duration in ms of the tiles in which bursts of shared noise are looked for: spikes, of 1 to 2 ms, seldom fill half of
# one, so that they hardly change its robust noise levels.
TILE_MS = 10.0
# Tiles are looked at closely if the level of what channels share is at least this share of theirs: it is .95 in a burst
# of ten times the noise of the channels, and levels are known to a tenth.
LOOKED_AT = 0.75
# Share of tiles in bursts from which on what channels share is removed throughout. In generated recordings of 16
# channels (seeds 1 and 2) bursts of 20 ms with a share of .02 cost .05 of accuracy, and the median cost 0; on other
# ordinary recordings it cost up to .02.
BURST_SHARE = 0.01
# The gains of few channels and their shared noise are estimated in turn this often.
NUM_TURNS = 5


@dataclass(frozen=True, eq=False)
class SharedNoise:
    """
    Noise that channels share.

    Attributes
    ----------
    gains : np.ndarray, shape (num_channels,), float
        What each channel holds of it.
    levels : np.ndarray, shape (num_channels,), float
        Noise levels of the channels without it, in the unit of the traces.
    power_left : float
        Power of the noise of most channels without it, relative to that with it.
    """

    gains: np.ndarray
    levels: np.ndarray
    power_left: float

    @property
    def is_strong(self) -> bool:
        """Whether spikes are found better without it."""
        most = HALF_POWER if len(self.gains) >= MANY_CHANNELS else SMALL_POWER
        return NO_POWER < self.power_left < most


def shared_signal(traces: np.ndarray, gains: np.ndarray | None) -> np.ndarray:
    """
    What channels share at each frame: the median over many channels, or without gains; else a least-squares estimate.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
    gains : np.ndarray | None, shape (num_channels,), float

    Returns
    -------
    np.ndarray, shape (num_frames,), float32
    """
    if gains is None or traces.shape[1] >= MANY_CHANNELS:
        return frame_medians(np.ascontiguousarray(traces))
    weights = (gains / max(float(gains @ gains), np.finfo(float).tiny)).astype("float32")
    # Not a matrix product: its last bits would depend on the number of frames.
    return np.sum(np.ascontiguousarray(traces) * weights, axis=1)


def measure_shared_noise(traces: np.ndarray) -> SharedNoise:
    """
    Measure the noise that channels share.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
        Band-passed traces, in any unit.

    Returns
    -------
    SharedNoise
    """
    num_channels = traces.shape[1]
    before = noise_levels(traces)
    alive = before > 0
    if num_channels < FEWEST_CHANNELS or alive.sum() < FEWEST_CHANNELS:
        return SharedNoise(np.zeros(num_channels), before, power_left=1.0)
    gains = _gains(traces, shared_signal(traces, None))
    if num_channels < MANY_CHANNELS:
        for _ in range(NUM_TURNS):
            gains = _gains(traces, shared_signal(traces, gains))
    without = traces - shared_signal(traces, gains)[:, None] * gains.astype("float32")
    # Each channel is a part of what is subtracted from it.
    share = gains**2 / max(float(gains @ gains), np.finfo(float).tiny)
    after = noise_levels(without) / np.sqrt(np.maximum(1 - share, 1 / num_channels))
    return SharedNoise(gains, after, power_left=float(np.median((after[alive] / before[alive]) ** 2)))


def measure_bursts(traces: np.ndarray, sampling_frequency: float) -> SharedNoise | None:
    """
    Measure noise that channels share now and then, such as chewing or movement.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
        Band-passed traces of at least `MANY_CHANNELS`, in any unit.
    sampling_frequency : float
        In Hz.

    Returns
    -------
    SharedNoise | None
        The noise within bursts; None if they are rare, or hold less than ten times the noise of the channels. Spikes of
        several neurons at once look like weak bursts: in a generated recording of 16 channels (12 neurons, seed 1) they
        left a quarter of the power of some tiles, and more of all others.
    """
    tile = max(round(TILE_MS * sampling_frequency / 1000), 1)
    tiles = traces[: len(traces) // tile * tile].reshape(-1, tile, traces.shape[1])
    shared = frame_medians(tiles.reshape(-1, traces.shape[1])).reshape(len(tiles), tile)
    levels, of_shared = np.median(noise_levels(tiles, axis=1), axis=1), noise_levels(shared, axis=1)
    is_loud = of_shared > LOOKED_AT * levels
    for place in np.flatnonzero(is_loud):
        is_loud[place] = NO_POWER < measure_shared_noise(tiles[place]).power_left < SMALL_POWER
    if is_loud.sum() <= BURST_SHARE * len(tiles):
        return None
    return measure_shared_noise(tiles[is_loud].reshape(-1, traces.shape[1]))


def _gains(traces, shared):
    """What each channel holds of a shared signal of shape (num_frames,): (num_channels,) float."""
    quiet = np.abs(shared) <= LARGEST_SHARED * noise_levels(shared[:, None])
    power = float(shared[quiet] @ shared[quiet])
    return shared[quiet].astype(float) @ traces[quiet] / max(power, np.finfo(float).tiny)


def living_frames(traces: np.ndarray) -> np.ndarray:
    """Frames of traces (num_frames, num_channels) in which most channels carry a neural signal; all if none does."""
    lives = living_stretches(traces).mean(axis=1) > 0.5
    return traces if lives.all() or not lives.any() else traces[lives]


def own_noise_levels(recording: BaseRecording, *, seed: int) -> np.ndarray:
    """
    Noise levels of channels without what the few channels of a shank share, where that is most of their noise.

    Such noise is left to the whitening, and hides no spike.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed traces, in any unit, with a probe.
    seed : int
        Seed of the chunks in which noise is measured.

    Returns
    -------
    np.ndarray, shape (num_channels,), float
        In the unit of the traces; 0 for a dead channel.
    """
    traces = sample_traces(recording, seed=seed, chunk_s=CHUNK_S)
    levels, living = living_noise_levels(traces), living_frames(traces)
    _, shanks = recording_geometry(recording)
    for shank in np.unique(shanks):
        group = np.flatnonzero(shanks == shank)
        if len(group) < MANY_CHANNELS:
            noise = measure_shared_noise(living[:, group])
            if NO_POWER < noise.power_left < HALF_POWER:
                levels[group] = np.minimum(levels[group], noise.levels)
    return levels
