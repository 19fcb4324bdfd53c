"""The spikes of a whole population: trains, bursts, lifetimes, synchrony and amplitudes put together."""

from dataclasses import dataclass

import numpy as np
import spikeinterface.core as si

from .amplitudes import burst_amplitudes, draw_lifetimes, fade, slow_change
from .settings import GenerationSettings, SpikeStatistics
from .synchrony import join_neighbours
from .trains import EDGE_S, add_bursts, after_refractory, gamma_train, lognormal_rates, rate_modulation

# Own spikes this close to a copied one, in ms, give way where trains have no refractory period of their own.
REFRACTORY_MS = 2.0
# Shrinking of the spikes in bursts of the units that shrink most, from spike to spike; they reach half at the third.
DEEP_BURST_DECAY = 0.7


@dataclass(frozen=True)
class Population:
    """
    The spikes of a population.

    Attributes
    ----------
    sorting : NumpySorting
        With unit ids "0", "1", ...
    amplitudes : np.ndarray | None, shape (num_spikes,), float32
        Relative to the template, in the order of the spike vector. None: all are 1.
    widening : np.ndarray | None, shape (num_spikes,), float32
        By how much each spike is wider than its template. None: not at all.
    """

    sorting: si.NumpySorting
    amplitudes: np.ndarray | None
    widening: np.ndarray | None = None


def draw_population(locations: np.ndarray, settings: GenerationSettings) -> Population:
    """
    The spikes of neurons at given places, with the statistics of the settings.

    Parameters
    ----------
    locations : np.ndarray, shape (num_units, 2), float
        In um: neighbours fire together.
    settings : GenerationSettings
        Its `statistics` are not None.

    Returns
    -------
    Population
    """
    statistics, duration_s = settings.statistics, settings.duration_s
    assert statistics is not None
    rates_rng, spikes_rng, synchrony_rng, shapes_rng = np.random.default_rng([settings.seed, 21]).spawn(4)
    rates = lognormal_rates(
        len(locations),
        rates_rng,
        rate_min=settings.firing_rate_min,
        rate_max=settings.firing_rate_max,
        log_rate_sd=statistics.log_rate_sd,
    )
    times, amplitudes = draw_spikes(
        rates, statistics, spikes_rng, duration_s=duration_s, burst_fraction=settings.burst_fraction
    )
    if settings.synchrony:
        times, amplitudes = join_neighbours(
            times,
            amplitudes,
            locations,
            synchrony_rng,
            share=settings.synchrony,
            refractory_ms=statistics.refractory_ms,
            amplitude_sd=statistics.amplitude_sd,
        )
    sorting, in_order = to_sorting(
        times, amplitudes, duration_s=duration_s, sampling_frequency=settings.sampling_frequency
    )
    if statistics.shape_change_sd == 0:
        return Population(sorting, in_order)
    spikes = sorting.to_spike_vector()
    widening = np.zeros(len(spikes), dtype="float32")
    for unit, own_rng in enumerate(shapes_rng.spawn(len(locations))):
        members = spikes["unit_index"] == unit
        own_times = spikes["sample_index"][members] / settings.sampling_frequency
        widening[members] = slow_change(own_times, duration_s, own_rng, sd=statistics.shape_change_sd) - 1
    return Population(sorting, in_order, widening)


def with_synchrony(
    population: Population, locations: np.ndarray, settings: GenerationSettings, *, amplitude_sd: float
) -> Population:
    """
    A population whose neurons ignored each other, with neighbours that fire together.

    Parameters
    ----------
    population : Population
    locations : np.ndarray, shape (num_units, 2), float
        In um.
    settings : GenerationSettings
        Seed, synchrony and timing are taken from it.
    amplitude_sd : float
        Standard deviation of the amplitudes of the spikes that are added.

    Returns
    -------
    Population
    """
    if settings.synchrony == 0:
        return population
    amplitudes_of_spikes = population.amplitudes
    assert amplitudes_of_spikes is not None
    spikes = population.sorting.to_spike_vector()
    members = [np.flatnonzero(spikes["unit_index"] == unit) for unit in range(len(locations))]
    times, amplitudes = join_neighbours(
        [spikes["sample_index"][own] / settings.sampling_frequency for own in members],
        [amplitudes_of_spikes[own] for own in members],
        locations,
        np.random.default_rng([settings.seed, 21]).spawn(3)[2],
        share=settings.synchrony,
        refractory_ms=REFRACTORY_MS,
        amplitude_sd=amplitude_sd,
    )
    timing = dict(duration_s=settings.duration_s, sampling_frequency=settings.sampling_frequency)
    return Population(*to_sorting(times, amplitudes, **timing))


