"""
Spike vectors: SpikeInterface's structured arrays with the fields sample_index, unit_index and segment_index.

All functions return new arrays; the spike vectors that they take are left as they are.
"""

from itertools import pairwise

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting, NumpySorting, SpikeVectorSortingSegment
from spikeinterface.core.base import minimum_spike_dtype

# Frames between the starts of two segments that are laid end to end: more than any segment has (over a year at 30 kHz).
SEGMENT_FRAMES = 2**40
# Functions of SpikeInterface that open a sorting, and a recording.
OPENERS = {"sorting": "read_phy, read_kilosort or load", "recording": "read_spikeglx, read_openephys or load"}


def make_spike_vector(sample_indices: np.ndarray, unit_indices: np.ndarray, segment_indices: np.ndarray) -> np.ndarray:
    """
    A sorted spike vector.

    Parameters
    ----------
    sample_indices, unit_indices, segment_indices : np.ndarray, shape (num_spikes,), int
        Frame within its segment, unit and segment of each spike, in any order.

    Returns
    -------
    np.ndarray, shape (num_spikes,)
        SpikeInterface's `minimum_spike_dtype`.
    """
    spikes = np.zeros(len(sample_indices), dtype=minimum_spike_dtype)
    spikes["sample_index"], spikes["unit_index"], spikes["segment_index"] = (
        sample_indices,
        unit_indices,
        segment_indices,
    )
    return in_order(spikes)


def in_order(spikes: np.ndarray) -> np.ndarray:
    """Sort a spike vector by segment, sample and unit."""
    return spikes[np.lexsort((spikes["unit_index"], spikes["sample_index"], spikes["segment_index"]))]


def absolute_times(events: np.ndarray) -> np.ndarray:
    """
    One frame number for each event over all segments, so that one sort and one search serve all of them.

    Parameters
    ----------
    events : np.ndarray, shape (num_events,)
        Spikes or peaks, with the fields sample_index and segment_index.

    Returns
    -------
    np.ndarray, shape (num_events,), int64
        Segments are laid end to end, `SEGMENT_FRAMES` apart: no two of them are close.
    """
    return events["sample_index"].astype("int64") + events["segment_index"].astype("int64") * SEGMENT_FRAMES


def trains_of(spikes: np.ndarray, num_units: int) -> list[np.ndarray]:
    """
    The spike train of each unit.

    Returns
    -------
    list of np.ndarray, int64
        Sorted absolute times, see `absolute_times`; one array for each unit.
    """
    times = absolute_times(spikes)
    order = np.lexsort((times, spikes["unit_index"]))
    bounds = np.searchsorted(spikes["unit_index"][order], np.arange(num_units + 1))
    return [times[order[first:last]] for first, last in pairwise(bounds)]


def relabelled(spikes: np.ndarray, labels: np.ndarray, shifts: np.ndarray | None = None) -> np.ndarray:
    """
    Give each unit a new label and move its spikes in time.

    Parameters
    ----------
    spikes : np.ndarray
        Spike vector.
    labels : np.ndarray, shape (num_units,), int
        New label of each unit; -1 drops its spikes.
    shifts : np.ndarray | None, shape (num_units,), int, default: None
        Frames that are added to the spikes of each unit; None moves nothing.

    Returns
    -------
    np.ndarray
        Sorted spike vector.
    """
    spikes = spikes[labels[spikes["unit_index"]] >= 0].copy()
    if shifts is not None:
        spikes["sample_index"] += shifts[spikes["unit_index"]]
    spikes["unit_index"] = labels[spikes["unit_index"]]
    return in_order(spikes)


def consecutive_labels(labels: np.ndarray) -> np.ndarray:
    """Renumber labels as 0, 1, ... in their order; -1 stays -1."""
    values, positions = np.unique(labels, return_inverse=True)
    return positions - np.count_nonzero(values < 0)


def without_doubles(spikes: np.ndarray, reach: int) -> np.ndarray:
    """
    Drop spikes that follow another spike of their unit too closely.

    Parameters
    ----------
    spikes : np.ndarray
        Spike vector.
    reach : int
        In frames; of two spikes of a unit that are at most this far apart, the later one is dropped.

    Returns
    -------
    np.ndarray
        Sorted spike vector.
    """
    order = np.lexsort((spikes["sample_index"], spikes["segment_index"], spikes["unit_index"]))
    ordered = spikes[order]
    is_double = np.zeros(len(spikes), dtype=bool)
    is_double[1:] = np.diff(ordered["sample_index"]) <= reach
    for name in ("unit_index", "segment_index"):
        is_double[1:] &= np.diff(ordered[name]) == 0
    return in_order(ordered[~is_double])


