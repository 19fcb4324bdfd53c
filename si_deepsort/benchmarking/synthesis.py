"""From a recipe to traces: units, amplitudes of spikes, drift, background and noise put together, lazily."""

from dataclasses import replace

import numpy as np
import spikeinterface.core as si
from probeinterface import generate_multi_columns_probe
from spikeinterface.core.generate import InjectTemplatesRecording, generate_ground_truth_recording

from ..generation import (
    ColoredNoiseRecording,
    DisturbedRecording,
    GenerationSettings,
    MovingTemplates,
    Population,
    draw_population,
    inject_moving_units,
    inject_units,
    motion_um,
    random_far_templates,
    random_sorting,
    unit_locations,
    with_synchrony,
)
from .recipes import Recipe
from .templates import (
    HYBRID_FILE,
    UnitTemplates,
    biophysical_templates,
    data_folder,
    generated_templates,
    real_templates,
)

# Relative standard deviation of the amplitude from spike to spike in recordings of independent Poisson trains.
AMPLITUDE_VARIATION = 0.05
# There a spike is smaller by this share right after another one, and recovers with this time constant in ms.
BURST_LOSS, BURST_MS = 0.2, 10.0
# Firing rates of the far units in Hz.
FAR_RATES = (1.0, 20.0)
# Power of the usual simulated noise: a resonance at 300 Hz plus white noise.
SIMULATED_NOISE_FREQUENCIES = (0, 100, 200, 250, 300, 350, 450, 600, 900, 1500, 15000)
SIMULATED_NOISE_POWER = (0.1, 0.4, 2.0, 8.0, 20.0, 8.0, 2.0, 0.8, 0.4, 0.3, 0.3)


def synthesize(recipe: Recipe, *, seed: int, duration_s: float) -> tuple[si.BaseRecording, si.BaseSorting]:
    """
    A recording after a recipe, lazily, in uV.

    Parameters
    ----------
    recipe : Recipe
    seed : int
        Seed of the choice of units, spikes, noise and background.
    duration_s : float

    Returns
    -------
    recording : BaseRecording
        float32, in uV.
    sorting : BaseSorting
        With the properties `gt_peak_uV` and `gt_firing_rate`.
    """
    if recipe.plain_channels > 0:
        sizes = dict(num_units=recipe.num_units, num_channels=recipe.plain_channels)
        recording, sorting = plain_recording(**sizes, seed=seed, duration_s=duration_s)
        peaks_uV = np.abs(recording.templates).max(axis=(1, 2))
    else:
        rng = np.random.default_rng([seed, 20])
        units = _scaled(_unit_templates(recipe, rng), recipe, rng)
        settings = _generation_settings(recipe, seed, duration_s)
        background = _background(units.probe, recipe, settings, rng)
        spikes = _spikes(units, recipe, settings, rng)
        recording, sorting = _with_units(background, units, spikes, recipe, settings), spikes.sorting
        peaks_uV = np.abs(units.templates_uV).max(axis=(1, 2))
    sorting.set_property("gt_peak_uV", peaks_uV)
    sorting.set_property("gt_firing_rate", sorting.count_num_spikes_per_unit(outputs="array") / duration_s)
    return recording, sorting


def _scaled(units, recipe, rng):
    """The units with peaks in the range of the recipe."""
    if recipe.peak_uV is None:
        return units
    low, high = np.log(recipe.peak_uV)
    peaks = np.exp(rng.uniform(low, high, len(units.templates_uV)))
    scale = (peaks / np.abs(units.templates_uV).max(axis=(1, 2)))[:, None, None].astype("float32")
    moved_uV = None if units.moved_uV is None else units.moved_uV * scale
    return replace(units, templates_uV=units.templates_uV * scale, moved_uV=moved_uV)


def _generation_settings(recipe, seed, duration_s):
    return GenerationSettings(
        duration_s=duration_s,
        seed=seed,
        firing_rate_min=recipe.firing_rate[0],
        firing_rate_max=recipe.firing_rate[1],
        burst_fraction=recipe.burst_fraction,
        synchrony=recipe.synchrony,
        statistics=recipe.statistics,
    )


