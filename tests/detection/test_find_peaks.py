"""Detection: laws of candidates, windows and peaks; the bundled detectors on generated recordings."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.preprocessing as spre

import si_deepsort.zoo
from si_deepsort.detection.bimodal import standing_out
from si_deepsort.detection.candidates import cut_windows, find_candidates, make_window_plan, with_empty_channel
from si_deepsort.detection.exclusion import largest_in_reach, make_exclusion
from si_deepsort.detection.find_peaks import find_peaks
from si_deepsort.detection.front_end import apply_front_end
from si_deepsort.detection.node import NetworkPeakDetector
from si_deepsort.detection.prepare import load_detector, prepare_detector
from si_deepsort.detection.probability import detection_probability
from si_deepsort.detection.spike_detector import SpikeDetector, detect_in_traces, measure_channels, probabilities_of
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe
from si_deepsort.nets.detector import CNNDetector, DetectorConfig, GRUDetector
from si_deepsort.sorter.front_end.steps import front_end_steps
from si_deepsort.sorter.front_end.whitening import filtered_recording, white_recording
from si_deepsort.sorter.settings import DeepSortSettings

QUIET = dict(progress_bar=False, n_jobs=1)
# Attributes of a node that hold the recording, whose shared memory is not what is tested here.
RECORDINGS = ("time_series", "recording", "_kwargs")


def spike_shape(sampling_frequency, amplitude=-20.0):
    """A trough and a slower, smaller hump after it, peak at 1 ms; 3 ms long."""
    t = np.arange(round(0.003 * sampling_frequency)) / sampling_frequency - 0.001
    return amplitude * (np.exp(-((t / 0.00015) ** 2)) - 0.25 * np.exp(-(((t - 0.0005) / 0.0003) ** 2)))


def one_spike(sampling_frequency=30_000.0, amplitude=-20.0, num_frames=4000, frame=2000, seed=0):
    """A single channel of noise of level 1 with one spike."""
    traces = np.random.default_rng(seed).normal(size=(num_frames, 1)).astype("float32")
    shape = spike_shape(sampling_frequency, amplitude)
    start = frame - round(0.001 * sampling_frequency)
    traces[start : start + len(shape), 0] += shape
    return traces


@pytest.fixture(scope="module")
def tetrode():
    settings = GenerationSettings(duration_s=8.0, num_units=4, num_far_units=4, amplitude_min_uV=90.0, seed=3)
    recording, sorting = generate_recording(named_probe("tetrode"), settings)
    recording = spre.bandpass_filter(recording, freq_min=300.0, freq_max=6000.0, dtype="float32")
    return recording.save(format="memory", progress_bar=False), sorting


def match(peaks, sorting, tolerance=12):
    """Share of the spikes that have a peak nearby, and of the peaks that have a spike nearby."""
    spikes = sorting.to_spike_vector()["sample_index"]
    apart = np.abs(peaks["sample_index"][:, None] - spikes[None])
    return (apart.min(axis=0) <= tolerance).mean(), (apart.min(axis=1) <= tolerance).mean()


@pytest.mark.parametrize("model", ["cnn", "gru", "locally_exclusive", "matched_filtering"])
def test_every_method_finds_large_spikes(tetrode, model):
    recording, sorting = tetrode
    peaks = find_peaks(recording, method=model, job_kwargs=QUIET)
    recall, precision = match(peaks, sorting)
    # A threshold detector that takes both polarities also reports the humps after the spikes.
    assert recall > 0.85 and precision > (0.7 if model in ("cnn", "gru") else 0.2)
    assert peaks.dtype.names == ("sample_index", "channel_index", "amplitude", "segment_index")
    assert np.all(np.diff(peaks["sample_index"]) >= 0)


@pytest.mark.parametrize("frequency", [10_000.0, 15_000.0, 24_000.0, 30_000.0, 40_000.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_one_spike_is_found_at_its_extremum_at_any_rate_and_polarity(frequency, sign):
    traces = one_spike(frequency, amplitude=sign * 20.0)
    recording = si.NumpyRecording([traces], frequency)
    peaks = find_peaks(recording, job_kwargs=QUIET)
    found = peaks[np.abs(peaks["sample_index"] - 2000) < 0.001 * frequency]
    assert len(found) == 1
    assert abs(found["sample_index"][0] - 2000) <= 1 + 0.00005 * frequency
    assert np.sign(found["amplitude"][0]) == sign


def test_polarity_and_gain_change_nothing(tetrode):
    recording, _ = tetrode
    probability = detection_probability(recording)[0]
    inverted = detection_probability(spre.scale(recording, gain=-3.0, dtype="float32"))[0]
    np.testing.assert_allclose(probability, inverted, atol=2e-3)


def test_offset_changes_nothing(tetrode):
    recording, _ = tetrode
    counts = spre.scale(recording, gain=1.0, offset=500.0, dtype="float32")
    peaks, shifted = (find_peaks(one, job_kwargs=QUIET) for one in (recording, counts))
    agree = np.isin(peaks["sample_index"], shifted["sample_index"]).mean()
    assert agree > 0.98 and abs(len(peaks) - len(shifted)) <= 0.03 * len(peaks)


def test_chunked_equals_whole(tetrode):
    recording, _ = tetrode
    whole = find_peaks(recording, job_kwargs=QUIET | dict(chunk_size=10**7))
    chunked = find_peaks(recording, job_kwargs=QUIET | dict(chunk_size=4_001))
    np.testing.assert_array_equal(whole[["sample_index", "channel_index"]], chunked[["sample_index", "channel_index"]])


def test_threads_find_the_same(tetrode):
    recording = tetrode[0].frame_slice(0, 60_000)
    alone = find_peaks(recording, job_kwargs=QUIET)
    how = dict(progress_bar=False, n_jobs=2, chunk_duration="0.5s", pool_engine="thread")
    np.testing.assert_array_equal(alone["sample_index"], find_peaks(recording, job_kwargs=how)["sample_index"])


def test_a_node_sent_to_another_process_finds_the_same_and_loads_nothing(tetrode, monkeypatch):
    recording, _ = tetrode
    node = NetworkPeakDetector(recording, prepare_detector(recording, "cnn"))
    state = {name: value for name, value in node.__getstate__().items() if name not in RECORDINGS}
    monkeypatch.setattr("si_deepsort.zoo.load.verify_files", None)
    sent = NetworkPeakDetector.__new__(NetworkPeakDetector)
    sent.__setstate__(pickle.loads(pickle.dumps(state)))  # noqa: S301
    traces, margin = recording.get_traces(end_frame=30_000), node.get_margin()
    sent_peaks = sent.compute(traces, margin, 30_000 - margin, 0, margin)[0]
    np.testing.assert_array_equal(node.compute(traces, margin, 30_000 - margin, 0, margin)[0], sent_peaks)


def test_a_network_is_verified_once(tetrode, monkeypatch):
    verified, verify_files = [], si_deepsort.zoo.load.verify_files

    def count(folder, config):
        verified.append(folder)
        return verify_files(folder, config)

    monkeypatch.setattr("si_deepsort.zoo.load.verify_files", count)
    find_peaks(tetrode[0].frame_slice(0, 3000), method="cnn", job_kwargs=QUIET)
    assert len(verified) == 1


@pytest.mark.slow
def test_a_network_that_was_never_saved_serves_several_processes(tetrode):
    recording, net = tetrode[0].frame_slice(0, 60_000), load_detector("cnn")
    net.info = None
    how = dict(progress_bar=False, n_jobs=2, chunk_duration="0.5s", mp_context="spawn")
    recording = recording.save(format="memory", sharedmem=True, progress_bar=False)
    alone = find_peaks(recording, method=net, job_kwargs=QUIET)
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
    recording, steps = tetrode[0], [{"name": "bandpass_filter", "params": {"freq_min": 1000.0, "freq_max": 4000.0}}]
    net, filtered = tuned(front_end=steps), spre.bandpass_filter(recording, freq_min=1000.0, freq_max=4000.0)
    expected = find_peaks(filtered, method="cnn", job_kwargs=QUIET)
    assert len(expected) != len(find_peaks(recording, method="cnn", job_kwargs=QUIET))
    np.testing.assert_array_equal(find_peaks(recording, method=net, job_kwargs=QUIET), expected)
    np.testing.assert_array_equal(detection_probability(recording, net)[0], detection_probability(filtered)[0])
    given = find_peaks(filtered, method=net, applied_front_end=steps, job_kwargs=QUIET)
    np.testing.assert_array_equal(given, expected)
    with pytest.warns(UserWarning, match="trained on traces of the front end"):
        find_peaks(filtered, method=net, applied_front_end=[], job_kwargs=QUIET)
    with pytest.raises(ValueError, match="cannot be applied"):
        find_peaks(recording, method=tuned(front_end=[{"name": "nonsense"}]), job_kwargs=QUIET)


@pytest.mark.parametrize("apply_preprocessing", [True, False])
def test_the_white_front_end_is_that_of_the_sorter(tetrode, apply_preprocessing):
    settings = DeepSortSettings(apply_preprocessing=apply_preprocessing)
    filters = dict(freq_min=settings.freq_min, freq_max=settings.freq_max, with_reference=settings.common_reference)
    filtered = filtered_recording(tetrode[0], **filters) if apply_preprocessing else tetrode[0].astype("float32")
    whitening = dict(order=settings.whitening_order, radius_um=settings.whitening_radius_um, seed=settings.seed)
    expected = white_recording(filtered, motion=None, **whitening)
    found = apply_front_end(tetrode[0], json.loads(json.dumps(front_end_steps(settings))))
    np.testing.assert_array_equal(found.get_traces(), expected.get_traces())


def test_a_model_of_another_sampling_rate_warns(tetrode):
    net = load_detector("cnn")
    net.info = replace(net.info, sampling_frequency=20_000.0)
    with pytest.warns(UserWarning, match="trained at 20000 Hz, the recording has 30000 Hz"):
        find_peaks(tetrode[0].frame_slice(0, 3000), method=net, job_kwargs=QUIET)


def test_segments_are_searched_alone():
    first, second = one_spike(frame=1000, seed=1), one_spike(frame=3000, seed=2)
    peaks = find_peaks(si.NumpyRecording([first, second], 30_000.0), job_kwargs=QUIET)
    large = peaks[np.abs(peaks["amplitude"]) > 12]
    np.testing.assert_array_equal(large["segment_index"], [0, 1])
    np.testing.assert_allclose(large["sample_index"], [1000, 3000], atol=2)


def test_silence_and_short_recordings_give_no_peaks():
    for traces in (np.zeros((5000, 2), "float32"), np.zeros((20, 2), "float32")):
        recording = si.NumpyRecording([traces], 30_000.0)
        recording.set_dummy_probe_from_locations(np.array([[0.0, 0.0], [0.0, 20.0]]))
        assert len(find_peaks(recording, job_kwargs=QUIET)) == 0


def test_not_finite_and_dead_channels_are_harmless():
    traces = np.repeat(one_spike(), 4, axis=1)
    traces[:, 1] = 0.0
    traces[100:110, 2] = np.nan
    locations = np.stack([np.zeros(4), 20.0 * np.arange(4)], axis=1)
    net = load_detector("cnn")
    statistics = measure_channels(traces, net.config, locations, 30_000.0)
    detector = SpikeDetector(net, locations, 30_000.0, statistics)
    frames, channels, *_ = detect_in_traces(traces, detector, make_exclusion(locations, 30_000.0), threshold=0.5)
    assert np.any(np.abs(frames - 2000) <= 2)
    assert not np.any(channels == 1)


def test_probability_is_zero_away_from_candidates(tetrode):
    recording, _ = tetrode
    probability = detection_probability(recording)[0]
    assert probability.shape == recording.get_traces().shape
    assert probability.min() == 0 and probability.max() <= 1
    assert (probability > 0).mean() < 0.02


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
        windows.append(cut_windows(with_empty_channel(traces), np.array([1000]), np.array([0]), plan)[0, 0])
    np.testing.assert_allclose(windows[0], windows[1], atol=0.02)
    np.testing.assert_allclose(windows[2], windows[1], atol=0.02)


def test_candidates_are_local_extrema_above_the_threshold():
    rng = np.random.default_rng(0)
    scaled = rng.normal(size=(3000, 5)).astype("float32")
    locations = np.stack([np.zeros(5), 20.0 * np.arange(5)], axis=1)
    plan = make_window_plan(DetectorConfig(), locations, 30_000.0)
    frames, channels = find_candidates(scaled, plan, threshold=2.0, margin=50)
    assert len(frames) and frames.min() >= 50 and frames.max() < 2950
    height = np.abs(scaled)
    for frame, channel in zip(frames, channels, strict=True):
        around = height[frame - plan.rival_frames : frame + plan.rival_frames + 1]
        assert height[frame, channel] >= 2.0
        assert height[frame, channel] == around[:, plan.neighbors[channel, :5]].max()


def test_larger_peak_excludes_the_smaller_within_reach_only():
    locations = np.array([[0.0, 0.0], [0.0, 50.0], [0.0, 500.0]])
    exclusion = make_exclusion(locations, 30_000.0, radius_um=75.0, exclusive_ms=0.4)
    frames = np.array([100, 105, 105, 200])
    channels = np.array([0, 1, 2, 0])
    keep = largest_in_reach(frames, channels, np.array([5.0, 9.0, 4.0, 5.0]), exclusion)
    np.testing.assert_array_equal(keep, [False, True, True, True])


@pytest.mark.parametrize("network", [CNNDetector, GRUDetector])
def test_order_and_number_of_missing_neighbours_do_not_matter(network):
    rng = np.random.default_rng(0)
    net = network(DetectorConfig()).eval()
    windows = rng.normal(size=(3, 4, net.config.num_frames)).astype("float32")
    distances = np.tile(np.array([0.0, 20.0, 40.0, 60.0], "float32"), (3, 1))
    order = [0, 3, 1, 2]
    nothing = np.zeros((3, 0), "float32")
    first = probabilities_of(net, windows, distances, nothing)
    reordered = probabilities_of(net, windows[:, order], distances[:, order], nothing)
    np.testing.assert_allclose(reordered, first, atol=1e-5)
    windows[:, 3], distances[:, 3] = rng.normal(size=windows[:, 3].shape), np.inf
    masked = probabilities_of(net, windows, distances, nothing)
    windows[:, 3] = 0.0
    np.testing.assert_allclose(probabilities_of(net, windows, distances, nothing), masked, atol=1e-6)


def test_only_what_stands_out_is_kept_where_heights_fall_into_two_groups():
    rng = np.random.default_rng(0)
    background, unit = 3 + rng.exponential(1.2, 300), rng.normal(18, 1, 50)
    heights = np.concatenate([background, unit, background])
    channels = np.repeat([0, 1], [350, 300])
    keep = standing_out(heights, channels, 2)
    assert keep[300:350].all() and keep[:300].mean() < 0.02
    assert keep[350:].all()
