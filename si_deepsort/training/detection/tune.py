"""
Threshold, refractory period and front end of a detector, chosen for a target recording without a label of it.

The labelled recording is given the target's noise (`noise.match`); on such copies the F1 of each choice is known, and
the best one is kept with the model, together with the curve.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ...detection.exclusion import largest_in_reach, make_exclusion
from ...detection.prepare import load_detector, prepare_detector
from ...geometry import recording_geometry
from ...noise import match
from ...zoo import save_model
from .examples import clean_labels

logger = logging.getLogger(__name__)

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
REFRACTORY_MS = (0.35, 0.6, 1.0, 1.5)
RADIUS_UM = 75.0


@dataclass(frozen=True, kw_only=True)
class DetectorTuning:
    """
    What was chosen for a target recording.

    Attributes
    ----------
    front_end : str
        Name of the preprocessing.
    threshold : float
        Smallest probability of a spike, for `find_peaks(threshold=...)`.
    exclusive_ms : float
        Refractory period, for `find_peaks(exclusive_ms=...)`.
    f1 : float
        On the noise-matched copies.
    curve : list of dict
        front_end, threshold, exclusive_ms, precision, recall and f1 of each choice.
    """

    front_end: str
    threshold: float
    exclusive_ms: float
    f1: float
    curve: list


def tune_detector(
    recording,
    sorting,
    target,
    *,
    detector="cnn",
    folder: str | Path | None = None,
    front_ends: dict[str, Callable] | None = None,
    thresholds: tuple[float, ...] = THRESHOLDS,
    refractory_ms: tuple[float, ...] = REFRACTORY_MS,
    tolerance_ms: float = 0.4,
    num_copies: int = 1,
    seed: int = 0,
) -> DetectorTuning:
    """
    Choose threshold, refractory period and front end of a detector for a target recording.

    Parameters
    ----------
    recording : BaseRecording
        The labelled one, of the same channels, sampling rate and unit as the target.
    sorting : BaseSorting
        Its spikes.
    target : BaseRecording
        Only its noise is used.
    detector : str | Path | Network, default: "cnn"
        A bundled detector, a model folder or a network of `train_detector`.
    folder : str | Path | None, default: None
        Where the detector goes with the chosen threshold, the curve and a plot of it. None does not save it.
    front_ends : dict of callables | None, default: None
        Name -> function from recording to recording; see `standard_front_ends`. None leaves the recordings as they
        are.
    thresholds, refractory_ms : tuple of float
        Probabilities and refractory periods to try.
    tolerance_ms : float, default: 0.4
        A spike is found if a peak is detected this close to it.
    num_copies : int, default: 1
        Noise-matched copies to average over.
    seed : int, default: 0
        Of the noise.

    Raises
    ------
    ValueError
        If the recordings do not go together or no label lies in the labelled recording.
    """
    net = load_detector(detector)
    copies = [match(recording, target, seed=seed + copy) for copy in range(num_copies)]
    curve = []
    grid = (thresholds, refractory_ms)
    for name, front_end in (front_ends or {"none": _unchanged}).items():
        tables = [score_grid(front_end(copy), sorting, net, *grid, tolerance_ms=tolerance_ms) for copy in copies]
        curve += [{"front_end": name, **_mean_rows(rows)} for rows in zip(*tables, strict=True)]
    best = max(curve, key=lambda row: row["f1"])
    tuning = DetectorTuning(**{key: best[key] for key in ("front_end", "threshold", "exclusive_ms", "f1")}, curve=curve)
    logger.info("Front end %s, threshold %.2f: F1 %.3f", tuning.front_end, tuning.threshold, tuning.f1)
    if folder is not None:
        _save(net, tuning, Path(folder))
    return tuning


def standard_front_ends(sorting=None, *, freq_min: float = 300.0, freq_max: float = 6000.0, notch_hz: float = 50.0):
    """
    Front ends to choose from: none, band-pass, notch with harmonics, wavelets and, with a sorting, a matched filter.

    Parameters
    ----------
    sorting : BaseSorting | None, default: None
        Of the labelled recording; the mean of its spikes is the matched filter's template.
    freq_min, freq_max : float
        Of the band-pass, in Hz.
    notch_hz : float, default: 50.0
        Mains frequency; it and its multiples up to 500 Hz are taken out.

    Returns
    -------
    dict
        Name -> function from recording to recording. The matched filter makes its template from the first recording
        that it is given and keeps it.
    """
    import spikeinterface.preprocessing as spre

    from ...preprocessing.matched_filter import MatchedFilterRecording, template_from_sorting
    from ...preprocessing.wavelet_denoise import WaveletDenoiseRecording

    templates: list = []

    def bandpass(recording):
        highest = min(freq_max, 0.45 * recording.get_sampling_frequency())
        return spre.bandpass_filter(recording, freq_min=freq_min, freq_max=highest, dtype="float32")

    def notch(recording):
        for multiple in range(1, int(500 // notch_hz) + 1):
            recording = spre.notch_filter(recording, freq=multiple * notch_hz, q=30, dtype="float32")
        return recording

    def matched(recording):
        if not templates:
            templates.append(template_from_sorting(recording, sorting, 0.7, 1.0))
        template, nbefore = templates[0]
        return MatchedFilterRecording(recording, template=template, nbefore=nbefore)

    front_ends = {"none": _unchanged, "bandpass": bandpass, "notch": notch, "wavelet": WaveletDenoiseRecording}
    return front_ends | ({"matched_filter": matched} if sorting is not None else {})


def best_threshold(recording, sorting, detector, *, tolerance_ms: float = 0.4) -> tuple[float, float, float]:
    """Threshold, refractory period in ms and F1 that are best on a labelled recording."""
    rows = score_grid(recording, sorting, detector, THRESHOLDS, REFRACTORY_MS, tolerance_ms=tolerance_ms)
    best = max(rows, key=lambda row: row["f1"])
    return best["threshold"], best["exclusive_ms"], best["f1"]


def score_grid(recording, sorting, detector, thresholds, refractory_ms, *, tolerance_ms: float) -> list[dict]:
    """
    Precision, recall and F1 of a detector on a labelled recording, for each threshold and refractory period.

    Returns
    -------
    list of dict
        threshold, exclusive_ms, precision, recall, f1.
    """
    ready = prepare_detector(recording, detector)
    frequency = recording.get_sampling_frequency()
    segments = [recording.get_traces(segment_index=index) for index in range(recording.get_num_segments())]
    scaled = [ready.statistics.scaled(traces) for traces in segments]
    labels = clean_labels(scaled, sorting, frequency)
    candidates = [_candidates(ready, *pair) for pair in zip(segments, scaled, strict=True)]
    locations, shanks = recording_geometry(recording)
    main_channels = np.abs(labels.peaks).argmax(axis=1)
    tolerance = max(1, round(tolerance_ms * frequency / 1000))
    rows = []
    for exclusive_ms in refractory_ms:
        exclusion = make_exclusion(locations, frequency, radius_um=RADIUS_UM, exclusive_ms=exclusive_ms, shanks=shanks)
        near = exclusion.distances_um <= RADIUS_UM
        for threshold in thresholds:
            hits = found = wanted = 0
            for each, times, units in zip(candidates, labels.frames, labels.units, strict=True):
                frames, channels = _peaks(each, threshold, exclusion)
                hits += _count_hits(times, main_channels[units], frames, channels, near, tolerance)
                found, wanted = found + len(frames), wanted + len(times)
            f1 = 2 * hits / max(1, found + wanted)
            row = {"precision": hits / max(1, found), "recall": hits / max(1, wanted), "f1": f1}
            rows.append({"threshold": threshold, "exclusive_ms": exclusive_ms, **row})
    return rows


def candidate_peaks(recording, detector, *, threshold: float, refractory_ms: float) -> np.ndarray:
    """Frames of the peaks of a recording of one segment, for a threshold and refractory period; sorted."""
    ready = prepare_detector(recording, detector)
    locations, shanks = recording_geometry(recording)
    exclusion = make_exclusion(
        locations, recording.get_sampling_frequency(), radius_um=RADIUS_UM, exclusive_ms=refractory_ms, shanks=shanks
    )
    traces = recording.get_traces()
    return _peaks(_candidates(ready, traces, ready.statistics.scaled(traces)), threshold, exclusion)[0]


def plot_tuning(tuning: DetectorTuning):
    """F1 over the threshold, a line for each front end and refractory period; a matplotlib figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for front_end, exclusive_ms in dict.fromkeys((row["front_end"], row["exclusive_ms"]) for row in tuning.curve):
        rows = [row for row in tuning.curve if (row["front_end"], row["exclusive_ms"]) == (front_end, exclusive_ms)]
        label = f"{front_end}, {exclusive_ms} ms"
        axes.plot([row["threshold"] for row in rows], [row["f1"] for row in rows], ".-", label=label)
    axes.plot(tuning.threshold, tuning.f1, "o", mfc="none", mec="k", ms=12, label="chosen")
    axes.set(xlabel="threshold (probability)", ylabel="F1 on noise-matched copies")
    axes.legend(fontsize="small")
    return figure


