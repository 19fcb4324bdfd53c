"""
Known units in a noisy recording: which of them fired when, overlaps included.

Traces are explained as a sum of known templates in white noise of variance 1. A first pass subtracts greedily; then
each spike is taken out again, together with a near neighbour, and the best of nothing, one spike and every pair of
spikes is put back. Greedy subtraction alone often explains two overlapping spikes by one wrong large one and one
wrong small one; the exhaustive search over pairs does not.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.ndimage
import scipy.signal

# Log likelihood that forbids a second spike of a unit within its refractory period.
FORBIDDEN = 1e6
# Second thoughts: a spike is reconsidered with its nearest neighbour, with the one after it, and with both.
NEIGHBORS = ((0,), (1,), (0, 1))


@dataclass(frozen=True)
class KnownTemplates:
    """
    Templates of known units and all that depends on them alone; made by `know_templates`.

    Attributes
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
        In white noise of variance 1.
    overlaps : np.ndarray, shape (num_units, num_units, 2 * num_samples - 1), float32
        Scalar product of unit k, d samples later, with unit j, at [k, j, d + num_samples - 1].
    log_prior_odds : np.ndarray, shape (num_units,), float32
        Of a spike at a sample, before the traces are seen.
    refractory_frames : int
        A unit is not found twice in fewer frames.
    """

    templates: np.ndarray
    overlaps: np.ndarray
    log_prior_odds: np.ndarray
    refractory_frames: int

    @property
    def num_units(self) -> int:
        """How many units."""
        return len(self.templates)

    @property
    def num_samples(self) -> int:
        """Samples of a template."""
        return self.templates.shape[1]

    @property
    def energies(self) -> np.ndarray:
        """Squared norm of each template, shape (num_units,)."""
        return np.einsum("ust,ust->u", self.templates, self.templates)


def know_templates(
    templates: np.ndarray, *, rates: np.ndarray, sampling_frequency: float, refractory_ms: float = 1.5
) -> KnownTemplates:
    """
    Prepare templates for `find_known_units`.

    Parameters
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float
        In units of white noise of variance 1.
    rates : np.ndarray, shape (num_units,), float
        Firing rates in Hz.
    sampling_frequency : float
        In Hz.
    refractory_ms : float, default: 1.5
        Shortest interval between two spikes of a unit.

    Returns
    -------
    KnownTemplates
    """
    templates = np.asarray(templates, dtype="float32")
    num_units = len(templates)
    overlaps = np.zeros((num_units, num_units, 2 * templates.shape[1] - 1), dtype="float32")
    for k in range(num_units):
        for j in range(num_units):
            for channel in range(templates.shape[2]):
                overlaps[k, j] += np.correlate(templates[j, :, channel], templates[k, :, channel], "full")
    odds = np.maximum(np.asarray(rates, dtype=float), 0.01) / sampling_frequency
    refractory_frames = max(1, round(refractory_ms * sampling_frequency / 1000))
    return KnownTemplates(templates, overlaps, np.log(odds).astype("float32"), refractory_frames)


def fit_templates(
    traces: np.ndarray, frames: np.ndarray, unit_indices: np.ndarray, num_units: int, *, nbefore: int, nafter: int
) -> np.ndarray:
    """
    Templates by least squares over the whole recording, so that overlapping spikes do not smear each other.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
    frames, unit_indices : np.ndarray, shape (num_spikes,), int
    num_units : int
    nbefore, nafter : int
        Samples of a template before and from its frame on.

    Returns
    -------
    np.ndarray, shape (num_units, nbefore + nafter, num_channels), float32
        Zeros for a unit without spikes inside the traces.
    """
    num_samples = nbefore + nafter
    inside = (frames >= nbefore) & (frames + nafter <= len(traces))
    starts, unit_indices = np.asarray(frames)[inside] - nbefore, np.asarray(unit_indices)[inside]
    order = np.argsort(starts, kind="stable")
    starts, unit_indices = starts[order], unit_indices[order]
    sums = np.zeros((num_units, num_samples, traces.shape[1]))
    np.add.at(sums, unit_indices, traces[starts[:, None] + np.arange(num_samples)])
    # counts[k, j, d]: pairs of a spike of k and a spike of j that starts d frames later
    counts = np.zeros((num_units, num_units, 2 * num_samples - 1))
    for step in range(len(starts)):
        lags = starts[step:] - starts[: len(starts) - step]
        near = lags < num_samples
        if not near.any():
            break
        first, second = unit_indices[: len(starts) - step][near], unit_indices[step:][near]
        np.add.at(counts, (first, second, lags[near] + num_samples - 1), 1)
        if step > 0:
            np.add.at(counts, (second, first, num_samples - 1 - lags[near]), 1)
    rows = np.arange(num_samples)
    lags = rows[:, None] - rows[None] + num_samples - 1
    normal = np.concatenate(
        [np.concatenate([counts[k, j][lags] for j in range(num_units)], axis=1) for k in range(num_units)]
    )
    normal += 0.1 * np.eye(len(normal))
    solution = scipy.linalg.solve(normal, sums.reshape(num_units * num_samples, -1), assume_a="pos")
    return solution.reshape(sums.shape).astype("float32")


def find_known_units(
    traces: np.ndarray, known: KnownTemplates, *, log_odds_threshold: float = 0.0, num_sweeps: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Spikes of known units, the most likely explanation of the traces that was found.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
        In units of white noise of variance 1, as the templates.
    known : KnownTemplates
    log_odds_threshold : float, default: 0.0
        A spike must raise the log likelihood, prior included, by more than this.
    num_sweeps : int, default: 3
        Second thoughts over all spikes, each sweep with other neighbours.

    Returns
    -------
    starts : np.ndarray, shape (num_spikes,), int
        Frame of the first sample of each template, sorted.
    unit_indices : np.ndarray, shape (num_spikes,), int
    log_odds : np.ndarray, shape (num_spikes,), float
        What the log likelihood, prior included, loses without the spike.
    """
    if len(traces) < known.num_samples or known.num_units == 0:
        return np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros(0)
    explanation = _Explanation(traces, known, log_odds_threshold)
    spikes = explanation.add_greedily()
    costs = explanation.pair_costs()
    for sweep in range(num_sweeps):
        spikes = explanation.reconsider(sorted(spikes), costs, NEIGHBORS[sweep % len(NEIGHBORS)])
        spikes += explanation.add_greedily()
    spikes = sorted(spikes)
    gains = np.array([explanation.gain(*spike) for spike in spikes]) + log_odds_threshold
    starts, unit_indices = np.array(spikes, dtype=int).reshape(-1, 2).T
    return starts, unit_indices, gains


