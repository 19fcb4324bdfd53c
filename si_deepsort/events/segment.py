"""`segment_events`: every miniature potential of a recording, from trace to table."""

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas
from spikeinterface.core import BaseRecording

from .._version import __version__
from ..nets.event_unet import EventUNet
from ..zoo import load_network
from .columns import as_events
from .decisions import added_by_hand, apply_decisions, check_has_corrections
from .find import detect_polarity, find_events, find_in_recording
from .measure import COLUMNS, Convention, empty_table, mark_neighbours, measure_events
from .prepare import prepare_trace, trace_noise_level
from .stored import CHUNK_FRAMES, FrameStore
from .tables import check_events_fit, read_events
from .traces import read_trace, unit_of
from .waveform import check_end

DEFAULT_MODEL = "events-unet"
# Smallest confidence of an event where a model brings none.
DEFAULT_THRESHOLD = 0.5
# First guess of the length of an event that a person marked by its onset alone, in ms: some decay time constants.
FIRST_GUESS_MS = 12.0


def segment_events(
    recording: BaseRecording | str | Path,
    model: EventUNet | str | Path | None = None,
    *,
    polarity: int | str = "auto",
    threshold: float | None = None,
    time_scale: float = 1.0,
    end: str | float | None = None,
    exclude_s: Sequence[tuple[float, float]] = (),
    corrections: pandas.DataFrame | str | Path | None = None,
    channel_id: str | int | None = None,
    device: str = "cpu",
) -> pandas.DataFrame:
    """
    Find and measure every miniature potential or current of an intracellular recording, in bounded memory.

    Parameters
    ----------
    recording : BaseRecording | path
        One channel (or see `channel_id`), not filtered, at any rate, in any number of segments (sweeps); or a file
        that `read_trace` reads.
    model : str | path | EventUNet | None, default: None
        None takes "events-unet"; a folder that `save_model` wrote takes your own.
    polarity : "auto" | 1 | -1, default: "auto"
        1: events go up, -1: down. "auto" looks at up to 30 s and takes the side with more events.
    threshold : float | None, default: None
        Smallest confidence, the probability of an event given the rate of events in the recording. None: the model's.
    time_scale : float, default: 1.0
        The bundled model knows rises of 0.1 to 4 ms and decays of 1 to 25 ms; for events twice as slow set 2.0.
    end : "tenth" | "decay_constant" | float | None, default: None
        Where events end: decay to a tenth of the amplitude, one decay time constant after the peak, or decay to this
        part of the amplitude. None takes what the model learnt from marks (`train_events`), or "tenth".
    exclude_s : sequence of (start, stop), default: ()
        Intervals in s of each segment in which nothing is looked for, such as a test pulse.
    corrections : pandas.DataFrame | path | None, default: None
        An earlier table with "accept" or "reject" in its column `decision`. Decisions and your own columns are carried
        over (see `apply_decisions`); accepted events that were not found are measured as well.
    channel_id : str | int | None, default: None
    device : str, default: "cpu"

    Returns
    -------
    pandas.DataFrame
        One row per event with the columns of `measure_events`; `attrs` holds unit, polarity, noise_level, threshold,
        end, model, version, duration_s and analysed_s (without gaps and excluded intervals).

    Raises
    ------
    ValueError
        If recording, channel or an argument is not clear, or the corrections do not fit.
    """
    recording = one_channel(recording, channel_id)
    net = load_network(DEFAULT_MODEL if model is None else model, EventUNet, purpose="events", device=device)
    threshold, exclude_s = _check_options(net, polarity, threshold, time_scale), _check_intervals(exclude_s, recording)
    earlier, convention = _check_corrections(corrections, recording), _convention(net, end)
    with FrameStore() as store:
        traces = _prepare_all(recording, time_scale, exclude_s, store)
        sign, candidates = _find(net, recording, traces, polarity, exclude_s, time_scale, device)
        events = _measured(traces, candidates, convention, sign, threshold, time_scale, earlier, unit_of(recording))
    return _with_origin(events, net, exclude_s)


