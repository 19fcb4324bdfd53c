"""
What a denoiser would do to small units of a recording at hand, as one page.

Spikes whose truth is known are added to the recording; what the denoiser makes of them, and of noise that has the
recording's own spectrum and covariance but no spike, is measured and drawn.
"""

from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si

from ..geometry import recording_geometry
from ..noise import noise_levels
from ..preprocessing import deep_interpolate
from ..preprocessing.injection import DECAY_UM, spike_waveform
from ..preprocessing.surrogate import phase_randomized
from .denoising import DenoisingScores, KnownSpikes, score_denoising
from .report import write_page

# Peaks of the injected units in noise levels: from hidden in the noise to those that no sorter misses.
AMPLITUDES = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0)
# Units of each amplitude, at different places.
UNITS_PER_AMPLITUDE = 3
# Firing rate of an injected unit in Hz: some fifty spikes in the default stretch.
RATE_HZ = 8.0
# Relative differences that the verdict calls a change: scores of two seeds differ by less.
CLEAR_CHANGE = 0.05
# Share of the amplitude that must be left for rates of small units to be comparable with those of undenoised traces.
LEAST_GAIN = 0.9
# What the page calls the traces and the scores.
TRACES = {"raw": "as recorded", "denoised": "denoised", "prediction": "prediction alone"}
COLUMNS = {
    "snr_db": "SNR (dB)",
    "gain": "amplitude kept",
    "gain_small": "amplitude kept, small units",
    "cosine": "shape kept (cosine)",
    "dprime": "separation from noise (d')",
    "noise_crossings_4": "noise below -4 levels (Hz per channel)",
    "noise_crossings_5": "noise below -5 levels (Hz per channel)",
}


def artifact_report(
    recording: si.BaseRecording,
    model: str | Path,
    file: str | Path,
    *,
    duration_s: float = 6.0,
    seed: int = 0,
    **denoiser_kwargs: Any,
) -> dict[str, DenoisingScores]:
    """
    Write a page on what `deep_interpolate` would do to this recording.

    Parameters
    ----------
    recording : BaseRecording
        Filtered as it would be before denoising.
    model : str | Path
        As for `deep_interpolate`.
    file : str | Path
        HTML file to write.
    duration_s : float, default: 6.0
        Length of the stretch, from the middle of the longest segment, into which spikes are injected.
    seed : int, default: 0
        Seed of the injected spikes and the surrogate noise.
    **denoiser_kwargs
        For `deep_interpolate`, e.g. `blend`.

    Returns
    -------
    dict
        `DenoisingScores` of "raw", "denoised" and "prediction" (without blending). The signal-to-noise ratio counts
        the recording's own spikes as noise.

    Raises
    ------
    ValueError
        If the recording is shorter than half a second, or cannot be denoised.
    """
    stretch = _middle(recording, duration_s)
    traces = stretch.get_traces().astype("float32")
    spikes = injected_spikes(stretch, traces, seed=seed)
    clean = render(spikes, traces.shape)
    given = (traces + clean, phase_randomized(traces, seed=seed), traces)
    outputs = {"raw": given} | _denoised(recording, stretch, given, model, denoiser_kwargs)
    known = dict(sampling_frequency=recording.get_sampling_frequency(), noise_level=noise_levels(traces))
    scores = {
        name: score_denoising(with_spikes, clean, spikes, noise, **known)
        for name, (with_spikes, noise, _) in outputs.items()
    }
    document = dict(
        title="What the denoiser would do to this recording",
        model=str(model),
        summary_text=verdict(scores),
        tables={"Scores": _score_table(scores), "Amplitude kept": _amplitude_table(outputs, clean, spikes)},
    )
    write_page(document, file, _figures(outputs, spikes, recording.get_sampling_frequency()))
    return scores


