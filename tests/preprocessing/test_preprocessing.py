"""What every preprocessor promises beside `test_contract`: gains, serialisation, workers, gaps, messages."""

import gc
import importlib.metadata
import inspect
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pytest
import pywt
import spikeinterface.core as si
from small_interpolator import save_random_interpolator
from spikeinterface.core.generate import generate_ground_truth_recording

from si_deepsort.preprocessing import PREPROCESSORS, prediction
from si_deepsort.preprocessing.matched_filter import template_from_sorting
from si_deepsort.preprocessing.traces import cast_traces
from si_deepsort.preprocessing.wavelet_denoise import decompose, measure_levels, reconstruct, shrink, transform_margin

TEMPLATE = -np.hanning(31)
CASES = {
    "wavelet_denoise": dict(),
    "wavelet_denoise db4 soft": dict(wavelet="db4", mode="soft", num_levels=3),
    "deep_interpolate": dict(),
    "deep_interpolate bad channels": dict(bad_channel_ids=["2"], blend=0.0, dtype="float32"),
    "matched_filter": dict(template=TEMPLATE),
    "matched_filter whitened": dict(template=TEMPLATE, whiten=True, dtype=None),
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    recording, _ = generate_ground_truth_recording(
        durations=[0.5, 0.3], num_channels=8, num_units=3, seed=1, noise_kwargs={"noise_levels": 5.0}
    )
    scaled = si.NumpyRecording(
        [np.round(recording.get_traces(segment_index=i) * 5).astype("int16") for i in range(2)],
        25_000.0,
        channel_ids=[str(channel) for channel in range(8)],
    )
    scaled.set_probe(recording.get_probe())
    scaled.set_channel_gains(0.2)
    scaled.set_channel_offsets(3.0)
    return scaled.save(folder=tmp_path_factory.mktemp("recording") / "saved", verbose=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_random_interpolator(tmp_path_factory.mktemp("model"), sampling_frequency=25_000.0))


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def preprocessed(recording, case, model):
    return make(recording, case, model)


def make(recording, case, model):
    name, kwargs = case.split()[0], CASES[case]
    if name == "deep_interpolate":
        kwargs = kwargs | dict(model=model)
    return PREPROCESSORS[name][1](recording, **kwargs)


def test_gains_are_kept(preprocessed, recording):
    np.testing.assert_array_equal(preprocessed.get_channel_gains(), recording.get_channel_gains())


def test_kwargs_hold_every_argument_and_reload(preprocessed, tmp_path):
    names = [name for name in inspect.signature(type(preprocessed).__init__).parameters if name != "self"]
    assert set(preprocessed._kwargs) == set(names)
    expected = preprocessed.get_traces(segment_index=1)
    preprocessed.dump(tmp_path / "recording.json")
    for loaded in (si.load(tmp_path / "recording.json"), pickle.loads(pickle.dumps(preprocessed))):  # noqa: S301
        np.testing.assert_array_equal(loaded.get_traces(segment_index=1), expected)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["thread", "fork", "spawn"])
def test_workers_agree(preprocessed, case, engine, tmp_path):
    if engine == "spawn" and case != "deep_interpolate":
        pytest.skip("starting processes is slow: one preprocessor stands for all")
    if engine == "fork" and sys.platform in ("win32", "darwin"):
        pytest.skip("processes cannot be forked here")
    workers = dict(pool_engine="thread") if engine == "thread" else dict(pool_engine="process", mp_context=engine)
    saved = preprocessed.save(
        folder=tmp_path / "saved", n_jobs=2, chunk_duration="70ms", verbose=False, progress_bar=False, **workers
    )
    for segment_index in range(2):
        np.testing.assert_array_equal(
            saved.get_traces(segment_index=segment_index), preprocessed.get_traces(segment_index=segment_index)
        )


@pytest.mark.skipif(
    int(importlib.metadata.version("zarr").split(".")[0]) > 2,
    reason="SpikeInterface does not write with zarr 3, the version for Python 3.14",
)
def test_zarr(preprocessed, tmp_path):
    saved = preprocessed.save(folder=tmp_path / "saved.zarr", format="zarr", verbose=False, progress_bar=False)
    np.testing.assert_array_equal(saved.get_traces(segment_index=1), preprocessed.get_traces(segment_index=1))


@pytest.mark.parametrize("num_frames", [1, 5, 40])
def test_short_recordings(case, recording, model, num_frames):
    traces = recording.get_traces(segment_index=0, end_frame=num_frames)
    first = si.NumpyRecording([traces], 25_000.0, channel_ids=recording.channel_ids)
    first.set_probe(recording.get_probe())
    if num_frames == 1 and ("whitened" in case or "deep" in case):
        with pytest.raises(ValueError, match="constant or NaN"):
            make(first, case, model)
        return
    short = make(first, case, model)
    assert short.get_traces().shape == (num_frames, 8)


