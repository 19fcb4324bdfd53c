"""
What a denoiser would do to small units of a recording at hand, as one page.

Spikes whose truth is known are added to the recording; what the denoiser makes of them, and of noise that has the
recording's own spectrum and covariance but no spike, is measured and drawn.
"""

from pathlib import Path

import numpy as np
import spikeinterface.core as si

from ..geometry import recording_geometry
from ..noise import noise_levels
from ..preprocessing import deep_interpolate
from ..preprocessing.injection import DECAY_UM, spike_waveform
from ..preprocessing.surrogate import phase_randomized
from .denoising import DenoisingScores, KnownSpikes, score_denoising
from .report import write_page

AMPLITUDES = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0)  # in noise levels
UNITS_PER_AMPLITUDE = 3
RATE_HZ = 8.0


def artifact_report(
    recording, model: str | Path, file: str | Path, *, duration_s: float = 6.0, seed: int = 0, **denoiser_kwargs
) -> dict[str, DenoisingScores]:
    """
    Write a page on what `deep_interpolate` would do to this recording.

    Parameters
    ----------
    recording : BaseRecording
        As it would be denoised.
    model : str | Path
        As for `deep_interpolate`.
    file : str | Path
        HTML file to write.
    duration_s : float, default: 6.0
        Of the stretch, from the middle of the longest segment, into which spikes are injected.
    seed : int, default: 0
        Of the injected spikes and the surrogate noise.
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
    surrogate = phase_randomized(traces, seed=seed)
    given = (traces + clean, surrogate, traces)
    outputs = {"raw": given} | _denoised(recording, stretch, given, model, denoiser_kwargs)
    scores = {
        name: score_denoising(
            with_spikes,
            clean,
            spikes,
            noise,
            sampling_frequency=recording.get_sampling_frequency(),
            noise_level=noise_levels(traces),
        )
        for name, (with_spikes, noise, _) in outputs.items()
    }
    document = dict(
        title="What the denoiser would do to this recording",
        model=str(model),
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


def injected_spikes(recording, traces: np.ndarray, *, seed: int = 0) -> KnownSpikes:
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


def render(spikes: KnownSpikes, shape) -> np.ndarray:
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


def _score_table(scores):
    names = list(next(iter(scores.values())).to_dict())
    return {
        "columns": ["traces", *names],
        "rows": [[name, *[score.to_dict()[column] for column in names]] for name, score in scores.items()],
        "caption": "SNR in dB (the recording's own spikes count as noise); amplitude kept; separation by a matched "
        "filter (d'); troughs of noise alone below 4 and 5 of its own noise levels, per channel and second: a denoiser "
        "that shrinks noise, but not what resembles a spike, leaves more of them than raw traces have.",
    }


def amplitude_kept(outputs, clean, spikes: KnownSpikes) -> dict[str, list[float]]:
    """Slope of what is left of each unit's injected spikes against what was injected, by name of the output."""
    kept = {}
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

    traces = Figure(figsize=(10, 4))
    axes = traces.subplots()
    unit = 2 * UNITS_PER_AMPLITUDE  # 5 noise levels
    channel, frame = spikes.channels(unit)[0], spikes.sample_indices[unit][0]
    window = slice(max(0, frame - 300), frame + 300)
    time_ms = (np.arange(window.start, window.stop) - frame) / sampling_frequency * 1000
    for name, width in (("raw", 0.6), ("prediction", 0.8), ("denoised", 1.2)):
        axes.plot(time_ms, outputs[name][0][window, channel], linewidth=width, label=name)
    axes.set(xlabel="ms from a spike of 5 noise levels", ylabel="trace")
    axes.legend()
    spectrum = Figure(figsize=(10, 4))
    axes = spectrum.subplots()
    for name, (_, noise, _) in outputs.items():
        power = np.square(np.abs(np.fft.rfft(noise[: 2 * (len(noise) // 2)], axis=0))).mean(axis=1)
        smooth = np.convolve(power, np.ones(101) / 101, mode="same")[50:-50:20]
        frequencies = np.fft.rfftfreq(2 * (len(noise) // 2), 1 / sampling_frequency)[50:-50:20]
        axes.loglog(frequencies, smooth, label=name)
    axes.set(xlabel="Hz", ylabel="power of noise alone")
    axes.legend()
    return {"A small spike": traces, "Noise before and after": spectrum}
