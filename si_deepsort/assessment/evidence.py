"""Evidence of a sorting: templates, judged spikes and residual events, from stretches of white traces."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numba
import numpy as np
from spikeinterface.core import BaseRecording

from ..compiled import COMPILED
from ..preprocessing.half_precision import to_single_precision
from ..spike_vectors import some_of_each
from ..threads import each
from .explain import MOST_MOVE, explain_traces
from .judge_spikes import NEIGHBOUR_MOVE, JudgedSpikes, judge_spikes
from .repeats import most_of_one_neuron
from .residual_events import EVENT_MS, ResidualEvents, find_residual_events
from .stretches import STRETCH_S, Stretch, choose_stretches, read_stretches, spikes_between, whole_recording
from .templates import (
    MOST_LAG_MS,
    Neighbours,
    WhiteTemplates,
    find_neighbours,
    make_templates,
    window_samples,
)

# Spikes of a unit that are averaged and judged, at most. A share of .9 is then known to .02.
MOST_JUDGED = 300
# How often templates are averaged again from traces without the other spikes.
NUM_REFINEMENTS = 1


@dataclass(frozen=True)
class Evidence:
    """
    What white traces tell about a sorting.

    Attributes
    ----------
    templates : WhiteTemplates
    neighbours : Neighbours
    judged : JudgedSpikes
        A sample of the spikes of each unit, or all spikes.
    events : ResidualEvents
        From the long stretches alone.
    duration_s : float
        Duration of the long stretches together, in s.
    num_read : np.ndarray, shape (num_units,), int
        Spikes of each unit in the long stretches.
    most_of_one_neuron : np.ndarray, shape (num_units,), float
        Largest share of the spikes of each unit that can be of one neuron.
    """

    templates: WhiteTemplates
    neighbours: Neighbours
    judged: JudgedSpikes
    events: ResidualEvents
    duration_s: float
    num_read: np.ndarray
    most_of_one_neuron: np.ndarray


def gather_evidence(
    white: BaseRecording,
    spikes: np.ndarray,
    num_units: int,
    *,
    most_s: float,
    seed: int,
    judges_all: bool = False,
) -> Evidence:
    """
    Gather evidence of a sorting.

    Parameters
    ----------
    white : BaseRecording
        White traces, with positions of the channels in um.
    spikes : np.ndarray
        Sorted spike vector.
    num_units : int
    most_s : float
        Duration in s of the stretches that are read, at most.
    seed : int
        Seed of the choice of spikes.
    judges_all : bool, default: False
        Whether all spikes of the recording are judged, or a sample.
    """
    rate, locations = white.get_sampling_frequency(), white.get_channel_locations()[:, :2]
    nbefore, nafter = window_samples(rate)
    most_lag = round(MOST_LAG_MS * rate / 1000)
    margin = nbefore + nafter + most_lag + MOST_MOVE + NEIGHBOUR_MOVE + 1
    chosen = choose_stretches(white, spikes, num_units, most_s=most_s, seed=seed)
    stretches = list(read_stretches(white, chosen, margin=margin))
    sampled = _sample(spikes, stretches, seed)
    templates = _averaged(stretches, spikes, sampled, num_units, locations, nbefore, nafter, None)
    alike = most_of_one_neuron(stretches, spikes, sampled, templates)
    for _ in range(NUM_REFINEMENTS):
        templates = _averaged(stretches, spikes, sampled, num_units, locations, nbefore, nafter, templates)
    neighbours = find_neighbours(templates, len(locations), most_lag=most_lag)
    source: Iterable[Stretch] = stretches
    if judges_all:
        chosen, sampled = whole_recording(white), np.ones(len(spikes), dtype=bool)
        source = read_stretches(white, chosen, margin=margin)
    longs = [part for part in chosen if part[2] - part[1] >= STRETCH_S * rate / 2] or chosen

    def judge(stretch: Stretch) -> tuple[JudgedSpikes, ResidualEvents | None]:
        part, residual = _judged(stretch, spikes, sampled, templates, neighbours)
        is_long = (stretch.segment, stretch.start, stretch.stop) in longs
        return part, _events(stretch, residual, templates, locations, rate) if is_long else None

    parts, events = zip(*each(judge, source), strict=True)
    read = np.concatenate([spikes["unit_index"][spikes_between(spikes, *part)] for part in longs])
    return Evidence(
        templates,
        neighbours,
        _joined(parts, JudgedSpikes),
        _joined([one for one in events if one is not None], ResidualEvents),
        duration_s=sum(stop - start for _, start, stop in longs) / rate,
        num_read=np.bincount(read, minlength=num_units),
        most_of_one_neuron=alike,
    )


def _sample(spikes: np.ndarray, stretches: list[Stretch], seed: int) -> np.ndarray:
    """Which spikes are averaged and judged: some of each unit inside of the stretches, (num_spikes,) bool."""
    is_inside, sampled = np.zeros((2, len(spikes)), dtype=bool)
    for stretch in stretches:
        is_inside[spikes_between(spikes, stretch.segment, stretch.start, stretch.stop)] = True
    inside = np.flatnonzero(is_inside)
    sampled[inside[some_of_each(spikes["unit_index"][inside], MOST_JUDGED, seed)]] = True
    return sampled


def _joined(parts, kind):
    """Fields of several results of one kind, each joined to one array."""
    return kind(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(kind)))


def _spikes_around(stretch: Stretch, spikes: np.ndarray, nbefore: int, num_samples: int):
    """Positions, first rows of the templates, and whether they are judged, of the spikes that fit into a stretch."""
    room = MOST_MOVE + 1
    first_frame = stretch.first + nbefore + room
    last_frame = stretch.first + len(stretch.traces) - num_samples + nbefore - room
    where = spikes_between(spikes, stretch.segment, first_frame, last_frame)
    positions = np.arange(where.start, where.stop)
    frames = spikes["sample_index"][where].astype("int64") - stretch.first - nbefore
    samples = spikes["sample_index"][where]
    return positions, frames, (samples >= stretch.start) & (samples < stretch.stop)


def _averaged(stretches, spikes, sampled, num_units, locations, nbefore, nafter, templates):
    """Templates from sampled spikes; with earlier templates, from traces without all other spikes."""
    num_samples = nbefore + nafter
    sums = np.zeros((num_units, num_samples, len(locations)), dtype="float32")
    counts = np.zeros(num_units, dtype="int64")

    def explain(stretch: Stretch):
        positions, frames, is_core = _spikes_around(stretch, spikes, nbefore, num_samples)
        units = spikes["unit_index"][positions].astype("int64")
        use = np.flatnonzero(is_core & sampled[positions])
        traces = to_single_precision(stretch.traces)
        if templates is None:
            return traces, frames[use], units[use], None
        traces, amplitudes, _, moves = explain_traces(traces, frames, units, templates)
        return traces, (frames + moves)[use], units[use], amplitudes[use]

    # Sums are made in one thread: in another order they would round differently.
    for traces, frames, units, amplitudes in each(explain, stretches):
        _sum_windows(traces, frames, units, sums)
        if templates is not None:
            weights = np.bincount(units, amplitudes, minlength=num_units).astype("float32")
            _add_templates(templates, weights, sums)
        counts += np.bincount(units, minlength=num_units)
    return make_templates(sums, counts, locations, nbefore=nbefore)


@numba.njit(**COMPILED)
def _sum_windows(traces, frames, units, sums):
    for spike in range(len(frames)):
        own = sums[units[spike]]
        for sample in range(own.shape[0]):
            for channel in range(own.shape[1]):
                own[sample, channel] += traces[frames[spike] + sample, channel]


def _add_templates(templates: WhiteTemplates, weights: np.ndarray, sums: np.ndarray):
    """Add the template of each unit, times a weight, to sums of waveforms on all channels."""
    for unit in np.flatnonzero(weights):
        channels = templates.channels[unit]
        kept = channels >= 0
        sums[unit][:, channels[kept]] += weights[unit] * templates.values[unit][:, kept]


def _judged(stretch, spikes, sampled, templates, neighbours):
    """Judged spikes of a stretch, and its residual."""
    positions, frames, is_core = _spikes_around(stretch, spikes, templates.nbefore, templates.values.shape[1])
    units = spikes["unit_index"][positions].astype("int64")
    traces = to_single_precision(stretch.traces)
    residual, amplitudes, delays, moves = explain_traces(traces, frames, units, templates)
    chosen = np.flatnonzero(is_core & sampled[positions])
    fitted = (amplitudes, delays, moves)
    part = judge_spikes(traces, residual, fitted, frames, units, chosen, templates, neighbours)
    values = {field.name: getattr(part, field.name) for field in fields(JudgedSpikes)}
    return JudgedSpikes(**{**values, "positions": positions[chosen]}), residual


def _events(stretch, residual, templates, locations, rate):
    rows = (stretch.start - stretch.first, stretch.stop - stretch.first)
    reach = round(EVENT_MS * rate / 1000)
    found, channels, sizes, sources, scores = find_residual_events(residual, rows, templates, locations, reach=reach)
    segments = np.full(len(found), stretch.segment)
    return ResidualEvents(segments, found + stretch.first, channels, sizes, sources, scores)
