"""
Templates that no step of the sorter was made from, for any probe.

The energy detector of the sorter takes its subspace from the shapes of `generation.random_templates`. A benchmark on
units of that generator would praise the detector for knowing them. Here units come from biophysical simulations where
the data folder holds some for the layout, otherwise from SpikeInterface's own generator with its own parameters.
"""

import numpy as np
from probeinterface import Probe
from scipy.spatial import KDTree
from spikeinterface.core.generate import generate_templates, generate_unit_locations

from .templates import UnitTemplates, biophysical_templates, data_folder

# Layouts of the biophysical templates, the files of `biophysical_templates/`, and how many units each holds.
LAYOUTS = {"tetrode": 24, "linear32": 60, "neuropixels1_64": 80, "neuropixels2_64": 48}
SAMPLING_FREQUENCY = 30_000.0
# Contacts of two layouts are the same place up to here, in um: far below the distance of contacts.
SAME_PLACE_UM = 1.0
# Factor that a copy of a biophysical unit is scaled by at least, so that no two units of a long probe are the same.
SMALLEST_SCALE = 0.6
# Peaks in uV of SpikeInterface's units: the range of the biophysical ones.
PEAKS_UV = (30.0, 350.0)
# Units are at least this far from each other in um: half a soma, so that 150 units find room on a short probe.
SMALLEST_DISTANCE_UM = 5.0
# Samples before and after the peak in ms: until slow repolarisation has ended.
MS_BEFORE, MS_AFTER = 1.5, 3.0
# Share of a layout's contacts that must be on the probe for its templates to fit.
LEAST_SHARED = 0.5


def foreign_templates(probe: Probe, num_units: int, *, seed: int) -> UnitTemplates:
    """
    Templates for a probe that are not of the package's own generator.

    Parameters
    ----------
    probe : Probe
        With one shank.
    num_units : int
    seed : int

    Returns
    -------
    UnitTemplates
        At 30 kHz. Its `origin` says "biophysical" or "SpikeInterface".
    """
    rng = np.random.default_rng(seed)
    for layout, num_stored in LAYOUTS.items() if data_folder() is not None else ():
        stored = biophysical_templates(layout, min(num_units, num_stored), rng, drift=False)
        if _fits(stored.probe.contact_positions, probe.contact_positions):
            templates = _placed(stored, probe.contact_positions, num_units, rng)
            return UnitTemplates(templates, stored.nbefore, probe, "biophysical")
    return _generated(probe, num_units, rng)


def _fits(stored: np.ndarray, contacts: np.ndarray) -> bool:
    """Whether one layout lies on the other when their lowest left contacts are at one place."""
    distance, _ = KDTree(_from_corner(contacts)).query(_from_corner(stored))
    return bool((distance < SAME_PLACE_UM).mean() >= LEAST_SHARED)


def _from_corner(positions: np.ndarray) -> np.ndarray:
    corner = positions[np.lexsort((positions[:, 0], positions[:, 1]))[0]]
    return positions - corner


def _placed(stored: UnitTemplates, contacts: np.ndarray, num_units: int, rng: np.random.Generator) -> np.ndarray:
    """Each unit with its main channel on a random contact of its column, what lies beyond the probe cut off."""
    here, there = KDTree(_from_corner(contacts)), _from_corner(stored.probe.contact_positions)
    positions = here.data
    templates = np.zeros((num_units, stored.templates_uV.shape[1], len(contacts)), dtype="float32")
    for unit in range(num_units):
        origin = stored.templates_uV[unit % len(stored.templates_uV)]
        main = there[np.ptp(origin, axis=0).argmax()]
        column = np.flatnonzero(np.abs(positions[:, 0] - main[0]) < SAME_PLACE_UM)
        shift = positions[rng.choice(column)] - main
        distance, contact = here.query(there + shift)
        is_on_probe = distance < SAME_PLACE_UM
        scale = np.exp(rng.uniform(np.log(SMALLEST_SCALE), 0.0))
        templates[unit][:, contact[is_on_probe]] = scale * origin[:, is_on_probe]
    return templates


def _generated(probe: Probe, num_units: int, rng: np.random.Generator) -> UnitTemplates:
    """Units of SpikeInterface's generator with its own parameters, amplitudes uniform in the logarithm."""
    locations = generate_unit_locations(
        num_units, probe.contact_positions, minimum_distance=SMALLEST_DISTANCE_UM, seed=int(rng.integers(2**31))
    )
    templates = generate_templates(
        probe.contact_positions, locations, SAMPLING_FREQUENCY, MS_BEFORE, MS_AFTER, seed=int(rng.integers(2**31))
    )
    smallest, largest = np.log(PEAKS_UV)
    peaks = np.exp(rng.uniform(smallest, largest, num_units))
    templates = templates * (peaks / np.abs(templates).max(axis=(1, 2)))[:, None, None]
    nbefore = round(MS_BEFORE * SAMPLING_FREQUENCY / 1000)
    return UnitTemplates(templates.astype("float32"), nbefore, probe, "SpikeInterface")
