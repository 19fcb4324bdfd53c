"""Learning miniature potentials: simulated traces, fine-tuning on marks, what marks mean."""

import numpy as np
import pandas
import pytest
import torch

from si_deepsort.events.matching import detection_scores, intersection_over_union, marked_frames
from si_deepsort.events.measure import measure_events
from si_deepsort.events.prepare import prepare_trace, trace_noise_level
from si_deepsort.events.probability import WINDOW_FRAMES, event_probabilities
from si_deepsort.events.segment import segment_events
from si_deepsort.events.simulate import colored_noise, simulate_events
from si_deepsort.events.waveform import end_time_ms
from si_deepsort.nets.autoencoder import Autoencoder, AutoencoderConfig
from si_deepsort.nets.event_unet import EventUNet, EventUNetConfig
from si_deepsort.training.events.convention import learn_convention
from si_deepsort.training.events.cross_validate import cross_validate_events
from si_deepsort.training.events.models import event_loss
from si_deepsort.training.events.traces import _random_settings, event_targets, matched_snr, simulated_batches
from si_deepsort.training.events.train import EventTrainingSettings, train_events

QUICK = EventTrainingSettings(num_epochs=1, num_windows=12, num_simulated_traces=0)


@pytest.mark.parametrize("num_frames", [1, 33, 4096, 5000])
def test_output_has_the_length_of_the_input(num_frames):
    net = EventUNet(EventUNetConfig(widths=(4, 6, 8))).eval()
    assert net(torch.zeros(2, 1, num_frames)).shape == (2, 2, num_frames)


def test_gradient_reaches_every_parameter():
    net = EventUNet(EventUNetConfig(widths=(4, 6, 8)))
    net(torch.randn(3, 1, 256)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())


@pytest.mark.parametrize("num_frames", [10, 2048, 10_000])
def test_windows_leave_no_trace(num_frames):
    class Copy(torch.nn.Module):
        def forward(self, traces):
            return traces.repeat(1, 2, 1)

    inputs = np.random.default_rng(0).standard_normal(num_frames).astype("float32")
    probabilities = event_probabilities(Copy(), inputs)
    np.testing.assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-inputs)), atol=1e-5)


def test_batches_are_their_seed():
    first = next(iter(simulated_batches(3, num_traces=1, duration_s=5.0, batch_size=4)))
    again = next(iter(simulated_batches(3, num_traces=1, duration_s=5.0, batch_size=4)))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert first[0].shape == (4, 1, WINDOW_FRAMES) and first[1].shape == (4, 2, WINDOW_FRAMES)
    assert set(first[1].unique().tolist()) <= {-1.0, 0.0, 1.0}


def test_matched_snr_is_that_of_white_noise():
    noise = np.random.default_rng(0).standard_normal(200_000)
    times = np.arange(0, 100, 0.1)
    shape = np.exp(-times / 5.0) - np.exp(-times / 0.5)
    shape /= shape.max()
    assert matched_snr(noise, 0.5, 5.0) == pytest.approx(np.sqrt((shape**2).sum()), rel=0.1)  # 5 Hz are left out


