"""Stretches without a signal, such as blanked artefacts: how long they are, and which units live beside them alone."""

import logging

import numpy as np
from scipy.stats import binom
from spikeinterface.core import BaseRecording

from ...noise import sample_traces, sampled_stretches
from ...preprocessing.fill_blanks import fill_blanks
from ...spike_vectors import some_of_each
from ...threads import each
from ..waveforms import read_waveforms

logger = logging.getLogger(__name__)

# Chunks in which blanks are counted, and their duration in s.
NUM_CHUNKS, CHUNK_S = 200, 0.05
# Chunks that a thread reads one after the other. Chosen by speed.
CHUNKS_TOGETHER = 10
# A spike this close to a blank, in ms, may be what the blanking has left of an artefact: the band-pass rings that long.
BESIDE_MS = 4.0
# Spikes of a unit and random frames that are looked at.
NUM_SPIKES, NUM_RANDOM = 100, 1000
# A unit lives beside blanks alone if this share of its spikes does, which chance makes with a smaller probability than
# this. A neuron that a stimulus excites fires at other times, too.
MOST_BESIDE, CHANCE = 0.9, 1e-6


def blanked_share(traces: BaseRecording, *, seed: int) -> float:
    """Share of the frames of white traces at which all channels are 0, from random chunks."""
    stretches = sampled_stretches(traces, seed=seed, num_chunks=NUM_CHUNKS, chunk_s=CHUNK_S)
    blanks = each(lambda stretch: ~traces.get_traces(*stretch).any(axis=1), stretches, together=CHUNKS_TOGETHER)
    is_blank: np.ndarray = np.concatenate(list(blanks))
    return float(np.mean(is_blank)) if is_blank.size else 0.0


def tell_blanks(traces: BaseRecording, *, seed: int) -> None:
    """Say in the log how much of the recording is blanked; nothing if none of it is."""
    share = blanked_share(traces, seed=seed)
    if share > 0:
        logger.warning(
            "About %.3g s of the recording (%.3g %%) hold no signal, and no spikes are found there: most channels are "
            "louder than any spike (an artefact, which is blanked), or silent.",
            share * traces.get_total_duration(),
            100 * share,
        )


def without_blank_steps(recording: BaseRecording, *, seed: int) -> BaseRecording:
    """Unfiltered traces whose blanks are set to the usual value of each channel, lazily, and a line in the log."""
    filled, share = fill_blanks(recording, seed=seed)
    if filled is not recording:
        logger.warning(
            "About %.3g s of the recording (%.3g %%) are blank: all channels are constant. They are set to the usual "
            "value of each channel, so that the filter does not ring at their ends. No spikes are found there.",
            share * recording.get_total_duration(),
            100 * share,
        )
    return filled


def live_beside_blanks(traces: BaseRecording, spikes: np.ndarray, num_units: int, *, seed: int) -> np.ndarray:
    """
    Find units that live beside blanks alone: what is left of artefacts looks like spikes.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    spikes : np.ndarray
        Sorted spike vector.
    num_units : int
    seed : int
        Seed of the choice of spikes and of random frames.

    Returns
    -------
    np.ndarray, shape (num_units,), bool
    """
    is_found = np.zeros(num_units, dtype=bool)
    if num_units == 0 or blanked_share(traces, seed=seed) == 0:
        return is_found
    rng = np.random.default_rng(seed)
    chosen = spikes[some_of_each(spikes["unit_index"], NUM_SPIKES, seed)]
    is_beside, _ = _beside_blanks(traces, chosen["segment_index"], chosen["sample_index"])
    lengths = np.array([traces.get_num_frames(index) for index in range(traces.get_num_segments())])
    segments = np.sort(rng.choice(len(lengths), size=NUM_RANDOM, p=lengths / lengths.sum()))
    frames = (rng.random(NUM_RANDOM) * lengths[segments]).astype("int64")
    order = np.lexsort((frames, segments))
    beside, is_blank = _beside_blanks(traces, segments[order], frames[order])
    usual = np.mean(beside[~is_blank]) if np.any(~is_blank) else 1.0
    for unit in range(num_units):
        own = is_beside[chosen["unit_index"] == unit]
        by_chance = binom.sf(own.sum() - 1, len(own), usual)
        is_found[unit] = len(own) > 0 and own.mean() >= MOST_BESIDE and by_chance < CHANCE
    return is_found


def _beside_blanks(traces, segments, frames):
    """Which frames lie close to a blank, and which lie in one, both (num_frames,) bool."""
    events = np.zeros(
        len(frames), dtype=[("segment_index", "int64"), ("sample_index", "int64"), ("channel_index", "i8")]
    )
    events["segment_index"], events["sample_index"] = segments, frames
    # All channels are 0 in a blank, and noise is 0 on none: one that lives tells.
    living = np.flatnonzero(sample_traces(traces, num_chunks=5, chunk_s=0.1).any(axis=0))[:1]
    reach = round(BESIDE_MS * traces.get_sampling_frequency() / 1000)
    is_beside, is_inside = np.zeros((2, len(frames)), dtype=bool)
    if len(living) == 0:
        return is_beside, is_inside
    neighbors = np.full((traces.get_num_channels(), 1), living[0])
    for positions, waveforms in read_waveforms(traces, events, neighbors, nbefore=reach, nafter=reach + 1):
        is_zero = waveforms[:, :, 0] == 0
        is_beside[positions] = is_zero.any(axis=1)
        is_inside[positions] = is_zero[:, reach]
    return is_beside, is_inside
