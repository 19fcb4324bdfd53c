"""Scores of denoisers: what each one must say of traces whose answer is known, and the spikes that set the blend."""

import numpy as np
import pytest

from si_deepsort.benchmarking.denoising import KnownSpikes, noise_crossings, score_denoising, signal_to_noise_db
from si_deepsort.preprocessing.injection import AMPLITUDE_NOISE_LEVELS, raw_weights, response_to_spikes, small_spikes


@pytest.fixture(scope="module")
def known():
    rng = np.random.default_rng(0)
    num_frames, nbefore = 60_000, 30
    waveform = -np.exp(-0.5 * ((np.arange(90) - nbefore) / 4) ** 2)
    templates = np.stack([waveform[:, None] * scales for scales in ([60.0, 30.0, 2.0], [1.0, 20.0, 40.0])])
    frames = [np.sort(rng.choice(np.arange(200, num_frames - 200), 60, replace=False)) for _ in range(2)]
    clean = np.zeros((num_frames, 3))
    for unit, indices in enumerate(frames):
        for index in indices:
            clean[index - nbefore : index + 60] += templates[unit]
    noise = rng.normal(0, 8, clean.shape)
    return clean, noise, KnownSpikes(frames, templates, nbefore)


def scores_of(known, denoise):
    clean, noise, spikes = known
    return score_denoising(
        denoise(clean + noise),
        clean,
        spikes,
        denoise(noise),
        sampling_frequency=30_000.0,
        noise_level=np.full(3, 8.0),
    )


def test_nothing_done_is_scored_as_nothing(known):
    scores = scores_of(known, lambda traces: traces)
    assert scores.gain == pytest.approx(1, abs=0.03)
    assert scores.cosine > 0.97
    assert scores.gain_small == pytest.approx(1, abs=0.05)  # the unit of 40 uV in noise of 8 uV


def test_shrinking_shows_in_the_amplitude_alone(known):
    raw, half = scores_of(known, lambda traces: traces), scores_of(known, lambda traces: 0.5 * traces)
    assert half.gain == pytest.approx(raw.gain / 2, rel=1e-6)
    assert half.cosine == pytest.approx(raw.cosine, rel=1e-6)
    assert half.dprime == pytest.approx(raw.dprime, rel=1e-6)
    assert half.noise_crossings_4 == raw.noise_crossings_4


def test_less_noise_is_better(known):
    clean, _, spikes = known
    raw = scores_of(known, lambda traces: traces)
    rng = np.random.default_rng(1)
    quiet = score_denoising(
        clean + rng.normal(0, 3, clean.shape),
        clean,
        spikes,
        rng.normal(0, 3, clean.shape),
        sampling_frequency=30_000.0,
        noise_level=np.full(3, 8.0),
    )
    assert quiet.snr_db == pytest.approx(raw.snr_db + 20 * np.log10(8 / 3), abs=0.3)
    assert quiet.dprime > raw.dprime and quiet.template_snr > raw.template_snr


def test_no_spikes_gives_nan_not_an_error(known):
    clean, noise, spikes = known
    empty = KnownSpikes([np.zeros(0, dtype=int)] * 2, spikes.templates, spikes.nbefore)
    scores = score_denoising(noise, 0 * clean, empty, noise, sampling_frequency=30_000.0, noise_level=np.full(3, 8.0))
    assert np.isnan(scores.gain) and np.isnan(scores.dprime)


def test_crossings_of_gaussian_noise_are_rare_and_painted_spikes_are_counted():
    noise = np.random.default_rng(0).normal(size=(30_000, 4))
    assert noise_crossings(noise, 4.0, 30_000.0) < 5
    painted = noise.copy()
    painted[np.arange(100, 30_000, 1000), 2] = -9
    assert noise_crossings(painted, 4.0, 30_000.0) > noise_crossings(noise, 4.0, 30_000.0) + 5


def test_signal_to_noise_of_a_perfect_answer_is_large():
    clean = np.ones((10, 2))
    assert signal_to_noise_db(clean, clean) > 100
    assert signal_to_noise_db(clean, 0 * clean) == pytest.approx(0)


class Predictor:
    context, tile_frames = 5, 100

    def __init__(self, kept, num_channels):
        self.kept, self.usable = kept, np.ones(num_channels, dtype=bool)

    def predict_tile(self, traces):
        return self.kept * traces[5:-5] + 3.0


def test_response_is_what_the_prediction_keeps():
    locations, shanks = 20.0 * np.arange(6)[:, None] * [[0, 1]], np.zeros(6, dtype=int)
    traces = np.random.default_rng(0).normal(size=(2010, 6)).astype("float32")
    kept = np.array([0.0, 0.5, 0.8, 0.9, 0.97, 1.0], dtype="float32")
    response = response_to_spikes(Predictor(kept, 6), traces, locations, shanks, 30_000.0)
    np.testing.assert_allclose(response, kept, atol=1e-4)


def test_blended_amplitude_is_kept():
    response = np.array([0.86, 0.9, 0.95])
    weights = raw_weights(response)
    np.testing.assert_allclose(weights + (1 - weights) * response, 0.975)
    assert raw_weights(np.array([0.99]))[0] == 0.05 and raw_weights(np.array([0.0]))[0] == 0.95


def test_small_spikes_stay_on_their_shank():
    locations = np.array([[0.0, 0.0], [0.0, 20.0], [5.0, 0.0]])
    spikes = small_spikes(3000, locations, np.array([0, 0, 1]), 30_000.0)
    assert spikes.min() == pytest.approx(-AMPLITUDE_NOISE_LEVELS, rel=1e-3)
    alone = np.abs(spikes[:, 2]).max(axis=0) > 0
    assert alone and np.all(spikes[np.abs(spikes[:, 2]) > 1][:, :2] == 0)
