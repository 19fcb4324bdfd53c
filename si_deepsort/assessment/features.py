"""Features of units, of pairs of units and of spikes, from which a network predicts how far to trust them."""

from dataclasses import dataclass

import numpy as np

from ..spike_vectors import trains_of
from .evidence import Evidence
from .spike_statistics import (
    DOUBTFUL_MARGIN,
    FEWEST_FOR_COMPONENTS,
    SPIKE_THRESHOLD,
    component_statistics,
    spike_statistics,
)
from .trains import (
    INTERVAL_EDGES_MS,
    contamination,
    nearest_own_spike_ms,
    pair_coincidences,
    parts_of_recording,
    short_intervals,
)

# Position of the logarithm of the squared norm of the template among the features of a unit.
LOG_NORM = 3


@dataclass(frozen=True)
class Features:
    """
    Features of a sorting.

    Attributes
    ----------
    units : dict of str to np.ndarray, shape (num_units,), float
        One value for each unit.
    pairs : dict of str to np.ndarray, shape (num_units, MOST_NEIGHBOURS), float
        One value for each unit and neighbour; NaN where there is no neighbour.
    spikes : dict of str to np.ndarray, shape (num_judged,), float
        One value for each judged spike.
    """

    units: dict[str, np.ndarray]
    pairs: dict[str, np.ndarray]
    spikes: dict[str, np.ndarray]

    def unit_matrix(self) -> np.ndarray:
        """(num_units, num_unit_features), float32; NaN where something cannot be measured."""
        return np.stack(list(self.units.values()), axis=-1).astype("float32")

    def pair_matrix(self) -> np.ndarray:
        """(num_units, MOST_NEIGHBOURS, num_pair_features), float32; NaN where there is no neighbour."""
        return np.stack(list(self.pairs.values()), axis=-1).astype("float32")

    def spike_matrix(self) -> np.ndarray:
        """(num_judged, num_spike_features), float32."""
        return np.stack(list(self.spikes.values()), axis=-1).astype("float32")


def compute_features(
    evidence: Evidence, spikes: np.ndarray, num_frames: list[int], sampling_frequency: float
) -> Features:
    """
    Features of a sorting from its evidence.

    Parameters
    ----------
    evidence : Evidence
    spikes : np.ndarray
        Sorted spike vector.
    num_frames : list of int
        Frames of each segment.
    sampling_frequency : float
        In Hz.
    """
    num_units = len(evidence.templates.values)
    members = members_of(evidence, spikes, num_units)
    of_units = (
        _sizes(evidence, spikes, num_frames, sampling_frequency)
        | spike_statistics(evidence, members)
        | component_statistics(evidence, members)
        | _times(evidence, spikes, num_frames, sampling_frequency, members)
        | _left_over(evidence, num_units)
    )
    pairs = _pairs(evidence, spikes, members, of_units, sampling_frequency)
    of_spikes = _spikes(evidence, spikes, num_units, sampling_frequency)
    return Features(of_units, pairs, of_spikes)


def members_of(evidence: Evidence, spikes: np.ndarray, num_units: int) -> list[np.ndarray]:
    """Rows of the judged spikes that belong to each unit."""
    units = spikes["unit_index"][evidence.judged.positions]
    order = np.argsort(units, kind="stable")
    return np.split(order, np.searchsorted(units[order], np.arange(1, num_units)))[:num_units]


def _sizes(evidence, spikes, num_frames, sampling_frequency):
    templates, num_units = evidence.templates, len(evidence.templates.values)
    counts = np.bincount(spikes["unit_index"], minlength=num_units)
    rates = counts / max(sum(num_frames) / sampling_frequency, 1e-9)
    energies = np.sum(templates.values**2, axis=1)
    norms = np.maximum(templates.norms, 1e-9)
    # Noise in the average: as many degrees of freedom as directions times channels.
    noise = len(templates.directions) * (templates.channels >= 0).sum(axis=1) / np.maximum(templates.counts, 1)
    distances = np.minimum(evidence.neighbours.distances[:, 0], np.sqrt(norms))
    return {
        "log_count": np.log1p(counts),
        "log_judged": np.log1p(templates.counts),
        "log_rate": np.log(np.maximum(rates, 1e-3)),
        "log_norm": np.log(norms),
        "log_true_norm": np.log(np.maximum(norms - noise, 1.0)),
        "log_peak": np.log(np.maximum(np.abs(templates.values).max(axis=(1, 2)), 1e-3)),
        "main_energy": energies.max(axis=1) / norms,
        "num_channels": (templates.channels >= 0).sum(axis=1).astype(float),
        "log_distance": np.log(np.maximum(distances, 0.1)),
        "relative_distance": distances / np.sqrt(norms),
    }


