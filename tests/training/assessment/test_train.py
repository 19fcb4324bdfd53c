"""Labels, faults and training of the network that judges sortings."""

import numpy as np
import pytest

from si_deepsort.assessment.predict import run_network, tempered, widened, widening_of, without_pure_labels
from si_deepsort.nets.assessor import LABELS
from si_deepsort.spike_vectors import make_spike_vector
from si_deepsort.training.assessment.calibrate import calibration_error, interval_factors, label_temperature
from si_deepsort.training.assessment.data import folds_by_recording, load_examples
from si_deepsort.training.assessment.degrade import degraded_sorting
from si_deepsort.training.assessment.labels import true_quality
from si_deepsort.training.assessment.recalibrate import recalibrate
from si_deepsort.training.assessment.train import AssessorTrainingSettings, train_assessor

RATE = 30_000.0


def vector(*trains):
    labels = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    return make_spike_vector(np.concatenate(trains), labels, np.zeros(len(labels), dtype=int))


def test_labels_say_what_a_unit_is():
    one, two = np.arange(1000, 100_000, 1000), np.arange(1500, 100_000, 1000)
    sorted_spikes = vector(one + 3, two[::4], np.sort(np.concatenate([one, two])), np.arange(1250, 100_000, 1000))
    quality = true_quality(sorted_spikes, 4, vector(one, two), 2, RATE)
    np.testing.assert_allclose(quality.precision, [1, 1, 0.5, 0], atol=0.01)
    np.testing.assert_allclose(quality.recall, [1, 0.25, 1, 0], atol=0.02)
    assert [LABELS[label] for label in quality.labels] == ["good", "fragment", "multi-unit", "noise"]
    mean = [quality.is_right[sorted_spikes["unit_index"] == unit].mean() for unit in range(4)]
    np.testing.assert_allclose(mean, [1, 1, 0.5, 0], atol=0.02)
    np.testing.assert_allclose(quality.accuracy_of_neurons, [1, 0.5], atol=0.02)


def test_no_units_and_no_neurons():
    nothing = vector(np.zeros(0, dtype=int))
    assert len(true_quality(nothing, 0, vector(np.arange(5)), 1, RATE).precision) == 0


def test_faults_are_seeded_and_valid():
    rng = np.random.default_rng(0)
    spikes = vector(*[np.sort(rng.choice(300_000, 80, replace=False)) for _ in range(20)])
    arguments = dict(
        amplitudes=rng.normal(1, 0.1, len(spikes)),
        neighbours=np.tile(np.arange(20)[:, None], (1, 2)) ^ np.array([1, 2]) % 20,
        events=rng.integers(0, 300_000, 500),
        event_units=rng.integers(0, 20, 500),
        num_frames=300_000,
        sampling_frequency=RATE,
    )
    first, num_units = degraded_sorting(spikes, 20, **arguments, seed=1)
    again, _ = degraded_sorting(spikes, 20, **arguments, seed=1)
    other, _ = degraded_sorting(spikes, 20, **arguments, seed=2)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first["unit_index"].max() == num_units - 1 and first["sample_index"].max() < 300_000
    assert np.bincount(first["unit_index"]).min() >= 3


@pytest.fixture
def examples(tmp_path):
    """Sortings of six recordings in which the first feature tells the precision, and spikes follow it."""
    rng = np.random.default_rng(0)
    for number in range(6):
        units = rng.standard_normal((30, 5)).astype("float32")
        precision = 1 / (1 + np.exp(-2 * units[:, 0]))
        spike_units = np.repeat(np.arange(30), 10)
        values = dict(
            units=units,
            pairs=rng.standard_normal((30, 2, 2)).astype("float32"),
            spikes=rng.standard_normal((300, 2)).astype("float32"),
            spike_units=spike_units,
            precision=precision,
            recall=np.full(30, 0.9),
            labels=np.where(precision > 0.8, 0, 1),
            is_right=rng.random(300) < precision[spike_units],
            event_counts=rng.poisson(5, 5),
            num_explained=np.asarray(3),
            duration_s=np.asarray(10.0),
            num_channels=np.asarray(32),
            num_missed=rng.poisson(2, 3),
            num_neurons=np.array([5, 5, 5]),
        )
        np.savez(tmp_path / f"r{number}.deepsort.npz", **values)
    return tmp_path


def test_recordings_are_not_divided(examples):
    loaded = load_examples(examples)
    folds = folds_by_recording(loaded, 5, seed=0)
    for sorting in range(6):
        assert len(np.unique(folds[loaded.sortings == sorting])) == 1


def test_recordings_of_one_seed_and_number_of_neurons_are_a_family(examples):
    names = ("plain-1-15", "plain-1-60", "bursting-1-20", "tetrode-1-20", "plain-2-15", "other")
    for number, name in enumerate(names):
        (examples / f"r{number}.deepsort.npz").rename(examples / f"{name}.deepsort.npz")
    tetrode = examples / "tetrode-1-20.deepsort.npz"
    np.savez(tetrode, **(dict(np.load(tetrode)) | dict(num_neurons=np.array([2, 3, 3]))))
    loaded = load_examples(examples)
    family = dict(zip(loaded.names, loaded.families(), strict=True))
    assert family["plain-1-15.deepsort"] == family["plain-1-60.deepsort"] == family["bursting-1-20.deepsort"]
    assert family["plain-1-15.deepsort"] != family["tetrode-1-20.deepsort"], "other neurons"
    assert len(set(family.values())) == 4 and len(set(loaded.kinds())) == 4 and loaded.num_recordings == 6
    folds = folds_by_recording(loaded, 3, seed=0)
    assert set(folds) == {0, 1, 2}, "folds are filled evenly"
    assert len(np.unique(folds[loaded.families()[loaded.sortings] == family["plain-1-15.deepsort"]])) == 1


