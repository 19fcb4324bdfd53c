"""Compute the white traces once and keep them while a recording is sorted."""

import gc
import math
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
from spikeinterface.core import BaseRecording, read_binary

from ...chunk_jobs import run_over_chunks
from ...preprocessing.half_precision import round_to_half_precision, single_precision, to_half_precision
from ...preprocessing.white_on_device import WhiteOnDeviceRecording

# What the cached traces are rounded to.
DTYPE = np.dtype("float16")
# Most samples (frames times channels) that are computed at once. Larger arrays, with the margins of the filters, exceed
# 32 MB: the C library returns them to the operating system after each use, and to obtain them again takes a third of
# the time in which they are filled.
MOST_SAMPLES = 6_000_000


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
    if mode == "none":
        return white if isinstance(white, WhiteOnDeviceRecording) else round_to_half_precision(white)
    if mode == "memory":
        return single_precision(white.astype("float16").save(format="memory", sharedmem=True, **job_kwargs))
    if not folder.exists():
        partial = folder.with_name(folder.name + "_partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write_traces(white, _segment_files(white, partial), job_kwargs)
        partial.rename(folder)
    return single_precision(_written_traces(white, _segment_files(white, folder)))


def _segment_files(recording: BaseRecording, folder: Path) -> list[Path]:
    """File of each segment: frames after frames, each with the values of all channels."""
    return [folder / f"segment{segment}.raw" for segment in range(recording.get_num_segments())]


def _write_traces(white: BaseRecording, files: list[Path], job_kwargs: dict) -> None:
    """
    Write the traces of all segments.

    `write_binary` of SpikeInterface collects the garbage of the whole process after each chunk, which takes half of the
    CPU time of a short sorting. Here it is the young garbage alone: that of the chunk.
    """
    for segment, file in enumerate(files):
        num_bytes = white.get_num_frames(segment) * white.get_num_channels() * DTYPE.itemsize
        with open(file, "wb") as stream:
            stream.truncate(num_bytes)
    written = white, [str(file) for file in files]
    run_over_chunks(white, _write_chunk, _open_files, written, job_kwargs, job_name="write white traces")


def _open_files(white: BaseRecording, files: list[str]) -> dict:
    """What a worker needs to write chunks; files are opened by each chunk, since threads share a worker's."""
    return {"white": white, "files": files}


def _write_chunk(segment_index: int, start_frame: int, end_frame: int, worker_ctx: dict) -> None:
    white = worker_ctx["white"]
    num_channels, num_frames = white.get_num_channels(), end_frame - start_frame
    num_parts = max(1, math.ceil(num_frames * num_channels / MOST_SAMPLES))
    bounds = np.linspace(start_frame, end_frame, num_parts + 1).astype(int).tolist()
    with open(worker_ctx["files"][segment_index], "rb+") as stream:
        stream.seek(start_frame * num_channels * DTYPE.itemsize)
        for first, last in pairwise(bounds):
            stream.write(to_half_precision(white.get_traces(segment_index, first, last)).data)
    gc.collect(1)


def _written_traces(white: BaseRecording, files: list[Path]) -> BaseRecording:
    recording = read_binary(
        file_paths=files,
        sampling_frequency=white.get_sampling_frequency(),
        dtype=DTYPE,
        num_channels=white.get_num_channels(),
        channel_ids=white.channel_ids,
    )
    white.copy_metadata(recording)
    return recording
