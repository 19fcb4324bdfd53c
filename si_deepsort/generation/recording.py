"""A recording and its true sorting, put together lazily from templates, spike trains, noise and background units."""

import numpy as np
from probeinterface import Probe
from spikeinterface.core.generate import InjectTemplatesRecording

from .colored_noise import ColoredNoiseRecording
from .poisson import random_sorting
from .settings import GenerationSettings
from .templates import random_far_templates, random_templates


def generate_recording(
    probe: Probe,
    settings: GenerationSettings | None = None,
    *,
    templates_uV: np.ndarray | None = None,
    nbefore: int | None = None,
    noise_power: tuple[np.ndarray, np.ndarray] | None = None,
):
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
        Sample of the peak in given templates.
    noise_power : (frequencies, power) | None, default: None
        Spectrum of the noise. None takes that of real Neuropixels recordings.

    Returns
    -------
    recording : BaseRecording
        In uV, float32, with the probe. Lazy: nothing is computed until traces are asked for.
    sorting : NumpySorting
        The true spikes (sample of the peak), with the properties `gt_peak_uV` and `gt_firing_rate`.
    """
    settings = settings or GenerationSettings()
    rng = np.random.default_rng(settings.seed)
    probe = probe.copy()
    probe.set_device_channel_indices(np.arange(probe.get_contact_count()))
    locations = probe.contact_positions[:, :2]
    if templates_uV is None:
        templates_uV, nbefore = random_templates(locations, settings, rng)
    noise = ColoredNoiseRecording(probe, settings, noise_power)
    far = random_far_templates(locations, settings, rng)
    hash_sorting = random_sorting(len(far[0]), settings, rng, rates=rng.uniform(1, 20, len(far[0])))
    background = InjectTemplatesRecording(hash_sorting, far[0], nbefore=far[1], parent_recording=noise)
    sorting = random_sorting(len(templates_uV), settings, rng)
    recording = InjectTemplatesRecording(sorting, templates_uV, nbefore=nbefore, parent_recording=background)
    peaks = np.abs(templates_uV).max(axis=(1, 2)) if len(templates_uV) else np.zeros(0)
    sorting.set_property("gt_peak_uV", peaks)
    sorting.set_property("gt_firing_rate", sorting.count_num_spikes_per_unit(outputs="array") / settings.duration_s)
    recording.set_channel_gains(1.0)
    recording.set_channel_offsets(0.0)
    recording.annotate(is_filtered=False)
    return recording, sorting
