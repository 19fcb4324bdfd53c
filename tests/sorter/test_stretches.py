"""The stretches of a long recording from which units are learnt."""

from itertools import pairwise

import numpy as np
import pytest
import spikeinterface.core as si
from small_recording import SAMPLING_FREQUENCY, line_probe, small_traces
from spikeinterface.core.base import minimum_spike_dtype

from si_deepsort.sorter.stretches import inside_stretches, join_stretches, spread_stretches, times_in_recording

LENGTHS_S = (7.0, 0.4, 3.3)


@pytest.fixture(scope="module")
def recording():
    parts = [
        small_traces(duration_s=duration_s, num_units=0, seed=seed)[0] for seed, duration_s in enumerate(LENGTHS_S)
    ]
    recording = si.NumpyRecording(parts, SAMPLING_FREQUENCY)
    recording.set_probe(line_probe(4))
    return recording


@pytest.fixture(scope="module")
def events(recording):
    rng = np.random.default_rng(0)
    events = np.zeros(3000, dtype=minimum_spike_dtype)
    events["segment_index"] = np.sort(rng.integers(0, 3, len(events)))
    lengths = np.array([recording.get_num_frames(index) for index in range(3)])
    events["sample_index"] = rng.integers(0, lengths[events["segment_index"]])
    return np.sort(events, order=["segment_index", "sample_index"])


def test_a_short_recording_is_learnt_as_a_whole(recording, events):
    stretches = spread_stretches(recording, recording.get_total_duration())
    assert stretches is None
    assert join_stretches(recording, stretches) is recording
    inside, positions = inside_stretches(events, stretches)
    np.testing.assert_array_equal(inside, events)
    np.testing.assert_array_equal(positions, np.arange(len(events)))


@pytest.mark.parametrize("most_s", [2.0, 5.0, 9.0])
def test_joined_stretches_hold_the_traces_and_the_events_of_the_recording(recording, events, most_s):
    stretches = spread_stretches(recording, most_s)
    joined = join_stretches(recording, stretches)
    assert joined.get_num_segments() == len(stretches)
    assert 0.5 * most_s < joined.get_total_duration() <= most_s
    inside, positions = inside_stretches(events, stretches)
    assert 0 < len(inside) < len(events)
    for event, original in zip(inside[::50], events[positions][::50], strict=True):
        segment, frame = int(event["segment_index"]), int(event["sample_index"])
        traces = joined.get_traces(segment_index=segment, start_frame=frame, end_frame=frame + 1)
        frame = int(original["sample_index"])
        expected = recording.get_traces(
            segment_index=int(original["segment_index"]), start_frame=frame, end_frame=frame + 1
        )
        np.testing.assert_array_equal(traces, expected)
    np.testing.assert_allclose(
        times_in_recording(inside, stretches, recording), times_in_recording(events, None, recording)[positions]
    )


def test_stretches_are_apart_and_spread_over_the_recording(recording):
    stretches = spread_stretches(recording, 5.0)
    for (segment, _, stop), (next_segment, start, _) in pairwise(stretches):
        assert segment < next_segment or stop < start
    assert stretches[0][:2] == (0, 0)
    assert stretches[-1][0] == 2 and stretches[-1][2] == recording.get_num_frames(2)
