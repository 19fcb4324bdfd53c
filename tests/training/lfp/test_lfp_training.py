"""Predictors of spikes: what was planted is found, what was not is not claimed, and a model survives being saved."""

import numpy as np
import pytest
import torch
from spikeinterface.core import NumpyRecording, NumpySorting
from typer.testing import CliRunner

import si_deepsort
from si_deepsort.lfp.features import FeatureSettings
from si_deepsort.lfp.history import history_of
from si_deepsort.lfp.predictors import MODELS, PredictorSettings
from si_deepsort.lfp.simulate import PlantedUnit, simulate_session, threshold_toy
from si_deepsort.lfp.targets import Session, pair_session
from si_deepsort.lfp.windows import predict_output
from si_deepsort.nets.spike_predictor import SpikePredictor, SpikePredictorConfig
from si_deepsort.training.lfp.calibration import calibrate
from si_deepsort.training.lfp.cross_validate import cross_validate, transfer_matrix
from si_deepsort.training.lfp.fit_predictor import fit_predictor
from si_deepsort.training.lfp.linear import fit_glm, lagged
from si_deepsort.training.lfp.report import write_report

BANDS = {"theta": (4.0, 8.0), "beta": (12.0, 30.0)}
FEATURES = FeatureSettings(bands=BANDS, bin_ms=20.0)
QUICK = PredictorSettings(num_members=2, num_epochs=2, hidden_size=4, device="cpu", window_bins=100)


@pytest.fixture(scope="module")
def session():
    units = [PlantedUnit(strength=1.0, rate_hz=8.0), PlantedUnit(strength=0.0, rate_hz=8.0)]
    return simulate_session(units, duration_s=120.0, sampling_frequency=250.0, bands=BANDS, seed=3)


def random_net(kind, causal=False, **options):
    torch.manual_seed(0)
    net = SpikePredictor(SpikePredictorConfig(kind=kind, num_features=3, num_outputs=2, causal=causal, **options))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return net.eval()


@pytest.mark.parametrize("kind", MODELS)
def test_network_contract(kind):
    net = random_net(kind, num_members=2, num_lags=2)
    features = torch.randn(4, 3, 50)
    output = net(features)
    assert output.shape == (4, 2, 50)
    torch.testing.assert_close(output[:1], net(features[:1]))
    net.loss(output, torch.ones_like(output)).mean().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("kind", ["glm", "bilstm", "gru", "cnn"])
def test_causal_network_ignores_the_future(kind):
    net = random_net(kind, causal=True, num_lags=3)
    features = torch.randn(1, 3, 60)
    changed = features.clone()
    changed[..., 30:] = torch.randn(1, 3, 30)
    torch.testing.assert_close(net(features)[..., :30], net(changed)[..., :30])
    acausal = random_net(kind, causal=False, num_lags=3)
    assert not torch.allclose(acausal(features)[..., 29], acausal(changed)[..., 29])


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind='transformer'"):
        SpikePredictor(SpikePredictorConfig(kind="transformer"))


@pytest.mark.parametrize("kind", ["glm", "cnn"])
def test_prediction_does_not_depend_on_windows(kind):
    net = random_net(kind, num_lags=2, margin_bins=15)
    values = np.random.default_rng(0).normal(size=(333, 3)).astype(np.float32)
    whole = predict_output(net, values, length=333)
    np.testing.assert_allclose(predict_output(net, values, length=40), whole, atol=1e-5)
    parts = predict_output(net, values, parts=True)
    np.testing.assert_allclose(parts.sum(axis=1), whole, atol=1e-5)


@pytest.mark.parametrize("likelihood", ["poisson", "bernoulli"])
def test_glm_recovers_weights_and_drops_groups_that_do_not_matter(likelihood):
    random = np.random.default_rng(0)
    design = random.normal(size=(20_000, 4)).astype(np.float32)
    level = design @ [0.5, -0.3, 0.0, 0.0] - 2
    rate = np.exp(level) if likelihood == "poisson" else 1 / (1 + np.exp(-level))
    counts = random.poisson(rate) if likelihood == "poisson" else random.random(20_000) < rate
    weights, intercept, prior_sd = fit_glm(design, counts, np.array([0, 0, 1, 1]), likelihood=likelihood)
    np.testing.assert_allclose(weights, [0.5, -0.3, 0, 0], atol=0.06)
    assert intercept == pytest.approx(-2, abs=0.08)
    assert prior_sd[1] < prior_sd[0] / 4


