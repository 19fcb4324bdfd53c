"""Prior odds in matching: a unit that fires rarely does not take the spikes of a similar one that fires often."""

import itertools

import numpy as np
from small_recording import unit_templates

from si_deepsort.sorter.matching.correlate import make_matched_filters
from si_deepsort.sorter.matching.overlaps import make_template_overlaps
from si_deepsort.sorter.matching.prior_odds import prior_costs_of
from si_deepsort.sorter.matching.pursuit import pursue_spikes

NUM_CHANNELS = 4
TEMPLATES, _ = unit_templates(3, NUM_CHANNELS, amplitude_uV=12.0)


def test_what_fits_two_units_is_of_the_one_that_fires_more():
    """Halfway between two templates the score is the same for both; what is nearer to one of them stays its spike."""
    similar = 0.8 * TEMPLATES[0] + 0.35 * TEMPLATES[1]
    similar *= np.linalg.norm(TEMPLATES[0]) / np.linalg.norm(similar)
    templates = np.stack([TEMPLATES[0], similar]).astype("float32")
    costs = prior_costs_of(np.array([5, 500]), duration_s=100.0)
    apart = np.sum((templates[0] - templates[1]) ** 2)
    assert 0 < costs[0] - costs[1] < apart
    for stride, rare_fires_more in itertools.product([1, 2], [False, True]):
        own = costs[::-1] if rare_fires_more else costs
        for weight, expected in ((0.0, 0), (0.5, 0 if rare_fires_more else 1), (1.0, 1)):
            traces = np.zeros((4000, NUM_CHANNELS), dtype="float32")
            traces[1000 : 1000 + len(templates[0])] = (1 - weight) * templates[0] + weight * templates[1]
            _, units, _, _ = pursue_spikes(
                traces,
                make_matched_filters(templates, stride),
                make_template_overlaps(templates, stride),
                thresholds=np.full(2, 18.0),
                amplitude_variance=0.02,
                refractory_frames=10,
                prior_costs=own,
            )
            assert units.tolist() == [expected], (stride, rare_fires_more, weight)


def test_threshold_of_a_unit_is_its_prior_odds():
    rates = np.array([0.1, 1.0, 3.7, 50.0])
    costs = prior_costs_of(rates * 1000 - 1, duration_s=1000.0)
    np.testing.assert_allclose(18 + costs, 2 * np.log(30000 / rates), atol=0.01)
