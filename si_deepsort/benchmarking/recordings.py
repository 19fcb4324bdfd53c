"""
Named recordings with known spikes: from a seed, made once, kept on disk.

All but two recordings have noise with the spectrum and the spatial correlation of real Neuropixels recordings, and a
crowd of far units that no sorter is expected to find. The exceptions are a warning, with the usual simulated noise that
flatters everything that predicts or whitens in time, and what SpikeInterface's own generator makes.
"""

import json
import os
import shutil
import warnings
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import spikeinterface.core as si

from ..noise import recording_noise_levels
from .recipes import RECIPES, Recipe
from .synthesis import available_origin, synthesize

# Part of the identity of a cached recording: raise it when the same recipe gives other traces.
RECIPE_VERSION = 2
# Fields that a recipe did not have at first: they belong to the identity of a recording only where they are in use.
_LATER_FIELDS = ("statistics", "burst_fraction", "synchrony", "disturbances", "jump_um", "plain_channels")
# Step of the counts in uV, as of Intan and Neuropixels amplifiers.
GAIN_UV = 0.195


def recording_names() -> list[str]:
    """Names that `ground_truth_recording` knows."""
    return list(RECIPES)


def ground_truth_recording(
    name: str, seed: int = 0, duration_s: float = 120.0, *, cache: str | Path | None = None
) -> tuple[si.BaseRecording, si.BaseSorting]:
    """
    A named recording and its true sorting, from the cache or made and cached.

    Parameters
    ----------
    name : str
        One of `recording_names()`.
    seed : int, default: 0
        Seed of the choice of units, spikes, noise and background.
    duration_s : float, default: 120.0
        In s.
    cache : str | Path | None, default: None
        Folder of the cache. None takes `cache_folder()`.

    Returns
    -------
    recording : BinaryFolderRecording
        int16 with gains to uV, unfiltered, with the probe. The annotations `benchmark_name`, `templates_origin`
        ("biophysical", "real" or "generated") and `seed` say what it is.
    sorting : NumpyFolderSorting
        The true spikes, with the unit properties `gt_peak_uV`, `gt_snr` and `gt_firing_rate`.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if name not in RECIPES:
        raise ValueError(f"Unknown benchmark recording '{name}', expected one of {recording_names()}.")
    recipe = RECIPES[name]
    origin = available_origin(recipe)
    identity = dict(version=RECIPE_VERSION, name=name, origin=origin, seed=seed, duration_s=duration_s)
    identity["recipe"] = _recipe_identity(recipe)
    folder = Path(cache or cache_folder()) / f"{name}-{origin}-seed{seed}-{duration_s:g}s"
    if not _holds(folder, identity):
        _save(folder, identity, *synthesize(recipe, seed=seed, duration_s=duration_s))
    return si.load(folder / "recording"), si.load(folder / "sorting")


def cache_folder() -> Path:
    """Where recordings are kept: `SI_DEEPSORT_CACHE`, else `si_deepsort/recordings` in the user's cache folder."""
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SI_DEEPSORT_CACHE") or Path(user_cache) / "si_deepsort") / "recordings"


def _recipe_identity(recipe: Recipe) -> dict:
    """The recipe as JSON holds it, without later fields that are not in use."""
    unused = {field.name for field in fields(recipe) if getattr(recipe, field.name) == field.default}
    values = {name: value for name, value in asdict(recipe).items() if name not in unused & set(_LATER_FIELDS)}
    return json.loads(json.dumps(values))


def _holds(folder: Path, identity: dict) -> bool:
    file = folder / "identity.json"
    return file.exists() and json.loads(file.read_text(encoding="utf-8")) == identity


def _save(folder: Path, identity: dict, recording, sorting):
    """Write to a folder beside, then rename: an interrupted run leaves nothing that looks whole."""
    import spikeinterface.preprocessing as spre

    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    counts = spre.scale(recording, gain=1 / GAIN_UV, dtype="float32")
    counts = spre.astype(counts, "int16", round=True)
    counts.set_channel_gains(GAIN_UV)
    counts.set_channel_offsets(0.0)
    counts.annotate(
        is_filtered=False,
        benchmark_name=identity["name"],
        templates_origin=identity["origin"],
        seed=identity["seed"],
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The extractor is not serializable")
        saved = counts.save(folder=partial / "recording", n_jobs=1, chunk_duration="2s", progress_bar=False)
    filtered = spre.bandpass_filter(saved, freq_min=150, freq_max=7000, dtype="float32")
    level_uV = GAIN_UV * np.median(recording_noise_levels(filtered, num_chunks=8))
    del saved, filtered  # Windows does not rename a folder whose files are read
    sorting.set_property("gt_snr", sorting.get_property("gt_peak_uV") / level_uV)
    sorting.save(folder=partial / "sorting")
    (partial / "identity.json").write_text(json.dumps(identity, indent=1), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
