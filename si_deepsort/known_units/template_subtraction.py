"""
Find the spikes of known units in noise, overlapping spikes included.

Traces are explained as a sum of known templates in white noise of variance 1. A first pass subtracts greedily. Then
each spike is put back together with a neighbour in time, and the best of no spike, one spike and every pair of spikes
is subtracted instead. Greedy subtraction often explains two overlapping spikes by a wrong large one and a wrong small
one; the exhaustive search over pairs does not.
"""

import numpy as np
import scipy.ndimage
import scipy.signal

from .known_templates import KnownTemplates

# Log likelihood that forbids a second spike of a unit within its refractory period.
FORBIDDEN = 1e6
# Sweeps reconsider a spike with its nearest neighbour, with its second nearest, and with both.
NEIGHBORS = ((0,), (1,), (0, 1))


def find_known_units(
    traces: np.ndarray, known: KnownTemplates, *, log_odds_threshold: float = 0.0, num_sweeps: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Find the spikes of known units: the most likely explanation of the traces that a search finds.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float
        In units of white noise of variance 1, as the templates.
    known : KnownTemplates
    log_odds_threshold : float, default: 0.0
        A spike must raise the log likelihood, prior included, by more than this.
    num_sweeps : int, default: 3
        How often all spikes are reconsidered, each time with other neighbours.

    Returns
    -------
    starts : np.ndarray, shape (num_spikes,), int
        Frame of the first sample of each template, sorted.
    unit_indices : np.ndarray, shape (num_spikes,), int
    log_odds : np.ndarray, shape (num_spikes,), float
        Loss of log likelihood, prior included, without the spike.
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

    # Frames around a spike in which it is reconsidered: 2.4 ms at 25 kHz, about a template.
    SEARCH_FRAMES = 61
    # Largest number of units times frames in a search, and of those that are compared in pairs; they bound the memory
    # and the time.
    MAX_PLACES, MAX_PAIRED = 3000, 400
    # Spikes before and after a spike, in order of time, among which its neighbours are looked for.
    NEAREST_SPIKES = 4

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
        added: list[tuple[int, int]] = []
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
            before = [spike for other in taken if (spike := current[other]) is not None]
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
            for other in range(max(0, index - self.NEAREST_SPIKES), min(len(current), index + self.NEAREST_SPIKES + 1))
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
