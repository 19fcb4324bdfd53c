"""
Averages of units by least squares: each window of a spike is averaged without the spikes of all other units.

Where few spikes of a unit are isolated, as in a short labelled recording, the spikes of others spoil a plain average.
"""

import numpy as np
from spikeinterface.core import BaseRecording

from ...spike_vectors import absolute_times, main_channels
from ..average_waveforms import average_waveforms
from .averages import UnitAverages
from .templates import MOST_SHIFT

# Rounds in which templates are subtracted and averaged again: with the step below, an error whose eigenvalue is between
# a half and the largest possible shrinks to an eighth or less.
NUM_ROUNDS = 5


def least_squares_averages(
    traces: BaseRecording, spikes: np.ndarray, averages: UnitAverages, *, seed: int
) -> UnitAverages:
    """
    Improve the averages of units whose spikes are all known.

    In each round the templates of all spikes are subtracted from the traces, and what is left around the spikes of a
    unit corrects its average: a block-wise solution of the least squares problem of all templates.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    spikes : np.ndarray
        Sorted spike vector of these units.
    averages : UnitAverages
        First averages.
    seed : int
        Seed of the choice of spikes.
    """
    step = _step(spikes, averages.templates().values)
    for _ in range(NUM_ROUNDS):
        averages = _corrected(traces, spikes, averages, step, seed)
    return averages


def _step(spikes, templates) -> float:
    """
    Part of the correction that is applied in a round.

    All templates are corrected at once, each for the errors of the others. With m other spikes in the window of a
    spike, on average, the eigenvalues of this iteration lie between 0 and 1 + m. A step of 1 / (1 + m / 2) shrinks the
    error of each, where a full step would swap the errors of two units that always fire together forever.
    """
    times, units = absolute_times(spikes), spikes["unit_index"]
    visible = np.any(templates != 0, axis=1).astype("float32")
    are_near = visible @ visible.T > 0
    num_pairs = 0
    for distance in range(1, len(times)):
        near = times[distance:] - times[:-distance] < templates.shape[1]
        if not near.any():
            break
        num_pairs += int(are_near[units[distance:][near], units[:-distance][near]].sum())
    return 1 / (1 + num_pairs / max(len(times), 1))


def _corrected(traces: BaseRecording, spikes, averages: UnitAverages, step: float, seed) -> UnitAverages:
    templates, nbefore = averages.templates().values, averages.nbefore
    num_samples = templates.shape[1]
    visible = [np.flatnonzero(own) for own in np.any(templates != 0, axis=1)]
    first_of_segment = np.searchsorted(spikes["segment_index"], np.arange(traces.get_num_segments() + 1))

    def subtract(chunk, segment_index, begin):
        own = spikes[first_of_segment[segment_index] : first_of_segment[segment_index + 1]]
        ends = begin - num_samples, begin + len(chunk) + num_samples
        own = own[slice(*np.searchsorted(own["sample_index"], ends))]
        onsets = own["sample_index"].astype("int64") - begin - nbefore
        for onset, unit in zip(onsets, own["unit_index"], strict=True):
            first, last = max(0, onset), min(len(chunk), onset + num_samples)
            if first < last:
                chunk[first:last, visible[unit]] -= templates[unit, first - onset : last - onset][:, visible[unit]]

    residual, differences = average_waveforms(
        traces,
        spikes,
        len(templates),
        nbefore=nbefore + MOST_SHIFT,
        nafter=num_samples - nbefore + MOST_SHIFT,
        seed=seed,
        main_channels=main_channels(templates),
        subtract=subtract,
    )
    values = step * residual + np.pad(templates, ((0, 0), (MOST_SHIFT, MOST_SHIFT), (0, 0)))
    counts = np.bincount(spikes["unit_index"], minlength=len(templates))
    return UnitAverages(values, differences, nbefore, counts, averages.background)
