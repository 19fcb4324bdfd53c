"""`segment_events`: every miniature potential of a recording, from trace to table."""

import logging
import warnings
from pathlib import Path

import numpy as np
import pandas
import scipy.ndimage
import scipy.signal

from ..nets.event_unet import EVENT, ONSET, EventAutoencoder, EventUNet
from ..zoo import load_network
from .anomaly import find_anomalies
from .measure import empty_table, mark_neighbours, measure_events
from .probability import event_probabilities
from .traces import network_input, prepare_trace, read_trace, trace_noise_level, unit_of

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "events-unet"
DEFAULT_THRESHOLD = 0.5
SMOOTH_MS = 0.8
CLOSEST_MS = 1.5  # onsets nearer than this are one
POLARITY_EXCERPT_S = 30.0
END_PROBABILITY = 0.5
LONGEST_MS = 150.0
SMALLEST_CONFIDENCE = 1e-5  # of a candidate


def segment_events(
    recording,
    model=None,
    *,
    polarity: int | str = "auto",
    threshold: float | None = None,
    time_scale: float = 1.0,
    channel_id=None,
    device: str = "cpu",
) -> pandas.DataFrame:
    """
    Find and measure every miniature potential or current of an intracellular recording.

    Parameters
    ----------
    recording : BaseRecording | path
        A SpikeInterface recording with one channel (or see `channel_id`), at any sampling rate, any number of
        segments (sweeps), not filtered; or the path of a file that `read_trace` reads.
    model : str | path | Network | None, default: None
        None takes "events-unet".
    polarity : "auto" | 1 | -1, default: "auto"
        1: events go up, -1: down. "auto" looks at up to 30 s and takes the side with more events.
    threshold : float | None, default: None
        Smallest confidence of an event. None takes that of the model, 0.5 if it has none.
    time_scale : float, default: 1.0
        The bundled model knows rises of 0.1 to 4 ms and decays of 1 to 25 ms; for events twice as slow set 2.0.
    channel_id : str | int | None, default: None
        Which channel, where there are several.
    device : str, default: "cpu"
        "auto", "cpu", "cuda", ...

    Returns
    -------
    pandas.DataFrame
        One row per event, columns as in `measure_events`; `attrs` holds unit, polarity, noise_level, threshold,
        duration_s. An event ends where it has decayed to a tenth of its amplitude.

    Raises
    ------
    ValueError
        If the recording cannot be read, has several channels and none is named, or an argument is out of range.
    """
    recording = one_channel(recording, channel_id)
    net = _event_network(model, device)
    threshold = _check_options(net, polarity, threshold, time_scale)
    segments = range(recording.get_num_segments())
    traces = [prepare_trace(recording, segment, time_scale=time_scale) for segment in segments]
    noise_level = trace_noise_level(traces)
    _warn_of_gaps(traces)
    find = _finder(net, noise_level, time_scale, device)
    if polarity == "auto":
        polarity = detect_polarity(traces, find, threshold, unit_of(recording))
    events = _measure_all(traces, find, polarity, threshold, noise_level, time_scale)
    duration_s = float(sum(len(trace.values) / trace.rate for trace in traces))
    events.attrs |= dict(unit=unit_of(recording), polarity=int(polarity), noise_level=noise_level)
    events.attrs |= dict(threshold=threshold, duration_s=duration_s)
    return events


def _measure_all(traces, find, polarity, threshold, noise_level, time_scale):
    tables = []
    for segment, trace in enumerate(traces):
        candidates = np.stack(find(trace, polarity))
        onset_s, end_s, confidence = candidates[:, candidates[2] >= threshold]
        how = dict(noise_level=noise_level, polarity=polarity, segment=segment, time_scale=time_scale)
        tables.append(_drop_impossible(measure_events(trace, onset_s, end_s, confidence, **how), trace))
    tables = [table for table in tables if len(table)]
    return pandas.concat(tables, ignore_index=True) if tables else empty_table()


def _finder(net, noise_level, time_scale, device):
    """Function of (trace, polarity) that gives onset_s, end_s, confidence."""

    def find(trace, polarity):
        if isinstance(net, EventAutoencoder):
            return find_anomalies(net, trace, noise_level, polarity, device=device)
        return find_events(net, trace, noise_level, polarity, time_scale, device)

    return find


