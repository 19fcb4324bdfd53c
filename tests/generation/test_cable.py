"""Templates of neurons with dendrites: laws of cable theory."""

import numpy as np
import pytest

from si_deepsort.generation import GenerationSettings, cable_templates, named_probe

LOCATIONS = named_probe("linear32").contact_positions


def templates(num_units=30, seed=0, **values):
    settings = GenerationSettings(num_units=num_units, amplitude_min_uV=50.0, amplitude_max_uV=200.0, **values)
    return cable_templates(LOCATIONS, settings, np.random.default_rng(seed))


@pytest.mark.parametrize("sampling_frequency", [10_000.0, 30_000.0])
def test_the_peak_lies_where_it_is_said_to_and_has_a_size_in_the_range(sampling_frequency):
    found, nbefore = templates(sampling_frequency=sampling_frequency)
    sizes = np.abs(found).max(axis=2)
    np.testing.assert_array_equal(sizes.argmax(axis=1), nbefore)
    assert (sizes.max(axis=1) >= 50).all() and (sizes.max(axis=1) <= 200.001).all()


def test_most_spikes_begin_with_a_sink_and_many_are_seen_far_away_with_the_other_sign():
    found, nbefore = templates(60)
    peaks = found[:, nbefore]
    main = np.abs(peaks).argmax(axis=1)
    signs = np.sign(peaks[np.arange(len(found)), main])
    far = np.abs(LOCATIONS[main, None, 1] - LOCATIONS[None, :, 1]) > 100
    returning = (-signs[:, None, None] * found * far[:, None]).max(axis=(1, 2))
    assert (signs < 0).mean() > 0.7
    assert (returning > 0.1 * np.abs(peaks).max(axis=1)).mean() > 0.3


def test_current_that_enters_leaves_again():
    """From far away, sources and sinks cancel: the potential falls faster than that of a single current."""
    settings = GenerationSettings(num_units=1, amplitude_min_uV=1.0, amplitude_max_uV=1.0)
    near_um, far_um = 2000.0, 8000.0
    locations = np.array([[0.0, 0.0], [near_um, 0.0], [far_um, 0.0]])

    class Rng:
        """Somata at the first contact."""

        def __init__(self):
            self.rng = np.random.default_rng(0)

        def __getattr__(self, name):
            return getattr(self.rng, name)

        def uniform(self, low, high, *args):
            return np.array([5.0, 5.0]) if np.size(low) == 2 else self.rng.uniform(low, high, *args)

    found, _ = cable_templates(locations, settings, Rng())
    near, far = np.abs(found[0, :, 1:]).max(axis=0)
    assert near / far > 3 * far_um / near_um


def test_no_units_and_one_contact_do_no_harm():
    assert templates(0)[0].shape[0] == 0
    settings = GenerationSettings(num_units=3)
    assert cable_templates(np.zeros((1, 2)), settings, np.random.default_rng(0))[0].shape[2] == 1