def test_glm_on_some_of_the_empty_bins_agrees_with_all(monkeypatch):
    random = np.random.default_rng(0)
    design = random.normal(size=(60_000, 1)).astype(np.float32)
    counts = random.poisson(np.exp(0.5 * design[:, 0] - 3.5))
    groups = np.zeros(1, dtype=int)
    whole = fit_glm(design, counts, groups, likelihood="poisson")
    monkeypatch.setattr("si_deepsort.training.lfp.linear.MAX_ROWS", 15_000)
    some = fit_glm(design, counts, groups, likelihood="poisson")
    np.testing.assert_allclose(some[0], whole[0], atol=0.05)
    assert some[1] == pytest.approx(whole[1], abs=0.05)


def test_lags_hold_the_past():
    values = np.arange(5, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(lagged(values, 2, True)[3], [1, 2, 3])
    np.testing.assert_array_equal(lagged(values, 1, False)[0], [0, 0, 1])


def test_calibration_believes_signal_and_not_noise():
    random = np.random.default_rng(0)
    signal, noise = random.normal(size=(2, 20_000))
    counts = random.poisson(0.05 * np.exp(0.8 * signal))
    folds = np.repeat(np.arange(4), 5000)
    options = dict(likelihood="poisson", block_bins=500, caution=1.96, min_bits=0.01)
    good = calibrate(np.stack([signal, 0 * noise], axis=1), counts, folds, **options)
    assert 0.6 <= good["gain"][0] <= 1 and good["gain"][1] == 0 and good["held_out_bits"] > 0.05
    bad = calibrate(np.stack([noise, 0 * noise], axis=1), counts, folds, **options)
    assert bad["gain"] == [0, 0] and bad["held_out_bits"] == 0


@pytest.mark.parametrize("model", MODELS)
def test_a_saved_model_predicts_the_same(session, model, tmp_path):
    trained = si_deepsort.train_spike_predictor(
        session.recording, session.sorting, "unit0", model, tmp_path / "model", features=FEATURES, settings=QUICK
    )
    first = si_deepsort.predict_spikes(session.recording, trained.net)
    second = si_deepsort.predict_spikes(session.recording, tmp_path / "model")
    np.testing.assert_array_equal(first.expected, second.expected)
    assert first.expected.shape == (6000, 1) and first.times[0] == pytest.approx(0.01)
    num_spikes = len(session.sorting.get_unit_spike_train("unit0"))
    assert first.expected.sum() == pytest.approx(num_spikes, rel=0.1)
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "unit0" in card and str(trained.scores["held-out blocks"]) in card
    assert trained.is_better == (trained.info.metrics["held_out_bits_per_spike_unit0"] > 0)


def test_prediction_comes_back_as_sorting_and_recording(session):
    net = si_deepsort.train_spike_predictor(
        session.recording, session.sorting, model="glm", features=FEATURES, settings=QUICK
    )
    prediction = si_deepsort.predict_spikes(session.recording, net)
    sorting, rates = prediction.to_sorting(30_000.0, seed=1), prediction.to_recording()
    assert list(sorting.unit_ids) == prediction.unit_ids == ["unit0", "unit1"]
    counts = sorting.count_num_spikes_per_unit(outputs="array")
    expected = prediction.expected.sum(axis=0)
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))
    assert rates.get_sampling_frequency() == pytest.approx(50)
    np.testing.assert_allclose(rates.get_traces(), prediction.rate_hz, rtol=1e-5)


@pytest.mark.slow
def test_what_was_planted_is_found_and_nothing_else(session):
    table = cross_validate(session, model="glm", num_folds=3, features=FEATURES, settings=QUICK)
    low = table[table.fold == "all"].set_index("output").low
    assert low["unit0"] > 0 >= low["unit1"]


def test_the_planted_band_comes_first(session):
    table = si_deepsort.leave_one_band_out(session, model="glm", num_folds=2, features=FEATURES, settings=QUICK)
    assert table[table.output == "unit0"].band.iloc[0] == "theta"


@pytest.mark.slow
def test_a_network_trains_and_helps_only_if_it_may(session):
    paired = pair_session(session, FEATURES)
    net, fitted = fit_predictor([paired], model="bilstm", settings=QUICK)
    assert net.config.num_members == 2 and set(fitted["outputs"]) == {"unit0", "unit1"}
    assert fitted["outputs"]["unit1"]["gain"] == [0, 0]
    again, _ = fit_predictor([paired], model="bilstm", settings=QUICK)
    np.testing.assert_array_equal(
        predict_output(net, paired.features.values), predict_output(again, paired.features.values)
    )


