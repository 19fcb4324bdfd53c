"""The table of events: amplitude, times, kinetics and area of each, from its fitted shape."""

from dataclasses import replace

import numpy as np
import pandas

from .fit_shape import fit_events
from .traces import PreparedTrace
from .waveform import area_of_unit_ms, end_time_ms, peak_time_ms, rise_time_ms

COLUMNS = {
    "onset_s": float,
    "peak_s": float,
    "end_s": float,
    "amplitude": float,
    "rise_ms": float,
    "decay_ms": float,
    "area": float,
    "confidence": float,
    "overlap": bool,
    "segment": int,
    "interval_s": float,
    "snr": float,
    "fit_r2": float,
}


def measure_events(
    trace: PreparedTrace,
    onset_s: np.ndarray,
    end_s: np.ndarray,
    confidence: np.ndarray,
    *,
    noise_level: float,
    polarity: int,
    segment: int = 0,
    time_scale: float = 1.0,
) -> pandas.DataFrame:
    """
    Measure the events of one segment.

    Parameters
    ----------
    trace : PreparedTrace
    onset_s, end_s : np.ndarray, shape (num_events,), float
        First guesses in s.
    confidence : np.ndarray, shape (num_events,), float
    noise_level : float
        In the unit of the trace.
    polarity : 1 | -1
    segment : int, default: 0
    time_scale : float, default: 1.0

    Returns
    -------
    pandas.DataFrame
        One row per event, by onset, with the columns of `COLUMNS`: times in s since the start of the segment;
        amplitude (signed, peak against the local baseline) in the unit of the recording; rise from 10 to 90 % and
        decay time constant in ms; area (signed) in unit times ms; confidence; overlap with a neighbour; interval since
        the previous onset in s; amplitude in noise levels; part of the variance that the fit explains.
    """
    if len(onset_s) == 0:
        return empty_table()
    length_ms = (np.asarray(end_s) - onset_s) * 1000
    guesses = np.asarray(onset_s) * 1000
    shape = fit_events(polarity * trace.values, trace.rate, guesses, length_ms, noise_level, time_scale=time_scale)
    shape = _measure_unfitted(shape, polarity * trace.values, trace.rate / 1000, guesses, time_scale)
    table = _table_of(shape, polarity, noise_level, duration_s=len(trace.values) / trace.rate)
    return mark_neighbours(table.assign(confidence=confidence, segment=segment))


def _measure_unfitted(shape, values, frames_per_ms, onset_ms, time_scale):
    """Peak above the level just before the onset, where the fit found no event (a stimulus artefact beside it)."""
    amplitude, onsets = shape.amplitude.copy(), shape.onset_ms.copy()
    before, after = max(1, round(2 * time_scale * frames_per_ms)), max(1, round(6 * time_scale * frames_per_ms))
    for index in np.flatnonzero(~(amplitude > 0)):
        onset = int(onset_ms[index] * frames_per_ms)
        level = np.median(values[max(0, onset - before) : onset + 1])
        amplitude[index] = max(0.0, values[onset : onset + after].max(initial=level) - level)
        onsets[index] = onset_ms[index]
    return replace(shape, amplitude=amplitude, onset_ms=onsets)


def _table_of(shape, polarity, noise_level, duration_s) -> pandas.DataFrame:
    onsets = np.clip(shape.onset_ms / 1000, 0.0, duration_s)
    peak_ms = peak_time_ms(shape.tau_rise_ms, shape.tau_decay_ms)
    ends = onsets + end_time_ms(shape.tau_rise_ms, shape.tau_decay_ms) / 1000
    areas = shape.amplitude * area_of_unit_ms(shape.tau_rise_ms, shape.tau_decay_ms)
    columns = dict(
        onset_s=onsets,
        peak_s=np.minimum(onsets + peak_ms / 1000, duration_s),
        end_s=np.minimum(ends, duration_s),
        amplitude=polarity * shape.amplitude,
        rise_ms=rise_time_ms(shape.tau_rise_ms, shape.tau_decay_ms),
        decay_ms=shape.tau_decay_ms,
        area=polarity * areas,
        confidence=np.nan,
        overlap=False,
        segment=0,
        interval_s=np.nan,
        snr=shape.amplitude / noise_level,
        fit_r2=shape.r_squared,
    )
    return pandas.DataFrame(columns)


def mark_neighbours(table: pandas.DataFrame) -> pandas.DataFrame:
    """The table of one segment by onset, with `interval_s` and `overlap` of its events as they now are."""
    table = table.sort_values("onset_s", ignore_index=True)
    table["interval_s"] = table["onset_s"].diff()
    latest_end = table["end_s"].cummax().shift(1, fill_value=-np.inf)
    begins_inside = (table["onset_s"] < latest_end).to_numpy()
    table["overlap"] = begins_inside | np.append(begins_inside[1:], False)[: len(table)]
    return table.astype(COLUMNS)


def empty_table() -> pandas.DataFrame:
    """A table without events that has all columns."""
    return pandas.DataFrame({name: pandas.Series(dtype=kind) for name, kind in COLUMNS.items()})