def apart_from(spikes: np.ndarray, others: np.ndarray, reach: int) -> np.ndarray:
    """
    Drop spikes of one unit that are close to other spikes of this unit.

    Parameters
    ----------
    spikes : np.ndarray
        Sorted spike vector of one unit.
    others : np.ndarray
        Sorted spike vector of any units.
    reach : int
        In frames; spikes that are at most this far from one of `others` are dropped.

    Returns
    -------
    np.ndarray
        Sorted spike vector.
    """
    if len(spikes) == 0:
        return spikes
    times = absolute_times(others[others["unit_index"] == spikes["unit_index"][0]])
    own = absolute_times(spikes)
    return spikes[np.searchsorted(times, own - reach) == np.searchsorted(times, own + reach, side="right")]


def main_channels(templates: np.ndarray) -> np.ndarray:
    """
    The channel on which each template has its largest absolute value.

    Parameters
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float

    Returns
    -------
    np.ndarray, shape (num_units,), int
    """
    # No copy of absolute values, which would be as large as the templates.
    return np.maximum(templates.max(axis=1), -templates.min(axis=1)).argmax(axis=1)


def some_of_each(units: np.ndarray, most: int, seed: int) -> np.ndarray:
    """
    Choose at most `most` random spikes of each unit.

    Parameters
    ----------
    units : np.ndarray, shape (num_spikes,), int
        Unit of each spike.
    most : int
    seed : int

    Returns
    -------
    np.ndarray, int
        Positions of the chosen spikes, ascending.
    """
    shuffled = np.random.default_rng(seed).permutation(len(units))
    by_unit = shuffled[np.argsort(units[shuffled], kind="stable")]
    sorted_units = units[by_unit]
    ranks = np.arange(len(units)) - np.searchsorted(sorted_units, sorted_units)
    return np.sort(by_unit[ranks < most])


def as_sorting(spikes: np.ndarray, unit_ids: np.ndarray, recording: BaseRecording) -> NumpySorting:
    """
    Spikes as a sorting that has all segments of a recording, also those without spikes.

    Parameters
    ----------
    spikes : np.ndarray
        Sorted spike vector.
    unit_ids : np.ndarray, shape (num_units,)
        Name of each unit.
    recording : BaseRecording
        The sorted recording.
    """
    sorting = NumpySorting(spikes, recording.get_sampling_frequency(), unit_ids)
    # NumpySorting makes segments up to that of the last spike.
    for segment_index in range(sorting.get_num_segments(), recording.get_num_segments()):
        sorting.add_sorting_segment(SpikeVectorSortingSegment(spikes, segment_index, unit_ids))
    return sorting


def check_kind(given: object, kind: type[BaseSorting] | type[BaseRecording]) -> None:
    """
    Check that an argument is a sorting, or a recording.

    Parameters
    ----------
    given : object
    kind : BaseSorting | BaseRecording
        The class that is expected.

    Raises
    ------
    TypeError
        If it is something else, such as a path, or the arguments were exchanged.
    """
    if isinstance(given, kind):
        return
    name = "sorting" if kind is BaseSorting else "recording"
    hint = f"Open it with SpikeInterface, for example by {OPENERS[name]}."
    if isinstance(given, BaseSorting | BaseRecording):
        hint = "Were the arguments exchanged?"
    raise TypeError(f"{name}: got {type(given).__name__}, expected a {name} of SpikeInterface. {hint}")


def check_belongs(sorting: BaseSorting, recording: BaseRecording) -> None:
    """
    Check that a sorting can be of a recording.

    Parameters
    ----------
    sorting : BaseSorting
    recording : BaseRecording

    Raises
    ------
    ValueError
        If they differ in sampling frequency or number of segments, or a spike lies outside of the recording.
    TypeError
        If one of them is something else.
    """
    check_kind(sorting, BaseSorting)
    check_kind(recording, BaseRecording)
    remedy = "Is it the sorting of another recording? Give the same recording that was sorted."
    rates = sorting.get_sampling_frequency(), recording.get_sampling_frequency()
    if not np.isclose(*rates, rtol=1e-6):
        raise ValueError(f"The sorting is sampled at {rates[0]:g} Hz, the recording at {rates[1]:g} Hz. {remedy}")
    num_segments = sorting.get_num_segments(), recording.get_num_segments()
    if num_segments[0] != num_segments[1]:
        raise ValueError(f"The sorting has {num_segments[0]} segments, the recording {num_segments[1]}. {remedy}")
    spikes = sorting.to_spike_vector()
    for segment in range(num_segments[1]):
        frames = spikes["sample_index"][spikes["segment_index"] == segment]
        num_frames = recording.get_num_frames(segment)
        if frames.max(initial=-1) >= num_frames or frames.min(initial=0) < 0:
            outside = frames.max() if frames.max(initial=-1) >= num_frames else frames.min()
            raise ValueError(
                f"Segment {segment} of the recording has {num_frames} frames, but the sorting has a spike at frame "
                f"{outside}. {remedy}"
            )
