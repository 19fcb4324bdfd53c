"""A recording and its true sorting, put together lazily from templates, spike trains, noise and background units."""

import numpy as np
import spikeinterface.core as si
from probeinterface import Probe
from spikeinterface.core.generate import InjectTemplatesRecording

from .colored_noise import ColoredNoiseRecording
from .disturbances import DisturbedRecording
from .injection import MovingTemplates, inject_moving_units, inject_units
from .motion import MOST_JUMPS, motion_um, moved_templates
from .poisson import random_sorting
from .population import Population, draw_population, with_synchrony
from .settings import Disturbances, GenerationSettings
from .synchrony import unit_locations
from .templates import random_far_templates, random_templates

# Templates of units that move are computed at displacements this far apart, in um.
MOTION_STEP_UM = 1.0


def generate_recording(
    probe: Probe,
    settings: GenerationSettings | None = None,
    *,
    templates_uV: np.ndarray | None = None,
    nbefore: int | None = None,
    noise_power: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[si.BaseRecording, si.NumpySorting]:
    """
    A recording and its true sorting, made lazily from a seed.

    Parameters
    ----------
    probe : Probe
    settings : GenerationSettings | None, default: None
        None takes the defaults. `num_units` and the amplitudes are ignored if templates are given.
    templates_uV : np.ndarray | None, shape (num_units, num_samples, num_channels), default: None
        Templates of the units, at the sampling frequency of the settings. None generates them.
    nbefore : int | None, default: None
        Sample of the peak in given templates. None takes the largest sample of all of them.
    noise_power : (frequencies, power) | None, default: None
        Spectrum of the noise. None takes that of real Neuropixels recordings.

    Returns
    -------
    recording : BaseRecording
        In uV, float32, with the probe. Lazy: nothing is computed until traces are asked for.
    sorting : NumpySorting
        The true spikes (sample of the peak), with the properties `gt_peak_uV` and `gt_firing_rate`.

    Raises
    ------
    ValueError
        If the tissue is to move along contacts that are all at one depth.
    """
    settings = settings or GenerationSettings()
    rng = np.random.default_rng(settings.seed)
    probe = probe.copy()
    probe.set_device_channel_indices(np.arange(probe.get_contact_count()))
    locations = probe.contact_positions[:, :2]
    if templates_uV is None:
        templates_uV, nbefore = random_templates(locations, settings, rng)
    elif nbefore is None:
        nbefore = int(np.argmax(np.abs(templates_uV).max(axis=(0, 2)))) if len(templates_uV) else 0
    noise = ColoredNoiseRecording(probe, settings, noise_power)
    far = random_far_templates(locations, settings, rng)
    hash_sorting = random_sorting(len(far[0]), settings, rng, rates=rng.uniform(1, 20, len(far[0])))
    background = InjectTemplatesRecording(hash_sorting, far[0], nbefore=far[1], parent_recording=noise)
    spikes = _true_spikes(templates_uV, locations, settings, rng)
    recording = _with_units(background, templates_uV, spikes, nbefore, probe, settings)
    if settings.disturbances != Disturbances():
        recording = DisturbedRecording(recording, settings.disturbances, settings.seed)
    sorting = spikes.sorting
    peaks = np.abs(templates_uV).max(axis=(1, 2)) if len(templates_uV) else np.zeros(0)
    sorting.set_property("gt_peak_uV", peaks)
    sorting.set_property("gt_firing_rate", sorting.count_num_spikes_per_unit(outputs="array") / settings.duration_s)
    recording.set_channel_gains(1.0)
    recording.set_channel_offsets(0.0)
    recording.annotate(is_filtered=False)
    return recording, sorting


def _with_units(background, templates_uV, spikes, nbefore, probe, settings):
    """The background with the spikes of the units, while the tissue moves if it does."""
    options = dict(nbefore=nbefore, amplitudes=spikes.amplitudes, widening=spikes.widening)
    is_moving = settings.drift_um > 0 or settings.jump_um > 0
    if is_moving and len(templates_uV):
        moving = _moving_templates(templates_uV, probe, settings)
        return inject_moving_units(background, spikes.sorting, moving, probe, **options)
    return inject_units(background, spikes.sorting, templates_uV, **options)


def _true_spikes(templates_uV, locations, settings, rng) -> Population:
    """The spikes of the units; amplitudes of None are all 1."""
    where = unit_locations(templates_uV, locations)
    if settings.statistics is not None:
        return draw_population(where, settings)
    sorting = random_sorting(len(templates_uV), settings, rng)
    if settings.synchrony == 0:
        return Population(sorting, None)
    ones = np.ones(sorting.count_total_num_spikes(), dtype="float32")
    return with_synchrony(Population(sorting, ones), where, settings, amplitude_sd=0.0)


def _moving_templates(templates_uV, probe, settings) -> MovingTemplates:
    """Templates at all displacements that occur."""
    reach_um = settings.drift_um + MOST_JUMPS * settings.jump_um
    num_steps = 2 * int(np.ceil(reach_um / MOTION_STEP_UM)) + 1
    moved, displacements = moved_templates(templates_uV, probe, reach_um=reach_um, num_steps=num_steps)
    rng = np.random.default_rng([settings.seed, 22])
    motion = motion_um(settings.duration_s, rng, drift_um=settings.drift_um, jump_um=settings.jump_um)
    return MovingTemplates(moved, displacements, motion)
