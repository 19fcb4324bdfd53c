"""Spike trains of injected units: rates, bursts, synchrony with neighbours, and amplitudes, over all segments."""

from dataclasses import dataclass

import numpy as np

from ..generation.amplitudes import slow_change
from ..generation.population import draw_spikes
from ..generation.synchrony import SYNCHRONY_MS, draw_partners, join_copies
from ..generation.trains import EDGE_S, lognormal_rates
from .own_firing import bursting_fraction, shares_of_neighbours
from .settings import StressTestSettings

# Expected spikes of a unit at least: with fewer, chance decides whether it is found. Short recordings raise the lowest
# firing rate for it.
LEAST_SPIKES = 15
# The highest rate leaves room for the refractory period: 200 Hz are 5 ms.
HIGHEST_RATE_HZ = 200.0
# Where the recording has fewer units of its own than the first number, they tell nothing of its neurons: this share of
# the units fires bursts, and this share of the spikes of a unit comes with a neighbour, as in the package's generator.
FEWEST_OWN, USUAL_BURSTING, USUAL_SYNCHRONY = 3, 0.2, 0.1
# A unit keeps some spikes of its own, however many a fast neighbour fires.
MOST_WITH_NEIGHBOUR = 0.8


@dataclass(frozen=True, eq=False, kw_only=True)
class DrawnSpikes:
    """
    Spikes of injected units, sorted by segment and frame.

    Attributes
    ----------
    frames, segment_indices, unit_indices : np.ndarray, shape (num_spikes,), int64
    amplitudes, widening : np.ndarray, shape (num_spikes,), float32
        Relative to the template.
    """

    frames: np.ndarray
    segment_indices: np.ndarray
    unit_indices: np.ndarray
    amplitudes: np.ndarray
    widening: np.ndarray


def draw_unit_spikes(
    locations_um: np.ndarray,
    settings: StressTestSettings,
    rng: np.random.Generator,
    *,
    segment_frames: np.ndarray,
    sampling_frequency: float,
    rates: np.ndarray | None,
    other_trains_s: list[np.ndarray],
    other_locations_um: np.ndarray,
) -> DrawnSpikes:
    """
    Draw the spikes of injected units.

    Parameters
    ----------
    locations_um : np.ndarray, shape (num_units, 2), float
        Where the injected units are.
    settings : StressTestSettings
    rng : np.random.Generator
    segment_frames : np.ndarray, shape (num_segments,), int
        Lengths of the segments; they follow each other without a gap.
    sampling_frequency : float
        In Hz.
    rates : np.ndarray | None, shape (num_units,), float64
        Firing rates in Hz. None draws them between the limits of the settings.
    other_trains_s : list of np.ndarray, shape (num_spikes,), float64
        Spikes of the recording's own units in s from the start of the first segment, with which injected ones fire
        together.
    other_locations_um : np.ndarray, shape (num_other_units, 2), float

    Returns
    -------
    DrawnSpikes
    """
    statistics, duration_s = settings.statistics, segment_frames.sum() / sampling_frequency
    rates_rng, spikes_rng, synchrony_rng, shapes_rng = rng.spawn(4)
    drawn = _drawn_rates(len(locations_um), settings, rates_rng, duration_s) if rates is None else rates
    rates = np.clip(drawn, min(LEAST_SPIKES / duration_s, HIGHEST_RATE_HZ), HIGHEST_RATE_HZ)
    times, amplitudes = _fire_alone(rates, settings, spikes_rng, duration_s, other_trains_s)
    partners = draw_partners(np.concatenate([locations_um, other_locations_um]), synchrony_rng)[: len(times)]
    trains = [*times, *other_trains_s]
    shares = _shares_with_partner(times, trains, partners, settings.synchrony, synchrony_rng, other_locations_um)
    parts = []
    for unit, own_rng in enumerate(shapes_rng.spawn(len(times))):
        partner = trains[partners[unit]] if partners[unit] >= 0 else np.zeros(0)
        joined, sizes = follow_partner(
            times[unit],
            amplitudes[unit],
            partner,
            own_rng,
            share=shares[unit],
            refractory_ms=statistics.refractory_ms,
            amplitude_sd=statistics.amplitude_sd,
        )
        # The SNR of a unit is that of the mean of its spikes, as it is measured in recordings.
        sizes = sizes / sizes.mean() if len(sizes) and sizes.mean() > 0 else sizes
        widening = slow_change(joined, duration_s, own_rng, sd=statistics.shape_change_sd) - 1
        parts.append((np.full(len(joined), unit), joined, sizes, widening))
    return _in_segments(parts, segment_frames, sampling_frequency)


def _drawn_rates(num_units, settings, rng, duration_s) -> np.ndarray:
    """Firing rates in Hz between the limits of the settings."""
    rate_min, rate_max = rate_limits(settings, duration_s)
    sd = settings.statistics.log_rate_sd
    return lognormal_rates(num_units, rng, rate_min=rate_min, rate_max=rate_max, log_rate_sd=sd)


