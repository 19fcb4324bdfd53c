"""The truth about the units and spikes of a sorting, where it is known."""

from dataclasses import dataclass

import numpy as np

from ...assessment.predict import PURE_PRECISION
from ...nets.assessor import LABELS
from ...spike_vectors import trains_of

# Spikes agree within this time in ms, as in SpikeInterface's comparison.
MATCH_MS = 0.4
# A unit is whole from this recall on.
WHOLE_RECALL = 0.5
# A unit is noise if the three neurons that it shares most spikes with have fewer than this share of them.
NOISE_SHARE = 0.5
# A neuron has been found if a unit agrees with it by more than this (SpikeInterface's accuracy).
FOUND_ACCURACY = 0.5


@dataclass(frozen=True)
class TrueQuality:
    """
    How good the units of a sorting are.

    Attributes
    ----------
    precision, recall : np.ndarray, shape (num_units,), float
        Against the neuron with which a unit agrees best.
    labels : np.ndarray, shape (num_units,), int
        Index into `nets.assessor.LABELS`.
    is_right : np.ndarray, shape (num_spikes,), bool
        Whether each spike of the sorting is one of that neuron.
    accuracy_of_neurons : np.ndarray, shape (num_neurons,), float
        Best accuracy of a unit for each neuron.
    """

    precision: np.ndarray
    recall: np.ndarray
    labels: np.ndarray
    is_right: np.ndarray
    accuracy_of_neurons: np.ndarray


def true_quality(
    spikes: np.ndarray, num_units: int, true_spikes: np.ndarray, num_neurons: int, sampling_frequency: float
) -> TrueQuality:
    """
    Compare a sorting with the truth.

    Parameters
    ----------
    spikes, true_spikes : np.ndarray
        Sorted spike vectors.
    num_units, num_neurons : int
    sampling_frequency : float
        In Hz.
    """
    reach = round(MATCH_MS * sampling_frequency / 1000)
    trains, true_trains = trains_of(spikes, num_units), trains_of(true_spikes, num_neurons)
    shared = np.array([[_num_shared(train, other, reach) for other in true_trains] for train in trains])
    shared = shared.reshape(num_units, num_neurons)
    counts, true_counts = np.array([len(t) for t in trains]), np.array([len(t) for t in true_trains])
    agreement = shared / np.maximum(counts[:, None] + true_counts[None] - shared, 1)
    best = agreement.argmax(axis=1) if num_neurons else np.zeros(num_units, dtype=int)
    own = shared[np.arange(num_units), best]
    precision, recall = own / np.maximum(counts, 1), own / np.maximum(true_counts[best], 1)
    covered = np.sort(shared, axis=1)[:, -3:].sum(axis=1) / np.maximum(counts, 1)
    labels = np.full(num_units, LABELS.index("good"))
    labels[recall < WHOLE_RECALL] = LABELS.index("fragment")
    labels[precision < PURE_PRECISION] = LABELS.index("multi-unit")
    labels[covered < NOISE_SHARE] = LABELS.index("noise")
    is_right = np.zeros(len(spikes), dtype=bool)
    order = np.lexsort((spikes["sample_index"], spikes["segment_index"], spikes["unit_index"]))
    flags = [_are_near(train, true_trains[best[unit]], reach) for unit, train in enumerate(trains)]
    is_right[order] = np.concatenate(flags) if flags else False
    found = agreement.max(axis=0, initial=0.0)
    return TrueQuality(precision, recall, labels, is_right, found)


def _are_near(train, other, reach):
    """Whether each time has one of the other times within reach."""
    if len(other) == 0:
        return np.zeros(len(train), dtype=bool)
    places = np.searchsorted(other, train)
    after, before = other[np.minimum(places, len(other) - 1)], other[np.maximum(places - 1, 0)]
    return np.minimum(np.abs(after - train), np.abs(before - train)) <= reach


def _num_shared(train, other, reach):
    """Spikes that two trains share; none counts twice."""
    if len(train) == 0 or len(other) == 0:
        return 0
    return min(int(_are_near(train, other, reach).sum()), int(_are_near(other, train, reach).sum()))
