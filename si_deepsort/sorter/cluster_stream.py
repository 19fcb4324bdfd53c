"""
A node of SpikeInterface's pipelines, run over the chunks of a long recording by the workers of a dask cluster.

Dask hands out the chunks, and hands them out again when a worker dies. The recording and the node are part of the
graph, so that no worker keeps anything that another one would miss.
"""

import logging
from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.node_pipeline import run_node_pipeline
from tqdm.auto import tqdm

from .._version import __version__
from .reproducible import CHUNK_DURATION, Chunk, one_thread

logger = logging.getLogger(__name__)

# Chunks of a task: at 1 s each, a task takes some seconds, many times longer than dask needs to hand it out.
CHUNKS_PER_TASK = 10
# Time in which the scheduler has to answer.
TIMEOUT = "30s"


def run_on_cluster(
    recording: BaseRecording,
    node: Any,
    chunks: list[Chunk],
    *,
    scheduler: str,
    job_name: str,
    progress_bar: bool = False,
    chunks_per_task: int = CHUNKS_PER_TASK,
) -> np.ndarray:
    """
    Run a node over chunks of a recording.

    Parameters
    ----------
    recording : BaseRecording
        Lazy; its files lie where all workers find them under the same path.
    node : PipelineNode
        The only node of the pipeline.
    chunks : list of tuple
        Segment, first frame and end of each chunk.
    scheduler : str
        Address of dask's scheduler, e.g. "tcp://host:8786".
    job_name : str
        Name of the progress bar.
    progress_bar : bool, default: False
    chunks_per_task : int, default: CHUNKS_PER_TASK

    Returns
    -------
    np.ndarray
        The results of all chunks, in their order, as those of `run_node_pipeline`.

    Raises
    ------
    ImportError
        If dask is not installed.
    OSError
        If the scheduler cannot be reached.
    RuntimeError
        If a task fails, for example because a worker cannot read the recording or has another version of this package.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ImportError("dask_scheduler needs dask: pip install 'si_deepsort[cluster]'.") from error
    tasks = [chunks[start : start + chunks_per_task] for start in range(0, len(chunks), chunks_per_task)]
    with Client(scheduler, timeout=TIMEOUT, set_as_default=False) as client:
        logger.info("%s: %d tasks for the workers of %s", job_name, len(tasks), scheduler)
        futures = client.map(run_task, tasks, recording=recording, node=node, version=__version__, pure=False)
        for future in tqdm(
            as_completed(futures, loop=client.loop), desc=job_name, total=len(tasks), disable=not progress_bar
        ):
            if (problem := future.exception()) is not None:
                # The first error is the one to tell; the other tasks would fail in the same way.
                client.cancel(futures)
                raise _failed(scheduler, problem) from problem
        return np.concatenate(client.gather(futures))


def _failed(scheduler: str, error: BaseException) -> RuntimeError:
    return RuntimeError(
        f"A worker of {scheduler} failed: {error!r}. All workers need si_deepsort {__version__} and must see the "
        "recording under the same path, e.g. on a network drive. Finished steps are kept: when this is mended, go on "
        "by si_deepsort.resume_sorter(folder)."
    )


def run_task(chunks: list[Chunk], *, recording: BaseRecording, node: Any, version: str) -> np.ndarray:
    """
    Run a node over some chunks of a recording; what a worker does.

    Raises
    ------
    RuntimeError
        If this process has another version of the package than the one that asks.
    """
    if version != __version__:
        raise RuntimeError(f"si_deepsort is {__version__} here, and {version} where the sorting was started")
    options = dict(n_jobs=1, progress_bar=False, chunk_duration=CHUNK_DURATION)
    with one_thread():
        return run_node_pipeline(recording, [node], options, slices=chunks, squeeze_output=True)
