"""Drift: the tissue moves slowly along the probe and jumps now and then."""

import numpy as np
from probeinterface import Probe
from scipy.interpolate import RBFInterpolator

# Displacements are given this often per second.
MOTION_RATE_HZ = 10.0
# Mean time between jumps in s; a recording with jumps has one at least.
JUMP_INTERVAL_S = 40.0
# Jumps sum up to this many of their standard deviations at most, in either direction.
MOST_JUMPS = 2.0
# Distance in um of the sources that moved templates are interpolated from: that of neurons from the contacts, whose
# potential decays with the inverse of the distance.
SOURCE_UM = 20.0


def displacement_um(times_s: np.ndarray, amplitude_um: float, duration_s: float) -> np.ndarray:
    """
    Slow displacement of the tissue: two sine waves in a recording.

    Parameters
    ----------
    times_s : np.ndarray, shape (num_times,), float64
    amplitude_um, duration_s : float

    Returns
    -------
    np.ndarray, shape (num_times,), float64
    """
    return amplitude_um * np.sin(4 * np.pi * np.asarray(times_s) / duration_s)


def jumps_um(times_s: np.ndarray, duration_s: float, rng: np.random.Generator, *, jump_um: float) -> np.ndarray:
    """
    Displacement by sudden jumps.

    Parameters
    ----------
    times_s : np.ndarray, shape (num_times,), float64
    duration_s : float
    rng : np.random.Generator
    jump_um : float
        Standard deviation of a jump. 0: none.

    Returns
    -------
    np.ndarray, shape (num_times,), float64
        Constant between jumps; within `MOST_JUMPS` times `jump_um` of 0.
    """
    num_jumps = 1 + rng.poisson(max(duration_s / JUMP_INTERVAL_S - 1, 0.0))
    moments = np.sort(rng.uniform(0.1, 0.9, num_jumps)) * duration_s
    positions = np.zeros(num_jumps + 1)
    for number, step in enumerate(rng.standard_normal(num_jumps)):
        positions[number + 1] = np.clip(positions[number] + step, -MOST_JUMPS, MOST_JUMPS)
    return jump_um * positions[np.searchsorted(moments, times_s, side="right")]


def motion_um(duration_s: float, rng: np.random.Generator, *, drift_um: float, jump_um: float) -> np.ndarray:
    """
    Displacement of the tissue along a recording: slow drift and jumps.

    Returns
    -------
    np.ndarray, shape (num_times,), float64
        At a rate of `MOTION_RATE_HZ`, to a second beyond the end.
    """
    times = np.arange(int(np.ceil((duration_s + 1) * MOTION_RATE_HZ))) / MOTION_RATE_HZ
    return displacement_um(times, drift_um, duration_s) + jumps_um(times, duration_s, rng, jump_um=jump_um)


def moved_templates(
    templates_uV: np.ndarray, probe: Probe, *, reach_um: float, num_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """
    Templates after the tissue moved along the probe, interpolated as potentials of sources near the contacts.

    Beyond the outermost contacts the potential decays.

    Parameters
    ----------
    templates_uV : np.ndarray, shape (num_units, num_samples, num_channels), float32
    probe : Probe
    reach_um : float
        Displacements go from minus to plus this.
    num_steps : int
        Number of displacements.

    Returns
    -------
    templates_uV : np.ndarray, shape (num_steps, num_units, num_samples, num_channels), float32
    displacements_um : np.ndarray, shape (num_steps,), float64

    Raises
    ------
    ValueError
        If the contacts of the probe are all at one depth, two are at one place, or a place is not known.
    """
    positions = np.asarray(probe.contact_positions[:, :2], dtype="float64")
    if not np.isfinite(positions).all():
        raise ValueError("The probe holds no position (NaN or inf) for a contact: correct it.")
    places, at_one_place = np.unique(positions, axis=0, return_counts=True)
    if (at_one_place > 1).any():
        place = places[at_one_place > 1][0].tolist()
        raise ValueError(
            f"{at_one_place.max()} contacts of the probe are at one place, {place} um, so that templates cannot move "
            "between contacts: correct the probe, or set drift_um and jump_um to 0."
        )
    if len(positions) < 2 or np.ptp(positions[:, 1]) == 0:
        raise ValueError("The contacts of the probe are all at one depth: set drift_um and jump_um to 0.")
    displacements = np.linspace(-reach_um, reach_um, num_steps)
    values = np.moveaxis(templates_uV, 2, 0).reshape(len(positions), -1)
    # Splines would end at the outermost contacts, and the spikes of units there would jump.
    field = RBFInterpolator(positions, values, kernel="inverse_multiquadric", epsilon=1 / SOURCE_UM, degree=-1)
    moved = np.empty((num_steps, *templates_uV.shape), dtype="float32")
    for step, displacement in enumerate(displacements):
        there = field(positions - [0.0, displacement]).reshape(len(positions), *templates_uV.shape[:2])
        moved[step] = np.moveaxis(there, 0, 2)
    return moved, displacements
