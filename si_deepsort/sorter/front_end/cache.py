"""Compute the white traces once and keep them while a recording is sorted."""

from pathlib import Path

from spikeinterface.core import BaseRecording, load

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
    if not ((folder / "si_folder.json").exists() or (folder / "binary.json").exists()):
        partial = folder.with_name(folder.name + "_partial")
        halves.save(folder=partial, overwrite=True, **job_kwargs)
        partial.rename(folder)
    return single_precision(load(folder))
