"""
Neurons whose spikes change slowly, by drift for instance: parts of them are units of their own until here.

Such parts take turns, and where one follows the other their spikes differ as little as spikes of one neuron do,
although on average they differ much. The time of a spike is only known to a sample, and each part has its own: the
spikes of a large neuron differ much by a tenth of a sample alone, so what a delay changes is left out.
"""

import numpy as np
from scipy.stats import norm
from spikeinterface.core import BaseRecording

from ...noise import MAD_TO_SD
from ...spike_vectors import absolute_times, trains_of
from .bursts import BURST_COSINE
from .discriminate import means_without_each
from .merge import EXCEEDED_BY_CHANCE, MEDIAN_ERROR, SIGNIFICANCE, seldom_coincide, template_cosines, template_norms
from .spike_features import SpikeFeatures, read_spike_features
from .templates import MOST_SHIFT, UnitTemplates, template_distances

# Spikes of each part that are read: enough of them lie where one part follows the other. A limit of memory, not tuned.
MOST_READ_SPIKES = 500
# Switches from one part to the other, at least, from which the spikes there are judged: the median of fewer says
# nothing if one of the spikes overlaps with another.
FEWEST_SWITCHES = 4
# What a normal number exceeds by chance with a probability of SIGNIFICANCE, in standard deviations.
HARDLY_EXCEEDED = norm.isf(SIGNIFICANCE)


