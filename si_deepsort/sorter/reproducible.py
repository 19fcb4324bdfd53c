"""
What makes the same seed give the same spikes, however many threads, workers and chunks compute them.

Sums in another order round differently, and a difference in the last bit may decide whether two clusters are merged.
Libraries for linear algebra choose the order by their number of threads. Spikes at the border of two chunks are matched
apart, so chunks of another length may give other spikes.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from spikeinterface.core import BaseRecording
from spikeinterface.core.job_tools import ensure_chunk_size
from threadpoolctl import threadpool_info, threadpool_limits

# Length of the chunks in which spikes are detected and matched, whatever the user asks for: SpikeInterface's default.
CHUNK_DURATION = "1s"
# Segment, first frame and end.
Chunk = tuple[int, int, int]
# SpikeInterface's names for the length of a chunk.
CHUNK_LENGTHS = ("chunk_duration", "chunk_size", "chunk_memory", "total_memory")


def fixed_chunks(job_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Job_kwargs of SpikeInterface with chunks of `CHUNK_DURATION`."""
    others = {name: value for name, value in job_kwargs.items() if name not in CHUNK_LENGTHS}
    return dict(others, chunk_duration=CHUNK_DURATION)


def whole_chunks(recording: BaseRecording) -> list[Chunk]:
    """All chunks of `CHUNK_DURATION`: segment, first frame and end of each."""
    frames = ensure_chunk_size(recording, chunk_duration=CHUNK_DURATION)
    lengths = [recording.get_num_frames(index) for index in range(recording.get_num_segments())]
    return [
        (index, start, min(start + frames, length))
        for index, length in enumerate(lengths)
        for start in range(0, length, frames)
    ]


class _SharedLimit:
    """One thread for linear algebra and PyTorch, in all of the process, as long as any thread of it holds the limit."""

    def __init__(self):
        self.lock, self.num_holders = threading.Lock(), 0
        self.linear_algebra, self.torch_threads = {}, 1

    def take(self):
        """Set the limit, unless another thread has done so."""
        with self.lock:
            if self.num_holders == 0:
                libraries = [one for one in threadpool_info() if one["user_api"] == "blas"]
                self.linear_algebra = {one["filepath"]: one["num_threads"] for one in libraries}
                self.torch_threads = torch.get_num_threads()
                _set_threads(dict.fromkeys(self.linear_algebra, 1), 1)
            self.num_holders += 1

    def give_back(self):
        """Restore what was before, unless another thread still needs the limit."""
        with self.lock:
            self.num_holders -= 1
            if self.num_holders == 0:
                _set_threads(self.linear_algebra, self.torch_threads)


def _set_threads(linear_algebra, torch_threads):
    """Set the number of threads of each library, by its path, and of PyTorch."""
    torch.set_num_threads(torch_threads)
    threadpool_limits(linear_algebra)
    # A thread that has set the numbers is the only one that may set them, until such a block of its own ends.
    with threadpool_limits(None):
        pass


_SHARED_LIMIT = _SharedLimit()


@contextmanager
def one_thread() -> Iterator[None]:
    """
    Compute with one thread; afterwards the process has as many as before.

    Several threads of a process may do so at once: the last one that ends restores the numbers.
    """
    _SHARED_LIMIT.take()
    try:
        # Each thread of the process has a limit of its own in OpenMP.
        with threadpool_limits(1, user_api="openmp"):
            yield
    finally:
        _SHARED_LIMIT.give_back()
