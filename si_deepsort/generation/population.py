"""The spikes of a whole population: trains, bursts, lifetimes, synchrony and amplitudes put together."""

import numpy as np
import spikeinterface.core as si

from .amplitudes import burst_amplitudes, draw_lifetimes, fade, slow_change
from .settings import SpikeStatistics
from .synchrony import copied_spikes, draw_partners, join_copies
from .trains import add_bursts, after_refractory, gamma_train, rate_modulation

# Spikes this close to an end of the recording, in s, are left out: their templates would be cut off.
EDGE_S = 0.003
# Shrinking of the spikes in bursts of the units that shrink most, from spike to spike; they reach half at the third.
DEEP_BURST_DECAY = 0.7


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
        Of each unit: spike times in s, ascending, and amplitudes relative to the template.
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


def join_neighbours(
    times_s: list[np.ndarray],
    amplitudes: list[np.ndarray],
    locations: np.ndarray,
    rng: np.random.Generator,
    *,
    share: float,
    max_lag_ms: float,
    refractory_ms: float,
    amplitude_sd: float,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """
    Let each unit fire together with one of its three nearest neighbours.

    Parameters
    ----------
    times_s, amplitudes : list of np.ndarray, shape (num_spikes,), float64
        Of `draw_spikes`.
    locations : np.ndarray, shape (num_units, 2), float64
        In um.
    rng : np.random.Generator
    share : float
        Share of the spikes of the neighbour that are copied into the train.
    max_lag_ms : float
        Lags are uniform between minus and plus this.
    refractory_ms : float
        Own spikes this close to a copied one give way.
    amplitude_sd : float
        Standard deviation of the amplitudes of copied spikes; each else has the amplitude of the nearest own spike.

    Returns
    -------
    times_s, amplitudes : list of np.ndarray, shape (num_spikes,), float64
    """
    partner_rng, copy_rng, amplitude_rng = rng.spawn(3)
    partners = draw_partners(locations, partner_rng)
    copies = copied_spikes(times_s, partners, copy_rng, share=share, max_lag_ms=max_lag_ms)
    joined_times, joined_amplitudes = [], []
    own_rngs = amplitude_rng.spawn(len(times_s))
    for times, own, copied, own_rng in zip(times_s, amplitudes, copies, own_rngs, strict=True):
        # A unit that has not started yet, or has stopped, joins nobody.
        copied = copied[(copied >= times[0]) & (copied <= times[-1])] if len(times) else times
        joined, origin = join_copies(times, copied, refractory_ms=refractory_ms)
        values = own[origin] if len(own) else np.zeros(0)
        is_copy = origin < 0
        values[is_copy] = 1 + amplitude_sd * own_rng.standard_normal(is_copy.sum())
        joined_times.append(joined)
        joined_amplitudes.append(values)
    return joined_times, joined_amplitudes


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
