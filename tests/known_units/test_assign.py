"""Training a classifier, and assigning peaks with it: what must hold for any weights, and that it learns."""

import numpy as np
import pandas
import pytest
import torch
from small_units import FS, SHAPES, make_recording
from spikeinterface.core import NumpyRecording, NumpySorting, append_recordings

from si_deepsort.known_units.assign import UNKNOWN, assign_peaks, cut_waveforms
from si_deepsort.known_units.sort_known_units import with_known_units
from si_deepsort.nets.classifier import ClassifierConfig, CNNClassifier, GRUClassifier
from si_deepsort.preprocessing.band_pass import band_pass
from si_deepsort.sorter.units.dropped import MERGED
from si_deepsort.training.classification.augment import augment
from si_deepsort.training.classification.train import ClassifierTrainingSettings, fit_classifier, train_classifier
from si_deepsort.zoo import load_model

QUICK = ClassifierTrainingSettings(num_epochs=12, batch_size=32, progress_bar=False, device="cpu")


def scaled(recording):
    traces = recording.get_traces()
    centered = traces - np.median(traces)
    return centered / (1.4826 * np.median(np.abs(centered)))


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier") / "model"
    train_classifier(*make_recording(), folder=folder, settings=QUICK)
    return folder


@pytest.mark.parametrize("net_class", [CNNClassifier, GRUClassifier])
def test_amplitude_is_kept(net_class):
    torch.manual_seed(0)
    net = net_class(ClassifierConfig()).eval()
    waveforms = torch.randn(3, 1, 42)
    with torch.no_grad():
        assert not torch.allclose(net(waveforms), net(2 * waveforms))


@pytest.mark.parametrize("architecture", ["cnn", "gru"])
def test_a_classifier_learns_and_a_seed_repeats_it(architecture):
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 300)
    waveforms = SHAPES[classes] + rng.standard_normal((300, 48))
    nets = [fit_classifier(waveforms, classes, architecture=architecture, settings=QUICK) for _ in range(2)]
    inputs = torch.from_numpy((SHAPES[classes] + rng.standard_normal((300, 48))).astype("float32"))[:, None]
    with torch.no_grad():
        assert (nets[0](inputs).argmax(1).numpy() == classes).mean() > 0.95
        torch.testing.assert_close(nets[0](inputs), nets[1](inputs))


def test_augmentation_without_variation_changes_nothing():
    still = dict(gain_sd=0.0, shift_max=0, noise_sd=0.0, overlap_fraction=0.0, overlap_distance=0.25)
    still |= dict(noise_factor=0.0, residuals=torch.ones(1, 2, 30))
    waveforms = torch.randn(5, 2, 30)
    torch.testing.assert_close(augment(waveforms, waveforms, torch.Generator(), **still), waveforms)


@pytest.mark.parametrize("gain, offset", [(1.0, 0.0), (37.0, 2050.0)])
def test_spikes_are_given_to_their_units_whatever_the_unit_of_the_traces(model_folder, gain, offset):
    net = load_model(model_folder)
    assert net.info.settings["unit_ids"] == ["u0", "u1", "u2"]
    recording, sorting = make_recording(seed=7, gain=gain, offset=offset)
    spikes = sorting.to_spike_vector()
    units, probabilities = assign_peaks(scaled(recording), spikes["sample_index"], net)
    assert probabilities.min() >= 0 and probabilities.max() <= 1
    assert (units == spikes["unit_index"]).mean() > 0.9
    silent = np.arange(1000, 200_000, 777)
    silent = silent[np.abs(silent[:, None] - spikes["sample_index"]).min(axis=1) > 60]
    assert (assign_peaks(scaled(recording), silent, net)[0] < 0).mean() > 0.95


def test_the_network_of_the_caller_is_left_as_it_was(model_folder):
    net = load_model(model_folder)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assign_peaks(scaled(make_recording(seed=2, duration_s=1.0)[0]), np.array([500, 900]), net)
    assert before["templates"][-1].abs().max() > 0
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_overlapping_spikes_are_resolved_by_subtraction(model_folder):
    net = load_model(model_folder)
    rng = np.random.default_rng(3)
    traces = rng.standard_normal((40_000, 1))
    first = np.arange(200, 39_000, 200)
    second = first + rng.integers(8, 20, len(first))
    for frame, other in zip(first, second, strict=True):
        traces[frame - 16 : frame + 32, 0] += SHAPES[0]
        traces[other - 16 : other + 32, 0] += SHAPES[2]
    frames = np.sort(np.concatenate([first, second]))
    truth = np.where(np.isin(frames, first), 0, 2)
    once, resolved = (assign_peaks(traces, frames, net, num_rounds=rounds)[0] for rounds in (1, 5))
    assert (resolved == truth).mean() > (once == truth).mean()
    assert (resolved == truth).mean() > 0.7


def test_an_unknown_unit_is_rejected(model_folder):
    net = load_model(model_folder)
    traces = np.random.default_rng(4).standard_normal((20_000, 1))
    frames = np.arange(200, 19_000, 200)
    strange = 30 * np.sin(np.arange(48) / 2.0)
    for frame in frames:
        traces[frame - 16 : frame + 32, 0] += strange
    assert (assign_peaks(traces, frames, net)[0] == UNKNOWN).mean() > 0.9


def test_labels_at_the_onset_are_moved_to_the_peak():
    net = train_classifier(*make_recording(label_shift=-10), settings=QUICK)
    assert net.info.settings["label_offset_frames"] == 10
    assert net.info.metrics["held_out_accuracy"] > 0.9


