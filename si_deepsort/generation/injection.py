"""Spikes put into a recording: their templates, scaled, widened and moved along the probe."""

from dataclasses import dataclass, replace

import numpy as np
import spikeinterface.core as si
from probeinterface import Probe
from spikeinterface.core.generate import InjectTemplatesRecording

from .motion import MOTION_RATE_HZ


@dataclass(frozen=True)
class MovingTemplates:
    """
    Templates at a series of displacements of the tissue, and the displacement along the recording.

    Attributes
    ----------
    templates_uV : np.ndarray, shape (num_displacements, num_units, num_samples, num_channels), float32
    displacements_um : np.ndarray, shape (num_displacements,), float64
        Ascending, in equal steps.
    motion_um : np.ndarray, shape (num_times,), float64
        Displacement of the tissue at a rate of `MOTION_RATE_HZ`.
    """

    templates_uV: np.ndarray
    displacements_um: np.ndarray
    motion_um: np.ndarray


def inject_units(
    parent: si.BaseRecording,
    sorting: si.BaseSorting,
    templates_uV: np.ndarray,
    *,
    nbefore: int,
    amplitudes: np.ndarray | None = None,
    widening: np.ndarray | None = None,
) -> si.BaseRecording:
    """
    A recording with the spikes of a sorting added, lazily.

    Parameters
    ----------
    parent : BaseRecording
        Background and noise, in uV.
    sorting : BaseSorting
    templates_uV : np.ndarray, shape (num_units, num_samples, num_channels), float32
    nbefore : int
        Sample of the peak.
    amplitudes : np.ndarray | None, shape (num_spikes,), float32, default: None
        Relative to the template, in the order of the spike vector. None: 1.
    widening : np.ndarray | None, shape (num_spikes,), float32, default: None
        By how much each spike is wider than the template, relative to it. None: 0.

    Returns
    -------
    BaseRecording
    """
    recording = InjectTemplatesRecording(
        sorting, templates_uV, nbefore=nbefore, amplitude_factor=amplitudes, parent_recording=parent
    )
    if widening is None:
        return recording
    factors = widening if amplitudes is None else amplitudes * widening
    slopes = widening_slopes(templates_uV, nbefore)
    return InjectTemplatesRecording(
        sorting, slopes, nbefore=nbefore, amplitude_factor=factors, parent_recording=recording
    )


def widening_slopes(templates_uV: np.ndarray, nbefore: int) -> np.ndarray:
    """
    What is added to a template to widen it, per unit of relative width: minus time times its derivative.

    Parameters
    ----------
    templates_uV : np.ndarray, shape (..., num_samples, num_channels), float32
    nbefore : int
        Sample of the peak: it stays where it is.

    Returns
    -------
    np.ndarray, shape (..., num_samples, num_channels), float32
    """
    times = np.arange(templates_uV.shape[-2]) - nbefore
    return (-times[:, None] * np.gradient(templates_uV, axis=-2)).astype("float32")


def inject_moving_units(
    parent: si.BaseRecording,
    sorting: si.BaseSorting,
    moving: MovingTemplates,
    probe: Probe,
    *,
    nbefore: int,
    amplitudes: np.ndarray | None = None,
    widening: np.ndarray | None = None,
) -> si.BaseRecording:
    """
    A recording with the spikes of a sorting added while the tissue moves, lazily.

    Parameters
    ----------
    parent : BaseRecording
        Background and noise, in uV; they do not move.
    sorting, nbefore, amplitudes, widening
        As for `inject_units`.
    moving : MovingTemplates
    probe : Probe

    Returns
    -------
    BaseRecording
    """
    recording = _inject_moving(parent, sorting, moving, probe, nbefore, amplitudes)
    if widening is None:
        return recording
    factors = widening if amplitudes is None else amplitudes * widening
    slopes = replace(moving, templates_uV=widening_slopes(moving.templates_uV, nbefore))
    return _inject_moving(recording, sorting, slopes, probe, nbefore, factors)


def _inject_moving(parent, sorting, moving, probe, nbefore, amplitudes):
    from spikeinterface.generation.drift_tools import DriftingTemplates, InjectDriftingTemplatesRecording

    steps = np.stack([np.zeros_like(moving.displacements_um), moving.displacements_um], axis=1)
    drifting = DriftingTemplates.from_precomputed_templates(
        moving.templates_uV, steps, parent.get_sampling_frequency(), nbefore, probe
    )
    motion = np.zeros((len(moving.motion_um), 2, 1))
    motion[:, 1, 0] = moving.motion_um
    return InjectDriftingTemplatesRecording(
        sorting=sorting,
        drifting_templates=drifting,
        displacement_vectors=[motion],
        displacement_sampling_frequency=MOTION_RATE_HZ,
        displacement_unit_factor=np.ones((len(sorting.unit_ids), 1)),
        parent_recording=parent,
        amplitude_factor=amplitudes,
    )
