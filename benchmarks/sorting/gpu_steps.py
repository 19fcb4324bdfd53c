"""Each step that a GPU may compute, beside compiled code on one core: differences of the results, and times."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from spikeinterface.core import BaseRecording, BaseSorting

from si_deepsort.detection.energy import comparison_stride
from si_deepsort.detection.on_device import detector_on_device
from si_deepsort.detection.prepare import prepare_detector
from si_deepsort.preprocessing.half_precision import round_to_half_precision
from si_deepsort.preprocessing.white_on_device import on_device
from si_deepsort.sorter.front_end.whitening import filtered_recording, white_recording
from si_deepsort.sorter.matching.correlate import make_matched_filters
from si_deepsort.sorter.matching.on_device import filters_on_device
from si_deepsort.sorter.reproducible import one_thread
from si_deepsort.sorter.settings import DeepSortSettings

# Distance of two half-precision numbers, relative to their size, at most.
HALF_PRECISION = 2.0**-10
# Where the compared second begins, and how often each computation is timed.
START_S, REPEATS = 2.0, 3
# Spikes from which the template of a true unit is averaged, samples before and after the spike in ms, and the smallest
# peak of a template on a channel, in noise standard deviations.
NUM_SPIKES, MS_BEFORE, MS_AFTER, LEAST_PEAK = 50, 1.3, 2.0, 1.0


@dataclass(frozen=True)
class Difference:
    """How much two results of a step differ, in which unit, and how much they may."""

    largest: float
    unit: str
    allowed: float


def compare_steps(recording: BaseRecording, truth: BaseSorting, device: str, *, seed: int) -> list[dict]:
    """
    Compare the steps in one second of a recording.

    Parameters
    ----------
    recording : BaseRecording
        Unfiltered, of at least 4 s.
    truth : BaseSorting
        Its true units, whose templates are correlated.
    device : str
        As the setting of the sorter, "cpu" excepted.
    seed : int

    Returns
    -------
    list of dict
        One for each step: name, difference and its unit, what is allowed, seconds per recorded second by one core and
        on the device.
    """
    rate, defaults = recording.get_sampling_frequency(), DeepSortSettings()
    band = dict(freq_min=defaults.freq_min, freq_max=defaults.freq_max, with_reference=defaults.common_reference)
    white = white_recording(
        filtered_recording(recording, **band, seed=seed),
        motion=None,
        order=defaults.whitening_order,
        radius_um=defaults.whitening_radius_um,
        seed=seed,
    )
    second = dict(start_frame=round(START_S * rate), end_frame=round((START_S + 1) * rate))
    traces, detector = white.get_traces(**second), prepare_detector(white, "cnn")
    filters = make_matched_filters(true_templates(white, truth), comparison_stride(rate))
    on_gpu = on_device(white, device), detector_on_device(detector, device), filters_on_device(filters, device)
    rounded = round_to_half_precision(white)
    scales = np.sqrt(np.maximum(filters.norms, 1e-9))[:, None]
    return [
        timed("whitening", white_difference, lambda own: own.get_traces(**second), rounded, on_gpu[0]),
        timed("detection", peak_difference, lambda own: own.judged(traces, margin=own.margin), detector, on_gpu[1]),
        timed("correlation", score_difference, lambda own: own.correlate(traces) / scales, filters, on_gpu[2]),
    ]


def timed(step: str, difference: Callable[..., Difference], compute: Callable, compiled, on_gpu) -> dict:
    """Difference of a step's results by compiled code and on the device, and the shortest of some times of each."""
    results, seconds = [], []
    for own in (compiled, on_gpu):
        compute(own)
        times = []
        with one_thread():
            for _ in range(REPEATS):
                start = time.perf_counter()
                found = compute(own)
                times.append(time.perf_counter() - start)
        results.append(found)
        seconds.append(round(min(times), 4))
    found = difference(*results)
    record = dict(step=step, difference=found.largest, unit=found.unit, allowed=found.allowed)
    return record | dict(one_core_s=seconds[0], device_s=seconds[1])


def white_difference(expected: np.ndarray, found: np.ndarray) -> Difference:
    """Difference of white traces that are rounded to half precision, beyond the error of rounding."""
    differences = np.abs(found - expected) - HALF_PRECISION * np.abs(expected)
    return Difference(max(0.0, float(differences.max())), "noise standard deviations", 1e-3)


def peak_difference(expected: tuple, found: tuple) -> Difference:
    """Share of the detected spikes that only one of two results holds."""
    sets = [
        set(zip(own.frames[is_spike].tolist(), own.channels[is_spike].tolist(), strict=True))
        for own, is_spike in ((candidates, chances >= 0.5) for candidates, chances in (expected, found))
    ]
    different = len(sets[0] ^ sets[1]) / max(1, len(sets[0] | sets[1]))
    return Difference(different, "share of the spikes", 0.002)


def score_difference(expected: np.ndarray, found: np.ndarray) -> Difference:
    """Difference of correlations, in their standard deviation in white noise."""
    return Difference(float(np.abs(found - expected).max()), "standard deviations of a correlation", 1e-3)


def true_templates(white: BaseRecording, truth: BaseSorting) -> np.ndarray:
    """Averages of white traces around true spikes, (num_units, num_samples, num_channels), 0 on far channels."""
    rate, num_frames = white.get_sampling_frequency(), white.get_num_frames(0)
    before, after = round(MS_BEFORE * rate / 1000), round(MS_AFTER * rate / 1000)
    traces, templates = white.get_traces(), []
    for unit in truth.unit_ids:
        spikes = truth.get_unit_spike_train(unit, segment_index=0)
        spikes = spikes[(spikes >= before) & (spikes < num_frames - after)][:NUM_SPIKES]
        if len(spikes):
            template = np.mean([traces[spike - before : spike + after] for spike in spikes], axis=0)
            templates.append(np.where(np.abs(template).max(axis=0) >= LEAST_PEAK, template, 0))
    return np.asarray(templates, dtype="float32")


def table_of(records: list[dict], machine: str) -> dict:
    """Differences and times of all steps."""
    columns = ["step", "largest difference", "in", "allowed", "s per recorded s, one core", "on the device"]
    names = ("step", "difference", "unit", "allowed", "one_core_s", "device_s")
    rows = [[record[name] for name in names] for record in records]
    return dict(caption=f"Steps by compiled code and on a device; {machine}:", columns=columns, rows=rows)