def parts_of_changing_neurons(
    traces: BaseRecording, spikes: np.ndarray, templates: UnitTemplates, *, merge_separation: float, seed: int
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
    merge_separation : float
        See `change_is_slow`.
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
    trains, sampling_frequency = trains_of(spikes, num_units), traces.get_sampling_frequency()
    pairs = _pairs_that_take_turns(templates, trains, sampling_frequency)
    if pairs:
        distances, lags = template_distances(templates)
        cosines = template_cosines(template_norms(templates), distances)
        pairs = [pair for pair in pairs if cosines[pair] > BURST_COSINE]
    if not pairs:
        return np.arange(num_units), np.zeros(num_units, dtype=int)
    features = read_spike_features(
        traces, spikes, templates, seed=seed, most_spikes=MOST_READ_SPIKES, units=np.unique(pairs)
    )
    times = absolute_times(spikes[features.chosen])
    joined = [
        (one, other)
        for one, other in pairs
        if change_is_slow(
            *_in_order_of_time(features, times, one, other, int(lags[one, other])), merge_separation=merge_separation
        )
    ]
    return _join(joined, lags, trains, sampling_frequency)


def change_is_slow(spikes: np.ndarray, is_first: np.ndarray, *, merge_separation: float) -> bool:
    """
    Whether the spikes of two units are those of one neuron that changes slowly.

    Each spike that follows one of the other unit is compared with it. There, two neurons are as far apart as they are
    on average; this must be ruled out with `merge.SIGNIFICANCE`. The spikes must also be as close as parts of one unit,
    or closer than half of that distance with the same significance: along the line on which the units differ on
    average, and along the one on which they differ there. Both orders must be close: in a burst that shrinks, only one
    of them is.

    Parameters
    ----------
    spikes : np.ndarray, shape (num_spikes, num_features), float
        Spikes of both units in the order of time, in noise standard deviations.
    is_first : np.ndarray, shape (num_spikes,), bool
        Which spikes belong to the first unit.
    merge_separation : float
        Separation of two units, in standard deviations of the spikes, beyond which they are two if it is significant.
    """
    is_switch = is_first[1:] != is_first[:-1]
    if is_switch.sum() < FEWEST_SWITCHES or is_switch.all():
        return False
    line = spikes[is_first].mean(axis=0) - spikes[~is_first].mean(axis=0)
    positions = spikes @ (line / max(np.linalg.norm(line), 1e-9))
    spread = MAD_TO_SD * np.median(np.abs(np.diff(positions)[~is_switch])) / np.sqrt(2)
    into_first = is_first[1:][is_switch]
    direction = np.where(into_first, 1, -1)
    steps, jumps = np.diff(spikes, axis=0)[is_switch] * direction[:, None], np.diff(positions)[is_switch] * direction
    others = means_without_each(steps)
    beside = np.einsum("nf,nf->n", steps, others) / np.maximum(np.linalg.norm(others, axis=1), 1e-9)
    average = np.median(positions[is_first]) - np.median(positions[~is_first])

    def error(values):
        return MEDIAN_ERROR * np.sqrt(2 / len(values)) * spread

    def are_near(values):
        # One neuron has no step there but that of its two templates, two have their average distance: halfway between
        # both, neither is more likely. Changing neurons of development seeds 1 and 2 had steps of up to .3 of it.
        of_one_unit = merge_separation * spread + EXCEEDED_BY_CHANCE * error(values)
        return np.median(values) < max(of_one_unit, average / 2 - HARDLY_EXCEEDED * error(values))

    return bool(
        np.median(jumps) < average - HARDLY_EXCEEDED * error(jumps)
        and are_near(beside)
        and all(are_near(jumps[into_first == order]) for order in np.unique(into_first))
    )


def without_delays(features: SpikeFeatures, spikes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Leave out what a small delay changes in the mean of either unit.

    Parameters
    ----------
    features : SpikeFeatures
        Features of both units.
    spikes, others : np.ndarray, shape (num_spikes, num_features), float32
        Spikes of the two units, from `features.of_pair`.

    Returns
    -------
    spikes, others : np.ndarray, shape (num_spikes, num_features), float32
    """
    if min(len(spikes), len(others)) == 0:
        return spikes, others
    derivative = (features.moved(-1) - features.moved(1)) / 2
    slopes = [(derivative @ mean.reshape(len(derivative), -1)).ravel() for mean in (spikes.mean(0), others.mean(0))]
    changed = np.linalg.qr(np.transpose(slopes))[0]
    return spikes - spikes @ changed @ changed.T, others - others @ changed @ changed.T


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
    return bool(runs < 1 + expected - HARDLY_EXCEEDED * np.sqrt(max(variance, 0)))


def _pairs_that_take_turns(templates: UnitTemplates, trains: list[np.ndarray], sampling_frequency: float):
    """Pairs of units that share channels, take turns, and coincide less than by chance."""
    visible = templates.visible.astype(int)
    pairs = zip(*np.nonzero(np.triu(visible @ visible.T, 1)), strict=True)
    return [
        (int(one), int(other))
        for one, other in pairs
        if take_turns(trains[one], trains[other]) and seldom_coincide(trains[one], trains[other], sampling_frequency)
    ]


def _in_order_of_time(features: SpikeFeatures, times, first, second, lag):
    """Spikes of two units in order of time, (num_spikes, num_features), and which of them are the first unit's."""
    spikes, others = without_delays(features, *features.of_pair(first, second, lag))
    rows = np.concatenate([features.positions[first], features.positions[second]])
    order = np.argsort(times[rows], kind="stable")
    return np.concatenate([spikes, others])[order], (np.arange(len(rows)) < len(spikes))[order]


def _join(pairs, lags, trains, sampling_frequency):
    """
    Let each unit join the largest one that it is linked to by pairs, `parts_of_changing_neurons`; large units first.

    A unit that coincides with what has joined already, as two neurons do by chance, does not join.
    """
    num_units = len(trains)
    representative, shift = np.arange(num_units), np.zeros(num_units, dtype=int)
    partners = [[] for _ in range(num_units)]
    for one, other in pairs:
        partners[one].append(other)
        partners[other].append(one)
    is_placed = np.zeros(num_units, dtype=bool)
    for largest in np.argsort([-len(train) for train in trains], kind="stable"):
        if is_placed[largest]:
            continue
        is_placed[largest], train = True, trains[largest]
        links = [(largest, unit) for unit in partners[largest]]
        while links:
            before, unit = links.pop(int(np.argmax([len(trains[unit]) for _, unit in links])))
            moved = shift[before] - lags[before, unit]
            if is_placed[unit] or abs(moved) > MOST_SHIFT:
                continue
            if seldom_coincide(train, trains[unit], sampling_frequency):
                is_placed[unit], representative[unit], shift[unit] = True, largest, moved
                train = np.sort(np.concatenate([train, trains[unit]]))
                links += [(unit, other) for other in partners[unit]]
    return representative, shift
