"""Templates are correlated with traces by PyTorch as by the compiled code, and the same spikes are found."""

import numpy as np
import pytest
import torch

from si_deepsort.sorter.matching import on_device
from si_deepsort.sorter.matching.correlate import make_matched_filters
from si_deepsort.sorter.matching.on_device import MatchedFiltersOnDevice, filters_on_device
from si_deepsort.sorter.matching.overlaps import make_template_overlaps
from si_deepsort.sorter.matching.pursuit import pursue_spikes

CPU = torch.device("cpu")
# Largest difference of correlations, relative to the norm of the template: their standard deviation in noise.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def templates():
    """Smooth templates on neighbouring channels, and one unit that is visible nowhere."""
    rng, times = np.random.default_rng(0), np.arange(60)
    result = np.zeros((7, 60, 10), dtype="float32")
    for unit, channel in enumerate([5, 0, 8, 3, 3, 6]):
        shape = 12 * np.exp(-(((times - 20) / (3 + unit)) ** 2)) - 5 * np.exp(-(((times - 35) / 8) ** 2))
        result[unit, :, channel : channel + 2] = shape[:, None] * rng.uniform(0.3, 1.0, 2)
    return result


@pytest.fixture(scope="module")
def traces(templates):
    rng = np.random.default_rng(1)
    noisy = rng.standard_normal((12_345, 10)).astype("float32")
    for unit, frame in zip(rng.integers(0, 6, 60), rng.integers(0, 12_000, 60), strict=True):
        noisy[frame : frame + 60] += templates[unit]
    return noisy


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("num_frames", [60, 1234, 12_345])
@pytest.mark.parametrize("num_parts", [1, 4])
def test_correlations_are_the_same(templates, traces, stride, num_frames, num_parts, monkeypatch):
    monkeypatch.setattr(on_device, "UNITS_AT_ONCE", 3)
    filters = make_matched_filters(templates, stride)
    own = MatchedFiltersOnDevice(filters, CPU)
    own.step.num_parts = num_parts
    expected, found = filters.correlate(traces[:num_frames]), own.correlate(traces[:num_frames])
    assert found.shape == expected.shape and found.dtype == expected.dtype and found.flags.c_contiguous
    scale = np.maximum(np.sqrt(filters.norms), 1.0)[:, None]
    np.testing.assert_allclose(found / scale, expected / scale, atol=TOLERANCE)


def test_spikes_are_the_same(templates, traces, caplog):
    filters, overlaps = make_matched_filters(templates, 2), make_template_overlaps(templates, 2)
    values = dict(thresholds=np.full(7, 18.0), amplitude_variance=0.02, refractory_frames=10)
    expected, found = (
        pursue_spikes(traces, own, overlaps, **values) for own in (filters, filters_on_device(filters, "torch-cpu"))
    )
    assert len(expected[0]) > 40 and not caplog.records
    for one, other in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(found[2], expected[2], atol=1e-3)


def test_compiled_code_is_the_default(templates):
    filters = make_matched_filters(templates)
    assert filters_on_device(filters, "cpu") is filters


def test_no_unit_is_visible(traces):
    filters = make_matched_filters(np.zeros((2, 60, 10), dtype="float32"))
    assert not MatchedFiltersOnDevice(filters, CPU).correlate(traces).any()


def test_without_a_device_the_cpu_goes_on(templates, traces, monkeypatch, caplog):
    filters = make_matched_filters(templates)
    own = filters_on_device(filters, "torch-cpu")

    def failing(*_):
        raise RuntimeError("device lost")

    monkeypatch.setattr(on_device, "real_transform_back", failing)
    np.testing.assert_array_equal(own.correlate(traces), filters.correlate(traces))
    assert "matching continues on the CPU" in caplog.text


def test_all_numbers_are_on_the_device(templates, traces):
    """Tensors of the device "meta" hold no numbers; together with numbers on the CPU they are refused."""
    own = MatchedFiltersOnDevice(make_matched_filters(templates), torch.device("meta"))
    assert len(own._correlate(own.step.send(traces))) == len(templates)
