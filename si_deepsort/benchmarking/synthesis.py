"""From a recipe to traces: units, amplitudes of spikes, drift, background and noise put together, lazily."""

import numpy as np
from probeinterface import generate_multi_columns_probe
from spikeinterface.core.generate import InjectTemplatesRecording, generate_ground_truth_recording

from ..generation import (
    ColoredNoiseRecording,
    DisturbedRecording,
    GenerationSettings,
    draw_spikes,
    join_neighbours,
    lognormal_rates,
    random_far_templates,
    random_sorting,
    to_sorting,
    unit_locations,
)
from .templates import HYBRID_FILE, biophysical_templates, data_folder, generated_templates, real_templates

# Neighbours that fire together do so within this many ms of each other: monosynaptic and common input lags.
SYNCHRONY_MS = 0.8
REFRACTORY_MS = 2.0
# Relative standard deviation of the amplitude from spike to spike in recordings of independent Poisson trains.
AMPLITUDE_VARIATION = 0.05
# Power of the usual simulated noise: a resonance at 300 Hz plus white noise.
SIMULATED_NOISE_FREQUENCIES = (0, 100, 200, 250, 300, 350, 450, 600, 900, 1500, 15000)
SIMULATED_NOISE_POWER = (0.1, 0.4, 2.0, 8.0, 20.0, 8.0, 2.0, 0.8, 0.4, 0.3, 0.3)


def synthesize(recipe, *, seed: int, duration_s: float):
    """
    A recording after a recipe, lazily, in uV.

    Returns
    -------
    recording : BaseRecording
        float32, in uV.
    sorting : NumpySorting
        With the properties `gt_peak_uV` and `gt_firing_rate`.
    """
    if recipe.is_plain:
        return plain_recording(recipe.num_units, seed=seed, duration_s=duration_s)
    rng = np.random.default_rng([seed, 20])
    units = _unit_templates(recipe, rng)
    if recipe.peak_uV is not None:
        low, high = np.log(recipe.peak_uV)
        peaks = np.exp(rng.uniform(low, high, len(units.templates_uV)))
        scale = (peaks / np.abs(units.templates_uV).max(axis=(1, 2)))[:, None, None].astype("float32")
        units.templates_uV = units.templates_uV * scale
        units.moved_uV = None if units.moved_uV is None else units.moved_uV * scale
    settings = GenerationSettings(
        duration_s=duration_s, seed=seed, firing_rate_min=recipe.firing_rate[0], firing_rate_max=recipe.firing_rate[1]
    )
    noise_power = (SIMULATED_NOISE_FREQUENCIES, SIMULATED_NOISE_POWER) if recipe.simulated_noise else None
    noise = ColoredNoiseRecording(units.probe, settings, noise_power)
    far, far_nbefore = random_far_templates(units.probe.contact_positions, settings, rng)
    far_sorting = random_sorting(len(far), settings, rng, rates=rng.uniform(1, 20, len(far)))
    background = InjectTemplatesRecording(far_sorting, far, nbefore=far_nbefore, parent_recording=noise)
    sorting, factors = _spikes(units, recipe, settings, rng)
    recording = _inject(units, sorting, background, factors, recipe, duration_s)
    if recipe.disturbances is not None:
        recording = DisturbedRecording(recording, recipe.disturbances, seed)
    sorting.set_property("gt_peak_uV", np.abs(units.templates_uV).max(axis=(1, 2)))
    sorting.set_property("gt_firing_rate", sorting.count_num_spikes_per_unit(outputs="array") / duration_s)
    return recording, sorting


def _spikes(units, recipe, settings, rng):
    """The true sorting and the amplitude of each of its spikes."""
    rates_rng, spikes_rng, synchrony_rng = np.random.default_rng([settings.seed, 21]).spawn(3)
    timing = dict(duration_s=settings.duration_s, sampling_frequency=settings.sampling_frequency)
    num_units = len(units.templates_uV)
    if recipe.statistics is not None:
        low, high = recipe.firing_rate
        log_rate_sd = recipe.statistics.log_rate_sd
        rates = lognormal_rates(num_units, rates_rng, rate_min=low, rate_max=high, log_rate_sd=log_rate_sd)
        times, amplitudes = draw_spikes(
            rates,
            recipe.statistics,
            spikes_rng,
            duration_s=settings.duration_s,
            burst_fraction=recipe.burst_fraction,
        )
        amplitude_sd = recipe.statistics.amplitude_sd
    else:
        sorting = random_sorting(num_units, settings, rng)
        factors = spike_amplitude_factors(sorting, rng)
        if not recipe.synchrony:
            return sorting, factors
        spikes = sorting.to_spike_vector()
        members = [np.flatnonzero(spikes["unit_index"] == unit) for unit in range(num_units)]
        times = [spikes["sample_index"][own] / settings.sampling_frequency for own in members]
        amplitudes = [factors[own] for own in members]
        amplitude_sd = AMPLITUDE_VARIATION
    if recipe.synchrony:
        times, amplitudes = join_neighbours(
            times,
            amplitudes,
            unit_locations(units.templates_uV, units.probe.contact_positions[:, :2]),
            synchrony_rng,
            share=recipe.synchrony,
            max_lag_ms=SYNCHRONY_MS,
            refractory_ms=REFRACTORY_MS,
            amplitude_sd=amplitude_sd,
        )
    return to_sorting(times, amplitudes, **timing)