def test_history_sees_only_the_past(session):
    paired = pair_session(session, FEATURES)
    changed = paired.counts.copy()
    changed[3000:] = 1 - np.minimum(changed[3000:], 1)
    other = type(paired)(paired.features, changed, paired.output_names, paired.labels)
    first, second = (history_of(p, "unit0").features.values for p in (paired, other))
    np.testing.assert_array_equal(first[:3001], second[:3001])
    assert not np.array_equal(first[3001:], second[3001:])


@pytest.mark.slow
def test_sessions_regions_and_report(tmp_path):
    sessions = [
        simulate_session(
            [PlantedUnit(strength=1.0, rate_hz=8.0)],
            duration_s=60.0,
            sampling_frequency=250.0,
            bands=BANDS,
            seed=seed,
            participant=f"p{seed}",
            region=region,
        )
        for seed, region in enumerate(["left hippocampus", "right hippocampus", "ACC"])
    ]
    features = FeatureSettings(bands=BANDS, bin_ms=20.0, standardise=True)
    table = cross_validate(sessions, model="glm", by="participant", features=features, settings=QUICK)
    assert set(table.fold) == {"p0", "p1", "p2", "all"}
    assert table[table.fold == "all"].low.iloc[0] > 0
    matrix = transfer_matrix(sessions, model="glm", features=features, settings=QUICK)
    assert len(matrix) == 9 and matrix.bits_per_spike.notna().all()
    page = write_report(
        sessions, tmp_path / "report.html", model="glm", transfer_by="region", features=features, settings=QUICK
    )
    assert page.read_text(encoding="utf-8").count("data:image/png") == 2
    with pytest.raises(ValueError, match="have no hemisphere"):
        cross_validate(sessions, by="hemisphere", features=features, settings=QUICK)
    with pytest.raises(ValueError, match="by='block'"):
        cross_validate(sessions[:1], by="participant", features=features, settings=QUICK)


def test_too_few_spikes_are_refused_with_the_number_needed(session):
    sorting = NumpySorting.from_unit_dict([{"quiet": np.arange(100, 1100, 100)}], 250.0)
    with pytest.raises(ValueError, match=r"10 spikes .* at least 50"):
        si_deepsort.train_spike_predictor(session.recording, sorting, features=FEATURES, settings=QUICK)


def test_unsuitable_recordings_and_models_are_refused(session):
    with pytest.raises(ValueError, match="Unknown model 'svm'"):
        si_deepsort.train_spike_predictor(session.recording, session.sorting, model="svm", features=FEATURES)
    net = si_deepsort.train_spike_predictor(
        session.recording, session.sorting, model="constant", features=FEATURES, settings=QUICK
    )
    two = NumpyRecording([np.random.default_rng(0).normal(size=(2500, 2))], 250.0)
    with pytest.raises(ValueError, match="2 channels, the model was trained on 1"):
        si_deepsort.predict_spikes(two, net)
    with pytest.raises(ValueError, match="too few"):
        short = Session(session.recording.frame_slice(0, 2500), session.sorting.frame_slice(0, 2500))
        fit_predictor([pair_session(short, FEATURES)], model="glm", settings=PredictorSettings(min_spikes=1))


def test_toy_truth_is_the_best_prediction():
    from si_deepsort.lfp.metrics import classification_scores

    traces, has_spike, probability = threshold_toy(20.0)
    assert np.array_equal(traces[:, 0] > 2.0, has_spike)
    assert 0.94 < classification_scores(has_spike, probability)["roc_auc"] < 0.96


def test_command_line(session, tmp_path):
    from si_deepsort.cli import app

    session.recording.save(folder=tmp_path / "lfp", chunk_size=100_000, verbose=False)
    session.sorting.save(folder=tmp_path / "sorting")
    run = CliRunner().invoke
    lfp, sorting, model, out = (str(tmp_path / name) for name in ("lfp", "sorting", "model", "out"))
    options = ["--unit", "unit0", "--model", "glm", "--bin-ms", "20"]
    trained = run(app, ["train-lfp", lfp, sorting, "--out", model, *options])
    assert trained.exit_code == 0, trained.output
    assert "unit0" in trained.output
    predicted = run(app, ["predict-spikes", lfp, "--model", model, "--out", out])
    assert predicted.exit_code == 0, predicted.output
    assert (tmp_path / "out" / "sorting").is_dir() and (tmp_path / "out" / "rates").is_dir()
