"""Own units taken out of the recording: their spikes are subtracted, so that injected units do not add to the crowd."""

from dataclasses import replace

import numpy as np

from ..preprocessing.hybrid import InjectedSpikes
from .request import Models

# Amplitudes that a spike can have, relative to its template: bursts lower them to half. Beyond, others lie on it.
LEAST_AMPLITUDE, MOST_AMPLITUDE = 0.5, 1.5
# A spike of a smaller amplitude is not there: the sorter was wrong, and nothing is taken out.
ABSENT_AMPLITUDE = 0.25
# Frames that are read at a time.
CHUNK_FRAMES = 100_000


def without_units(spikes: InjectedSpikes, models: Models, chosen: np.ndarray) -> InjectedSpikes:
    """
    Take own units out of the recording: their spikes are injected with negative amplitudes.

    Parameters
    ----------
    spikes : InjectedSpikes
        What is injected.
    models : Models
        With own units as sources, and the first sorting.
    chosen : np.ndarray, shape (num_units,), int
        Numbers of the sources that are taken out.

    Returns
    -------
    InjectedSpikes
    """
    assert models.first is not None and models.sources is not None
    names = [str(unit) for unit in models.first.unit_ids]
    numbers = np.full(len(names), -1)
    numbers[[names.index(models.sources.names[source]) for source in chosen]] = np.arange(len(chosen))
    own = models.first.to_spike_vector()
    own = own[numbers[own["unit_index"]] >= 0]
    units, templates = numbers[own["unit_index"]], models.sources.templates[chosen]
    amplitudes = amplitudes_of_spikes(own, units, templates, models)
    columns = dict(
        frames=np.concatenate([spikes.frames, own["sample_index"]]),
        segment_indices=np.concatenate([spikes.segment_indices, own["segment_index"]]),
        template_indices=np.concatenate([spikes.template_indices, len(spikes.templates) + units]),
        amplitudes=np.concatenate([spikes.amplitudes, -amplitudes]),
        widening=np.concatenate([spikes.widening, np.zeros(len(own), "float32")]),
    )
    order = np.lexsort((columns["frames"], columns["segment_indices"]))
    order = order[columns["amplitudes"][order] != 0]
    ordered = {name: column[order] for name, column in columns.items()}
    return replace(spikes, templates=np.concatenate([spikes.templates, templates]), **ordered)


def amplitudes_of_spikes(own: np.ndarray, units: np.ndarray, templates: np.ndarray, models: Models) -> np.ndarray:
    """
    Amplitude of each spike relative to its template, by projection.

    Parameters
    ----------
    own : np.ndarray, shape (num_spikes,)
        Spike vector, in order.
    units : np.ndarray, shape (num_spikes,), int
        Template of each spike.
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
    models : Models

    Returns
    -------
    np.ndarray, shape (num_spikes,), float32
        0 for spikes that are not there, or are cut off by an end of a segment.
    """
    assert models.sources is not None
    recording, nbefore, num_samples = models.surroundings.for_templates, models.sources.nbefore, templates.shape[1]
    channels = [np.flatnonzero(template.any(axis=0)) for template in templates]
    shapes = [
        template[:, kept] / np.sum(template[:, kept] ** 2) for template, kept in zip(templates, channels, strict=True)
    ]
    amplitudes = np.zeros(len(own), "float32")
    for segment in range(recording.get_num_segments()):
        num_frames = recording.get_num_frames(segment)
        first = int(np.searchsorted(own["segment_index"], segment))
        frames = own["sample_index"][own["segment_index"] == segment]
        for start in range(0, num_frames, CHUNK_FRAMES):
            low, high = np.searchsorted(frames, [start, start + CHUNK_FRAMES])
            if low == high:
                continue
            begin, end = max(start - nbefore, 0), min(start + CHUNK_FRAMES + num_samples, num_frames)
            traces = recording.get_traces(segment_index=segment, start_frame=begin, end_frame=end)
            for spike in range(low, high):
                at, unit = frames[spike] - nbefore - begin, units[first + spike]
                if at >= 0 and at + num_samples <= len(traces):
                    part = traces[at : at + num_samples, channels[unit]]
                    amplitudes[first + spike] = np.sum(part * shapes[unit], dtype="float64")
    is_there = amplitudes >= ABSENT_AMPLITUDE
    return np.where(is_there, np.clip(amplitudes, LEAST_AMPLITUDE, MOST_AMPLITUDE), 0.0).astype("float32")
