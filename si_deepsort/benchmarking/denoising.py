"""
What a denoiser does to spikes and to noise, in numbers.

A denoiser that only made traces quieter could shrink small spikes, make units alike or paint spikes into noise. So
beside the signal-to-noise ratio these metrics ask for the amplitude that is left, for the shape, for what a matched
filter can still detect, and for what appears where there was noise alone.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..noise import noise_levels
from ..preprocessing.surrogate import noise_crossings

# Channels on which a unit is scored: peaks of at least this share of its largest one, and at most so many channels.
SIGNIFICANT_FRACTION, MAX_CHANNELS = 0.25, 8
# Units below this peak, in noise levels, count as small: a little above the usual detection threshold of 5.
SMALL_UNIT_NOISE_LEVELS = 6.0


@dataclass(frozen=True)
class KnownSpikes:
    """
    Spikes that were put into traces.

    Attributes
    ----------
    sample_indices : list of np.ndarray
        Sample of the peak of each spike, per unit, inside the traces.
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float
        In the unit of the traces.
    nbefore : int
        Sample of the peak in the templates.
    """

    sample_indices: list[np.ndarray]
    templates: np.ndarray
    nbefore: int

    def channels(self, unit: int) -> np.ndarray:
        """The channels on which a unit is large, at most `MAX_CHANNELS`, the largest first."""
        peaks = np.abs(self.templates[unit]).max(axis=0)
        order = np.argsort(peaks)[::-1][:MAX_CHANNELS]
        return order[peaks[order] >= SIGNIFICANT_FRACTION * peaks.max()]

    def window(self) -> slice:
        """Samples of the template from 0.3 of its `nbefore` before the peak to as much again and a half after."""
        return slice(self.nbefore - self.nbefore * 2 // 3, self.nbefore + self.nbefore)


@dataclass(frozen=True)
class DenoisingScores:
    """
    Scores of one denoiser on one recording.

    Attributes
    ----------
    snr_db : float
        Energy of the true spikes over that of everything else, in dB.
    gain, gain_small, gain_min : float
        Amplitude left: slope of a unit's mean waveform against the true one. Median over units, median over units
        smaller than 6 noise levels (nan if there are none), and the smallest.
    cosine : float
        Likeness of the mean waveform to the true one, median over units.
    dprime, dprime_true : float
        Separation of a unit's spikes from other times by a matched filter, with a template from other spikes of the
        same traces, and with the true template. Median over units.
    template_snr : float
        Peak-to-peak of the mean waveform over the noise level, median over units.
    noise_crossings_4, noise_crossings_5 : float
        Troughs below 4 and 5 noise levels in noise alone, per channel and second.
    """

    snr_db: float
    gain: float
    gain_small: float
    gain_min: float
    cosine: float
    dprime: float
    dprime_true: float
    template_snr: float
    noise_crossings_4: float
    noise_crossings_5: float

    def to_dict(self) -> dict[str, float]:
        """Name -> value."""
        return asdict(self)


def score_denoising(
    denoised: np.ndarray,
    clean: np.ndarray,
    spikes: KnownSpikes,
    denoised_noise: np.ndarray,
    *,
    sampling_frequency: float,
    noise_level: np.ndarray,
    seed: int = 0,
) -> DenoisingScores:
    """
    Score a denoiser.

    Parameters
    ----------
    denoised : np.ndarray, shape (num_frames, num_channels), float
        Output for traces with the known spikes.
    clean : np.ndarray, shape (num_frames, num_channels), float
        The known spikes alone.
    spikes : KnownSpikes
    denoised_noise : np.ndarray, shape (num_noise_frames, num_channels), float
        Output of the same denoiser for noise alone.
    sampling_frequency : float
        In Hz.
    noise_level : np.ndarray, shape (num_channels,), float
        Noise level of the traces before denoising; it tells which units are small.
    seed : int, default: 0
        Seed of the times between spikes that the matched filter is tried on.

    Returns
    -------
    DenoisingScores
    """
    rng = np.random.default_rng(seed)
    after_noise = np.maximum(noise_levels(denoised), 1e-12)
    rows = [
        _score_unit(denoised, spikes, unit, after_noise, rng)
        for unit in range(len(spikes.templates))
        if len(spikes.sample_indices[unit]) >= 4
    ]
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}
    is_small = np.array([_is_small(spikes.templates[row["unit"]], noise_level) for row in rows], dtype=bool)
    gains = table.get("gain", np.zeros(0))
    return DenoisingScores(
        snr_db=signal_to_noise_db(clean, denoised),
        gain=_median(gains),
        gain_small=_median(gains[is_small]),
        gain_min=float(gains.min()) if len(gains) else np.nan,
        cosine=_median(table.get("cosine", [])),
        dprime=_median(table.get("dprime", [])),
        dprime_true=_median(table.get("dprime_true", [])),
        template_snr=_median(table.get("template_snr", [])),
        noise_crossings_4=noise_crossings(denoised_noise, 4.0, sampling_frequency),
        noise_crossings_5=noise_crossings(denoised_noise, 5.0, sampling_frequency),
    )


def signal_to_noise_db(clean: np.ndarray, traces: np.ndarray) -> float:
    """Energy of the clean traces over the energy of what differs from them, in dB."""
    difference = np.square(traces - clean, dtype="float64").sum()
    return float(10 * np.log10(max(np.square(clean, dtype="float64").sum(), 1e-30) / max(difference, 1e-30)))


def _is_small(template, noise_level) -> bool:
    return bool(np.max(np.abs(template) / np.maximum(noise_level, 1e-12)) < SMALL_UNIT_NOISE_LEVELS)


def _score_unit(denoised, spikes, unit, after_noise, rng) -> dict[str, Any]:
    channels, window = spikes.channels(unit), spikes.window()
    truth = spikes.templates[unit][window][:, channels]
    first = spikes.nbefore - window.start
    frames = spikes.sample_indices[unit]
    snippets = _snippets(denoised[:, channels], frames, first, len(truth))
    mean = snippets.mean(axis=0)
    own_scores, true_scores = _matched_scores(denoised[:, channels], snippets, frames, first, truth, rng)
    return dict(
        unit=unit,
        gain=float((mean * truth).sum() / np.square(truth).sum()),
        cosine=float((mean * truth).sum() / max(np.linalg.norm(mean) * np.linalg.norm(truth), 1e-30)),
        dprime=_dprime(*own_scores),
        dprime_true=_dprime(*true_scores),
        template_snr=float(np.ptp(mean[:, 0]) / after_noise[channels[0]]),
    )


def _matched_scores(traces, snippets, frames, first, truth, rng):
    others = rng.integers(first, len(traces) - len(truth) + first, 2000)
    nearest = np.abs(others[:, None] - np.sort(frames)[None]).min(axis=1)
    noise = _snippets(traces, others[nearest > 2 * len(truth)], first, len(truth))
    half = rng.permutation(len(snippets)) % 2 == 0
    own_spikes, own_noise = [], []
    for fitted, tested in ((half, ~half), (~half, half)):  # a spike never takes part in its own template
        template = snippets[fitted].mean(axis=0)
        template = template / max(np.linalg.norm(template), 1e-30)
        own_spikes.append(np.einsum("nsc,sc->n", snippets[tested], template))
        own_noise.append(np.einsum("nsc,sc->n", noise, template))
    unit_truth = truth / max(np.linalg.norm(truth), 1e-30)
    true_scores = [np.einsum("nsc,sc->n", pieces, unit_truth) for pieces in (snippets, noise)]
    return (np.concatenate(own_spikes), np.concatenate(own_noise)), true_scores


def _snippets(traces, frames, first, num_samples):
    frames = frames[(frames >= first) & (frames < len(traces) - num_samples + first)]
    return np.stack([traces[frame - first : frame - first + num_samples] for frame in frames])


def _dprime(spikes, others) -> float:
    spread = np.sqrt(0.5 * (np.var(spikes) + np.var(others)))
    return float((np.mean(spikes) - np.mean(others)) / max(spread, 1e-30))


def _median(values) -> float:
    return float(np.median(values)) if len(values) else float("nan")
