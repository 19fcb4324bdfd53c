"""Sortings with known faults, made from a true sorting: units merged, split, cut off, polluted, doubled or dropped."""

import numpy as np

from ...spike_vectors import make_spike_vector

# How often each fault is made; the rest of the units stay as they are.
FAULTS = {
    "nothing": 0.32,
    "merge": 0.15,
    "split": 0.08,
    "cut_small": 0.1,
    "drop_some": 0.08,
    "add_events": 0.12,
    "jitter": 0.03,
    "double": 0.04,
    "drop": 0.08,
}
# Junk units, as a share of the units: of events that belong to no neuron, and of times that belong to nothing.
JUNK_SHARE, CHANCE_SHARE = 0.15, 0.15
# Spikes of a unit of chance times, at least and at most.
CHANCE_SPIKES = (3, 500)


def degraded_sorting(
    spikes: np.ndarray,
    num_units: int,
    *,
    amplitudes: np.ndarray,
    neighbours: np.ndarray,
    events: np.ndarray,
    event_units: np.ndarray,
    num_frames: int,
    sampling_frequency: float,
    seed: int,
) -> tuple[np.ndarray, int]:
    """
    Make faults in a true sorting of one segment.

    Parameters
    ----------
    spikes : np.ndarray
        Sorted spike vector of the truth.
    num_units : int
    amplitudes : np.ndarray, shape (num_spikes,), float
        Measured amplitude of each spike.
    neighbours : np.ndarray, shape (num_units, num_neighbours), int
        Similar units of each unit, -1 for none.
    events, event_units : np.ndarray, shape (num_events,), int
        Frames of peaks that are no spikes of the truth, and the unit that each is near.
    num_frames, sampling_frequency, seed : int, float, int
        Length of the recording in frames, frames per second, and the seed of the faults.

    Returns
    -------
    np.ndarray, int
        Sorted spike vector, and the number of units.
    """
    rng = np.random.default_rng(seed)
    trains = [spikes["sample_index"][spikes["unit_index"] == unit] for unit in range(num_units)]
    sizes = [amplitudes[spikes["unit_index"] == unit] for unit in range(num_units)]
    severity = rng.beta(1.0, 1.5, num_units)
    found: list[np.ndarray] = []
    taken = np.zeros(num_units, dtype=bool)
    for unit in rng.permutation(num_units):
        if taken[unit] or len(trains[unit]) < 3:
            continue
        taken[unit] = True
        fault, share = rng.choice(list(FAULTS), p=list(FAULTS.values())), severity[unit]
        near = [other for other in neighbours[unit] if other >= 0 and not taken[other]]
        if fault == "merge" and near:
            other = near[int(rng.integers(min(2, len(near))))]
            found += _merged(trains[unit], trains[other], share, rng)
            taken[other] = True
        elif fault == "add_events":
            found += [_polluted(trains[unit], events[event_units == unit], num_frames, share, rng)]
        else:
            found += _faulty(fault, trains[unit], sizes[unit], share, sampling_frequency, rng)
    found += _junk(num_units, events, event_units, num_frames, rng)
    return _as_spikes(found, num_frames)


def _junk(num_units, events, event_units, num_frames, rng):
    """Units of no neuron."""
    found = []
    for _ in range(round(JUNK_SHARE * num_units)):
        pool = events[event_units == int(rng.integers(num_units))]
        found.append(pool if len(pool) >= 5 else rng.integers(0, num_frames, 60))
    for _ in range(max(1, round(CHANCE_SHARE * num_units))):
        num_spikes = round(float(np.exp(rng.uniform(*np.log(CHANCE_SPIKES)))))
        found.append(rng.integers(0, num_frames, num_spikes))
    return found


def _as_spikes(trains, num_frames):
    """Spike vector of the units that have at least 3 spikes, and their number."""
    trains = [np.unique(np.clip(train, 0, num_frames - 1)) for train in trains]
    trains = [train for train in trains if len(train) >= 3]
    labels = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    times = np.concatenate([*trains, np.zeros(0, dtype="int64")])
    return make_spike_vector(times, labels, np.zeros(len(times), dtype="int64")), len(trains)


def _merged(train, other, share, rng):
    """Two units as one, or one unit with a share of the spikes of the other, whose rest is a unit or is lost."""
    moved = rng.random(len(other)) < (1.0 if rng.random() < 0.5 else share)
    rest = [other[~moved]] if rng.random() < 0.8 else []
    return [np.concatenate([train, other[moved]]), *rest]


def _polluted(train, near_events, num_frames, share, rng):
    """A unit with events that lie near it, or with events at any time."""
    pool = near_events if rng.random() < 0.7 else rng.integers(0, num_frames, 2 * len(train))
    return np.concatenate([train, rng.permutation(pool)[: round(2 * share * len(train))]])


def _faulty(fault, train, sizes, share, sampling_frequency, rng):
    """The units that a fault makes of one; a fault that finds nothing to do leaves it as it is."""
    if fault == "split":
        return _parts(train, sizes, share, rng)
    if fault == "cut_small":
        return [train[sizes >= np.quantile(sizes, 0.8 * share)]]
    if fault == "drop_some":
        return [train[rng.random(len(train)) > 0.8 * share]]
    if fault == "jitter":
        return [train + np.rint(rng.normal(0, 3e-4 * share * sampling_frequency, len(train))).astype(int)]
    if fault == "double":
        copied = train[rng.random(len(train)) < 0.3 + 0.7 * share]
        return [train, copied + rng.integers(-2, 3)]
    return [] if fault == "drop" else [train]


def _parts(train, sizes, share, rng):
    """Two parts of a unit: by amplitude, by time or by chance."""
    kind, part = rng.integers(3), 0.1 + 0.4 * share
    keys = (sizes, train, rng.random(len(train)))[kind]
    is_first = keys < np.quantile(keys, part)
    return [train[is_first], train[~is_first]]