def _background(probe, recipe, settings, rng):
    """Noise and far units; these are the same crowd whatever the near ones do."""
    noise_power = (SIMULATED_NOISE_FREQUENCIES, SIMULATED_NOISE_POWER) if recipe.simulated_noise else None
    noise = ColoredNoiseRecording(probe, settings, noise_power)
    far, nbefore = random_far_templates(probe.contact_positions, settings, rng)
    crowd = replace(settings, burst_fraction=GenerationSettings.burst_fraction)
    sorting = random_sorting(len(far), crowd, rng, rates=rng.uniform(*FAR_RATES, len(far)))
    return inject_units(noise, sorting, far, nbefore=nbefore)


def _with_units(background, units, spikes, recipe, settings):
    """The background with the spikes of the units, while the tissue moves, and disturbed."""
    options = dict(nbefore=units.nbefore, amplitudes=spikes.amplitudes, widening=spikes.widening)
    if recipe.drift_um or recipe.jump_um:
        motion_rng = np.random.default_rng([settings.seed, 22])
        motion = motion_um(settings.duration_s, motion_rng, drift_um=recipe.drift_um, jump_um=recipe.jump_um)
        moving = MovingTemplates(units.moved_uV, units.displacements_um, motion)
        recording = inject_moving_units(background, spikes.sorting, moving, units.probe, **options)
    else:
        recording = inject_units(background, spikes.sorting, units.templates_uV, **options)
    if recipe.disturbances is None:
        return recording
    return DisturbedRecording(recording, recipe.disturbances, settings.seed)


def _spikes(units, recipe, settings, rng) -> Population:
    """The true spikes, with amplitudes and shapes."""
    locations = unit_locations(units.templates_uV, units.probe.contact_positions[:, :2])
    if recipe.statistics is not None:
        return draw_population(locations, settings)
    sorting = random_sorting(len(units.templates_uV), settings, rng)
    population = Population(sorting, spike_amplitude_factors(sorting, rng))
    return with_synchrony(population, locations, settings, amplitude_sd=AMPLITUDE_VARIATION)


def plain_recording(
    num_units: int, num_channels: int, *, seed: int, duration_s: float
) -> tuple[InjectTemplatesRecording, si.BaseSorting]:
    """
    A recording of SpikeInterface's own generator in two columns of channels, as users try it.

    Parameters
    ----------
    num_units : int
    num_channels : int
        Even, or 1.
    seed : int
        Seed of the generator.
    duration_s : float

    Returns
    -------
    recording : InjectTemplatesRecording
        float32, in uV.
    sorting : BaseSorting
    """
    shape = dict(contact_shapes="square", contact_shape_params={"width": 12})
    columns = dict(num_columns=min(num_channels, 2), num_contact_per_column=max(num_channels // 2, 1))
    probe = generate_multi_columns_probe(**columns, xpitch=32, ypitch=20, **shape)
    probe.set_device_channel_indices(np.arange(num_channels))
    recording, sorting = generate_ground_truth_recording(
        durations=[duration_s],
        sampling_frequency=30_000.0,
        num_channels=num_channels,
        num_units=num_units,
        probe=probe,
        seed=seed,
        generate_sorting_kwargs=dict(firing_rates=(1.0, 12.0), refractory_period_ms=3.0),
        noise_kwargs=dict(noise_levels=8.0, strategy="on_the_fly"),
    )
    return recording, sorting


def spike_amplitude_factors(
    sorting: si.BaseSorting,
    rng: np.random.Generator,
    *,
    variation: float = AMPLITUDE_VARIATION,
    burst_loss: float = BURST_LOSS,
    burst_ms: float = BURST_MS,
) -> np.ndarray:
    """
    Relative amplitude of each spike: it varies a little and drops within bursts.

    Parameters
    ----------
    sorting : BaseSorting
    rng : np.random.Generator
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


def available_origin(recipe: Recipe) -> str:
    """Where the templates of a recipe come from here: "biophysical", "real" or "generated"."""
    folder = data_folder()
    if recipe.data_file is None or folder is None:
        return "generated"
    if recipe.data_file == "real":
        return "real" if (folder / HYBRID_FILE).exists() else "generated"
    is_there = (folder / "biophysical_templates" / f"{recipe.data_file}.npz").exists()
    return "biophysical" if is_there else "generated"


def _unit_templates(recipe, rng) -> UnitTemplates:
    origin = available_origin(recipe)
    if origin == "real":
        return real_templates(recipe.num_units, rng)
    drift = recipe.drift_um > 0 or recipe.jump_um > 0
    if origin == "biophysical":
        return biophysical_templates(recipe.data_file, recipe.num_units, rng, drift=drift)
    return generated_templates(recipe.layout, recipe.num_units, rng, drift=drift)