@pytest.mark.parametrize("name", [name for name in CASES if "deep" not in name])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_gaps_stay_gaps_and_spread_to_nothing(name, dtype, recording):
    traces = recording.get_traces(segment_index=0).astype("float32")
    zeroed, gappy = traces.copy(), traces.copy()
    zeroed[4000:4100, 3], gappy[4000:4100, 3] = 0, np.nan
    gappy[4050, 3] = np.inf
    denoised, kwargs = {}, CASES[name] | dict(dtype=dtype)
    if "wavelet" in name:  # zeros that were measured count as noise, gaps do not
        levels = measure_levels(traces, kwargs.get("wavelet", "sym4"), kwargs.get("num_levels", 4))
        kwargs["coefficient_levels"] = levels.tolist()
    for key, values in dict(zeroed=zeroed, gappy=gappy).items():
        own = si.NumpyRecording([values], 25_000.0, channel_ids=recording.channel_ids)
        own.set_probe(recording.get_probe())
        preprocess = PREPROCESSORS[name.split()[0]][1]
        denoised[key] = preprocess(own, **kwargs).get_traces()
    is_gap = ~np.isfinite(gappy)
    np.testing.assert_array_equal(denoised["gappy"][~is_gap], denoised["zeroed"][~is_gap])
    assert np.all(np.isnan(denoised["gappy"][is_gap]) if dtype == "float32" else denoised["gappy"][is_gap] == 0)


def test_gaps_do_not_lower_the_noise_level():
    sample = np.random.default_rng(0).normal(size=(20_000, 3)).astype("float32")
    gappy = sample.copy()
    gappy[4000:16_000, 1], gappy[:, 2] = np.nan, np.nan
    whole, measured = measure_levels(sample, "sym4", 4), measure_levels(gappy, "sym4", 4)
    np.testing.assert_array_equal(measured[:, 0], whole[:, 0])
    np.testing.assert_allclose(measured[:, 1], whole[:, 1], rtol=0.1)
    assert np.all(measured[:, 2] == 0)


def test_dtype_saturates():
    traces = np.array([[1e6, -1e6, 0.6, -0.6]])
    np.testing.assert_array_equal(cast_traces(traces, np.dtype("int16")), [[32767, -32768, 1, -1]])
    assert cast_traces(np.array([[5e9]], dtype="float32"), np.dtype("int32"))[0, 0] == 2**31 - 1


def test_no_torch_at_import():
    code = "import sys, si_deepsort.preprocessing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("wavelet", ["sym4", "db4", "haar", "bior2.2"])
def test_wavelets_reconstruct_exactly(wavelet):
    traces = np.random.default_rng(0).normal(size=(400, 2)).astype("float32")
    margin = transform_margin(wavelet, 3)
    details, approximation = decompose(np.pad(traces, ((margin, margin), (0, 0))), wavelet, 3)
    np.testing.assert_allclose(reconstruct(details, approximation, wavelet), traces, atol=1e-5)


def test_wavelet_details_equal_pywavelets():
    traces = np.random.default_rng(0).normal(size=(512, 1)).astype("float32")
    details, _ = decompose(traces, "sym4", 3)
    ours = details[0][:, 0]
    (_, _), (_, _), (_, theirs) = pywt.swt(traces[:, 0], "sym4", level=3)
    lags = [np.abs(theirs[lag : lag + len(ours)] - ours).max() for lag in range(len(theirs) - len(ours))]
    assert min(lags) < 1e-5


def test_thresholds_obey_their_definitions():
    values, one = np.array([[-3.0], [-0.5], [0.0], [0.9], [2.0]]), np.array([1.0])
    np.testing.assert_allclose(shrink(values, one, "hard")[:, 0], [-3, 0, 0, 0, 2])
    np.testing.assert_allclose(shrink(values, one, "soft")[:, 0], [-2, 0, 0, 0, 1])
    np.testing.assert_allclose(shrink(values, one, "garrote")[:, 0], [-3 + 1 / 3, 0, 0, 0, 1.5])


def test_wavelet_denoising_raises_snr():
    rng = np.random.default_rng(0)
    clean = np.zeros((30_000, 2))
    for frame in range(500, 29_000, 300):
        clean[frame : frame + 31] += 60 * TEMPLATE[:, None]
    noisy = si.NumpyRecording([(clean + rng.normal(0, 8, clean.shape)).astype("float32")], 30_000.0)
    denoised = PREPROCESSORS["wavelet_denoise"][1](noisy).get_traces()
    assert np.square(denoised - clean).mean() < 0.5 * np.square(noisy.get_traces() - clean).mean()


