"""
Templates for benchmark recordings: of detailed neuron models or real units where that data is at hand, else generated.

The data sets are not part of the package (their terms allow evaluation only). The environment variable
`SI_DEEPSORT_DATA` names the folder that holds them; without it the parametric generator of SpikeInterface is used.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from probeinterface import Probe

from ..generation import GenerationSettings, moved_templates, named_probe, random_templates

# Real templates are scaled by a factor from this to 1, so that small units occur too.
SMALLEST_SCALE = 0.25
# Channels of a real template with a smaller peak-to-peak amplitude hold nothing but averaged noise, in uV.
NOISE_PEAK_TO_PEAK_UV = 8.0
# Samples over which both ends of real templates are tapered to 0.
TAPER_SAMPLES = 8
# Templates of units that move are known at displacements up to this, in steps of 1 um.
DRIFT_REACH_UM = 20.0
HYBRID_FILE = "neuropixels_templates/121817_SU_waves_allNeg_gridEst.mat"


@dataclass
class UnitTemplates:
    """
    Templates with the probe that they are seen on.

    Attributes
    ----------
    templates_uV : np.ndarray, shape (num_units, num_samples, num_channels), float32
    nbefore : int
        Sample of the peak.
    probe : Probe
    origin : "biophysical" | "real" | "generated"
    moved_uV : np.ndarray | None, shape (num_displacements, num_units, num_samples, num_channels), float32
        The same units after the tissue moved along the probe.
    displacements_um : np.ndarray | None, shape (num_displacements,)
    """

    templates_uV: np.ndarray
    nbefore: int
    probe: Probe
    origin: str
    moved_uV: np.ndarray | None = None
    displacements_um: np.ndarray | None = None


def data_folder() -> Path | None:
    """Folder of the evaluation-only data: `SI_DEEPSORT_DATA`, or `../shared/data` beside a checkout; None if absent."""
    default = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("SI_DEEPSORT_DATA", default))
    return folder if folder.is_dir() else None


def _stored(name: str) -> Path:
    folder = data_folder()
    if folder is None:
        raise ValueError(f"There is no folder of data with {name}. Name one in the variable SI_DEEPSORT_DATA.")
    return folder / name


def biophysical_templates(file_stem: str, num_units: int, rng: np.random.Generator, *, drift: bool) -> UnitTemplates:
    """
    Units drawn from `biophysical_templates/<file_stem>.npz` of the data folder.

    Parameters
    ----------
    drift : bool
        Whether to return the templates at every displacement too, interpolated to steps of 1 um.
    """
    with np.load(_stored(f"biophysical_templates/{file_stem}.npz")) as data:
        chosen = choose_over_all_amplitudes(data["peak_uV"], num_units, rng)
        templates = data["templates_uV"]
        displacements = data["displacements_um"].astype(float)
        moved = templates[:, chosen].astype("float32") if templates.ndim == 4 else None
        static = moved[np.argmin(np.abs(displacements))] if moved is not None else templates[chosen].astype("float32")
        probe = probe_from_positions(data["contact_positions_um"])
        nbefore = int(data["nbefore"])
    if not drift:
        return UnitTemplates(static, nbefore, probe, "biophysical")
    assert moved is not None, f"{file_stem} has no displacements"
    fine = np.arange(displacements[0], displacements[-1] + 0.5, 1.0)
    return UnitTemplates(
        static, nbefore, probe, "biophysical", interpolate_displacements(moved, displacements, fine), fine
    )


def choose_over_all_amplitudes(peak_uV: np.ndarray, num_units: int, rng: np.random.Generator) -> np.ndarray:
    """
    Units whose amplitudes spread over the whole range: uniform in the logarithm, as far as there are such units.

    Returns
    -------
    np.ndarray, shape (num_units,), int
        Indices, in ascending order, each at most once.
    """
    log_peak = np.log(np.asarray(peak_uV, dtype=float))
    edges = np.linspace(log_peak.min(), log_peak.max(), num_units + 1)
    free = np.ones(len(log_peak), dtype=bool)
    for target in rng.permutation(rng.uniform(edges[:-1], edges[1:])):
        distance = np.where(free, np.abs(log_peak - target), np.inf)
        free[np.argmin(distance)] = False
    return np.flatnonzero(~free)


def real_templates(num_units: int, rng: np.random.Generator) -> UnitTemplates:
    """
    Average waveforms of real Neuropixels units, placed at random depths of a 64-contact Neuropixels 1.0 layout.

    The waveforms were estimated on a grid around each unit; they are interpolated along the shank, freed of channels
    that hold nothing but averaged noise, and scaled by a random factor, so that small units occur too.
    """
    import scipy.io

    probe = neuropixels1_checkerboard(64)
    contacts = probe.contact_positions
    units = scipy.io.loadmat(_stored(HYBRID_FILE))["uColl"][0]
    templates = []
    for unit in rng.permutation(len(units))[:num_units]:
        waves, x, y = units[unit]["waves"], units[unit]["xC"].ravel(), units[unit]["yC"].ravel()
        waves = waves - waves[:, :8].mean(axis=1, keepdims=True)
        peak_channel = np.argmin(waves.min(axis=1))
        depth = rng.uniform(contacts[:, 1].min() + 10, contacts[:, 1].max() - 10)
        template = _on_contacts(waves, x, y - y[peak_channel], contacts - [0.0, depth])
        template[:, np.ptp(template, axis=0) < NOISE_PEAK_TO_PEAK_UV] = 0.0
        template *= _edge_taper(len(template))[:, None]
        templates.append(template * np.exp(rng.uniform(np.log(SMALLEST_SCALE), 0.0)))
    stacked = np.stack(templates).astype("float32")
    return UnitTemplates(stacked, int(np.argmax(np.abs(stacked).max(axis=(0, 2)))), probe, "real")


def generated_templates(layout: str, num_units: int, rng: np.random.Generator, *, drift: bool) -> UnitTemplates:
    """
    Units of SpikeInterface's parametric generator on a named layout; on several shanks each unit is seen on one.

    Parameters
    ----------
    drift : bool
        Whether to return the templates at displacements of -20 to 20 um too (by spatial interpolation).
    """
    probe = named_probe(layout)
    locations = probe.contact_positions
    shanks = np.zeros(len(locations), int)
    if probe.shank_ids is not None:
        shanks = np.unique(probe.shank_ids, return_inverse=True)[1]
    parts = []
    for shank in np.unique(shanks):
        count = len(range(int(shank), num_units, len(np.unique(shanks))))
        settings = GenerationSettings(num_units=count)
        part, nbefore = random_templates(locations[shanks == shank], settings, rng)
        whole = np.zeros((*part.shape[:2], len(locations)), dtype="float32")
        whole[:, :, shanks == shank] = part
        parts.append(whole)
    templates = np.concatenate(parts)
    if not drift:
        return UnitTemplates(templates, nbefore, probe, "generated")
    moved, displacements = moved_templates(
        templates, probe, reach_um=DRIFT_REACH_UM, num_steps=2 * round(DRIFT_REACH_UM) + 1
    )
    return UnitTemplates(templates, nbefore, probe, "generated", moved, displacements)


def interpolate_displacements(moved: np.ndarray, displacements: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """
    Templates at other displacements, linearly between the nearest two.

    Parameters
    ----------
    moved : np.ndarray, shape (num_displacements, ...), float
    displacements, wanted : np.ndarray, shape (num_displacements,), (num_wanted,), float
        In um, ascending.

    Returns
    -------
    np.ndarray, shape (num_wanted, ...), float32
    """
    upper = np.clip(np.searchsorted(displacements, wanted), 1, len(displacements) - 1)
    weight = (wanted - displacements[upper - 1]) / (displacements[upper] - displacements[upper - 1])
    weight = weight.reshape(-1, *[1] * (moved.ndim - 1)).astype("float32")
    return moved[upper - 1] * (1 - weight) + moved[upper] * weight


def probe_from_positions(positions_um: np.ndarray) -> Probe:
    """A one-shank probe with contacts at the given positions, in the given order."""
    probe = Probe(ndim=2)
    probe.set_contacts(np.asarray(positions_um)[:, :2], shapes="circle", shape_params={"radius": 6})
    probe.create_auto_shape()
    probe.set_device_channel_indices(np.arange(len(positions_um)))
    return probe


def neuropixels1_checkerboard(num_contacts: int) -> Probe:
    """Neuropixels 1.0: two contacts a row, rows 20 um apart, every other row shifted by 16 um."""
    row, column = np.arange(num_contacts) // 2, np.arange(num_contacts) % 2
    return probe_from_positions(np.stack([-8.0 + 32.0 * column - 16.0 * (row % 2), 20.0 * row], axis=1))


def _on_contacts(waves, x, y, contacts):
    """Waveforms (grid, samples) -> template (samples, contacts): nearest column, linear along the shank, 0 outside."""
    template = np.zeros((waves.shape[1], len(contacts)))
    columns = np.unique(x)
    for index, (contact_x, contact_y) in enumerate(contacts):
        column = columns[np.argmin(np.abs(columns - contact_x))]
        members = np.flatnonzero(x == column)
        members = members[np.argsort(y[members])]
        above = np.searchsorted(y[members], contact_y)
        if 0 < above < len(members):
            low, high = members[above - 1], members[above]
            weight = (contact_y - y[low]) / (y[high] - y[low])
            template[:, index] = (1 - weight) * waves[low] + weight * waves[high]
    return template


def _edge_taper(num_samples: int, width: int = TAPER_SAMPLES) -> np.ndarray:
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(width) / width)
    return np.concatenate([ramp, np.ones(num_samples - 2 * width), ramp[::-1]])
