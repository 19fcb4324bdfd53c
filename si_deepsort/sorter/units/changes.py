"""
Neurons whose spikes change slowly, by drift for instance: parts of them are units of their own until here.

Such parts take turns, and where one follows the other their spikes differ as little as spikes of one neuron do,
although on average they differ much. Two neurons differ by the same amount wherever both fire.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order
from scipy.stats import norm
from spikeinterface.core import BaseRecording

from ...noise import MAD_TO_SD
from ...spike_vectors import absolute_times, trains_of
from .bursts import BURST_COSINE
from .merge import MEDIAN_ERROR, SIGNIFICANCE, template_cosines, template_norms
from .spike_features import SpikeFeatures, read_spike_features
from .templates import MOST_SHIFT, UnitTemplates, template_distances

# Spikes of each part that are read: enough of them lie where one part follows the other.
MOST_READ_SPIKES = 1000
# Mean distance of the two halves of a normal distribution that is cut in the middle, in its standard deviations.
HALVES = 2 * np.sqrt(2 / np.pi)


def parts_of_changing_neurons(
    traces: BaseRecording, spikes: np.ndarray, templates: UnitTemplates, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """
    Find units that are parts of one neuron whose spikes change slowly.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    spikes : np.ndarray
        Sorted spike vector.
    templates : UnitTemplates
        Templates of the units.
    seed : int
        Seed of the choice of spikes.

    Returns
    -------
    representative : np.ndarray, shape (num_units,), int
        Unit that each unit becomes part of: the largest one; itself if it joins no other.
    shift : np.ndarray, shape (num_units,), int
        Frames to be added to the spike times of each unit.
    """
    num_units = len(templates.values)
    representative, shift = np.arange(num_units), np.zeros(num_units, dtype=int)
    pairs = _pairs_that_take_turns(templates, trains_of(spikes, num_units))
    if not pairs:
        return representative, shift
    distances, lags = template_distances(templates)
    cosines = template_cosines(template_norms(templates), distances)
    pairs = [pair for pair in pairs if cosines[pair] > BURST_COSINE]
    concerned = np.unique(pairs)
    own = spikes[np.isin(spikes["unit_index"], concerned)]
    features = read_spike_features(traces, own, templates, seed=seed, most_spikes=MOST_READ_SPIKES)
    times = absolute_times(own[features.chosen])
    joined = [pair for pair in pairs if change_is_slow(*_along_line(features, times, *pair, int(lags[pair])))]
    return _join(joined, lags, templates.num_spikes)


def change_is_slow(positions: np.ndarray, is_first: np.ndarray) -> bool:
    """
    Whether the spikes of two units are those of one neuron that changes slowly.

    Two neurons are as far apart where one follows the other as they are on average. The spikes of one neuron are there
    those of a normal distribution that the templates have cut in the middle. The likelier of the two is chosen, and two
    neurons must be ruled out, with `merge.SIGNIFICANCE`.

    Parameters
    ----------
    positions : np.ndarray, shape (num_spikes,), float
        Positions of the spikes of both units along the line between their means, in the order of time.
    is_first : np.ndarray, shape (num_spikes,), bool
        Which spikes belong to the unit that lies higher on the line.
    """
    steps, is_switch = np.diff(positions), is_first[1:] != is_first[:-1]
    if is_switch.sum() == 0 or is_switch.all():
        return False
    spread = MAD_TO_SD * np.median(np.abs(steps[~is_switch])) / np.sqrt(2)
    jump = np.median(np.where(is_first[1:], steps, -steps)[is_switch])
    average = np.median(positions[is_first]) - np.median(positions[~is_first])
    error = MEDIAN_ERROR * np.sqrt(2 / is_switch.sum()) * spread
    return bool(jump < min((average + HALVES * spread) / 2, average - norm.isf(SIGNIFICANCE) * error))


def take_turns(first: np.ndarray, second: np.ndarray) -> bool:
    """
    Whether two spike trains follow each other less often than by chance, by the runs test (Wald and Wolfowitz, 1940).

    Parameters
    ----------
    first, second : np.ndarray, int
        Sorted absolute times.
    """
    count, other_count = len(first), len(second)
    if min(count, other_count) == 0:
        return False
    places = np.searchsorted(second, first)
    # Runs of the first train; the second one has as many between them, and perhaps some at the ends.
    inner = 1 + np.count_nonzero(np.diff(places))
    runs = 2 * inner - 1 + (places[0] > 0) + (places[-1] < other_count)
    expected = 2 * count * other_count / (count + other_count)
    variance = expected * (expected - 1) / max(count + other_count - 1, 1)
    return bool(runs < 1 + expected - norm.isf(SIGNIFICANCE) * np.sqrt(max(variance, 0)))


def _pairs_that_take_turns(templates: UnitTemplates, trains: list[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs of units, the first one smaller in number, that share channels and whose trains take turns."""
    visible = np.any(templates.values != 0, axis=1).astype(int)
    pairs = zip(*np.nonzero(np.triu(visible @ visible.T, 1)), strict=True)
    return [(int(one), int(other)) for one, other in pairs if take_turns(trains[one], trains[other])]


def _along_line(features: SpikeFeatures, times, first, second, lag):
    """Positions of the spikes of two units along the line between their means, in order of time; and whose they are."""
    spikes, others = features.of_pair(first, second, lag)
    if min(len(spikes), len(others)) == 0:
        return np.zeros(0), np.zeros(0, dtype=bool)
    line = spikes.mean(axis=0) - others.mean(axis=0)
    positions = np.concatenate([spikes, others]) @ (line / max(np.linalg.norm(line), 1e-9))
    rows = np.concatenate([features.positions[first], features.positions[second]])
    order = np.argsort(times[rows], kind="stable")
    return positions[order], (np.arange(len(rows)) < len(spikes))[order]


def _join(pairs, lags, num_spikes):
    """Let each unit join the largest one that it is linked to by pairs, `parts_of_changing_neurons`."""
    num_units = len(num_spikes)
    representative, shift = np.arange(num_units), np.zeros(num_units, dtype=int)
    rows, columns = np.reshape(pairs, (-1, 2)).astype(int).T
    links = coo_array((np.ones(len(rows)), (rows, columns)), shape=(num_units, num_units)).tocsr()
    is_placed = np.zeros(num_units, dtype=bool)
    for largest in np.argsort(-num_spikes, kind="stable"):
        if is_placed[largest]:
            continue
        order, before = breadth_first_order(links, largest, directed=False)
        is_placed[order] = True
        for unit in order[1:]:
            moved = shift[before[unit]] - lags[before[unit], unit]
            # A unit whose way to the largest one is long stays by itself: nothing is known that far from its spikes.
            if representative[before[unit]] == largest and abs(moved) <= MOST_SHIFT:
                representative[unit], shift[unit] = largest, moved
    return representative, shift
