"""Templates of known units: fit them to labelled traces, and prepare what a search for their spikes needs."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

# Firing rates in Hz below this are taken for it, so that a unit without spikes stays possible.
LOWEST_RATE_HZ = 0.01
# Ridge of the least squares, in spikes: it matters only where spikes always overlap in the same way.
RIDGE = 0.1


@dataclass(frozen=True)
class KnownTemplates:
    """
    Templates of known units with all that depends on them alone; made by `know_templates`.

    Attributes
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
        In white noise of variance 1.
    overlaps : np.ndarray, shape (num_units, num_units, 2 * num_samples - 1), float32
        Scalar product of unit k, d samples later, with unit j, at [k, j, d + num_samples - 1].
    log_prior_odds : np.ndarray, shape (num_units,), float32
        Log odds of a spike at a sample before the traces are seen.
    refractory_frames : int
        A unit is not found twice in fewer frames.
    """

    templates: np.ndarray
    overlaps: np.ndarray
    log_prior_odds: np.ndarray
    refractory_frames: int

    @property
    def num_units(self) -> int:
        """Number of units."""
        return len(self.templates)

    @property
    def num_samples(self) -> int:
        """Number of samples of a template."""
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
    odds = np.maximum(np.asarray(rates, dtype=float), LOWEST_RATE_HZ) / sampling_frequency
    refractory_frames = max(1, round(refractory_ms * sampling_frequency / 1000))
    return KnownTemplates(templates, overlaps, np.log(odds).astype("float32"), refractory_frames)


def fit_templates(
    traces: np.ndarray, frames: np.ndarray, unit_indices: np.ndarray, num_units: int, *, nbefore: int, nafter: int
) -> np.ndarray:
    """
    Fit templates by least squares over the whole recording, so that overlapping spikes do not smear each other.

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
    normal += RIDGE * np.eye(len(normal))
    solution = scipy.linalg.solve(normal, sums.reshape(num_units * num_samples, -1), assume_a="pos")
    return solution.reshape(sums.shape).astype("float32")
