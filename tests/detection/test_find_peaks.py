"""Detection: laws of candidates, windows and peaks; the bundled detectors on generated recordings."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import spikeinterface.preprocessing as spre

import si_deepsort.zoo
from si_deepsort.detection.bimodal import standing_out
from si_deepsort.detection.find_peaks import find_peaks
from si_deepsort.detection.front_end import DEFAULT_FRONT_END, apply_front_end
from si_deepsort.detection.node import NetworkPeakDetector
from si_deepsort.detection.prepare import load_detector, prepare_detector
from si_deepsort.detection.probability import detection_probability
from si_deepsort.detection.spike_detector import probabilities_of
from si_deepsort.detection.windows import cut_windows, make_window_plan
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe
from si_deepsort.nets.detector import CNNDetector, DetectorConfig, GRUDetector
from si_deepsort.sorter.front_end.steps import front_end_steps
from si_deepsort.sorter.front_end.whitening import filtered_recording, white_recording
from si_deepsort.sorter.settings import DeepSortSettings
from si_deepsort.zoo import save_model

QUIET = dict(progress_bar=False, n_jobs=1)
# Attributes of a node that hold the recording, whose shared memory is not what is tested here.
RECORDINGS = ("time_series", "recording", "_kwargs")
NETWORKS = [CNNDetector, GRUDetector]


@pytest.fixture(scope="module")
def tetrode():
    settings = GenerationSettings(duration_s=8.0, num_units=4, num_far_units=4, amplitude_min_uV=90.0, seed=3)
    recording, sorting = generate_recording(named_probe("tetrode"), settings)
    return recording.save(format="memory", progress_bar=False), sorting


@pytest.fixture(scope="module")
def white(tetrode):
    return apply_front_end(tetrode[0], DEFAULT_FRONT_END)


def match(peaks, sorting, tolerance=12):
    """Share of the spikes that have a peak nearby, and of the peaks that have a spike nearby."""
    spikes = sorting.to_spike_vector()["sample_index"]
    apart = np.abs(peaks["sample_index"][:, None] - spikes[None])
    return (apart.min(axis=0) <= tolerance).mean(), (apart.min(axis=1) <= tolerance).mean()


@pytest.mark.parametrize("method", ["cnn", "gru", "energy", "locally_exclusive", "matched_filtering"])
def test_every_method_finds_large_spikes(tetrode, method):
    recording, sorting = tetrode
    if method in ("locally_exclusive", "matched_filtering"):
        recording = spre.bandpass_filter(recording, freq_min=300.0, freq_max=6000.0, dtype="float32")
    peaks = find_peaks(recording, method=method, job_kwargs=QUIET)
    recall, precision = match(peaks, sorting)
    # A threshold detector that takes both polarities also reports the humps after the spikes.
    assert recall > 0.85 and precision > (0.2 if "_" in method else 0.7)
    assert peaks.dtype.names == ("sample_index", "channel_index", "amplitude", "segment_index")
    assert np.all(np.diff(peaks["sample_index"]) >= 0)


@pytest.mark.parametrize("network", NETWORKS)
def test_before_training_a_network_detects_what_energy_detects(white, network):
    net = network(DetectorConfig()).eval()
    given = dict(applied_front_end=DEFAULT_FRONT_END, job_kwargs=QUIET)
    expected = find_peaks(white, method="energy", **given)
    found = find_peaks(white, method=net, **given)
    # Peaks on the very border of the rule may go either way: the network rounds to single precision.
    assert len(np.setxor1d(found["sample_index"], expected["sample_index"])) <= 0.01 * len(expected)


@pytest.mark.parametrize("gain", [3.0, -3.0])
def test_the_unit_of_the_traces_changes_nothing_and_inverted_spikes_are_found(tetrode, gain):
    recording, sorting = tetrode
    scaled = spre.scale(recording, gain=gain, dtype="float32")
    peaks, found = (find_peaks(one, job_kwargs=QUIET) for one in (recording, scaled))
    if gain > 0:
        assert len(np.setxor1d(peaks["sample_index"], found["sample_index"])) <= 0.01 * len(peaks)
    assert match(found, sorting)[0] > 0.8


def test_chunked_equals_whole(tetrode):
    recording, _ = tetrode
    whole = find_peaks(recording, job_kwargs=QUIET | dict(chunk_size=10**7))
    chunked = find_peaks(recording, job_kwargs=QUIET | dict(chunk_size=4_000))
    shared = np.intersect1d(whole["sample_index"], chunked["sample_index"])
    assert len(shared) >= 0.99 * max(len(whole), len(chunked))


def test_threads_find_the_same(tetrode):
    recording = tetrode[0].frame_slice(0, 60_000)
    alone = find_peaks(recording, job_kwargs=QUIET | dict(chunk_duration="0.5s"))
    how = dict(progress_bar=False, n_jobs=2, chunk_duration="0.5s", pool_engine="thread")
    np.testing.assert_array_equal(alone["sample_index"], find_peaks(recording, job_kwargs=how)["sample_index"])


def test_a_node_sent_to_another_process_finds_the_same_and_loads_nothing(white, monkeypatch):
    node = NetworkPeakDetector(white, prepare_detector(white, "cnn"))
    state = {name: value for name, value in node.__getstate__().items() if name not in RECORDINGS}
    monkeypatch.setattr("si_deepsort.zoo.load.verify_files", None)
    sent = NetworkPeakDetector.__new__(NetworkPeakDetector)
    sent.__setstate__(pickle.loads(pickle.dumps(state)))  # noqa: S301
    traces, margin = white.get_traces(end_frame=30_000), node.get_margin()
    sent_peaks = sent.compute(traces, margin, 30_000 - margin, 0, margin)[0]
    np.testing.assert_array_equal(node.compute(traces, margin, 30_000 - margin, 0, margin)[0], sent_peaks)


def test_a_network_is_verified_once(tetrode, monkeypatch):
    verified, verify_files = [], si_deepsort.zoo.load.verify_files

    def count(folder, config):
        verified.append(folder)
        return verify_files(folder, config)

    monkeypatch.setattr("si_deepsort.zoo.load.verify_files", count)
    find_peaks(tetrode[0].frame_slice(0, 30_000), method="cnn", job_kwargs=QUIET)
    assert len(verified) == 1


@pytest.mark.slow
def test_a_network_that_was_never_saved_serves_several_processes(tetrode):
    recording, net = tetrode[0].frame_slice(0, 60_000), load_detector("cnn")
    net.info = None
    how = dict(progress_bar=False, n_jobs=2, chunk_duration="0.5s", mp_context="spawn")
    recording = recording.save(format="memory", sharedmem=True, progress_bar=False)
    alone = find_peaks(recording, method=net, job_kwargs=QUIET | dict(chunk_duration="0.5s"))
    np.testing.assert_array_equal(alone, find_peaks(recording, method=net, job_kwargs=how))


def tuned(**settings):
    """The bundled network, saved with other settings."""
    net = load_detector("cnn")
    net.info = replace(net.info, settings=net.info.settings | settings)
    return net


def test_the_exclusive_time_that_a_model_is_saved_with_takes_effect(tetrode):
    recording = tetrode[0]
    long_time = find_peaks(recording, method="cnn", exclusive_ms=5.0, job_kwargs=QUIET)
    assert len(long_time) < len(find_peaks(recording, method="cnn", job_kwargs=QUIET))
    np.testing.assert_array_equal(find_peaks(recording, method=tuned(exclusive_ms=5.0), job_kwargs=QUIET), long_time)


def test_the_front_end_that_a_model_is_saved_with_takes_effect(tetrode):
    recording = tetrode[0]
    steps = [
        {"name": "bandpass_filter", "params": {"freq_min": 1000.0, "freq_max": 4000.0, "dtype": "float32"}},
        {"name": "whiten", "params": {}},
    ]
    net, filtered = tuned(front_end=steps), apply_front_end(recording, steps)
    expected = find_peaks(filtered, method="cnn", applied_front_end=DEFAULT_FRONT_END, job_kwargs=QUIET)
    assert len(expected) != len(find_peaks(recording, method="cnn", job_kwargs=QUIET))
    np.testing.assert_array_equal(find_peaks(recording, method=net, job_kwargs=QUIET), expected)
    given = find_peaks(filtered, method=net, applied_front_end=steps, job_kwargs=QUIET)
    np.testing.assert_array_equal(given, expected)
    with pytest.warns(UserWarning, match="trained on traces of the front end"):
        find_peaks(filtered, method=net, applied_front_end=[], job_kwargs=QUIET)
    with pytest.raises(ValueError, match="cannot be applied"):
        find_peaks(recording, method=tuned(front_end=[{"name": "nonsense"}]), job_kwargs=QUIET)
    with pytest.raises(ValueError, match="expected white traces"):
        find_peaks(recording, method=tuned(front_end=[]), job_kwargs=QUIET)


@pytest.mark.parametrize("apply_preprocessing", [True, False])
def test_the_white_front_end_is_that_of_the_sorter(tetrode, apply_preprocessing):
    settings = DeepSortSettings(apply_preprocessing=apply_preprocessing)
    filters = dict(freq_min=settings.freq_min, freq_max=settings.freq_max, with_reference=settings.common_reference)
    recording = spre.bandpass_filter(tetrode[0], dtype="float32") if not apply_preprocessing else tetrode[0]
    filtered = filtered_recording(recording, **filters) if apply_preprocessing else recording
    whitening = dict(order=settings.whitening_order, radius_um=settings.whitening_radius_um, seed=settings.seed)
    expected = white_recording(filtered, motion=None, **whitening)
    found = apply_front_end(recording, json.loads(json.dumps(front_end_steps(settings))))
    np.testing.assert_array_equal(found.get_traces(), expected.get_traces())


def test_the_front_end_of_the_bundled_detectors_is_the_default_of_the_sorter():
    assert front_end_steps(DeepSortSettings()) == DEFAULT_FRONT_END


def test_a_model_of_another_sampling_rate_warns(tetrode):
    net = load_detector("cnn")
    net.info = replace(net.info, sampling_frequency=20_000.0)
    with pytest.warns(UserWarning, match="trained at 20000 Hz, the recording has 30000 Hz"):
        find_peaks(tetrode[0].frame_slice(0, 30_000), method=net, job_kwargs=QUIET)


def test_probability_is_zero_away_from_peaks_and_above_the_threshold_at_them(tetrode):
    recording, _ = tetrode
    probability = detection_probability(recording)[0]
    assert probability.shape == recording.get_traces().shape
    assert probability.min() == 0 and probability.max() <= 1
    assert (probability > 0).mean() < 0.02
    peaks = find_peaks(recording, method="cnn", threshold=0.5, job_kwargs=QUIET)
    # Peaks are moved to the largest sample of the waveform, and second peaks are dropped.
    frames = np.clip(peaks["sample_index"] + np.arange(-3, 4)[:, None], 0, len(probability) - 1)
    assert np.mean(probability[frames, peaks["channel_index"]].max(axis=0) >= 0.5) > 0.99
    assert abs(int((probability >= 0.5).sum()) - len(peaks)) <= 0.01 * len(peaks)


def test_unknown_model_is_named(tetrode):
    with pytest.raises(ValueError, match="no-such-model"):
        find_peaks(tetrode[0], method="no-such-model", job_kwargs=QUIET)


def test_window_at_another_rate_shows_the_same_signal():
    config = DetectorConfig()
    windows = []
    for frequency in (12_000.0, 20_000.0, 32_000.0):
        plan = make_window_plan(config, np.zeros((1, 2)), frequency)
        t = np.arange(-1000, 1001) / frequency
        traces = np.exp(-((t / 0.0003) ** 2))[:, None].astype("float32")
        windows.append(cut_windows(traces, np.array([1000]), np.array([0]), plan)[0, 0])
    np.testing.assert_allclose(windows[0], windows[1], atol=0.02)
    np.testing.assert_allclose(windows[2], windows[1], atol=0.02)


@pytest.mark.parametrize("network", NETWORKS)
def test_order_and_number_of_missing_neighbours_do_not_matter(network):
    rng = np.random.default_rng(0)
    net = network(DetectorConfig()).eval()
    with_random_head(net)
    windows = rng.normal(size=(3, 4, net.config.num_frames)).astype("float32")
    distances = np.tile(np.array([0.0, 20.0, 40.0, 60.0], "float32"), (3, 1))
    context = np.tile(np.array([7.0, 1.0, 1.0, 0.0, 0.0], "float32"), (3, 1))
    order = [0, 3, 1, 2]
    first = probabilities_of(net, windows, distances, context)
    reordered = probabilities_of(net, windows[:, order], distances[:, order], context)
    np.testing.assert_allclose(reordered, first, atol=1e-5)
    windows[:, 3], distances[:, 3] = rng.normal(size=windows[:, 3].shape), np.inf
    masked = probabilities_of(net, windows, distances, context)
    windows[:, 3] = 0.0
    np.testing.assert_allclose(probabilities_of(net, windows, distances, context), masked, atol=1e-6)
    more = np.concatenate([windows, np.zeros_like(windows[:, :2])], axis=1)
    farther = np.concatenate([distances, np.full((3, 2), np.inf, "float32")], axis=1)
    np.testing.assert_allclose(probabilities_of(net, more, farther, context), masked, atol=1e-6)


def with_random_head(net):
    """Give the last layer, which is 0 before training, some weights."""
    import torch

    with torch.no_grad():
        net.decide[-1].weight.normal_(generator=torch.Generator().manual_seed(0))


def test_only_what_stands_out_is_kept_where_heights_fall_into_two_groups():
    rng = np.random.default_rng(0)
    background, unit = 3 + rng.exponential(1.2, 300), rng.normal(18, 1, 50)
    heights = np.concatenate([background, unit, background])
    channels = np.repeat([0, 1], [350, 300])
    keep = standing_out(heights, channels, 2)
    assert keep[300:350].all() and keep[:300].mean() < 0.02
    assert keep[350:].all()


def test_a_detector_that_was_saved_before_typical_waveforms_still_judges_the_energy(tmp_path, white):
    net = load_detector("detector-cnn")
    folder = save_model(net, tmp_path / "earlier", net.info)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["network"]["typical_waveform"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert not prepare_detector(white, folder).finder.filters.is_signed
    assert prepare_detector(white, "cnn").finder.filters.is_signed
    given = dict(applied_front_end=DEFAULT_FRONT_END, job_kwargs=QUIET)
    found, expected = (find_peaks(white, method=method, **given) for method in (folder, "detector-cnn"))
    np.testing.assert_array_equal(found, expected)


def test_a_detector_of_version_0_1_0_is_refused_with_what_to_do(tmp_path):
    folder = save_model(load_detector("cnn"), tmp_path / "old", load_detector("cnn").info)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"architecture": "detector_cnn"}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"version 0\.1\.0.*Train the detector again"):
        load_detector(folder)