def test_matched_filter_peaks_at_the_spike_with_its_amplitude():
    traces = np.zeros((500, 2), dtype="float32")
    traces[100 - 15 : 100 + 16, 1] = 7 * TEMPLATE / np.linalg.norm(TEMPLATE)
    recording = si.NumpyRecording([traces], 30_000.0)
    filtered = PREPROCESSORS["matched_filter"][1](recording, template=TEMPLATE).get_traces()
    assert np.argmin(filtered[:, 1]) == 100
    assert filtered[100, 1] == pytest.approx(-7, abs=1e-4)
    assert not filtered[:, 0].any()
    per_channel = PREPROCESSORS["matched_filter"][1](recording, template=np.stack([TEMPLATE, TEMPLATE], axis=1))
    np.testing.assert_allclose(per_channel.get_traces(), filtered, atol=1e-5)


def test_template_from_sorting_is_the_waveform():
    traces = np.zeros((3000, 3), dtype="float32")
    frames = np.arange(100, 2900, 200)
    for frame in frames:
        traces[frame - 15 : frame + 16, 2] += 50 * TEMPLATE
    recording = si.NumpyRecording([traces], 30_000.0)
    sorting = si.NumpySorting.from_unit_dict([{"a": frames}], 30_000.0)
    template, nbefore = template_from_sorting(recording, sorting, 0.7, 1.0)
    assert np.argmin(template) == nbefore == 21
    filtered = PREPROCESSORS["matched_filter"][1](recording, sorting=sorting)
    assert np.argmin(filtered.get_traces()[:250, 2]) == 100
    assert filtered._kwargs["sorting"] is None


@pytest.mark.parametrize(
    ("bad_channel_ids", "expected"),
    [
        (None, []),
        ("10", ["10"]),
        (["10"], ["10"]),
        (np.array(["1", "0"]), ["1", "0"]),
        ((), []),
        pytest.param({"4", "0"}, ["0", "4"], id="set"),
    ],
    ids=repr,
)
def test_bad_channels_are_those_that_were_named(recording, model, bad_channel_ids, expected):
    ids = ["0", "1", "10", "3", "4", "5", "6", "7"]
    renamed = recording.rename_channels(ids)
    denoised = PREPROCESSORS["deep_interpolate"][1](renamed, model=model, blend=0.5, bad_channel_ids=bad_channel_ids)
    scales = denoised._kwargs["normalization"]["scales"]
    assert [channel for channel, scale in zip(ids, scales, strict=True) if scale == 0] == sorted(expected)


def test_few_networks_stay_loaded(recording, tmp_path):
    networks = []
    for seed in range(4):
        folder = save_random_interpolator(tmp_path / str(seed), sampling_frequency=25_000.0, seed=seed)
        networks.append(weakref.ref(prediction.load_interpolator(folder)))
        assert prediction.load_interpolator(folder) is networks[-1]()
    gc.collect()
    assert sum(network() is not None for network in networks) <= prediction.MOST_MODELS


BAD = [
    ("wavelet_denoise", dict(wavelet="sym99"), "Unknown wavelet"),
    ("wavelet_denoise", dict(num_levels=0), "num_levels"),
    ("wavelet_denoise", dict(threshold=-1), "threshold"),
    ("wavelet_denoise", dict(mode="firm"), "mode"),
    ("wavelet_denoise", dict(coefficient_levels=[[1.0]]), "coefficient_levels"),
    ("wavelet_denoise", dict(dtype="complex64"), "dtype"),
    ("matched_filter", dict(), "neither of template and sorting"),
    ("matched_filter", dict(template=np.zeros(5)), "zeros"),
    ("matched_filter", dict(template=[1.0, np.nan]), "NaN"),
    ("matched_filter", dict(template=np.ones((5, 3))), "shape"),
    ("matched_filter", dict(template=np.ones(5), nbefore=9), "nbefore"),
]


@pytest.mark.parametrize("name, kwargs, message", BAD)
def test_bad_settings_are_explained(recording, name, kwargs, message):
    with pytest.raises(ValueError, match=message):
        PREPROCESSORS[name][1](recording, **kwargs)


@pytest.mark.parametrize("mask", [[False, True, False, False], np.array([False, True, False, False]), True])
def test_a_mask_of_bad_channels_does_not_pass_for_the_ids_0_and_1(recording, model, mask):
    with pytest.raises(ValueError, match="mask"):
        PREPROCESSORS["deep_interpolate"][1](recording, model=model, blend=0.5, bad_channel_ids=mask)


@pytest.mark.parametrize("ids", [{"1": "bad"}, (name for name in ["1"])], ids=["dict", "generator"])
def test_bad_channels_that_are_no_list_are_refused(recording, model, ids):
    with pytest.raises(ValueError, match="expected a list or a set of ids"):
        PREPROCESSORS["deep_interpolate"][1](recording, model=model, blend=0.5, bad_channel_ids=ids)
