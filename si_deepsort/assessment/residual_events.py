"""Events in the residual: spikes that no unit explains, and further spikes of the units that there are."""

from dataclasses import dataclass

import numba
import numpy as np

from ..compiled import COMPILED, INNER
from ..geometry import channel_distances
from .explain import fit_template, template_products
from .templates import AMPLITUDE_VARIANCE, WhiteTemplates

# Smallest peak of an event, in standard deviations of white noise: normal noise exceeds it seven times in a million
# samples.
EVENT_THRESHOLD = 4.5
# Where events are this close in um and ms, only the largest counts.
EVENT_RADIUS_UM, EVENT_MS = 60.0, 0.4
# Units whose main channel is this close in um to an event may have fired it; at most so many are tried.
SOURCE_RADIUS_UM, MOST_SOURCES = 60.0, 12
# Samples around the peak at which a unit is tried.
SOURCE_MOVE = 3


@dataclass(frozen=True)
class ResidualEvents:
    """
    Events that the spikes of a sorting leave over.

    Attributes
    ----------
    segments, frames, channels : np.ndarray, shape (num_events,), int
        Where their peaks lie.
    sizes : np.ndarray, shape (num_events,), float32
        Absolute values of their peaks, in standard deviations of white noise.
    sources : np.ndarray, shape (num_events,), int
        Unit that explains the event best; -1 if there is none near.
    scores : np.ndarray, shape (num_events,), float32
        Score of that unit, as in `explain`.
    """

    segments: np.ndarray
    frames: np.ndarray
    channels: np.ndarray
    sizes: np.ndarray
    sources: np.ndarray
    scores: np.ndarray


def find_residual_events(
    residual: np.ndarray, rows: tuple[int, int], templates: WhiteTemplates, locations: np.ndarray, *, reach: int
) -> tuple[np.ndarray, ...]:
    """
    Find the events in a residual.

    Parameters
    ----------
    residual : np.ndarray, shape (num_frames, num_channels), float32
    rows : tuple of int
        First row and end of the part in which events are looked for; templates around it lie inside the residual.
    templates : WhiteTemplates
    locations : np.ndarray, shape (num_channels, 2), float
        In um.
    reach : int
        Samples within which only the largest event counts.

    Returns
    -------
    rows, channels, sizes, sources, scores : np.ndarray, shape (num_events,)
        As in `ResidualEvents`.
    """
    distances = channel_distances(locations)
    is_near = distances <= EVENT_RADIUS_UM
    found_rows, channels = np.nonzero(np.abs(residual[rows[0] : rows[1]]) > np.float32(EVENT_THRESHOLD))
    found_rows, is_peak = found_rows + rows[0], np.zeros(len(found_rows), dtype=bool)
    _find_peaks(residual, found_rows, channels, is_near, reach, is_peak)
    found_rows, channels = found_rows[is_peak], channels[is_peak]
    sizes = np.abs(residual[found_rows, channels])
    mains = templates.channels[:, 0] if len(templates.channels) else np.zeros(0, dtype=int)
    candidates = np.full((len(locations), MOST_SOURCES), -1)
    for channel in range(len(locations)):
        gaps = np.where(mains >= 0, distances[channel, np.maximum(mains, 0)], np.inf)
        nearest = np.argsort(gaps, kind="stable")[:MOST_SOURCES]
        nearest = nearest[gaps[nearest] <= SOURCE_RADIUS_UM]
        candidates[channel, : len(nearest)] = nearest
    scores = np.full(len(sizes), -1e9, dtype="float32")
    sources = np.full(len(sizes), -1)
    _find_sources(
        residual,
        found_rows,
        channels,
        candidates,
        templates.values,
        templates.slopes,
        templates.channels,
        np.float32(1 / AMPLITUDE_VARIANCE),
        sources,
        scores,
    )
    return found_rows, channels, sizes, sources, scores


@numba.njit(**COMPILED)
def _find_peaks(residual, rows, channels, is_near, reach, is_peak):
    """Say in `is_peak` which places are local extrema."""
    for place in range(len(rows)):
        is_peak[place] = _is_largest(residual, rows[place], channels[place], is_near, reach)


@numba.njit(**INNER)
def _energy(waveforms):
    """Sum of squares; numba's sum of an array takes several times as long to compile."""
    total = np.float32(0.0)
    for sample in range(waveforms.shape[0]):
        for place in range(waveforms.shape[1]):
            total += waveforms[sample, place] * waveforms[sample, place]
    return total


@numba.njit(**INNER)
def _is_largest(residual, row, channel, is_near, reach):
    size = abs(residual[row, channel])
    for other in range(residual.shape[1]):
        if not is_near[channel, other]:
            continue
        for near in range(max(0, row - reach), min(residual.shape[0], row + reach + 1)):
            value = abs(residual[near, other])
            # Among equal values the first counts.
            if value > size or (value == size and (near < row or (near == row and other < channel))):
                return False
    return True


@numba.njit(**COMPILED)
def _find_sources(residual, rows, channels, candidates, values, slopes, kept_channels, precision, sources, scores):
    last = residual.shape[0] - values.shape[1]
    for event in range(len(rows)):
        for unit in candidates[channels[event]]:
            if unit < 0:
                break
            # The template is laid so that its peak on the channel of the event, or else its largest, meets the event.
            kept = 0
            for place in range(kept_channels.shape[1]):
                if kept_channels[unit, place] == channels[event]:
                    kept = place
            peak = 0
            for sample in range(values.shape[1]):
                if abs(values[unit, sample, kept]) > abs(values[unit, peak, kept]):
                    peak = sample
            norm, slope_norm = _energy(values[unit]), _energy(slopes[unit])
            for move in range(-SOURCE_MOVE, SOURCE_MOVE + 1):
                place = rows[event] - peak + move
                if place < 0 or place > last:
                    continue
                own, sloped = template_products(residual, place, values[unit], slopes[unit], kept_channels[unit])
                score, _, _ = fit_template(own, sloped, norm, slope_norm, precision)
                if score > scores[event]:
                    scores[event], sources[event] = score, unit