def test_a_network_learns_eight_windows():
    torch.manual_seed(0)
    batch = next(iter(simulated_batches(1, num_traces=1, duration_s=4.0, batch_size=8)))
    batch = tuple(tensor[:, :, :1024] for tensor in batch)
    net = EventUNet(EventUNetConfig(widths=(8, 12, 16)))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = event_loss(net, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_frames_of_unknown_truth_do_not_count():
    net = EventUNet(EventUNetConfig(widths=(4, 6))).eval()
    windows, labels = torch.randn(1, 1, 256), torch.zeros(1, 2, 256)
    labels[:, :, 128:] = -1
    other = labels.clone()
    assert event_loss(net, (windows, labels)) < event_loss(net, (windows, other.clamp(min=0)))


@pytest.mark.slow
def test_fine_tuning_on_marks_keeps_what_was_known():
    recordings, truths = zip(
        *[simulate_events(duration_s=12.0, noise_sd=0.08, seed=seed) for seed in (1, 2)], strict=True
    )
    trained = train_events(list(recordings), [truth[["onset_s"]] for truth in truths], settings=QUICK)
    assert trained.info.parent is not None
    test, truth = simulate_events(duration_s=20.0, noise_sd=0.08, seed=3)
    assert detection_scores(truth.onset_s, segment_events(test, trained.net).onset_s)["f1"] > 0.85


@pytest.mark.slow
def test_folds_leave_out_whole_groups():
    recordings, truths = zip(*[simulate_events(duration_s=6.0, seed=seed) for seed in (1, 2, 3)], strict=True)
    folds = cross_validate_events(list(recordings), list(truths), groups=["a", "a", "b"], settings=QUICK)
    assert folds.fold.tolist() == ["a", "b"]
    assert folds.num_true.tolist() == [len(truths[0]) + len(truths[1]), len(truths[2])]
    with pytest.raises(ValueError, match="groups"):
        cross_validate_events(list(recordings), list(truths), groups=[0, 0, 0])


def test_marks_that_do_not_fit_are_refused():
    recording, truth = simulate_events(duration_s=5.0, seed=1)
    with pytest.raises(ValueError, match="another file"):
        train_events(recording, truth[["onset_s"]] * 1000, settings=QUICK)
    with pytest.raises(ValueError, match="No event"):
        train_events(recording, truth[:0], settings=QUICK)
    with pytest.raises(ValueError, match="one table for each"):
        train_events([recording], [truth, truth], settings=QUICK)
    with pytest.raises(ValueError, match="event_unet"):
        train_events(recording, truth, model=Autoencoder(AutoencoderConfig()), settings=QUICK)


def test_targets_mark_the_event_and_its_onset():
    _, truth = simulate_events(duration_s=2.0, seed=1)
    targets = event_targets(truth, 20_000, 10_000.0)
    for onset, peak in zip(truth.onset_s, truth.peak_s, strict=True):
        assert targets[0, round(peak * 10_000)] == 1 and targets[1, round(onset * 10_000)] == 1


def test_random_settings_make_noise_of_one():
    settings = _random_settings(np.random.default_rng(0), 5.0)
    noise = colored_noise(100_000, settings, np.random.default_rng(0))
    assert noise.std() == pytest.approx(1.0, rel=0.25)


@pytest.mark.parametrize("end", ["tenth", "decay_constant", 0.5])
@pytest.mark.parametrize("shift_ms", [-0.6, 0.0])
def test_the_meaning_of_marks_is_learnt(end, shift_ms):
    marks, fitted = [], []
    for seed in (1, 2):
        recording, truth = simulate_events(duration_s=20.0, noise_sd=0.06, artefact_rate=0.0, seed=seed)
        end_ms = end_time_ms(truth.tau_rise_ms.to_numpy(), truth.decay_ms.to_numpy(), end)
        marked = pandas.DataFrame(dict(onset_s=truth.onset_s + shift_ms / 1000, end_s=truth.onset_s + end_ms / 1000))
        trace = prepare_trace(recording, 0)
        marks.append(marked)
        fitted.append(
            measure_events(
                trace,
                marked.onset_s.to_numpy(),
                marked.end_s.to_numpy(),
                np.full(len(marked), np.nan),
                noise_level=trace_noise_level([trace]),
                polarity=1,
            )
        )
    learnt = learn_convention(marks, fitted)
    assert learnt["onset_shift_ms"] == pytest.approx(shift_ms, abs=0.15)
    taus = np.array([0.3, 0.5]), np.array([3.0, 6.0])
    assert end_time_ms(*taus, learnt["end"]) == pytest.approx(end_time_ms(*taus, end), rel=0.1)


def test_a_model_reports_events_as_they_were_marked(tmp_path):
    recordings, marks = [], []
    for seed in (1, 2, 3):
        recording, truth = simulate_events(duration_s=12.0, noise_sd=0.08, seed=seed)
        end_ms = end_time_ms(truth.tau_rise_ms.to_numpy(), truth.decay_ms.to_numpy(), "decay_constant")
        recordings.append(recording)
        marks.append(pandas.DataFrame(dict(onset_s=truth.onset_s, end_s=truth.onset_s + end_ms / 1000)))
    trained = train_events(recordings[:2], marks[:2], folder=tmp_path / "mine", settings=QUICK)
    iou = {}
    size = recordings[2].get_num_frames(), recordings[2].get_sampling_frequency()
    for model in (None, tmp_path / "mine"):
        found = segment_events(recordings[2], model)
        frames = [marked_frames(table.onset_s, table.end_s, *size) for table in (found, marks[2])]
        iou[model] = intersection_over_union(*frames)
    assert found.attrs["end"] == trained.info.settings["end"] and 0.2 <= found.attrs["threshold"] <= 0.95
    assert iou[tmp_path / "mine"] > 0.65 > iou[None]


def test_the_score_is_that_of_the_end_of_each_trace_beside_the_network_before(tmp_path, capsys):
    recording, truth = simulate_events(duration_s=30.0, noise_sd=0.08, seed=5)
    marks = truth[["onset_s"]]
    trained = train_events(recording, marks, folder=tmp_path / "mine", settings=QUICK)
    (score,) = trained.scores.values()
    before = segment_events(recording, polarity=1)
    late = [table.onset_s[table.onset_s >= 0.86 * 30.0] for table in (truth, before)]
    assert score.default == pytest.approx(detection_scores(*late)["f1"], abs=0.1)
    assert score.value == trained.info.metrics["held_out_f1"] and "events-unet" in score.default_name
    assert str(score) in capsys.readouterr().out
    assert str(score) in (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")


def test_without_marks_at_the_end_nothing_is_claimed():
    recording, truth = simulate_events(duration_s=10.0, noise_sd=0.08, seed=5)
    trained = train_events(recording, truth[truth.onset_s < 5.0][["onset_s"]], settings=QUICK)
    assert trained.is_better is None and trained.info.metrics == {}
    assert "nothing was measured" in repr(trained)