def _fire_alone(rates, settings, rng, duration_s, other_trains_s):
    """Trains in s and amplitudes of the injected units before they join a neighbour."""
    fraction = settings.burst_fraction
    if fraction is None:
        fraction = bursting_fraction(other_trains_s) if len(other_trains_s) >= FEWEST_OWN else USUAL_BURSTING
    return draw_spikes(rates, settings.statistics, rng, duration_s=duration_s, burst_fraction=fraction)


def _shares_with_partner(times, trains, partners, synchrony, rng, other_locations_um):
    """Share of the spikes of each injected unit that come with its partner; as own units do if `synchrony` is None."""
    own = shares_of_neighbours(trains[len(times) :], other_locations_um)
    if synchrony is not None or len(own) < FEWEST_OWN:
        return np.full(len(times), USUAL_SYNCHRONY if synchrony is None else synchrony)
    # A slow unit beside a fast one fires mostly together with it: what is alike is the share of the partner's spikes.
    wanted = [
        share * len(trains[partner]) for share, partner in zip(rng.choice(own, len(times)), partners, strict=True)
    ]
    return np.minimum(wanted / np.maximum([len(train) for train in times], 1), MOST_WITH_NEIGHBOUR)


def rate_limits(settings: StressTestSettings, duration_s: float) -> tuple[float, float]:
    """Lowest and highest firing rate in Hz, raised where the recording is so short that units would hardly fire."""
    low, high = settings.rate_range
    rate_min = min(max(low, LEAST_SPIKES / duration_s), HIGHEST_RATE_HZ)
    return rate_min, max(high, rate_min)


def follow_partner(
    times_s: np.ndarray,
    amplitudes: np.ndarray,
    partner_s: np.ndarray,
    rng: np.random.Generator,
    *,
    share: float,
    refractory_ms: float,
    amplitude_sd: float,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Let a share of a unit's spikes follow or precede spikes of a neighbour within .8 ms.

    Parameters
    ----------
    times_s, amplitudes : np.ndarray, shape (num_spikes,), float64
        In s, ascending, and relative to the template.
    partner_s : np.ndarray, shape (num_partner_spikes,), float64
        The neighbour's spikes in s.
    rng : np.random.Generator
    share : float
        Share of the spikes of the result that come with the neighbour, as far as it has as many spikes.
    refractory_ms : float
        Own spikes this close to one that was added give way.
    amplitude_sd : float
        Standard deviation of the amplitudes of added spikes around 1.

    Returns
    -------
    times_s, amplitudes : np.ndarray, shape (num_joined,), float64
        Ascending; about as many spikes as before.
    """
    wanted = min(round(share * len(times_s)), len(partner_s))
    if wanted == 0:
        return times_s, amplitudes
    # As many own spikes go as come with the neighbour, so that the rate stays.
    kept = np.sort(rng.choice(len(times_s), len(times_s) - wanted, replace=False))
    lags_s = rng.uniform(-SYNCHRONY_MS, SYNCHRONY_MS, wanted) / 1000
    copies = np.sort(rng.choice(partner_s, wanted, replace=False) + lags_s)
    joined, origin = join_copies(times_s[kept], copies, refractory_ms=refractory_ms)
    sizes = np.where(origin >= 0, np.append(amplitudes[kept], 1.0)[origin], 0.0)
    is_copy = origin < 0
    sizes[is_copy] = 1 + amplitude_sd * rng.standard_normal(is_copy.sum())
    return joined, sizes


def _in_segments(parts, segment_frames, sampling_frequency) -> DrawnSpikes:
    """Times of joined segments as frames of each; spikes cut off by an end of a segment are left out."""
    units, times, sizes, widening = (np.concatenate(column) for column in zip(*parts, strict=True))
    bounds = np.concatenate([[0], np.cumsum(segment_frames)])
    frames = np.round(times * sampling_frequency).astype("int64")
    segments = np.clip(np.searchsorted(bounds, frames, side="right") - 1, 0, len(segment_frames) - 1)
    frames = frames - bounds[segments]
    edge = round(EDGE_S * sampling_frequency)
    is_inside = (frames >= edge) & (frames < segment_frames[segments] - edge)
    order = np.lexsort((units, frames, segments))
    order = order[is_inside[order]]
    # A unit fires once at a frame.
    keys = np.stack([segments[order], frames[order], units[order]])
    order = order[np.concatenate([[True], np.any(np.diff(keys, axis=1) != 0, axis=0)])] if len(order) else order
    return DrawnSpikes(
        frames=frames[order],
        segment_indices=segments[order],
        unit_indices=units[order],
        amplitudes=sizes[order].astype("float32"),
        widening=widening[order].astype("float32"),
    )
