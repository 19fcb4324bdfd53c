"""
Jobs over the chunks of a recording: by the threads of `threads`, or by SpikeInterface's workers.

SpikeInterface starts workers anew for each job and limits the threads of libraries at each chunk, which costs 4 ms and
keeps the other threads waiting. The threads here live as long as a run and share what is in memory.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.job_tools import TimeSeriesChunkExecutor, divide_time_series_into_chunks, ensure_chunk_size
from spikeinterface.core.node_pipeline import PipelineNode, run_node_pipeline

from .threads import each, num_threads

# Segment, first frame and end.
Chunk = tuple[int, int, int]


def run_node(
    recording: BaseRecording,
    node: PipelineNode,
    job_kwargs: dict[str, Any],
    *,
    job_name: str,
    chunks: list[Chunk] | None = None,
) -> np.ndarray:
    """
    Run a node of SpikeInterface's pipelines over chunks of a recording.

    Parameters
    ----------
    recording : BaseRecording
    node : PipelineNode
        The only node of the pipeline. Several threads may use it at once.
    job_kwargs : dict
        SpikeInterface's job_kwargs. Inside a block of `threads`, its threads do the job if pool_engine is "thread";
        otherwise SpikeInterface's workers do.
    job_name : str
        Name of the progress bar, which is shown by SpikeInterface's workers only.
    chunks : list of tuple | None, default: None
        Segment, first frame and end of each chunk; None for the whole recording.

    Returns
    -------
    np.ndarray
        The results of all chunks in their order.
    """
    if not _is_for_threads(job_kwargs):
        return run_node_pipeline(recording, [node], job_kwargs, job_name=job_name, slices=chunks)
    alone = job_kwargs | dict(n_jobs=1, progress_bar=False)
    chunks = _chunks_of(recording, job_kwargs) if chunks is None else chunks
    return np.concatenate(list(each(lambda chunk: run_node_pipeline(recording, [node], alone, slices=[chunk]), chunks)))


def run_over_chunks(
    recording: BaseRecording,
    function: Callable[[int, int, int, dict], None],
    make_context: Callable[..., dict],
    arguments: tuple,
    job_kwargs: dict[str, Any],
    *,
    job_name: str,
) -> None:
    """
    Run a function over all chunks of a recording.

    Parameters
    ----------
    recording : BaseRecording
    function : callable
        Takes the segment, the first frame and the end of a chunk, and what `make_context` has made.
    make_context : callable
        Takes `arguments`; it is called once in each of SpikeInterface's workers, and once for all threads.
    arguments : tuple
    job_kwargs, job_name
        As in `run_node`.
    """
    if not _is_for_threads(job_kwargs):
        TimeSeriesChunkExecutor(recording, function, make_context, arguments, job_name=job_name, **job_kwargs).run()
        return
    context = make_context(*arguments)
    for _ in each(lambda chunk: function(*chunk, context), _chunks_of(recording, job_kwargs)):
        pass


def _is_for_threads(job_kwargs: dict[str, Any]) -> bool:
    return num_threads() > 1 and job_kwargs.get("pool_engine") == "thread"


def _chunks_of(recording: BaseRecording, job_kwargs: dict[str, Any]) -> list[Chunk]:
    return divide_time_series_into_chunks(recording, ensure_chunk_size(recording, **job_kwargs))