def draw_spikes(
    rates: np.ndarray,
    statistics: SpikeStatistics,
    rng: np.random.Generator,
    *,
    duration_s: float,
    burst_fraction: float,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """
    Spike trains and amplitudes of a population without synchrony among neighbours.

    Every step has a random stream of its own, so that a knob that is turned leaves all other draws as they were.

    Parameters
    ----------
    rates : np.ndarray, shape (num_units,), float64
        Mean firing rates in Hz, bursts included, while a unit fires.
    statistics : SpikeStatistics
    rng : np.random.Generator
    duration_s : float
    burst_fraction : float
        Share of the units that fire bursts. Their number is rounded.

    Returns
    -------
    times_s, amplitudes : list of np.ndarray, shape (num_spikes,), float64
        For each unit: spike times in s, ascending, and amplitudes relative to the template.
    """
    trains_rng, bursts_rng, lives_rng, amplitudes_rng, modulation_rng = rng.spawn(5)
    num_units = len(rates)
    modulation = rate_modulation(
        duration_s,
        modulation_rng,
        theta=statistics.theta_depth,
        gamma=statistics.gamma_depth,
        up_down=statistics.up_down_depth,
    )
    rank = bursts_rng.permutation(num_units)
    num_bursting = round(burst_fraction * num_units)
    probabilities = np.where(rank < num_bursting, statistics.burst_probability, 0.0)
    is_deep = rank < round(statistics.deep_burst_share * num_bursting)
    decays = np.where(is_deep, DEEP_BURST_DECAY, statistics.burst_decay)
    drawn = [
        _bursting_train(rate, statistics, *own, duration_s, modulation, probability, decay)
        for rate, own, probability, decay in zip(
            rates,
            zip(trains_rng.spawn(num_units), bursts_rng.spawn(num_units), strict=True),
            probabilities,
            decays,
            strict=True,
        )
    ]
    return _change_slowly(drawn, statistics, lives_rng, amplitudes_rng, duration_s)


def _change_slowly(drawn, statistics, lives_rng, amplitudes_rng, duration_s):
    """Let units start, stop, fade and change their amplitudes; the lists of `draw_spikes`."""
    start_s, stop_s = draw_lifetimes(
        len(drawn), duration_s, lives_rng, start_share=statistics.start_share, stop_share=statistics.stop_share
    )
    is_fading = lives_rng.permutation(len(drawn)) < round(statistics.fade_share * len(drawn))
    all_times, all_amplitudes = [], []
    for unit, own_rng in enumerate(amplitudes_rng.spawn(len(drawn))):
        times, amplitudes = drawn[unit]
        is_alive = (times >= start_s[unit]) & (times < stop_s[unit])
        times, amplitudes = times[is_alive], amplitudes[is_alive]
        amplitudes = amplitudes * slow_change(times, duration_s, own_rng, sd=statistics.slow_amplitude_sd)
        if is_fading[unit]:
            amplitudes = amplitudes * fade(times, duration_s, from_s=duration_s / 2, fade_to=statistics.fade_to)
        all_times.append(times)
        all_amplitudes.append(amplitudes + statistics.amplitude_sd * own_rng.standard_normal(len(times)))
    return all_times, all_amplitudes


def _bursting_train(rate, statistics, train_rng, burst_rng, duration_s, modulation, probability, decay):
    """Times and amplitudes of one unit for the whole recording; its mean rate is the same with and without bursts."""
    base_rate = rate / (1 + probability * (1 + statistics.burst_most_extra) / 2)
    refractory_ms = statistics.refractory_ms
    times = gamma_train(
        base_rate,
        duration_s,
        train_rng,
        refractory_ms=refractory_ms,
        regularity=statistics.regularity,
        modulation=modulation,
    )
    times, position = add_bursts(
        times,
        burst_rng,
        probability=probability,
        most_extra=statistics.burst_most_extra,
        interval_min_ms=statistics.burst_interval_min_ms,
        interval_max_ms=statistics.burst_interval_max_ms,
    )
    kept = after_refractory(times, refractory_ms / 1000) & (times < duration_s)
    return times[kept], burst_amplitudes(position[kept], decay=decay)


def to_sorting(
    times_s: list[np.ndarray], amplitudes: list[np.ndarray], *, duration_s: float, sampling_frequency: float
) -> tuple[si.NumpySorting, np.ndarray]:
    """
    Spike times as a sorting, with the amplitudes in the order of its spike vector.

    Returns
    -------
    sorting : NumpySorting
        With unit ids "0", "1", ...
    amplitudes : np.ndarray, shape (num_spikes,), float32
    """
    num_frames, edge = round(duration_s * sampling_frequency), round(EDGE_S * sampling_frequency)
    trains, kept_amplitudes = {}, []
    for unit, (times, own) in enumerate(zip(times_s, amplitudes, strict=True)):
        frames, first = np.unique(np.round(times * sampling_frequency).astype("int64"), return_index=True)
        is_inside = (frames >= edge) & (frames < num_frames - edge)
        trains[str(unit)] = frames[is_inside]
        kept_amplitudes.append(own[first][is_inside])
    sorting = si.NumpySorting.from_unit_dict([trains], sampling_frequency)
    spikes = sorting.to_spike_vector()
    in_order = np.zeros(len(spikes), dtype="float32")
    for unit, own in enumerate(kept_amplitudes):
        in_order[spikes["unit_index"] == unit] = own
    return sorting, in_order