def test_training_learns_and_is_seeded(examples, tmp_path):
    settings = AssessorTrainingSettings(num_epochs=20, batch_size=32)
    trained = train_assessor(examples, tmp_path / "model", settings=settings)
    again = train_assessor(examples, None, settings=settings)
    assert trained.info.metrics == again.info.metrics
    assert trained.info.metrics["precision_error"] < 0.12
    assert {"widening", "spike_calibration", "missed"} <= set(trained.info.settings)


def test_intervals_are_those_of_the_mean_of_all_members(examples, tmp_path):
    trained = train_assessor(examples, None, settings=AssessorTrainingSettings(num_epochs=20, batch_size=32))
    before = {name: value.clone() for name, value in trained.net.state_dict().items()}
    anew = recalibrate(trained.net, examples, tmp_path / "model")
    assert all(bool((value == before[name]).all()) for name, value in anew.net.state_dict().items())
    assert anew.info.settings["missed"] == trained.info.settings["missed"]
    assert "6 sortings (180 units) of 6 further generated recordings" in anew.info.training["intervals"]
    loaded = load_examples(examples)
    outputs, _ = run_network(anew.net, loaded.units, loaded.pairs, loaded.spikes, loaded.spike_units)
    bounds = widened(outputs.mean(axis=0)[:, :3], widening_of(anew.info.settings["widening"], 32)["precision"])
    inside = (bounds[:, 0] <= loaded.precision) & (loaded.precision <= bounds[:, 2])
    assert inside.mean() == pytest.approx(0.9, abs=0.04)


def test_units_that_cannot_be_of_one_neuron_are_not_called_pure():
    labels = np.array([[0.7, 0.1, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1]])
    found = without_pure_labels(labels, np.array([False, True]))
    np.testing.assert_allclose(found, [[0.7, 0.1, 0.1, 0.1], [0, 0.5, 0, 0.5]])


def test_calibration_error():
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    assert calibration_error(probability, rng.random(20_000) < probability) < 0.02
    assert calibration_error(np.full(100, 0.9), np.zeros(100, dtype=bool)) == pytest.approx(0.9)


def test_a_folder_without_examples_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no examples"):
        load_examples(tmp_path)


@pytest.mark.parametrize("spread", [0.05, 0.2])
def test_nine_of_ten_values_lie_in_widened_intervals(spread):
    rng = np.random.default_rng(1)
    middle = rng.uniform(0.3, 0.7, 4000)
    values = middle + spread * rng.standard_normal(4000)
    quantiles = np.stack([middle - 0.05, middle, middle + 0.05], axis=1)
    bounds = widened(quantiles, interval_factors(quantiles, values, ()))
    for outside in (values < bounds[:, 0], values > bounds[:, 2]):
        assert outside.mean() == pytest.approx(0.05, abs=0.01)


def test_intervals_of_each_group_leave_out_a_tenth():
    """Pure units, whose upper end is 1 and whose values are often exactly 1, do not pay for the others."""
    rng = np.random.default_rng(2)
    middle = np.concatenate([np.full(4000, 0.985), rng.uniform(0.4, 0.8, 1000)])
    is_pure = middle > 0.9
    purity = np.where(rng.random(5000) < 0.6, 1.0, 1 - rng.exponential(0.02, 5000))
    values = np.where(is_pure, purity, middle + 0.15 * rng.standard_normal(5000)).clip(0, 1)
    quantiles = np.stack([middle - 0.02, middle, np.minimum(middle + 0.02, 0.995)], axis=1)
    grouped = widened(quantiles, interval_factors(quantiles, values, (0.9,)))
    pooled = widened(quantiles, interval_factors(quantiles, values, ()))

    def share_inside(bounds, of):
        return ((bounds[:, 0] <= values) & (values <= bounds[:, 2]))[of].mean()

    for group in (is_pure, ~is_pure):
        assert share_inside(grouped, group) == pytest.approx(0.9, abs=0.01)
    assert share_inside(pooled, ~is_pure) < 0.8 and share_inside(pooled, is_pure) > 0.92


def test_a_bound_near_one_is_one():
    quantiles = np.array([[0.9, 0.95, 0.997], [0.004, 0.3, 0.9]])
    bounds = widened(quantiles, {"edges": [], "factors": [[0.0, 0.0]]})
    assert bounds[0].tolist() == [0.9, 0.95, 1.0] and bounds[1, 0] == 0.0


def test_a_group_of_few_units_is_calibrated_with_all():
    rng = np.random.default_rng(3)
    middle = np.concatenate([rng.uniform(0.3, 0.7, 500), [0.95, 0.96]])
    quantiles = np.stack([middle - 0.05, middle, middle + 0.03], axis=1)
    values = middle + 0.1 * rng.standard_normal(502)
    grouped, pooled = interval_factors(quantiles, values, (0.9,)), interval_factors(quantiles, values, ())
    assert len(grouped["factors"]) == 2 and grouped["factors"][1] == pooled["factors"][0]


def test_labels_that_are_too_sure_are_tempered():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((20_000, 4))
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (truth.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    too_sure = truth**3 / (truth**3).sum(axis=1, keepdims=True)
    temperature = label_temperature(too_sure, labels)
    np.testing.assert_allclose(temperature, 3.0, atol=0.2)
    found = tempered(too_sure, temperature)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.array_equal(found.argmax(axis=1), too_sure.argmax(axis=1)), "the order stays"
    right = found.argmax(axis=1) == labels
    assert calibration_error(found.max(axis=1), right) < 0.02 < calibration_error(too_sure.max(axis=1), right)
