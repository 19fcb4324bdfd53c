"""Check what a stress test was asked for, before anything is written."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si
from spikeinterface.core import Motion

from ..geometry import recording_geometry
from ..spike_vectors import check_belongs, check_kind
from .own_units import SourceTemplates, edge_taper
from .sort import LATER_ENGINES

# Shortest recording in s: in less, not even 15 spikes of a fast unit fit in.
SHORTEST_S = 0.5
# Parameters of SpikeInterface that run a sorter in a container, where it need not be installed.
CONTAINERS = {"docker_image", "singularity_image"}


def check_request(
    recording: si.BaseRecording,
    sorters: Sequence[str],
    *,
    params: dict[str, dict[str, Any]],
    sorting: si.BaseSorting | None,
    motion: Motion | None,
    engine: str,
    folder: str | Path | None,
) -> None:
    """
    Refuse what cannot be tested.

    Raises
    ------
    ValueError
    """
    if len(sorters) == 0:
        raise ValueError("No sorter was given, expected the name of one or a list of names.")
    for name in sorters:
        _check_sorter(name, params[name])
    if len(set(sorters)) < len(sorters):
        raise ValueError(f"A sorter is named twice in {list(sorters)}. Give each once.")
    check_kind(recording, si.BaseRecording)
    recording_geometry(recording)  # refuses several channels without a probe
    duration_s = recording.get_total_duration()
    if duration_s < SHORTEST_S:
        raise ValueError(f"The recording has {duration_s:.3g} s, expected at least {SHORTEST_S:g} s.")
    if sorting is not None:
        check_belongs(sorting, recording)
    if motion is not None:
        _check_motion(recording, motion)
    if engine in LATER_ENGINES and (folder is None or sorting is None):
        raise ValueError(
            f"engine='{engine}' returns before the sortings have ended: give folder=..., where a second call finds the "
            "results, and sorting=..., a first sorting of the recording."
        )


def params_by_sorter(sorters: Sequence[str], given: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """
    Parameters for each sorter.

    Raises
    ------
    ValueError
        If there are several sorters and the parameters are not given for each, by name.
    """
    if not given:
        return {name: {} for name in sorters}
    if set(given) <= set(sorters) and all(isinstance(value, dict) for value in given.values()):
        return {name: dict(given.get(name, {})) for name in sorters}
    if len(sorters) == 1:
        return {sorters[0]: dict(given)}
    raise ValueError(
        f"sorter_params has the entries {sorted(given)}, expected a dictionary for each sorter by its name: "
        f"{{{sorters[0]!r}: {{...}}, ...}}."
    )


def library_templates(templates: si.Templates, recording: si.BaseRecording) -> SourceTemplates:
    """
    Templates that the user gave as models.

    Raises
    ------
    ValueError
        If there is none, if they are at another sampling frequency, or if their contacts are unknown.
    """
    if templates.num_units == 0:
        raise ValueError("templates holds no unit, expected at least one.")
    wanted, found = recording.get_sampling_frequency(), templates.sampling_frequency
    if not np.isclose(wanted, found):
        raise ValueError(
            f"templates are sampled at {found:g} Hz, the recording at {wanted:g} Hz. Give templates of the same rate, "
            "for example of a recording resampled by spikeinterface.preprocessing.resample."
        )
    dense = np.nan_to_num(templates.get_dense_templates()).astype("float32")
    if templates.probe is not None:
        positions = np.asarray(templates.get_channel_locations(), dtype=float)[:, :2]
    elif dense.shape[2] == recording.get_num_channels():
        positions, _ = recording_geometry(recording)
    else:
        raise ValueError(
            f"templates have {dense.shape[2]} channels and no probe, the recording has {recording.get_num_channels()} "
            "channels. Set the probe of the templates: Templates(..., probe=probe)."
        )
    return SourceTemplates(
        templates=dense * edge_taper(dense.shape[1])[:, None],
        nbefore=int(templates.nbefore),
        positions_um=positions,
        snr=None,
        rates=None,
        names=[str(unit) for unit in templates.unit_ids],
        origin="given templates",
    )


def _check_sorter(name: str, params: dict[str, Any]) -> None:
    from spikeinterface.sorters import installed_sorters, sorter_dict

    if name in sorter_dict:
        if not sorter_dict[name].is_installed() and not CONTAINERS & set(params):
            raise ValueError(
                f"{name} is not installed. Install it, run it in a container by "
                f"sorter_params={{'docker_image': True}}, or choose one of {', '.join(installed_sorters())}."
            )
        return
    nearest = difflib.get_close_matches(str(name), sorter_dict, n=3)
    hint = f" Did you mean {', '.join(nearest)}?" if nearest else ""
    raise ValueError(
        f"Unknown sorter '{name}'.{hint} Expected one that SpikeInterface knows; installed are "
        f"{', '.join(installed_sorters())}."
    )


def _check_motion(recording: si.BaseRecording, motion: Motion) -> None:
    if motion.direction != "y":
        raise ValueError(f"motion is along {motion.direction}, expected along y, the depth.")
    if motion.num_segments != recording.get_num_segments():
        raise ValueError(
            f"motion has {motion.num_segments} segments, the recording {recording.get_num_segments()}: they must be of "
            "the same recording."
        )
