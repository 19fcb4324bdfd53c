"""
How well each candidate agrees with the mean event of its own recording, in noise of the recording's own spectrum.

The network knows neither the spectrum of the noise nor the shape of the events of a recording. After a first look both
can be estimated: the filter that separates such events best from such noise is the matched filter for coloured noise
(Turin 1960, doi:10.1109/TIT.1960.1057571). Small events in slow noise stand out in its output.
"""

from collections.abc import Sequence

import numpy as np
import pandas
import scipy.ndimage
import scipy.signal

from ..noise import noise_levels
from .confidence import FEWEST_SURE, Candidates
from .fit_shape import FittedEvents, fit_events
from .simulate import add_events
from .stored import CHUNK_FRAMES, ChangedFrames, Frames
from .waveform import biexponential

# Candidates at least this sure are subtracted, so that noise is left over: they are events rather than not.
SUBTRACTED = 0.5
# The mean event is that of candidates at least this sure, if there are `FEWEST_SURE` of them: one in ten may be wrong.
SURE = 0.9
# The output of the filter is looked at within this time of an onset, in ms: onsets nearer than this are one event.
REACH_MS = 1.5
# Length of the mean event, in ms: four of the slowest decays that the bundled model knows (25 ms).
SHAPE_MS = 100.0
# Frames of the pieces in which the spectrum of the noise is estimated (0.2 s at 10 kHz), and of the filter.
SPECTRUM_FRAMES, FILTER_FRAMES = 2048, 4096
# Longer recordings are known from this many frames that are spread over them: the spectrum from pieces of them, the
# noise level from every second, third ... frame. At 10 kHz they last 5 and 17 minutes.
MOST_FRAMES_OF_SPECTRUM, MOST_FRAMES_OF_LEVEL = 3_000_000, 10_000_000
SPECTRUM_PIECE_FRAMES = 10 * SPECTRUM_FRAMES
# What is left over counts up to this many noise levels, so that artefacts do not make the spectrum; noise that is
# normally distributed exceeds it once in 500 million frames.
LARGEST_NOISE = 6.0
# Smallest power of the noise, as a part of the largest: where an amplifier lets next to nothing through, what is left
# is no evidence. Tuned on generated development recordings (benchmarks/events/other_maker.py, seeds 1-8); 1e-4 was as
# good.
SMALLEST_POWER = 1e-2