def _with_origin(events, net, exclude_s):
    events.attrs |= dict(model=net.info.name if net.info else "unnamed", version=__version__, exclude_s=list(exclude_s))
    return events


def _convention(net, end) -> Convention:
    settings = net.info.settings if net.info is not None else {}
    return Convention(
        end=check_end(settings.get("end", "tenth") if end is None else end),
        onset_shift_ms=float(settings.get("onset_shift_ms", 0.0)),
    )


def _prepare_all(recording, time_scale, exclude_s, store):
    segments = range(recording.get_num_segments())
    options = dict(time_scale=time_scale, exclude_s=exclude_s, store=store)
    traces = [prepare_trace(recording, segment, **options) for segment in segments]
    _warn_of_gaps(traces, exclude_s)
    return traces


def _find(net, recording, traces, polarity, exclude_s, time_scale, device):
    """Direction of the events, and candidates of each segment."""
    options = dict(time_scale=time_scale, device=device)
    level = trace_noise_level(traces)
    if polarity == "auto":
        find = partial(find_events, net, noise_level=level, **options)
        polarity = detect_polarity(traces, lambda trace, sign: find(trace, polarity=sign), unit_of(recording))
    return int(polarity), find_in_recording(net, recording, traces, int(polarity), exclude_s=exclude_s, **options)


def _measured(traces, candidates, convention, polarity, threshold, time_scale, earlier, unit):
    """The table of all segments with its attributes."""
    noise_level = trace_noise_level(traces)
    measure = partial(
        measure_events, noise_level=noise_level, polarity=polarity, time_scale=time_scale, convention=convention
    )
    candidates = [np.stack(found)[:, found[2] >= threshold] for found in candidates]
    events = _measure_all(traces, candidates, measure, earlier, time_scale)
    events.attrs |= dict(unit=unit, polarity=int(polarity), noise_level=noise_level, threshold=threshold)
    events.attrs |= dict(
        end=convention.end,
        duration_s=float(sum(len(trace.values) / trace.rate for trace in traces)),
        analysed_s=float(sum(trace.valid_s() for trace in traces)),
    )
    return events


def one_channel(recording: BaseRecording | str | Path, channel_id: str | int | None = None) -> BaseRecording:
    """
    The recording (or the file, opened) with the chosen channel alone.

    Parameters
    ----------
    recording : BaseRecording | path
    channel_id : str | int | None, default: None
        May be left out where there is one channel; a text such as "1" finds the channel 1 too.

    Returns
    -------
    BaseRecording

    Raises
    ------
    ValueError
        If it is not clear which channel is meant.
    """
    if isinstance(recording, str | Path):
        recording = read_trace(recording)
    if not hasattr(recording, "get_traces"):
        raise ValueError(
            f"Got {type(recording).__name__}, expected a SpikeInterface recording or a path. "
            "Wrap an array as si.NumpyRecording([trace[:, None]], sampling_frequency)."
        )
    channel_ids = recording.channel_ids.tolist()
    units = recording.get_property("physical_unit")
    named = (
        [f"{name} ({unit})" for name, unit in zip(channel_ids, units, strict=True)]
        if units is not None
        else channel_ids
    )
    if channel_id is None and len(channel_ids) > 1:
        raise ValueError(
            f"The recording has the channels {named}. Say which holds the events with channel_id=... "
            "(on the command line --channel)."
        )
    if channel_id is None:
        return recording
    chosen = [name for name in channel_ids if name == channel_id] or [
        name for name in channel_ids if str(name) == str(channel_id)
    ]
    if len(chosen) != 1:
        raise ValueError(f"There is no channel {channel_id!r}, expected one of {named}.")
    return recording.select_channels(chosen)


