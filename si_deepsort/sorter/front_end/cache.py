"""Compute the white traces once and keep them while a recording is sorted."""

import gc
import shutil
from pathlib import Path

import numpy as np
from spikeinterface.core import BaseRecording, read_binary
from spikeinterface.core.job_tools import TimeSeriesChunkExecutor

from ...preprocessing.half_precision import single_precision


def cache_traces(white: BaseRecording, *, mode: str, folder: Path, job_kwargs: dict) -> BaseRecording:
    """
    Compute the white traces once.

    A folder that an interrupted run has finished is read.

    Parameters
    ----------
    white : BaseRecording
        White traces, lazy.
    mode : "folder" | "memory" | "none"
        "folder" writes the traces and bounds the memory however long the recording is; "memory" keeps them in memory;
        "none" computes them again in each step. All round them to half precision, so that results are the same.
    folder : Path
        Where the traces are written in mode "folder".
    job_kwargs : dict
        SpikeInterface's job_kwargs.

    Returns
    -------
    BaseRecording
        White traces, float32.
    """
    halves = white.astype("float16")
    if mode == "none":
        return single_precision(halves)
    if mode == "memory":
        return single_precision(halves.save(format="memory", sharedmem=True, **job_kwargs))
    if not folder.exists():
        partial = folder.with_name(folder.name + "_partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write_traces(halves, _segment_files(halves, partial), job_kwargs)
        partial.rename(folder)
    return single_precision(_written_traces(halves, _segment_files(halves, folder)))


def _segment_files(recording: BaseRecording, folder: Path) -> list[Path]:
    """File of each segment: frames after frames, each with the values of all channels."""
    return [folder / f"segment{segment}.raw" for segment in range(recording.get_num_segments())]


def _write_traces(halves: BaseRecording, files: list[Path], job_kwargs: dict) -> None:
    """
    Write the traces of all segments.

    `write_binary` of SpikeInterface collects the garbage of the whole process after each chunk, which takes half of the
    CPU time of a short sorting. Here it is the young garbage alone: that of the chunk.
    """
    for segment, file in enumerate(files):
        num_bytes = halves.get_num_frames(segment) * halves.get_num_channels() * halves.get_dtype().itemsize
        with open(file, "wb") as stream:
            stream.truncate(num_bytes)
    TimeSeriesChunkExecutor(
        halves,
        _write_chunk,
        _open_files,
        (halves, [str(file) for file in files]),
        job_name="write white traces",
        **job_kwargs,
    ).run()


def _open_files(halves: BaseRecording, files: list[str]) -> dict:
    """What a worker needs to write chunks; files are opened by each chunk, since threads share a worker's."""
    return {"halves": halves, "files": files}


def _write_chunk(segment_index: int, start_frame: int, end_frame: int, worker_ctx: dict) -> None:
    halves = worker_ctx["halves"]
    traces = halves.get_traces(segment_index=segment_index, start_frame=start_frame, end_frame=end_frame)
    frame_bytes = halves.get_num_channels() * traces.dtype.itemsize
    with open(worker_ctx["files"][segment_index], "rb+") as stream:
        stream.seek(start_frame * frame_bytes)
        stream.write(np.ascontiguousarray(traces).data)
    del traces
    gc.collect(1)


def _written_traces(halves: BaseRecording, files: list[Path]) -> BaseRecording:
    recording = read_binary(
        file_paths=files,
        sampling_frequency=halves.get_sampling_frequency(),
        dtype=halves.get_dtype(),
        num_channels=halves.get_num_channels(),
        channel_ids=halves.channel_ids,
    )
    halves.copy_metadata(recording)
    return recording
