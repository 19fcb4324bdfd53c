"""The common reference is that of SpikeInterface, for each shank with many channels."""

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from probeinterface import generate_multi_shank

from si_deepsort.preprocessing.reference import common_reference, subtract_medians


def make(num_channels, dtype="int16"):
    traces = 300 + 40 * np.random.default_rng(0).standard_normal((8000, num_channels))
    return si.NumpyRecording([traces.astype(dtype)], 20_000.0)


@pytest.mark.parametrize("num_channels", [1, 4, 5])
def test_the_median_is_that_of_spikeinterface(num_channels):
    recording = make(num_channels, dtype="float32")
    expected = spre.common_reference(recording, operator="median").get_traces()
    np.testing.assert_allclose(
        subtract_medians(recording, groups=[range(num_channels)]).get_traces(), expected, atol=1e-3
    )


def test_groups_have_medians_of_their_own_and_other_channels_stay():
    recording = make(7)
    traces = recording.get_traces().astype("float32")
    found = subtract_medians(recording, groups=[[0, 2, 4], [1, 3]])
    assert found.get_dtype() == np.float32
    expected = traces.copy()
    for group in ([0, 2, 4], [1, 3]):
        expected[:, group] -= np.median(traces[:, group], axis=1)[:, None]
    np.testing.assert_allclose(found.get_traces(), expected)
    np.testing.assert_allclose(found.get_traces(channel_ids=[6, 2]), expected[:, [6, 2]])


def test_only_shanks_with_many_channels_are_referenced():
    recording = make(36)
    probe = generate_multi_shank(num_shank=1, num_columns=1, num_contact_per_column=36)
    probe.set_shank_ids(["a"] * 32 + ["b"] * 4)
    probe.set_device_channel_indices(range(36))
    recording.set_probe(probe)
    traces, found = recording.get_traces(), common_reference(recording).get_traces()
    np.testing.assert_array_equal(found[:, 32:], traces[:, 32:])
    np.testing.assert_allclose(np.median(found[:, :32], axis=1), 0, atol=1e-3)
