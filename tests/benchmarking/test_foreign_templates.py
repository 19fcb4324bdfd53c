"""Templates of benchmarks that no step of the sorter was made from."""

import numpy as np
import pytest
from probeinterface import generate_linear_probe, generate_multi_columns_probe

from si_deepsort.benchmarking.foreign_templates import foreign_templates
from si_deepsort.benchmarking.templates import biophysical_templates, data_folder


@pytest.mark.parametrize(
    "probe", [generate_linear_probe(8, ypitch=25.0), generate_multi_columns_probe(2, 48, xpitch=32.0, ypitch=15.0)]
)
def test_templates_of_any_probe_are_large_enough_and_the_same_for_a_seed(probe):
    units = foreign_templates(probe, 60, seed=1)
    num_contacts = len(probe.contact_positions)
    assert units.templates_uV.shape[0] == 60 and units.templates_uV.shape[2] == num_contacts
    peaks = np.abs(units.templates_uV).max(axis=(1, 2))
    assert peaks.min() > 15 and peaks.max() < 400
    assert np.array_equal(units.templates_uV, foreign_templates(probe, 60, seed=1).templates_uV)
    assert not np.array_equal(units.templates_uV, foreign_templates(probe, 60, seed=2).templates_uV)


@pytest.mark.skipif(data_folder() is None, reason="the biophysical templates are not here")
def test_biophysical_units_keep_their_shape_on_a_longer_probe():
    probe = generate_multi_columns_probe(2, 192, xpitch=32.0, ypitch=15.0)
    units = foreign_templates(probe, 100, seed=0)
    assert units.origin == "biophysical"
    stored = biophysical_templates("neuropixels2_64", 48, np.random.default_rng(0), drift=False).templates_uV
    shapes = normalized(stored)
    for waveform in normalized(units.templates_uV):
        assert np.abs(shapes - waveform).max(axis=1).min() < 1e-4


def normalized(templates):
    """Waveform on the main channel, with a largest deflection of 1."""
    main = np.ptp(templates, axis=1).argmax(axis=1)
    waveforms = templates[np.arange(len(templates)), :, main]
    return waveforms / np.abs(waveforms).max(axis=1, keepdims=True)
