"""DeepInterpolation of recordings: blindness end to end, bad channels, bad input, training, fine-tuning, resuming."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si
import torch
from small_interpolator import save_random_interpolator

from si_deepsort.generation import GenerationSettings, generate_recording, named_probe
from si_deepsort.nets.interpolator import InterpolatorConfig
from si_deepsort.preprocessing import deep_interpolate
from si_deepsort.training.interpolation.train import InterpolationTrainingSettings, train_deep_interpolation
from si_deepsort.zoo import load_model

KERAS_FILE = Path(__file__).parents[2] / "data" / "keras_unet_small.h5"
SMALL = InterpolatorConfig(num_features=6, num_mixed=3, width=6, num_neighbors=5, geometry_width=12)
QUICK = InterpolationTrainingSettings(
    num_epochs=2, steps_per_epoch=6, batch_windows=2, window_frames=128, wiener_s=1.0, progress_bar=False, device="cpu"
)


def generated(layout="tetrode", *, seed=0, duration_s=2.0, num_segments=1):
    pieces = []
    for segment_index in range(num_segments):
        settings = GenerationSettings(duration_s=duration_s, num_units=3, num_far_units=4, seed=seed + segment_index)
        lazy, _ = generate_recording(named_probe(layout), settings)
        pieces.append(lazy.get_traces())
    recording = si.NumpyRecording(pieces, 30_000.0, channel_ids=lazy.channel_ids)
    recording.set_probe(lazy.get_probe())
    return recording


@pytest.fixture(scope="module")
def recording():
    return generated()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_random_interpolator(tmp_path_factory.mktemp("model"))


def changed(recording, change):
    traces = recording.get_traces().copy()
    change(traces)
    other = si.NumpyRecording([traces], recording.get_sampling_frequency(), channel_ids=recording.channel_ids)
    other.set_probe(recording.get_probe())
    return other


def test_a_prediction_that_overshoots_is_taken_back(recording, model, monkeypatch):
    factors = np.array([0.5, 1.0, 2.0, 4.0], dtype="float32")  # of spikes and noise alike: 85 % is not in the way
    monkeypatch.setattr(
        "si_deepsort.preprocessing.prediction.TracePredictor.predict_tile",
        lambda self, traces: factors * traces[self.context : -self.context],
    )
    normalization = deep_interpolate(recording, model=model, blend=0.0)._kwargs["normalization"]
    np.testing.assert_allclose(normalization["prediction_scales"], [1.0, 1.0, 0.5, 0.25], rtol=1e-4)


@pytest.mark.parametrize("frame", [0, 1, 17, 1000, 59_998, 59_999])
def test_prediction_is_blind_up_to_both_ends(recording, model, frame):
    normalization = deep_interpolate(recording, model=model)._kwargs["normalization"]
    normalization = normalization | dict(raw_weights=[0.0] * 4)

    def disturb(traces):
        traces[max(frame - 1, 0) : frame + 2] += 1000

    before = deep_interpolate(recording, model=model, normalization=normalization)
    after = deep_interpolate(changed(recording, disturb), model=model, normalization=normalization)
    window = dict(start_frame=frame, end_frame=frame + 1)
    np.testing.assert_array_equal(before.get_traces(**window), after.get_traces(**window))


def test_blend_1_changes_nothing_and_0_is_the_prediction(recording, model):
    raw = recording.get_traces(end_frame=500)
    by_blend = {b: deep_interpolate(recording, model=model, blend=b).get_traces(end_frame=500) for b in (0.0, 0.5, 1.0)}
    np.testing.assert_allclose(by_blend[1.0], raw, atol=1e-3)
    np.testing.assert_allclose(by_blend[0.5], (by_blend[0.0] + raw) / 2, atol=1e-3)


def test_dead_and_bad_channels_feed_nobody(recording, model):
    def kill(traces):
        traces[:, 1] = 7.0

    def fill_with_nan(traces):
        traces[:, 1] = np.nan

    others = [0, 2, 3]
    bad = deep_interpolate(recording, model=model, bad_channel_ids=recording.channel_ids[[1]]).get_traces()
    for change in (kill, fill_with_nan):
        dead = deep_interpolate(changed(recording, change), model=model).get_traces()
        np.testing.assert_array_equal(dead[:, others], bad[:, others])
        assert np.isfinite(dead).all() and dead[:, 1].std() > 0


def test_few_nan_samples_are_predicted(recording, model):
    def spoil(traces):
        traces[500:510, 2] = np.nan

    assert np.isfinite(deep_interpolate(changed(recording, spoil), model=model, blend=0.0).get_traces()).all()


def test_int16_saturates(recording, model):
    loud = si.NumpyRecording([np.clip(recording.get_traces() * 900, -32768, 32767).astype("int16")], 30_000.0)
    loud.set_probe(recording.get_probe())
    denoised = deep_interpolate(loud, model=model)
    exact = deep_interpolate(loud, model=model, dtype="float64").get_traces()
    np.testing.assert_array_equal(denoised.get_traces(), np.clip(np.rint(exact), -32768, 32767))


def test_gain_does_not_matter(recording, model):
    def amplify(traces):
        traces *= 1000

    ours = deep_interpolate(recording, model=model).get_traces()
    theirs = deep_interpolate(changed(recording, amplify), model=model).get_traces() / 1000
    np.testing.assert_allclose(ours, theirs, atol=1e-2)


def bad_input(recording, tmp_path):
    save_random_interpolator(tmp_path / "slow", sampling_frequency=20_000.0)
    save_random_interpolator(tmp_path / "broken")
    weights = tmp_path / "broken" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    torch.save({}, tmp_path / "pickle.h5")
    bare = si.NumpyRecording([recording.get_traces()], 30_000.0)
    silent = changed(recording, lambda traces: traces.fill(0))
    yield recording, dict(model=tmp_path / "slow"), "20000 Hz"
    yield recording, dict(model=tmp_path / "broken"), "damaged"
    yield recording, dict(model=tmp_path / "pickle.h5"), "pickled"
    yield recording, dict(model=tmp_path / "none.h5"), "no file"
    yield recording, dict(model="no-such-model"), "no-such-model"
    yield recording, dict(model=KERAS_FILE), "32 channels"
    yield bare, dict(model=tmp_path / "slow"), "20000 Hz|probe"
    yield silent, {}, "No usable channel"
    yield recording, dict(blend=1.5), "blend"
    yield recording, dict(bad_channel_ids=["nobody"]), "nobody"
    yield recording, dict(normalization=dict(centers=[0.0], scales=[1.0])), "centers"


def test_bad_input_is_explained(recording, model, tmp_path):
    for given, kwargs, message in bad_input(recording, tmp_path):
        with pytest.raises(ValueError, match=message):
            deep_interpolate(given, **(dict(model=model) | kwargs))


def test_original_network_serves_a_recording():
    traces = np.random.default_rng(0).normal(5, 20, size=(3000, 32)).astype("float32")
    recording = si.NumpyRecording([traces], 30_000.0)
    recording.set_probe(named_probe("linear32"))
    denoised = deep_interpolate(recording, model=KERAS_FILE, blend=0.0)
    whole = denoised.get_traces()
    np.testing.assert_array_equal(denoised.get_traces(start_frame=100, end_frame=300), whole[100:300])
    net = load = __import__("si_deepsort.nets.keras_unet", fromlist=["x"]).read_keras_unet(KERAS_FILE)
    inputs = torch.from_numpy((traces - traces.mean()) / traces.std()).T[None, :, 1000 - 31 : 1010 + 31]
    with torch.inference_mode():
        expected = net(inputs)[0].T.numpy() * traces.std() + traces.mean()
    np.testing.assert_allclose(whole[1000:1010], expected, atol=1e-3)
    assert load is net


@pytest.mark.slow
def test_training_starts_at_the_wiener_filter_and_never_ends_above(recording, tmp_path):
    start = train_deep_interpolation(recording, tmp_path / "a", config=SMALL, settings=QUICK)
    metrics = load_model(start).info.metrics
    assert metrics["validation_loss"] <= metrics["start_validation_loss"] < 0.95
    assert deep_interpolate(recording, model=start).get_traces(end_frame=100).shape == (100, 4)


@pytest.mark.slow
def test_training_is_seeded(recording, tmp_path):
    nets = [
        load_model(train_deep_interpolation(recording, tmp_path / name, config=SMALL, settings=QUICK)) for name in "ab"
    ]
    for first, second in zip(*(net.state_dict().values() for net in nets), strict=True):
        assert torch.equal(first, second)


@pytest.mark.slow
def test_fine_tuning_starts_from_the_model(recording, tmp_path):
    several = [generated("linear32", seed=5, duration_s=1.0), generated(seed=7, num_segments=2)]
    pretrained = train_deep_interpolation(several, tmp_path / "many", config=SMALL, settings=QUICK)
    assert load_model(pretrained).config.num_table_channels == 0
    tuned = train_deep_interpolation(recording, tmp_path / "tuned", start_from=pretrained, settings=QUICK)
    net = load_model(tuned)
    assert net.config.num_table_channels == 4
    assert net.info.parent == f"many (sha256 {load_model(pretrained).info.source['sha256']})"


@pytest.mark.slow
def test_fine_tuning_reaches_other_sampling_frequencies(tmp_path, model, recording):
    slow = si.NumpyRecording([recording.get_traces()[::2]], 15_000.0)
    slow.set_probe(recording.get_probe())
    with pytest.raises(ValueError, match="15000 Hz"):
        deep_interpolate(slow, model=model)
    tuned = train_deep_interpolation(slow, tmp_path / "slow", start_from=model, settings=QUICK)
    assert deep_interpolate(slow, model=tuned).get_traces(end_frame=50).shape == (50, 4)


@pytest.mark.slow
def test_training_continues_after_a_kill(recording, tmp_path):
    from dataclasses import replace

    longer = replace(QUICK, num_epochs=3, patience=9)
    whole = load_model(train_deep_interpolation(recording, tmp_path / "whole", config=SMALL, settings=longer))

    class Killed(Exception):
        pass

    calls = []

    class Failing(si.NumpyRecording):
        def get_traces(self, *args, **kwargs):
            calls.append(1)
            if len(calls) > 30:
                raise Killed
            return super().get_traces(*args, **kwargs)

    failing = Failing([recording.get_traces()], 30_000.0, channel_ids=recording.channel_ids)
    failing.set_probe(recording.get_probe())
    with pytest.raises(Killed):
        train_deep_interpolation(failing, tmp_path / "cut", config=SMALL, settings=replace(longer, num_epochs=1000))
    assert not (tmp_path / "cut" / "config.json").exists()
    cut = tmp_path / "again"
    for settings in (replace(longer, num_epochs=3),) * 2:
        train_deep_interpolation(recording, cut, config=SMALL, settings=settings)
    for first, second in zip(whole.state_dict().values(), load_model(cut).state_dict().values(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.slow
def test_training_that_was_killed_in_its_first_epoch_leaves_nothing_to_the_next(recording, tmp_path, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("si_deepsort.training.interpolation.train._batches", killed)
        train_deep_interpolation(generated(seed=5), tmp_path / "reused", config=SMALL, settings=QUICK)
    reused, fresh = (
        load_model(train_deep_interpolation(recording, tmp_path / name, config=SMALL, settings=QUICK))
        for name in ("reused", "fresh")
    )
    assert reused.info.metrics == fresh.info.metrics
    for first, second in zip(reused.state_dict().values(), fresh.state_dict().values(), strict=True):
        assert torch.equal(first, second)


def test_training_explains_bad_input(recording, tmp_path):
    short = si.NumpyRecording([recording.get_traces(end_frame=100)], 30_000.0)
    short.set_probe(recording.get_probe())
    with pytest.raises(ValueError, match="long enough"):
        train_deep_interpolation(short, tmp_path, config=SMALL, settings=QUICK)
    other = si.NumpyRecording([recording.get_traces()], 25_000.0)
    other.set_probe(recording.get_probe())
    with pytest.raises(ValueError, match="Hz"):
        train_deep_interpolation([recording, other], tmp_path, config=SMALL, settings=QUICK)


PARALLEL = """
import sys
sys.path.insert(0, {tests!r})
sys.path.insert(0, {tests!r} + "/training/interpolation")
from test_train import QUICK, SMALL, generated
from si_deepsort.training.interpolation.train import train_deep_interpolation
train_deep_interpolation(generated(duration_s=1.0), {folder!r}, config=SMALL, settings=QUICK)
"""


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    def run(world, folder):
        code = PARALLEL.format(tests=str(Path(__file__).parents[2]), folder=str(folder))
        script = tmp_path / f"train{world}.py"
        script.write_text(code, encoding="utf-8")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([*command, str(script)], check=True, env=environment, capture_output=True, timeout=200)
        return load_model(folder)

    one, two = (run(world, tmp_path / f"world{world}") for world in (1, 2))
    for first, second in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        torch.testing.assert_close(first, second, atol=1e-3, rtol=1e-3)