def agreement_with_mean_event(
    values: Sequence[Frames], rate: float, candidates: Sequence[Candidates], *, time_scale: float = 1.0
) -> list[np.ndarray] | None:
    """
    Output of a filter that is matched to the mean event, at each candidate.

    Parameters
    ----------
    values : sequence of Frames, shape (num_frames,), float
        Each segment without drift, events upwards, in noise levels.
    rate : float
        Frames per second.
    candidates : sequence of (onset_s, end_s, confidence)
        What was found in each segment at a first look.
    time_scale : float, default: 1.0
        Above 1 for slow events.

    Returns
    -------
    list of np.ndarray, shape (num_candidates,), float | None
        In standard deviations of the filtered noise, without the neighbours that were surely events. None if the
        recording has too few sure events to know their shape.
    """
    likely = [confidence >= SUBTRACTED for _, _, confidence in candidates]
    fits = [
        _fit(trace, rate, found, chosen, time_scale)
        for trace, found, chosen in zip(values, candidates, likely, strict=True)
    ]
    sure = [found[2][chosen] >= SURE for found, chosen in zip(candidates, likely, strict=True)]
    shape = _mean_shape(fits, sure, rate, time_scale)
    if shape is None:
        return None
    noise = [_without_events(trace, fit, rate) for trace, fit in zip(values, fits, strict=True)]
    taps = matched_taps(shape, noise, rate)
    step = -(-sum(map(len, noise)) // MOST_FRAMES_OF_LEVEL) or 1
    reach = max(1, round(REACH_MS * time_scale * rate / 1000))
    outputs, samples = [], []
    for trace, found in zip(noise, candidates, strict=True):
        frames = np.clip(np.round(found[0] * rate).astype(int), 0, len(trace) - 1)
        output, sample = _highest_near(trace, taps, frames, reach, step)
        outputs.append(output)
        samples.append(sample)
    level = float(noise_levels(np.concatenate(samples)[:, None])[0])
    if not level > 0:
        return None
    per_amplitude = _filtered(np.pad(shape, (0, FILTER_FRAMES)), taps, 0, 1)[0]
    for output, fit, chosen in zip(outputs, fits, likely, strict=True):
        output[chosen] += per_amplitude * np.maximum(fit.amplitude, 0.0)
    return [output / level for output in outputs]


def matched_taps(shape: np.ndarray, noise: Sequence[Frames], rate: float) -> np.ndarray:
    """
    The matched filter of a shape in coloured noise.

    Parameters
    ----------
    shape : np.ndarray, shape (num_frames,), float
        An event from its onset on.
    noise : sequence of Frames, shape (num_frames,), float
        Stretches without events, in noise levels.
    rate : float
        Frames per second.

    Returns
    -------
    np.ndarray, shape (FILTER_FRAMES,), float
        Weights of the frames around an onset, which is in the middle.
    """
    together = np.clip(_evenly_spread(noise, MOST_FRAMES_OF_SPECTRUM), -LARGEST_NOISE, LARGEST_NOISE)
    frames = min(SPECTRUM_FRAMES, len(together))
    frequencies, power = scipy.signal.welch(together, rate, nperseg=frames, average="median")
    power = np.interp(np.fft.rfftfreq(FILTER_FRAMES, 1 / rate), frequencies, power)
    spectrum = np.fft.rfft(shape, FILTER_FRAMES) / np.maximum(power, SMALLEST_POWER * power.max())
    spectrum[0] = 0.0  # the baseline is not known
    return np.fft.fftshift(np.fft.irfft(spectrum, FILTER_FRAMES))


def _fit(trace, rate, found, chosen, time_scale) -> FittedEvents:
    onset_s, end_s = found[0][chosen], found[1][chosen]
    return fit_events(trace, rate, 1000 * onset_s, 1000 * (end_s - onset_s), 1.0, time_scale=time_scale)


def _mean_shape(fits, sure, rate, time_scale):
    """Mean of the fitted shapes of the sure events, each with peak 1, from the onset on; None if there are few."""
    times_ms = np.arange(round(SHAPE_MS * time_scale * rate / 1000)) / rate * 1000
    total, count = np.zeros(len(times_ms)), 0
    for fit, is_sure in zip(fits, sure, strict=True):
        for rise, decay in zip(*_time_constants(fit, is_sure & (fit.amplitude > 0)), strict=True):
            total += biexponential(times_ms, rise, decay)
            count += 1
    return total / count if count >= FEWEST_SURE else None


def _time_constants(fit, chosen):
    return fit.tau_rise_ms[chosen], fit.tau_decay_ms[chosen]


def _without_events(trace, fit, rate):
    """Trace without the fitted events, float32, computed where it is read."""
    found = fit.amplitude > 0
    rise, decay = _time_constants(fit, found)
    heights = -fit.amplitude[found]
    columns = dict(onset_s=fit.onset_ms[found] / 1000, amplitude=heights, tau_rise_ms=rise, decay_ms=decay)
    events = pandas.DataFrame(columns)
    return ChangedFrames(trace, lambda first, piece: add_events(np.array(piece, "float32"), events, rate, first))


def _evenly_spread(traces, most_frames):
    """All traces after each other, or pieces of them, spread evenly, where they are longer than this together."""
    num_frames = sum(map(len, traces))
    if num_frames <= most_frames:
        return np.concatenate([trace[:] for trace in traces])
    share, pieces = most_frames / num_frames, []
    for trace in traces:
        num_pieces = max(1, round(share * len(trace) / SPECTRUM_PIECE_FRAMES))
        starts = np.linspace(0, max(0, len(trace) - SPECTRUM_PIECE_FRAMES), num_pieces).astype(int)
        pieces += [trace[start : start + SPECTRUM_PIECE_FRAMES] for start in starts]
    return np.concatenate(pieces)


def _highest_near(trace, taps, frames, reach, step):
    """Largest output of the filter within `reach` of each frame, and every `step`-th output."""
    highest, sample = np.zeros(len(frames)), []
    for start in range(0, len(trace), CHUNK_FRAMES):
        stop = min(start + CHUNK_FRAMES, len(trace))
        first, last = max(0, start - reach), min(len(trace), stop + reach)
        output = _filtered(trace, taps, first, last)
        here = (frames >= start) & (frames < stop)
        largest = scipy.ndimage.maximum_filter1d(output, 2 * reach + 1, mode="nearest")
        highest[here] = largest[frames[here] - first]
        sample.append(output[start - first : stop - first][-start % step :: step].astype("float32"))
    return highest, np.concatenate([np.zeros(0, "float32"), *sample])


def _filtered(trace, taps, first, last):
    """Sum of the frames around each frame from `first` to before `last`, by the weights of `taps`."""
    before, after = len(taps) // 2, len(taps) - len(taps) // 2 - 1
    start, stop = max(0, first - before), min(len(trace), last + after)
    padded = np.pad(trace[start:stop].astype(float), (before - (first - start), after - (stop - last)))
    return scipy.signal.oaconvolve(padded, taps[::-1], mode="valid")
