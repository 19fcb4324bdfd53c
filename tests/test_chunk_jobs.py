"""Jobs over chunks: threads give what SpikeInterface's workers give, in order, and only where they are asked for."""

import threading

import numpy as np
import pytest
from spikeinterface.core import generate_recording
from spikeinterface.core.base import base_peak_dtype
from spikeinterface.core.node_pipeline import PeakDetector

from si_deepsort.chunk_jobs import run_node, run_over_chunks
from si_deepsort.threads import threads

# No multiple of a chunk, in s.
DURATIONS_S = [2.3, 1.1]


class LargeFrames(PeakDetector):
    """Frames that exceed a threshold on the first channel, and the threads that found them."""

    name = "large frames"
    need_noise_levels = False
    _compute_has_extended_signature = True

    def __init__(self, recording):
        PeakDetector.__init__(self, recording)
        self.seen = set()

    def get_margin(self):
        return 10

    def get_dtype(self):
        return np.dtype(base_peak_dtype)

    def compute(self, traces, start_frame, end_frame, segment_index, max_margin):
        self.seen.add(threading.current_thread().name)
        frames = np.flatnonzero(traces[max_margin:-max_margin, 0] > 1.5) + max_margin
        peaks = np.zeros(len(frames), dtype=base_peak_dtype)
        peaks["sample_index"], peaks["segment_index"] = frames, segment_index
        return (peaks,)


@pytest.fixture(scope="module")
def recording():
    return generate_recording(num_channels=2, durations=DURATIONS_S, seed=0)


def found(recording, num_threads, chunks=None, **job_kwargs):
    node, options = LargeFrames(recording), dict(chunk_duration="200ms", progress_bar=False, **job_kwargs)
    with threads(num_threads):
        return run_node(recording, node, options, job_name="find", chunks=chunks), node.seen


@pytest.mark.parametrize("chunks", [None, [(0, 0, 5000), (1, 3000, 9000)]], ids=["whole", "some chunks"])
def test_threads_find_what_one_worker_finds(recording, chunks):
    expected, _ = found(recording, 1, chunks, n_jobs=1)
    result, seen = found(recording, 2, chunks, n_jobs=2, pool_engine="thread")
    assert len(expected) > 10
    np.testing.assert_array_equal(result, expected)
    assert seen and all(name.startswith("si_deepsort") for name in seen)


def test_spikeinterface_does_what_is_not_for_threads(recording):
    expected, _ = found(recording, 1, n_jobs=1)
    for num_threads, engine in ((2, "process"), (1, "thread")):
        result, seen = found(recording, num_threads, n_jobs=2, pool_engine=engine)
        np.testing.assert_array_equal(result, expected)
        assert not any(name.startswith("si_deepsort") for name in seen)


@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_function_sees_each_chunk_once(recording, num_threads):
    seen = []

    def look(segment, start, stop, context):
        context["seen"].append((segment, start, stop))

    options = dict(n_jobs=num_threads, pool_engine="thread", chunk_duration="200ms", progress_bar=False)
    with threads(num_threads):
        run_over_chunks(recording, look, lambda seen: dict(seen=seen), (seen,), options, job_name="look")
    lengths = [recording.get_num_frames(segment) for segment in range(2)]
    for segment, length in enumerate(lengths):
        own = sorted(chunk[1:] for chunk in seen if chunk[0] == segment)
        assert [start for start, _ in own[1:]] == [stop for _, stop in own[:-1]]
        assert own[0][0] == 0 and own[-1][1] == length