def _denoised(recording, stretch, given, model, denoiser_kwargs):
    measured = deep_interpolate(recording, model=model, **denoiser_kwargs)._kwargs["normalization"]
    pure = dict(raw_weights=[0.0] * stretch.get_num_channels(), nonlinear_share=1.0)
    variants = {"denoised": measured, "prediction": measured | pure}
    outputs = {}
    for name, normalization in variants.items():
        options = denoiser_kwargs | dict(model=model, dtype="float32", normalization=normalization)
        outputs[name] = tuple(deep_interpolate(_like(stretch, traces), **options).get_traces() for traces in given)
    return outputs


def injected_spikes(recording: si.BaseRecording, traces: np.ndarray, *, seed: int = 0) -> KnownSpikes:
    """Units of 3 to 20 noise levels at random channels of a stretch, firing at random; units as the traces."""
    rng = np.random.default_rng(seed)
    sampling_frequency = recording.get_sampling_frequency()
    locations, shanks = recording_geometry(recording)
    levels = noise_levels(traces)
    alive = np.nonzero(levels > 0)[0]
    waveform = spike_waveform(sampling_frequency)
    nbefore = int(np.argmin(waveform))
    templates, frames = [], []
    for amplitude in np.repeat(AMPLITUDES, UNITS_PER_AMPLITUDE):
        channel = rng.choice(alive)
        distances = np.linalg.norm(locations - locations[channel], axis=1)
        spread = np.exp(-distances / (DECAY_UM * rng.uniform(0.6, 1.4))) * (shanks == shanks[channel])
        templates.append(amplitude * levels[channel] * waveform[:, None] * spread)
        count = max(4, rng.poisson(RATE_HZ * len(traces) / sampling_frequency))
        frames.append(np.sort(rng.integers(3 * len(waveform), len(traces) - 3 * len(waveform), count)))
    return KnownSpikes(frames, np.asarray(templates, dtype="float32"), nbefore)


def render(spikes: KnownSpikes, shape: tuple[int, ...]) -> np.ndarray:
    """The known spikes as traces, (num_frames, num_channels) float32."""
    clean = np.zeros(shape, dtype="float32")
    for template, frames in zip(spikes.templates, spikes.sample_indices, strict=True):
        for frame in frames - spikes.nbefore:
            clean[frame : frame + len(template)] += template
    return clean


def _middle(recording, duration_s):
    lengths = [recording.get_num_frames(i) for i in range(recording.get_num_segments())]
    longest = int(np.argmax(lengths))
    num_frames = min(round(duration_s * recording.get_sampling_frequency()), lengths[longest])
    if num_frames < 0.5 * recording.get_sampling_frequency():
        raise ValueError(
            f"The longest segment has {lengths[longest] / recording.get_sampling_frequency():.2f} s, expected at "
            "least 0.5 s: too few spikes could be injected."
        )
    first = (lengths[longest] - num_frames) // 2
    segment = recording.select_segments([longest])
    return segment.frame_slice(first, first + num_frames)


def _like(recording, traces):
    copy = si.NumpyRecording([traces], recording.get_sampling_frequency(), channel_ids=recording.channel_ids)
    if recording.has_probe():
        copy.set_probegroup(recording.get_probegroup())
    return copy


def verdict(scores: dict[str, DenoisingScores]) -> list[str]:
    """
    What the scores say about denoising this recording, in sentences.

    Parameters
    ----------
    scores : dict
        `DenoisingScores` of "raw" and "denoised".

    Returns
    -------
    list of str
        The conclusion first.
    """
    before, after = scores["raw"], scores["denoised"]
    change = after.dprime / before.dprime - 1
    sees_better, sees_worse = change > CLEAR_CHANGE, change < -CLEAR_CHANGE
    shrinks = after.gain_small < LEAST_GAIN
    looks_like_spikes = after.noise_crossings_5 > before.noise_crossings_5 * (1 + CLEAR_CHANGE)
    if sees_worse or (looks_like_spikes and not sees_better):
        conclusion = "Do not denoise this recording with this model: spikes are harder to tell from noise afterwards."
    elif sees_better and not shrinks and not looks_like_spikes:
        conclusion = "Denoising helps: spikes are easier to tell from noise, and nothing is lost."
    elif sees_better:
        conclusion = "Denoising helps to tell spikes from noise, at a price that is named below."
    else:
        conclusion = "Denoising changes little: leave it out, or use it for pictures only."
    sentences = [conclusion, f"Separation of spikes from noise: {before.dprime:.2f} before, {after.dprime:.2f} after."]
    if shrinks:
        sentences.append(f"Small units keep {after.gain_small:.0%} of their amplitude: thresholds must be lowered.")
    if looks_like_spikes:
        sentences.append(
            f"Noise alone looks like a spike more often: {after.noise_crossings_5:.2g} times per second and channel "
            f"instead of {before.noise_crossings_5:.2g}."
        )
    return sentences


