"""What a GPU computes is what the CPU computes: sorting, denoising, training, its resumption, prediction of spikes."""

from dataclasses import replace

import numpy as np
import pytest
import spikeinterface.core as si
import torch
from small_interpolator import save_random_interpolator
from small_recording import white_recording_of
from spikeinterface.comparison import compare_two_sorters
from spikeinterface.sorters import run_sorter

import si_deepsort
from si_deepsort.detection.front_end import DEFAULT_FRONT_END
from si_deepsort.events.segment import segment_events
from si_deepsort.events.simulate import simulate_events
from si_deepsort.fit.checkpoint import Checkpoint
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe
from si_deepsort.nets.interpolator import InterpolatorConfig
from si_deepsort.preprocessing import deep_interpolate
from si_deepsort.preprocessing.white_on_device import WhiteOnDeviceRecording
from si_deepsort.sorter.matching.correlate import make_matched_filters
from si_deepsort.sorter.matching.on_device import filters_on_device
from si_deepsort.training.interpolation.train import InterpolationTrainingSettings, train_deep_interpolation
from si_deepsort.zoo import load_model

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]

SMALL = InterpolatorConfig(num_features=6, num_mixed=3, width=6, num_neighbors=5, geometry_width=12)
QUICK = InterpolationTrainingSettings(
    num_epochs=2, steps_per_epoch=6, batch_windows=2, window_frames=128, wiener_s=1.0, progress_bar=False, device="cuda"
)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    settings = GenerationSettings(duration_s=2.0, num_units=3, num_far_units=4)
    lazy, _ = generate_recording(named_probe("linear32"), settings)
    return lazy.save(folder=tmp_path_factory.mktemp("recording") / "saved", verbose=False, progress_bar=False)


@pytest.mark.parametrize("model", ["interpolator-any", "small"])
def test_denoising(recording, model, tmp_path):
    model = save_random_interpolator(tmp_path / model) if model == "small" else model
    expected = deep_interpolate(recording, model=model, blend=0.2).get_traces()
    found = deep_interpolate(recording, model=model, blend=0.2, device="cuda").get_traces()
    np.testing.assert_allclose(found, expected, atol=2e-3 * expected.std())


@pytest.mark.parametrize("method", ["energy", "cnn"])
def test_white_traces_and_peaks(recording, method, caplog):
    white = white_recording_of(recording)
    found = WhiteOnDeviceRecording(white, "cuda").get_traces()
    np.testing.assert_allclose(found, white.get_traces(), atol=1e-3, rtol=1e-3)
    options = dict(method=method, applied_front_end=DEFAULT_FRONT_END, whitening=white.whitening)
    expected, peaks = (si_deepsort.find_peaks(white, device=device, **options) for device in ("cpu", "cuda"))
    for name in ("sample_index", "channel_index"):
        assert np.mean(peaks[name][: len(expected)] == expected[name][: len(peaks)]) > 0.99
    assert len(peaks) == pytest.approx(len(expected), rel=0.01) and not caplog.records


def test_correlations_with_templates(caplog):
    rng = np.random.default_rng(0)
    templates = np.cumsum(rng.standard_normal((40, 90, 32)), axis=1).astype("float32") / 3
    templates = templates * (rng.random((40, 1, 32)) < 0.3)
    filters = make_matched_filters(templates, 2)
    traces = rng.standard_normal((20_000, 32)).astype("float32")
    expected, found = (own.correlate(traces) for own in (filters, filters_on_device(filters, "cuda")))
    scale = np.sqrt(filters.norms)[:, None]
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-3)
    assert not caplog.records


def test_sorting(recording, tmp_path):
    sortings = [
        run_sorter("deepsort", recording, folder=tmp_path / device, device=device, num_rounds=0)
        for device in ("cpu", "cuda")
    ]
    comparison = compare_two_sorters(*sortings, delta_time=0.1)
    assert comparison.get_matching()[0].ge(0).sum() > 0
    assert "on a device" in (tmp_path / "cuda" / "sorter_output" / "log.txt").read_text(encoding="utf-8")


def test_chunks_leave_no_trace(recording):
    denoised = deep_interpolate(recording, blend=0.2, device="cuda")
    whole = denoised.get_traces()
    np.testing.assert_array_equal(denoised.get_traces(start_frame=1234, end_frame=5678), whole[1234:5678])


def test_processes_that_save_share_the_gpu(recording, tmp_path):
    denoised = deep_interpolate(recording, blend=0.2, device="cuda")
    saved = denoised.save(folder=tmp_path / "saved", n_jobs=2, chunk_duration="0.5s", progress_bar=False)
    np.testing.assert_array_equal(saved.get_traces(), denoised.get_traces())


@pytest.mark.parametrize("amp", [False, True])
def test_training_ends_where_the_cpu_ends(recording, amp, tmp_path):
    losses = []
    for device in ("cpu", "cuda"):
        settings = replace(QUICK, device=device, amp=amp and device == "cuda")
        model = train_deep_interpolation(recording, tmp_path / device, config=SMALL, settings=settings)
        losses.append(load_model(model).info.metrics["validation_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[1] <= load_model(model).info.metrics["start_validation_loss"] < 0.95


def test_training_continues_after_an_interruption(recording, tmp_path, monkeypatch):
    longer = replace(QUICK, num_epochs=4, patience=9)
    whole = train_deep_interpolation(recording, tmp_path / "whole", config=SMALL, settings=longer)
    save = Checkpoint.save

    def save_and_interrupt(self, net, optimizer, best_weights, history):
        save(self, net, optimizer, best_weights, history)
        if len(history) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Checkpoint, "save", save_and_interrupt)
        train_deep_interpolation(recording, tmp_path / "cut", config=SMALL, settings=longer)
    resumed = train_deep_interpolation(recording, tmp_path / "cut", config=SMALL, settings=longer)
    for first, second in zip(*(load_model(model).state_dict().values() for model in (whole, resumed)), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-3)


def test_fine_tuning_a_bundled_model(recording, tmp_path):
    tuned = train_deep_interpolation(recording, tmp_path / "tuned", start_from="interpolator-any", settings=QUICK)
    assert deep_interpolate(recording, model=tuned, device="cuda").get_traces(end_frame=100).shape == (100, 32)


def test_miniature_potentials():
    trace, _ = simulate_events(duration_s=20.0, seed=3)
    expected, found = (segment_events(trace, device=device) for device in ("cpu", "cuda"))
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found["onset_s"], expected["onset_s"], atol=1e-3)


def test_spikes_predicted_from_the_field_potential():
    rng = np.random.default_rng(0)
    times = np.arange(60 * 500) / 500
    traces = (np.sin(2 * np.pi * 6 * times) + 0.3 * rng.standard_normal(len(times))).astype("float32")
    field = si.NumpyRecording([traces[:, None]], 500.0)
    frames = np.flatnonzero((np.sin(2 * np.pi * 6 * times) > 0.8) & (rng.random(len(times)) < 0.2))
    sorting = si.NumpySorting.from_unit_dict([{"a": frames}], 500.0)
    net = si_deepsort.train_spike_predictor(field, sorting, "a", "cnn").net
    expected, found = (si_deepsort.predict_spikes(field, net, device=device).expected for device in ("cpu", "cuda"))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
