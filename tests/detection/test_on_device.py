"""Detection by PyTorch finds what the compiled code finds: the same energy, candidates and probabilities."""

import numpy as np
import pytest
import torch
from small_recording import as_recording, small_traces, white_recording_of

from si_deepsort.detection import on_device
from si_deepsort.detection.candidates import Candidates
from si_deepsort.detection.energy import comparison_stride, spike_energy, spike_energy_at
from si_deepsort.detection.energy_on_device import EnergyOnDevice
from si_deepsort.detection.find_peaks import find_peaks
from si_deepsort.detection.front_end import DEFAULT_FRONT_END
from si_deepsort.detection.on_device import CandidateFinderOnDevice, SpikeDetectorOnDevice, detector_on_device
from si_deepsort.detection.prepare import prepare_detector
from si_deepsort.on_device import DeviceStep

CPU = torch.device("cpu")
# Largest differences: of energies in noise standard deviations, and of probabilities.
SIZE_TOLERANCE, PROBABILITY_TOLERANCE = 1e-4, 1e-3
JOB = dict(n_jobs=1, progress_bar=False)


@pytest.fixture(scope="module", params=["detector-cnn", "cnn"])
def scene(request):
    """White traces of 9 channels with spikes, each detector made ready for them, and the recording."""
    traces, _ = small_traces(num_channels=9, num_units=6, duration_s=3.0)
    white = white_recording_of(as_recording(traces))
    return white.get_traces(), prepare_detector(white, request.param), white


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("num_parts", [1, 3])
@pytest.mark.parametrize("num_frames", [40, 700, 20_001])
def test_energies_are_the_same(scene, stride, num_parts, num_frames):
    traces, filters = scene[0][:num_frames], scene[1].finder.filters
    step = DeviceStep("energy", CPU)
    step.num_parts = num_parts
    on_cpu, on_device = spike_energy(traces, filters, stride), EnergyOnDevice(filters, step)
    found = on_device.at_places(step.send(traces), stride).numpy()
    assert found.shape == on_cpu.shape and on_cpu.max() > 1.9
    np.testing.assert_allclose(found, on_cpu, atol=SIZE_TOLERANCE)


def test_traces_that_are_shorter_than_a_waveform_have_no_energy(scene):
    step = DeviceStep("energy", CPU)
    assert EnergyOnDevice(scene[1].finder.filters, step).at_places(step.send(scene[0][:10]), 1).shape == (9, 0)


def test_energies_at_single_frames_are_the_same(scene, monkeypatch):
    traces, filters = scene[0], scene[1].finder.filters
    rng, step = np.random.default_rng(0), DeviceStep("energy", CPU)
    starts, channels = rng.integers(0, len(traces) - filters.directions.shape[1], 500), rng.integers(0, 9, 500)
    monkeypatch.setattr("si_deepsort.detection.energy_on_device.WAVEFORMS_AT_ONCE", 64)
    starts = np.minimum(starts, len(traces) - filters.directions.shape[1] - 2)
    found = EnergyOnDevice(filters, step).at(step.send(traces), starts, channels, 3)
    np.testing.assert_allclose(found, spike_energy_at(traces, filters, starts, channels, 3), atol=SIZE_TOLERANCE)


def assert_same_candidates(found, expected):
    assert len(found) == len(expected) > 100
    np.testing.assert_array_equal(found.frames, expected.frames)
    np.testing.assert_array_equal(found.channels, expected.channels)
    np.testing.assert_allclose(found.context, expected.context, atol=SIZE_TOLERANCE, rtol=1e-4)


def test_candidates_are_the_same(scene):
    traces, detector, _ = scene
    values = dict(threshold=4.5, margin=detector.finder.margin)
    found = CandidateFinderOnDevice(detector.finder, CPU).find(traces, **values)
    assert_same_candidates(found, detector.finder.find(traces, **values))


def test_probabilities_are_the_same(scene, monkeypatch, caplog):
    traces, detector, _ = scene
    monkeypatch.setattr(on_device, "WINDOWS_AT_ONCE", 64)
    expected, probabilities = detector.judged(traces, margin=detector.margin)
    found, own_probabilities = SpikeDetectorOnDevice(detector, CPU).judged(traces, margin=detector.margin)
    assert_same_candidates(found, expected)
    np.testing.assert_allclose(own_probabilities, probabilities, atol=PROBABILITY_TOLERANCE)
    assert 0.1 < np.mean(probabilities > 0.5) and not caplog.records


def test_the_network_of_the_user_stays_where_it_is(scene):
    detector = scene[1]
    assert SpikeDetectorOnDevice(detector, CPU).net is not detector.net
    assert detector_on_device(detector, "cpu") is detector


@pytest.mark.parametrize("method", ["energy", "cnn"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_peaks_are_the_same(scene, method, n_jobs, caplog):
    options = dict(method=method, applied_front_end=DEFAULT_FRONT_END, whitening=scene[2].whitening)
    expected = find_peaks(scene[2], job_kwargs=JOB, **options)
    found = find_peaks(scene[2], job_kwargs={**JOB, "n_jobs": n_jobs}, device="torch-cpu", **options)
    for name in ("sample_index", "channel_index", "segment_index"):
        np.testing.assert_array_equal(found[name], expected[name])
    np.testing.assert_allclose(found["amplitude"], expected["amplitude"], atol=SIZE_TOLERANCE)
    assert len(expected) > 50 and not caplog.records


def test_without_a_device_the_cpu_goes_on(scene, monkeypatch, caplog):
    traces, detector, _ = scene
    on_a_device = SpikeDetectorOnDevice(detector, CPU)

    def failing(*_, **__):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(on_a_device.finder, "_local_maxima", failing)
    found, probabilities = on_a_device.judged(traces, margin=detector.margin)
    expected, own = detector.judged(traces, margin=detector.margin)
    np.testing.assert_array_equal(found.frames, expected.frames)
    np.testing.assert_array_equal(probabilities, own)
    assert "detection continues on the CPU" in caplog.text


def test_a_device_that_fails_at_once(scene, monkeypatch, caplog):
    def failing(*_):
        raise RuntimeError("no driver")

    monkeypatch.setattr(on_device, "EnergyOnDevice", failing)
    assert detector_on_device(scene[1], "torch-cpu") is scene[1] and "no driver" in caplog.text


def test_empty_traces(scene):
    detector = scene[1]
    found, probabilities = SpikeDetectorOnDevice(detector, CPU).judged(
        np.zeros((4000, 9), dtype="float32"), margin=detector.margin
    )
    assert len(found) == len(probabilities) == 0


def test_strides_of_the_scene_cover_both_cases():
    assert {comparison_stride(rate) for rate in (20_000.0, 30_000.0)} == {1, 2}


def test_all_numbers_are_on_the_device(scene):
    """Tensors of the device "meta" hold no numbers; together with numbers on the CPU they are refused."""
    step = DeviceStep("energy", torch.device("meta"))
    energy = EnergyOnDevice(scene[1].finder.filters, step)
    assert energy.at_places(step.send(scene[0]), 2).shape[0] == 9
    with pytest.raises(NotImplementedError, match="copy out of meta"):
        energy.at(step.send(scene[0]), np.arange(5), np.arange(5))
    found = Candidates(np.arange(1000, 1005), np.arange(5), *np.ones((2, 5), "float32"), np.ones((5, 3), "float32"))
    with pytest.raises(NotImplementedError, match="copy out of meta"):
        SpikeDetectorOnDevice(scene[1], torch.device("meta"))._probabilities(step.send(scene[0]), found)
