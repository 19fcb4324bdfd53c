"""The page on what a denoiser would do to a recording."""

import re
from dataclasses import replace

import numpy as np
import pytest
import spikeinterface.core as si
from small_interpolator import save_random_interpolator

from si_deepsort.benchmarking.artifact_report import (
    artifact_report,
    injected_spikes,
    phase_randomized,
    render,
    verdict,
)
from si_deepsort.benchmarking.denoising import DenoisingScores
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe


@pytest.fixture(scope="module")
def recording():
    lazy, _ = generate_recording(
        named_probe("tetrode"), GenerationSettings(duration_s=1.5, num_units=1, num_far_units=3, firing_rate_max=1.0)
    )
    copy = si.NumpyRecording([lazy.get_traces()], 30_000.0, channel_ids=lazy.channel_ids)
    copy.set_probe(lazy.get_probe())
    return copy


@pytest.mark.slow
def test_page_and_scores(recording, tmp_path):
    model = save_random_interpolator(tmp_path / "model")
    scores = artifact_report(recording, model, tmp_path / "report.html", duration_s=1.0)
    assert set(scores) == {"raw", "denoised", "prediction"}
    assert scores["raw"].gain == pytest.approx(1, abs=0.1)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Amplitude kept" in page and page.count("<img") == 2 and "Benchmark of spike sorters" not in page


@pytest.mark.slow
def test_without_blending_out_nothing_is_lost(recording, tmp_path):
    model = save_random_interpolator(tmp_path / "model")
    scores = artifact_report(recording, model, tmp_path / "report.html", duration_s=1.0, blend=1.0)
    assert scores["denoised"].gain == pytest.approx(scores["raw"].gain, abs=1e-3)
    assert scores["denoised"].dprime == pytest.approx(scores["raw"].dprime, rel=1e-2)


GOOD = DenoisingScores(10, 1, 1, 1, 1, 4.0, 4.0, 5, 1.0, 0.1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (dict(dprime=5.0), "nothing is lost"),
        (dict(dprime=5.0, gain_small=0.5), "at a price.*50%"),
        (dict(dprime=3.0), "Do not denoise"),
        (dict(noise_crossings_5=1.0), "Do not denoise.*looks like a spike more often"),
        (dict(), "changes little"),
    ],
)
def test_the_verdict_follows_the_scores(change, expected):
    assert re.search(expected, " ".join(verdict({"raw": GOOD, "denoised": replace(GOOD, **change)})))


def test_surrogate_has_the_covariance_and_spectrum_but_no_event():
    rng = np.random.default_rng(0)
    traces = rng.normal(size=(20_000, 3)) @ rng.normal(size=(3, 3))
    traces[5000] += 100
    surrogate = phase_randomized(traces)
    covariance = np.cov(traces.T)
    np.testing.assert_allclose(np.cov(surrogate.T), covariance, atol=0.02 * covariance.max())
    spectrum = np.abs(np.fft.rfft(traces[:, 0]))[1:-1]  # the ends have no phase
    np.testing.assert_allclose(np.abs(np.fft.rfft(surrogate[:, 0]))[1:-1], spectrum, atol=0.02 * spectrum.mean())
    assert np.abs(surrogate).max() < 40


def test_rendered_spikes_have_their_peaks_at_their_samples(recording):
    traces = recording.get_traces()
    spikes = injected_spikes(recording, traces)
    clean = render(spikes, traces.shape)
    assert clean.shape == traces.shape
    channel, frame = spikes.channels(23)[0], spikes.sample_indices[23][0]
    assert clean[frame, channel] <= 0.5 * spikes.templates[23][spikes.nbefore, channel] < 0


def test_too_short_is_explained(recording, tmp_path):
    with pytest.raises(ValueError, match="too few spikes"):
        artifact_report(recording.frame_slice(0, 3000), "interpolator-any", tmp_path / "x.html")
