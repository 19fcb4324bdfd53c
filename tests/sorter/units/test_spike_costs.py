"""Costs of explaining windows: those of the definition, however they are computed."""

import numpy as np
import pytest

from si_deepsort.sorter.matching.overlaps import make_template_overlaps
from si_deepsort.sorter.units.spike_costs import (
    DELAY_PRECISION,
    best_pairs,
    make_spike_shapes,
    spike_costs,
    subtract_spikes,
)

NUM_SAMPLES, NUM_CHANNELS, NUM_FRAMES = 20, 6, 45
PRIORS = dict(threshold=18.0, amplitude_variance=0.02)


def scene(seed):
    """Smooth templates on some channels, and windows of noise."""
    rng = np.random.default_rng(seed)
    waves = np.hanning(NUM_SAMPLES)[:, None] * np.sin(
        np.arange(NUM_SAMPLES)[:, None] / 3 + rng.uniform(0, 6, (4, 1, 1))
    )
    templates = (waves * rng.normal(size=(4, 1, NUM_CHANNELS)) * 5).astype("float32")
    templates[0, :, 4:] = templates[1, :, :3] = 0
    return rng, templates, rng.normal(size=(5, NUM_FRAMES, NUM_CHANNELS)).astype("float32")


def placed(template, frame):
    """A template in an empty window."""
    window = np.zeros((NUM_FRAMES + 4 * NUM_SAMPLES, NUM_CHANNELS))
    window[2 * NUM_SAMPLES + frame :][:NUM_SAMPLES] = template
    return window[2 * NUM_SAMPLES : -2 * NUM_SAMPLES].ravel()


@pytest.mark.parametrize("seed", range(5))
def test_costs_are_those_of_the_best_amplitudes_and_delays(seed):
    rng, templates, windows = scene(seed)
    owners, units = rng.integers(0, 4, 12), rng.integers(0, 4, 12)  # the last window has no spike
    frames = rng.integers(-NUM_SAMPLES - 3, NUM_FRAMES + 3, 12)
    before = windows.copy()
    found = spike_costs(windows.transpose(0, 2, 1), owners, frames, units, make_spike_shapes(templates), **PRIORS)
    np.testing.assert_array_equal(windows, before)
    for window in range(5):
        is_own = (owners == window) & (frames > -NUM_SAMPLES) & (frames < NUM_FRAMES)
        own = list(zip(units[is_own], frames[is_own], strict=True))
        shapes = [placed(templates[unit], frame) for unit, frame in own]
        slopes = [placed(np.gradient(templates[unit], axis=0), frame) for unit, frame in own]
        residual = windows[window].ravel() - sum(shapes, np.zeros(NUM_FRAMES * NUM_CHANNELS))
        # The priors are further observations: amplitudes are near 1 and delays near 0.
        design = np.array([*shapes, *slopes]).reshape(2 * len(own), NUM_FRAMES * NUM_CHANNELS).T
        priors = np.diag(np.sqrt(np.repeat([1 / 0.02, DELAY_PRECISION], len(own))))
        extended, target = np.concatenate([design, priors]), np.concatenate([residual, np.zeros(2 * len(own))])
        best = np.linalg.lstsq(extended, target)[0]
        expected = np.sum((target - extended @ best) ** 2) + 18.0 * len(own)
        np.testing.assert_allclose(found[window], expected, rtol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_best_pair_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    num_units, num_places, precision = 4, 9, 50.0
    correlations = (30 * rng.normal(size=(6, num_units, num_places))).astype("float32")
    norms = rng.uniform(100, 400, num_units).astype("float32")
    largest = np.sqrt(np.multiply.outer(norms, norms))[:, :, None]
    overlaps = (largest * rng.uniform(-0.99, 0.99, (num_units, num_units, 2 * num_places - 1))).astype("float32")
    found = best_pairs(correlations, norms, overlaps, np.float32(precision))
    for window, (one, place, other, later) in enumerate(found):

        def gain(one, place, other, later, window=window):
            shared = float(overlaps[one, other, num_places - 1 + later - place])
            gram = np.array([[norms[one], shared], [shared, norms[other]]], dtype=float) + precision * np.eye(2)
            fits = correlations[window, [one, other], [place, later]].astype(float) + precision
            is_sure = np.linalg.det(gram) > 0.05 * gram[0, 0] * gram[1, 1]
            return fits @ np.linalg.solve(gram, fits) if is_sure else 0.0

        pairs = [(i, j) for i in range(num_units) for j in range(i + 1, num_units)]
        gains = [gain(i, p, j, q) for i, j in pairs for p in range(num_places) for q in range(num_places)]
        np.testing.assert_allclose(gain(one, place, other, later), max(gains), rtol=1e-5)


def test_windows_without_a_pair_have_none():
    found = best_pairs(np.zeros((2, 1, 5), "float32"), np.ones(1, "float32"), np.zeros((1, 1, 9), "float32"), 50.0)
    assert found.tolist() == [[-1] * 4] * 2


def test_subtracted_spikes_leave_the_correlations_of_the_rest():
    rng, templates, windows = scene(0)
    first_place, num_places = 8, 15
    places = np.arange(first_place, first_place + num_places)

    def correlated(windows):
        stretches = np.stack([windows[:, place : place + NUM_SAMPLES] for place in places], axis=1)
        return np.einsum("wpsc,usc->wup", stretches, templates)

    owners, units = rng.integers(0, 5, 20), rng.integers(0, 4, 20)
    frames = rng.integers(-NUM_SAMPLES - 3, NUM_FRAMES + 3, 20)
    rest = windows.copy()
    for window, frame, unit in zip(owners, frames, units, strict=True):
        rest[window] -= placed(templates[unit], frame).reshape(NUM_FRAMES, NUM_CHANNELS)
    found = correlated(windows)
    shared = make_template_overlaps(templates)
    spikes = owners, frames, units
    subtract_spikes(found, first_place, *spikes, shared.starts, shared.units, shared.values, shared.num_lags)
    np.testing.assert_allclose(found, correlated(rest), atol=0.3 * np.linalg.norm(templates, axis=(1, 2)).max())