def find_events(net, trace, noise_level: float, polarity: int, time_scale: float = 1.0, device: str = "cpu"):
    """
    Onsets that a U-Net sees in one segment, doubtful ones too.

    Returns
    -------
    onset_s, end_s, confidence : np.ndarray, shape (num_events,), float
        Confidence is the probability that an event begins within 1 ms (times the time scale) of the onset.
    """
    if len(trace.values) == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    probabilities = event_probabilities(net, network_input(trace.values, noise_level, polarity), device=device)
    frames_per_ms = trace.rate * time_scale / 1000
    width = max(1, round(SMOOTH_MS * frames_per_ms))
    onset = scipy.ndimage.uniform_filter1d(probabilities[:, ONSET], width, mode="nearest")
    onset[~trace.is_valid] = 0.0
    distance = max(1, round(CLOSEST_MS * frames_per_ms))
    frames, _ = scipy.signal.find_peaks(
        np.concatenate([[0], onset, [0]]), height=SMALLEST_CONFIDENCE, distance=distance
    )
    frames -= 1
    is_inside = probabilities[:, EVENT] > END_PROBABILITY
    outside = np.append(np.flatnonzero(~is_inside), len(onset))
    after = np.minimum(frames + max(1, round(2.0 * frames_per_ms)), len(onset))
    ends = outside[np.searchsorted(outside, after, side="left")]
    ends = np.minimum(ends, frames + round(LONGEST_MS * frames_per_ms))
    return frames / trace.rate, ends / trace.rate, onset[frames].astype(float)


def detect_polarity(traces, find, threshold: float, unit: str) -> int:
    """The side with more events in an excerpt; where there are none, down for currents and up for anything else."""
    scores = {}
    for sign in (1, -1):
        left_s, score = POLARITY_EXCERPT_S, 0.0
        for trace in traces:
            excerpt = trace.start(left_s)
            confidence = find(excerpt, sign)[2]
            score += confidence[confidence >= threshold].sum()
            left_s -= len(excerpt.values) / trace.rate
            if left_s <= 0:
                break
        scores[sign] = score
    logger.info("Polarity: events up %.1f, down %.1f", scores[1], scores[-1])
    if scores[1] == scores[-1]:
        return -1 if unit.endswith("A") else 1
    return max(scores, key=scores.get)


def one_channel(recording, channel_id=None):
    """The recording (or the file, opened) with the chosen channel alone; a ValueError if it is not clear which."""
    if isinstance(recording, str | Path):
        recording = read_trace(recording)
    if not hasattr(recording, "get_traces"):
        raise ValueError(
            f"Got {type(recording).__name__}, expected a SpikeInterface recording or a path. "
            "Wrap an array as si.NumpyRecording([trace[:, None]], sampling_frequency)."
        )
    channel_ids = list(recording.channel_ids)
    if channel_id is None and len(channel_ids) > 1:
        raise ValueError(f"The recording has channels {channel_ids}. Say which with channel_id=...")
    if channel_id is not None and channel_id not in channel_ids:
        raise ValueError(f"There is no channel {channel_id!r}, expected one of {channel_ids}.")
    return recording if channel_id is None else recording.select_channels([channel_id])


def _event_network(model, device):
    kinds = (EventUNet, EventAutoencoder)
    return load_network(DEFAULT_MODEL if model is None else model, kinds, purpose="events", device=device)


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


def _drop_impossible(table, trace):
    """Fits that found nothing, or that sit where the recording is not valid."""
    if not len(table):
        return table
    frames = np.clip((table["peak_s"] * trace.rate).to_numpy().astype(int), 0, len(trace.values) - 1)
    return mark_neighbours(table[(table["snr"] > 0).to_numpy() & trace.is_valid[frames]])


def _warn_of_gaps(traces):
    bad = sum(int((~trace.is_valid).sum()) for trace in traces)
    total = sum(len(trace.values) for trace in traces)
    if bad:
        warnings.warn(
            f"{100 * bad / total:.2g} % of the recording is NaN or saturated; events there are not reported.",
            stacklevel=3,
        )