def _unchanged(recording):
    return recording


def _mean_rows(rows) -> dict:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def _candidates(detector, traces, scaled):
    probabilities = detector.probability(traces)
    frames, channels = np.nonzero(probabilities)
    return frames, channels, probabilities[frames, channels], np.abs(scaled[frames, channels])


def _peaks(candidates, threshold, exclusion):
    frames, channels, probabilities, heights = candidates
    kept = probabilities >= threshold
    frames, channels = frames[kept], channels[kept]
    alone = largest_in_reach(frames, channels, heights[kept], exclusion)
    return frames[alone], channels[alone]


def _count_hits(times, main_channels, frames, channels, near, tolerance) -> int:
    """Spikes with a peak close by in time and space, one to one, the closest in time first."""
    first = np.searchsorted(frames, times - tolerance)
    number = np.searchsorted(frames, times + tolerance, side="right") - first
    spike = np.repeat(np.arange(len(times)), number)
    peak = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + first[spike]
    is_near = near[main_channels[spike], channels[peak]]
    spike, peak = spike[is_near], peak[is_near]
    free_spike, free_peak = np.ones(len(times), dtype=bool), np.ones(len(frames), dtype=bool)
    for pair in np.argsort(np.abs(times[spike] - frames[peak]), kind="stable"):
        if free_spike[spike[pair]] and free_peak[peak[pair]]:
            free_spike[spike[pair]] = free_peak[peak[pair]] = False
    return int((~free_spike).sum())


def _save(net, tuning, folder):
    settings = net.info.settings | {"threshold": tuning.threshold, "tuning": asdict(tuning)}
    net.info = replace(net.info, settings=settings)
    save_model(net, folder, net.info)
    plot_tuning(tuning).savefig(folder / "tuning.png", dpi=120)
