"""
Neurons whose spikes shrink within bursts: their large and their small spikes are units of their own until here.

No template fits both, and a spike between the two is found twice, so the units do not avoid each other. Their order
tells: within a burst the large spikes come first. Two neurons that merely fire together have no such order.
"""

import numpy as np
from scipy.stats import binom

from .merge import SIGNIFICANCE, template_cosines, template_norms
from .templates import MOST_SHIFT, UnitTemplates, template_distances

# Spikes of one burst that are compared are at most this far apart, in s.
BURST_S = 0.06
# Largest lag in s between the templates of large and small spikes, whose largest peaks may be different ones: about the
# time between the two largest peaks of a slow waveform.
BURST_LAG_S = 0.0016
# Smallest share of the pairs of spikes in which the larger one comes first, known with `merge.SIGNIFICANCE`: chance
# gives half of them. In a real Purkinje cell it is .90 to .99; neurons that follow each other by a synapse or a theta
# wave have up to about two thirds, and other shapes.
ORDERED_SHARE = 0.75
# Smallest number of ordered pairs, relative to the number of spikes of the smaller unit: nearly each of its spikes has
# a larger one before it.
PAIRS_PER_SPIKE = 0.5
# Smallest cosine between templates of parts of a neuron that follow each other in the chain. In the Purkinje cell it is
# .90 and more between large parts, and down to .78 to the smallest spikes, which are slower.
BURST_COSINE = 0.75


def burst_parts(
    templates: UnitTemplates, trains: list[np.ndarray], *, sampling_frequency: float
) -> tuple[np.ndarray, np.ndarray]:
    """
    Find units that hold the smaller spikes of larger units.

    Parameters
    ----------
    templates : UnitTemplates
    trains : list of np.ndarray, int
        Sorted absolute times of the spikes of each unit.
    sampling_frequency : float
        In Hz.

    Returns
    -------
    representative : np.ndarray, shape (num_units,), int
        Unit that each unit becomes part of; itself if it joins no other.
    shift : np.ndarray, shape (num_units,), int
        Frames to be added to the spike times of each unit.
    """
    norms = template_norms(templates)
    visible = templates.visible.astype(int)
    shares_channels = visible @ visible.T > 0
    representative, shift = np.arange(len(norms)), np.zeros(len(norms), dtype=int)
    beyond_template_s = templates.values.shape[1] / sampling_frequency
    reach = np.array([beyond_template_s, beyond_template_s + BURST_S]) * sampling_frequency
    order = np.argsort(-norms, kind="stable")
    ordered = [
        (larger, smaller)
        for place, larger in enumerate(order)
        for smaller in order[place + 1 :]
        if shares_channels[larger, smaller] and come_first(trains[larger], trains[smaller], reach)
    ]
    if not ordered:
        return representative, shift
    distances, lags = template_distances(templates, min(round(BURST_LAG_S * sampling_frequency), MOST_SHIFT))
    cosines = template_cosines(norms, distances)
    # From the smallest unit on, each to the unit that it resembles most: the parts of a cell form a chain.
    for smaller in order[::-1]:
        candidates = [large for large, small in ordered if small == smaller and cosines[large, small] > BURST_COSINE]
        if candidates:
            larger = max(candidates, key=lambda candidate: cosines[candidate, smaller])
            representative[smaller], shift[smaller] = larger, -lags[larger, smaller]
    # Two small parts have no order, but both come after the same large one.
    for smaller in order[representative[order] == order]:
        firsts = [large for large, small in ordered if small == smaller]
        parts = [unit for unit in order if representative[unit] != unit and representative[unit] in firsts]
        parts = [unit for unit in parts if norms[unit] > norms[smaller] and cosines[unit, smaller] > BURST_COSINE]
        if parts:
            larger = max(parts, key=lambda part: cosines[part, smaller])
            representative[smaller], shift[smaller] = larger, -lags[larger, smaller]
    for smaller in order:
        larger = representative[smaller]
        if larger != smaller:
            representative[smaller], shift[smaller] = representative[larger], shift[smaller] + shift[larger]
    return representative, shift


def come_first(first: np.ndarray, second: np.ndarray, reach: np.ndarray) -> bool:
    """
    Whether the spikes of one train come before those of another, for most of these.

    Parameters
    ----------
    first, second : np.ndarray, int
        Sorted absolute times.
    reach : np.ndarray, shape (2,), float
        Shortest and longest distance in frames of two spikes that are compared.
    """
    before, after = _pairs(first, second, reach), _pairs(second, first, reach)
    if before < max(after, PAIRS_PER_SPIKE * len(second), 1):
        return False
    return bool(binom.sf(before - 1, before + after, ORDERED_SHARE) < SIGNIFICANCE)


def _pairs(first, second, reach):
    """Pairs of spikes of which the second one comes later by a distance within reach."""
    near, far = (np.searchsorted(second, first + distance) for distance in reach)
    return int(np.sum(far - near))