class _Explanation:
    """Log odds of one more spike of each unit at each frame, given the spikes that were subtracted so far."""

    SEARCH_FRAMES = 61
    MAX_PLACES = 3000  # bounds the memory of the pair search
    MAX_PAIRED = 400  # places of the pair search that are compared, the best ones

    def __init__(self, traces, known: KnownTemplates, log_odds_threshold: float):
        self.known = known
        self.energies = known.energies
        fits = [
            sum(
                scipy.signal.oaconvolve(traces[:, channel], template[::-1, channel], mode="valid")
                for channel in range(traces.shape[1])
            )
            for template in known.templates
        ]
        start = known.log_prior_odds - 0.5 * self.energies - log_odds_threshold
        self.odds = np.stack(fits).astype("float64") + start[:, None]
        largest = max(1, self.MAX_PLACES // known.num_units)
        self.search_frames = min(self.SEARCH_FRAMES, largest, self.odds.shape[1])

    def change(self, start: int, unit: int, sign: int):
        """Subtract a spike (sign -1) or put its energy back (sign +1)."""
        num_samples, refractory = self.known.num_samples, self.known.refractory_frames
        first, last = max(0, start - num_samples + 1), min(self.odds.shape[1], start + num_samples)
        offset = num_samples - 1 - start
        self.odds[:, first:last] += sign * self.known.overlaps[:, unit, first + offset : last + offset]
        self.odds[unit, max(0, start - refractory + 1) : start + refractory] += sign * FORBIDDEN

    def gain(self, start: int, unit: int) -> float:
        """Log odds of a spike that is subtracted now."""
        return self.odds[unit, start] + FORBIDDEN + self.energies[unit]

    def add_greedily(self) -> list[tuple[int, int]]:
        """Subtract the best spike of each stretch until none is left that is worth it."""
        added = []
        reach = self.known.num_samples
        while True:
            best = self.odds.max(axis=0)
            if not (best > 0).any():
                return added
            highest = scipy.ndimage.maximum_filter1d(best, 2 * reach + 1)
            starts = np.flatnonzero((best == highest) & (best > 0))
            starts = starts[np.diff(starts, prepend=-2 * reach) > reach]
            for start, unit in zip(starts.tolist(), self.odds[:, starts].argmax(axis=0).tolist(), strict=True):
                self.change(start, unit, -1)
                added.append((start, unit))

    def pair_costs(self) -> np.ndarray:
        """What two spikes lose by overlapping, for all places (unit, frame) of a search; shape (places, places)."""
        frames = np.arange(self.search_frames)
        lags = frames[:, None] - frames[None]
        inside = np.abs(lags) < self.known.num_samples
        columns = np.clip(lags + self.known.num_samples - 1, 0, 2 * self.known.num_samples - 2)
        costs = np.where(inside, self.known.overlaps[:, :, columns], 0.0)
        is_refractory = np.abs(lags) < self.known.refractory_frames
        for unit in range(self.known.num_units):
            costs[unit, unit][is_refractory] = FORBIDDEN
        size = self.known.num_units * self.search_frames
        return costs.transpose(0, 2, 1, 3).reshape(size, size).astype("float32")

    def reconsider(self, spikes, costs, neighbors: tuple[int, ...]) -> list[tuple[int, int]]:
        """Replace each spike and its nearest neighbours of these ranks by at most two others that explain more."""
        current: list[tuple[int, int] | None] = list(spikes)
        extra = []
        for index in range(len(current)):
            near = self._neighbors(current, index) if current[index] else []
            if current[index] is None or (len(near) <= max(neighbors) and neighbors != (0,)):
                continue
            taken = [index, *(near[rank] for rank in neighbors if rank < len(near))]
            before = [current[other] for other in taken]
            value_before = 0.0
            for spike in before:
                self.change(*spike, +1)
                value_before += self.odds[spike[1], spike[0]]
            found, value = self._best_explanation(before, costs)
            if value <= value_before:
                found = sorted(before)
            for spike in found:
                self.change(*spike, -1)
            for other in taken:
                current[other] = None
            for other, spike in zip(sorted(taken), found, strict=False):
                current[other] = spike
            extra += found[len(taken) :]
        return [spike for spike in current if spike is not None] + extra

    def _neighbors(self, current, index) -> list[int]:
        start = current[index][0]
        near = [
            other
            for other in range(max(0, index - 4), min(len(current), index + 5))
            if other != index and current[other] and abs(current[other][0] - start) < self.search_frames // 2
        ]
        return sorted(near, key=lambda other: abs(current[other][0] - start))

    def _best_explanation(self, spikes, costs) -> tuple[list[tuple[int, int]], float]:
        """The best of nothing, one and two spikes around where some spikes were, and its log odds."""
        middle = sum(start for start, _ in spikes) // len(spikes)
        first = min(max(0, middle - self.search_frames // 2), self.odds.shape[1] - self.search_frames)
        odds = self.odds[:, first : first + self.search_frames].ravel()
        places = np.arange(len(odds))
        if len(odds) > self.MAX_PAIRED:
            places = np.argpartition(odds, -self.MAX_PAIRED)[-self.MAX_PAIRED :]
            costs = costs[np.ix_(places, places)]
        single = odds[places]
        pairs = single[:, None] + single[None] - costs
        best_pair, best_single = int(pairs.argmax()), int(single.argmax())
        value = float(max(pairs.flat[best_pair], single[best_single]))
        if value <= 0:
            return [], 0.0
        chosen = [best_single]
        if pairs.flat[best_pair] > single[best_single]:
            chosen = list(divmod(best_pair, len(single)))
        found = [divmod(int(places[place]), self.search_frames) for place in chosen]
        return sorted((first + frame, unit) for unit, frame in found), value
