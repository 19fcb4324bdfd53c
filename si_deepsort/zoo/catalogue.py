"""List the models: bundled ones, registered ones, and those in the cache."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .hub import cached_folder, cached_models
from .hub_calls import HubPlace
from .model_folder import CONFIG_FILE, TASKS, WEIGHTS_FILE, ModelInfo, info_of, read_config
from .names import BUNDLED_FOLDER, COMMIT, REGISTRY, bundled_names

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("name", "task", "probe", "sampling_frequency", "architecture", "size_kB", "metric", "license", "where")


def list_models(
    task: str | None = None, probe: str | None = None, *, cache_dir: str | Path | None = None
) -> "pd.DataFrame":
    """
    Table of the models that `load_model` knows by name, and of those in the cache. No request is made.

    Parameters
    ----------
    task : str | None, default: None
        Keep one task: "detection", "classification", "embedding", "denoising", "lfp", "events", "assessment" or
        "cell_type".
    probe : str | None, default: None
        Keep models for this probe: part of its name, whatever the case. Models for any probe are kept too.
    cache_dir : str | Path | None, default: None
        Cache of the Hub's client, see `load_model`.

    Returns
    -------
    pandas.DataFrame
        name, task, probe, sampling_frequency (Hz, NaN: any), architecture, size_kB, metric (the first one), license,
        where ("bundled", "cached", or "hub": not fetched yet).

    Raises
    ------
    ValueError
        If there is no such task.
    """
    import pandas as pd

    if task is not None and task not in TASKS:
        raise ValueError(f"Unknown task {task!r}, expected one of {TASKS}.")
    rows = [_row(name, BUNDLED_FOLDER / name, "bundled") for name in bundled_names()]
    registered = {f"{reference.repo_id}@{reference.revision}": name for name, reference in REGISTRY.items()}
    for name, reference in REGISTRY.items():
        if cached_folder(reference, HubPlace(cache_dir)) is None:
            rows.append({"name": name, "where": "hub"})
    for repo_id, commit, folder in cached_models(cache_dir):
        if COMMIT.fullmatch(commit):
            pinned = f"{repo_id}@{commit}"
            rows.append(_row(registered.get(pinned, pinned), folder, "cached"))
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"sampling_frequency": float, "size_kB": float})
    if task is not None:
        table = table[table["task"] == task]
    if probe is not None:
        probes = table["probe"].fillna("").str.lower()
        table = table[(probes == "any") | probes.str.contains(probe.lower(), regex=False)]
    return table.reset_index(drop=True)


def describe_metric(name: str, value: Any) -> str:
    """A metric as text: "accuracy 0.93 (0.91 to 0.95)"."""
    entry = value if isinstance(value, dict) else {"value": value}
    unit = f" {entry['unit']}" if entry.get("unit") else ""
    interval = f" ({entry['low']:.3g} to {entry['high']:.3g})" if "low" in entry and "high" in entry else ""
    return f"{name} {entry['value']:.4g}{unit}{interval}"


def _row(name: str, folder: Path, where: str) -> dict:
    config = read_config(folder)
    info = info_of(config)
    return {
        "name": name,
        "task": info.task,
        "probe": info.probe,
        "sampling_frequency": info.sampling_frequency,
        "architecture": config["architecture"],
        "size_kB": round(sum((folder / file).stat().st_size for file in (WEIGHTS_FILE, CONFIG_FILE)) / 1000, 1),
        "metric": _first_metric(info),
        "license": info.license,
        "where": where,
    }


def _first_metric(info: ModelInfo) -> str:
    return next((describe_metric(name, value) for name, value in info.metrics.items() if value is not None), "")