def _measure_all(traces, candidates, measure, earlier, time_scale):
    """Table of all segments; with an earlier table, what a person added is measured among the events found."""
    tables = [
        _measure_segment(trace, found, measure, segment)
        for segment, (trace, found) in enumerate(zip(traces, candidates, strict=True))
    ]
    events = _joined(tables)
    if earlier is None:
        return events
    added = added_by_hand(events, earlier)
    for segment in added["segment"].unique():
        onset_s = added.loc[added["segment"] == segment, "onset_s"].to_numpy(float)
        by_hand = np.stack([onset_s, onset_s + FIRST_GUESS_MS * time_scale / 1000, np.full(len(onset_s), np.nan)])
        together = np.concatenate([candidates[segment], by_hand], axis=1)
        together = together[:, np.argsort(together[0], kind="stable")]
        tables[segment] = _measure_segment(traces[segment], together, measure, segment)
    return apply_decisions(_joined(tables), earlier)


def _measure_segment(trace, candidates, measure, segment):
    """Measured events of one segment, without fits that found nothing or that sit where the recording is not valid."""
    table = measure(trace, *candidates, segment=segment)
    if not len(table):
        return table
    frames = np.clip((table["peak_s"] * trace.rate).to_numpy().astype(int), 0, len(trace.values) - 1)
    return mark_neighbours(table[(table["snr"] > 0).to_numpy() & trace.is_valid[frames]])[list(COLUMNS)]


def _joined(tables):
    tables = [table for table in tables if len(table)]
    return pandas.concat(tables, ignore_index=True) if tables else empty_table()


def _check_options(net, polarity, threshold, time_scale) -> float:
    if polarity not in ("auto", 1, -1):
        raise ValueError(f"polarity={polarity!r}, expected 'auto', 1 (events up) or -1 (events down).")
    if not (np.isfinite(time_scale) and 0.01 <= time_scale <= 100):
        raise ValueError(f"time_scale={time_scale!r}, expected a number between 0.01 and 100.")
    if threshold is None:
        settings = net.info.settings if net.info is not None else {}
        return float(settings.get("threshold", DEFAULT_THRESHOLD))
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold={threshold!r}, expected a confidence between 0 and 1.")
    return float(threshold)


def _check_intervals(exclude_s, recording):
    intervals = [tuple(map(float, interval)) for interval in exclude_s]
    if any(len(interval) != 2 or not 0 <= interval[0] < interval[1] < np.inf for interval in intervals):
        raise ValueError(f"exclude_s={list(exclude_s)}, expected pairs (start, stop) in s with 0 <= start < stop.")
    longest_s = max(map(recording.get_num_frames, range(recording.get_num_segments())), default=0)
    longest_s /= recording.get_sampling_frequency()
    outside = [interval for interval in intervals if interval[0] >= longest_s]
    if outside:
        raise ValueError(
            f"exclude_s holds {outside[0]}, but the longest segment lasts {longest_s:.6g} s. The times are in s from "
            "the start of each segment."
        )
    return tuple(intervals)


def _check_corrections(corrections, recording):
    if corrections is None:
        return None
    if isinstance(corrections, pandas.DataFrame):
        earlier, where = as_events(corrections), "The table of corrections"
    else:
        earlier, where = read_events(corrections), f"The table of corrections {corrections}"
    check_has_corrections(earlier, where)
    check_events_fit(earlier, recording)
    return earlier


def _warn_of_gaps(traces, exclude_s):
    bad, total = 0, sum(len(trace.values) for trace in traces)
    for trace in traces:
        for first in range(0, len(trace.values), CHUNK_FRAMES):
            is_bad = ~trace.is_valid[first : first + CHUNK_FRAMES]
            for start, stop in exclude_s:
                edges = int(start * trace.rate) - 1 - first, int(stop * trace.rate) + 2 - first
                is_bad[max(0, edges[0]) : max(0, edges[1])] = False
            bad += int(is_bad.sum())
    if bad:
        warnings.warn(
            f"{100 * bad / total:.2g} % of the recording is NaN or saturated; events there are not reported.",
            stacklevel=4,
        )