def test_windows_at_the_edge_are_padded():
    traces = np.arange(1.0, 11.0)[:, None]
    windows = cut_waveforms(traces, np.array([0, 9]), nbefore=2, nafter=3)
    np.testing.assert_array_equal(windows[:, 0], [[0, 0, 1, 2, 3], [8, 9, 10, 0, 0]])


def test_bad_input_is_named(caplog):
    recording, sorting = make_recording(duration_s=4.0)
    with pytest.raises(ValueError, match="one class"):
        fit_classifier(np.zeros((20, 42)), np.ones(20))
    with pytest.raises(ValueError, match="NaN"):
        fit_classifier(np.full((20, 42), np.nan), np.arange(20) % 2)
    with pytest.raises(ValueError, match="one class each"):
        fit_classifier(np.zeros((20, 42)), np.zeros(3))
    with pytest.raises(ValueError, match="Unknown architecture"):
        fit_classifier(np.zeros((20, 42)), np.arange(20) % 2, architecture="lstm")
    outside = NumpySorting.from_unit_dict([{"a": np.arange(10) + 10**7}], FS)
    with pytest.raises(ValueError, match="inside the recording"):
        train_classifier(recording, outside, settings=QUICK)
    with pytest.raises(ValueError, match="sampling rate"):
        train_classifier(recording, NumpySorting.from_unit_dict([{"a": np.arange(10) + 100}], 2 * FS), settings=QUICK)
    with pytest.raises(ValueError, match="min_spikes"):
        train_classifier(recording, NumpySorting.from_unit_dict([{"a": np.arange(3) * 500 + 100}], FS), settings=QUICK)
    trains = {unit: sorting.get_unit_spike_train(unit) for unit in sorting.unit_ids}
    trains["few"] = np.array([500, 5000, 9000])
    trains["u0"] = np.repeat(trains["u0"], 2)
    trained = train_classifier(recording, NumpySorting.from_unit_dict([trains], FS), settings=QUICK)
    assert trained.info.settings["unit_ids"] == ["u0", "u1", "u2"]
    assert "few" in caplog.text and "duplicates" in caplog.text
    with pytest.raises(ValueError, match="channels"):
        assign_peaks(np.zeros((500, 2)), np.array([100]), trained.net)


def test_a_sorting_gets_the_known_unit_ids_and_keeps_what_is_new(model_folder):
    recording, sorting = make_recording(seed=11, gain=5.0)
    traces = recording.get_traces().copy()
    strange = 150 * np.sin(np.arange(48) / 2.0)
    truth = {unit: sorting.get_unit_spike_train(unit) for unit in sorting.unit_ids}
    busy = np.concatenate(list(truth.values()))
    new = np.array([frame for frame in range(500, len(traces) - 500, 2000) if np.abs(busy - frame).min() > 60])
    for frame in new:
        traces[frame - 16 : frame + 32, 0] += strange
    recording = NumpyRecording([traces], FS)
    mixed = NumpySorting.from_unit_dict([{0: np.sort(np.r_[truth["u0"], truth["u1"]]), 1: truth["u2"], 2: new}], FS)
    found = with_known_units(recording, mixed, model_folder)
    assert list(found.unit_ids) == ["u0", "u1", "u2", *found.unit_ids[3:]]
    for unit, frames in truth.items():
        assert np.isin(frames, found.get_unit_spike_train(unit)).mean() > 0.85
    others = np.concatenate([found.get_unit_spike_train(unit) for unit in found.unit_ids[3:]])
    assert np.isin(new, others).mean() > 0.9
    # A segment in which no unit fires stays.
    longer = append_recordings([recording, recording])
    assert with_known_units(longer, mixed, model_folder).get_num_segments() == 2
    with pytest.raises(ValueError, match="Resample"):
        with_known_units(NumpyRecording([traces], 2 * FS), mixed, model_folder)
    with pytest.raises(ValueError, match="lacks the channels"):
        with_known_units(NumpyRecording([traces], FS, channel_ids=["other"]), mixed, model_folder)


@pytest.mark.slow
def test_the_sorter_uses_known_unit_ids(tmp_path):
    from spikeinterface.sorters import run_sorter

    import si_deepsort  # noqa: F401  (registers the sorter)

    recording, sorting = make_recording(duration_s=8.0)
    filtered = band_pass(recording, freq_min=150.0, freq_max=7000.0)
    train_classifier(filtered, sorting, folder=tmp_path / "units", settings=QUICK)
    other, truth = make_recording(seed=5, duration_s=5.0)
    other.set_dummy_probe_from_locations(np.zeros((1, 2)))
    other = other.save(folder=tmp_path / "recording", verbose=False)
    found = run_sorter("deepsort", other, folder=tmp_path / "sorted", classifier=str(tmp_path / "units"))
    for unit in truth.unit_ids:
        true, mine = truth.get_unit_spike_train(unit), found.get_unit_spike_train(unit)
        assert (np.abs(true[:, None] - mine).min(axis=1) <= 8).mean() > 0.8
    dropped = pandas.read_csv(tmp_path / "sorted" / "sorter_output" / "dropped.csv")
    assert (dropped["num_spikes"] > 0).all() and set(dropped["reason"]) <= {MERGED}
    with pytest.raises(Exception, match="nowhere"):
        run_sorter("deepsort", other, folder=tmp_path / "again", classifier=str(tmp_path / "nowhere"))