def _times(evidence, spikes, num_frames, sampling_frequency, members):
    num_units = len(members)
    trains = trains_of(spikes, num_units)
    counts = np.array([len(train) for train in trains])
    rates = counts / max(sum(num_frames) / sampling_frequency, 1e-9)
    measured, expected = short_intervals(trains, rates, sampling_frequency)
    parts = parts_of_recording(spikes, num_units, num_frames)
    per_part = np.maximum(counts / parts.shape[1], 1e-9)
    trend = np.zeros(num_units)
    for unit, rows in enumerate(members):
        if len(rows) >= FEWEST_FOR_COMPONENTS:
            late = np.argsort(np.argsort(evidence.judged.positions[rows])) >= len(rows) / 2
            amplitudes = evidence.judged.amplitudes[rows]
            trend[unit] = np.abs(np.median(amplitudes[late]) - np.median(amplitudes[~late]))
    found = {
        f"intervals_{edge:g}ms": np.log1p(measured[:, column] / np.maximum(expected[:, column], 1e-4))
        for column, edge in enumerate(INTERVAL_EDGES_MS)
    }
    return found | {
        "share_short": measured[:, INTERVAL_EDGES_MS.index(1.5)],
        "expected_short": np.log1p(counts * expected[:, INTERVAL_EDGES_MS.index(1.5)]),
        "contamination": contamination(measured[:, INTERVAL_EDGES_MS.index(1.5)], rates),
        "presence": (parts > 0).mean(axis=1) / np.maximum(1 - np.exp(-per_part), 1e-3),
        "rate_variation": np.log1p(np.var(parts, axis=1) / per_part),
        "amplitude_trend": trend,
    }


def _left_over(evidence, num_units):
    """Further spikes of each unit that the sorting has left in the traces."""
    events, norms = evidence.events, evidence.templates.norms
    is_spike = (events.sources >= 0) & (events.scores > SPIKE_THRESHOLD)
    sources = events.sources[is_spike]
    is_typical = events.scores[is_spike] > 0.6 * norms[sources]
    missed = np.bincount(sources, minlength=num_units)
    typical = np.bincount(sources[is_typical], minlength=num_units)
    near = np.bincount(events.sources[events.sources >= 0], minlength=num_units)
    read = np.maximum(evidence.num_read, 1)
    return {
        "missed": np.log1p(10 * missed / read),
        "missed_typical": np.log1p(10 * typical / read),
        "left_near": np.log1p(near / read),
        "left_rate": np.log1p(near / max(evidence.duration_s, 1e-9)),
    }


def _pairs(evidence, spikes, members, of_units, sampling_frequency):
    neighbours = evidence.neighbours
    is_there, others = neighbours.units >= 0, np.maximum(neighbours.units, 0)
    own = np.arange(len(others))[:, None]
    norms = np.maximum(evidence.templates.norms, 1e-9)
    fits = _shares_that_fit(evidence, members)
    trains = trains_of(spikes, len(members))
    pairs = pair_coincidences(trains, neighbours.units, sampling_frequency)
    distances = np.where(np.isfinite(neighbours.distances), neighbours.distances, 0)
    values = {
        "distance": np.log(np.maximum(distances, 0.1)),
        "relative_distance": distances / np.sqrt(norms)[:, None],
        "size_ratio": np.log(norms[others] / norms[:, None]),
        "rate_ratio": of_units["log_rate"][others] - of_units["log_rate"][:, None],
        "lag": np.abs(neighbours.lags) / sampling_frequency * 1000,
        "fits_other": _looked_up(fits, own, others, len(others)),
        "other_fits": _looked_up(fits, others, own, len(others)),
        "coincidences": np.log1p(10 * pairs[..., 0]),
        "dip": np.log((pairs[..., 1] + 0.002) / (pairs[..., 2] + 0.002)),
        "expected_pairs": np.log1p(pairs[..., 2] * np.array([len(train) for train in trains])[:, None]),
        "other_misfit": of_units["misfit"][others],
        "other_contamination": of_units["contamination"][others],
        "other_missed": of_units["missed"][others],
        "other_component": of_units["component"][others],
    }
    return {name: np.where(is_there, value, np.nan) for name, value in values.items()}


def _shares_that_fit(evidence, members):
    """Pairs of units as one number each, ascending, and the share of the spikes of the first that fit the second."""
    judged, num_units = evidence.judged, len(members)
    is_doubtful = (judged.scores - judged.other_scores < DOUBTFUL_MARGIN) & (judged.others >= 0)
    codes = [
        unit * num_units + judged.others[rows[is_doubtful[rows]]] for unit, rows in enumerate(members) if len(rows)
    ]
    pairs, counts = np.unique(np.concatenate([*codes, np.zeros(0, int)]), return_counts=True)
    sizes = np.array([max(1, len(rows)) for rows in members])
    return pairs, counts / sizes[pairs // max(1, num_units)]


def _looked_up(fits, first, second, num_units):
    """Share of the spikes of `first` that fit `second` about as well; the two are broadcast."""
    pairs, shares = fits
    codes = first * num_units + second
    if len(pairs) == 0:
        return np.zeros(codes.shape)
    places = np.minimum(np.searchsorted(pairs, codes), len(pairs) - 1)
    return np.where(pairs[places] == codes, shares[places], 0.0)


def _spikes(evidence, spikes, num_units, sampling_frequency):
    judged = evidence.judged
    units = spikes["unit_index"][judged.positions]
    norms = np.maximum(evidence.templates.norms, 1e-9)[units]
    intervals = nearest_own_spike_ms(spikes, num_units, sampling_frequency)[judged.positions]
    margins = judged.scores - np.maximum(judged.other_scores, 0)
    return {
        "score": np.arcsinh(judged.scores / SPIKE_THRESHOLD),
        "score_relative": judged.scores / norms,
        "margin": np.arcsinh(margins / SPIKE_THRESHOLD),
        "margin_relative": margins / norms,
        "amplitude": judged.amplitudes - 1,
        "move": np.abs(judged.moves),
        "misfit": judged.misfits,
        "collision": np.arcsinh(judged.collisions),
        "interval": np.log(np.maximum(intervals, 0.05)),
    }