def _score_table(scores):
    return {
        "title": "Spikes and noise before and after",
        "columns": ["traces", *COLUMNS.values()],
        "rows": [[TRACES[name], *[getattr(score, column) for column in COLUMNS]] for name, score in scores.items()],
        "caption": "The recording's own spikes count as noise in the SNR. Separation is that of a matched filter. "
        "Levels are standard deviations of the noise of the same traces: a denoiser that shrinks noise, but not what "
        "resembles a spike, has more crossings than the recorded traces.",
    }


def amplitude_kept(
    outputs: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], clean: np.ndarray, spikes: KnownSpikes
) -> dict[str, list[float]]:
    """Slope of what is left of each unit's injected spikes against what was injected, by name of the output."""
    kept: dict[str, list[float]] = {}
    for name, (with_spikes, _, without) in outputs.items():
        left, kept[name] = with_spikes - without, []
        for unit, frames in enumerate(spikes.sample_indices):
            channel = spikes.channels(unit)[0]
            rows = (frames[:, None] + np.arange(-10, 20)[None]).ravel()
            truth = clean[rows, channel]
            kept[name].append(float((left[rows, channel] * truth).sum() / np.square(truth).sum()))
    return kept


def _amplitude_table(outputs, clean, spikes):
    kept = amplitude_kept(outputs, clean, spikes)
    rows = []
    for index, amplitude in enumerate(AMPLITUDES):
        units = slice(index * UNITS_PER_AMPLITUDE, (index + 1) * UNITS_PER_AMPLITUDE)
        rows.append([amplitude, *[float(np.mean(kept[name][units])) for name in ("denoised", "prediction")]])
    return {
        "columns": ["spike in noise levels", "kept, denoised", "kept, pure prediction"],
        "rows": rows,
        "caption": "Share of the injected amplitude that is left: output with spikes minus output without them.",
    }


def _figures(outputs, spikes, sampling_frequency):
    from matplotlib.figure import Figure

    traces = Figure(figsize=(10, 5), layout="constrained")
    panels = traces.subplots(3, 1, sharex=True, sharey=True)
    unit = AMPLITUDES.index(5.0) * UNITS_PER_AMPLITUDE
    channel, frame = spikes.channels(unit)[0], spikes.sample_indices[unit][0]
    window = slice(max(0, frame - 300), frame + 300)
    time_ms = (np.arange(window.start, window.stop) - frame) / sampling_frequency * 1000
    for axes, name in zip(panels, TRACES, strict=True):
        axes.plot(time_ms, outputs[name][0][window, channel], color="0.2", linewidth=0.8)
        axes.axvline(0, color="tab:red", linewidth=0.6)
        axes.set_ylabel(TRACES[name])
    panels[-1].set_xlabel("time from a spike of 5 noise levels (ms)")
    spectrum = Figure(figsize=(10, 4), layout="constrained")
    axes = spectrum.subplots()
    for name, (_, noise, _) in outputs.items():
        power = np.square(np.abs(np.fft.rfft(noise[: 2 * (len(noise) // 2)], axis=0))).mean(axis=1)
        smooth = np.convolve(power, np.ones(101) / 101, mode="same")[50:-50:20]
        frequencies = np.fft.rfftfreq(2 * (len(noise) // 2), 1 / sampling_frequency)[50:-50:20]
        axes.loglog(frequencies, smooth, label=TRACES[name])
    axes.set(xlabel="frequency (Hz)", ylabel="power of noise alone")
    axes.legend()
    return {"A small spike": traces, "Noise before and after": spectrum}