def plain_recording(num_units: int, *, seed: int, duration_s: float):
    """
    A recording of SpikeInterface's own generator on 64 channels in two columns, as users try it.

    Parameters
    ----------
    num_units : int
    seed : int
        Of the generator.
    duration_s : float

    Returns
    -------
    recording : BaseRecording
        float32, in uV.
    sorting : BaseSorting
        With the properties `gt_peak_uV` and `gt_firing_rate`.
    """
    shape = dict(contact_shapes="square", contact_shape_params={"width": 12})
    probe = generate_multi_columns_probe(num_columns=2, num_contact_per_column=32, xpitch=32, ypitch=20, **shape)
    probe.set_device_channel_indices(np.arange(64))
    recording, sorting = generate_ground_truth_recording(
        durations=[duration_s],
        sampling_frequency=30_000.0,
        num_channels=64,
        num_units=num_units,
        probe=probe,
        seed=seed,
        generate_sorting_kwargs=dict(firing_rates=(1.0, 12.0), refractory_period_ms=3.0),
        noise_kwargs=dict(noise_levels=8.0, strategy="on_the_fly"),
    )
    sorting.set_property("gt_peak_uV", np.abs(recording.templates).max(axis=(1, 2)))
    sorting.set_property("gt_firing_rate", sorting.count_num_spikes_per_unit(outputs="array") / duration_s)
    return recording, sorting


def spike_amplitude_factors(
    sorting, rng: np.random.Generator, *, variation=AMPLITUDE_VARIATION, burst_loss=0.2, burst_ms=10.0
):
    """
    Relative amplitude of each spike: it varies a little and drops within bursts.

    Parameters
    ----------
    variation : float, default: 0.05
        Standard deviation.
    burst_loss, burst_ms : float
        A spike loses `burst_loss * exp(-interval / burst_ms)` after the interval to the one before.

    Returns
    -------
    np.ndarray, shape (num_spikes,), float32
        In the order of the spike vector.
    """
    spikes = sorting.to_spike_vector()
    factors = 1 + variation * rng.standard_normal(len(spikes))
    for unit in range(len(sorting.unit_ids)):
        members = np.flatnonzero(spikes["unit_index"] == unit)
        frames = spikes["sample_index"][members]
        interval_ms = np.diff(frames, prepend=-(10**9)) / sorting.get_sampling_frequency() * 1000
        factors[members] -= burst_loss * np.exp(-interval_ms / burst_ms)
    return factors.astype("float32")


def displacement_um(times_s: np.ndarray, amplitude_um: float, duration_s: float) -> np.ndarray:
    """Displacement of the tissue: two slow sine waves in a recording."""
    return amplitude_um * np.sin(4 * np.pi * np.asarray(times_s) / duration_s)


def _inject(units, sorting, background, factors, recipe, duration_s):
    if not recipe.drift_um:
        return InjectTemplatesRecording(
            sorting,
            units.templates_uV,
            nbefore=units.nbefore,
            amplitude_factor=factors,
            parent_recording=background,
        )
    from spikeinterface.generation.drift_tools import DriftingTemplates, InjectDriftingTemplatesRecording

    steps = np.stack([np.zeros_like(units.displacements_um), units.displacements_um], axis=1)
    drifting = DriftingTemplates.from_precomputed_templates(
        units.moved_uV, steps, background.get_sampling_frequency(), units.nbefore, units.probe
    )
    rate = 10.0
    times = np.arange(int(np.ceil((duration_s + 1) * rate))) / rate
    motion = np.zeros((len(times), 2, 1))
    motion[:, 1, 0] = displacement_um(times, recipe.drift_um, duration_s)
    return InjectDriftingTemplatesRecording(
        sorting=sorting,
        drifting_templates=drifting,
        displacement_vectors=[motion],
        displacement_sampling_frequency=rate,
        displacement_unit_factor=np.ones((len(sorting.unit_ids), 1)),
        parent_recording=background,
        amplitude_factor=factors,
    )


def available_origin(recipe) -> str:
    """Where the templates of a recipe come from here: "biophysical", "real" or "generated"."""
    folder = data_folder()
    if recipe.data_file is None or folder is None:
        return "generated"
    if recipe.data_file == "real":
        return "real" if (folder / HYBRID_FILE).exists() else "generated"
    is_there = (folder / "biophysical_templates" / f"{recipe.data_file}.npz").exists()
    return "biophysical" if is_there else "generated"


def _unit_templates(recipe, rng):
    origin = available_origin(recipe)
    if origin == "real":
        return real_templates(recipe.num_units, rng)
    drift = recipe.drift_um > 0
    if origin == "biophysical":
        return biophysical_templates(recipe.data_file, recipe.num_units, rng, drift=drift)
    return generated_templates(recipe.layout, recipe.num_units, rng, drift=drift)
