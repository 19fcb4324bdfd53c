"""`train_events`: fine-tune an event model on a user's own marked events."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas
import torch
from spikeinterface.core import BaseRecording

from ...events.columns import REJECT, as_events
from ...events.confidence import Candidates
from ...events.decisions import decisions_of
from ...events.find import find_in_recording
from ...events.measure import measure_events
from ...events.prepare import network_input, prepare_trace, trace_noise_level
from ...events.probability import WINDOW_FRAMES
from ...events.segment import DEFAULT_MODEL, FIRST_GUESS_MS, one_channel
from ...events.simulate import event_free_noise
from ...events.tables import check_events_fit, read_events
from ...fit import FitSettings, fit
from ...nets.event_unet import EventUNet
from ...settings import Settings, setting
from ...zoo import ModelInfo, load_network, parent_reference
from ..held_out_score import HeldOutScore
from ..trained_model import TrainedModel, finish_training
from .convention import learn_convention, learn_threshold
from .held_out import (
    MarkedTrace,
    first_held_out,
    held_out_f1,
    num_held_out_events,
    threshold_of_learnt_part,
)
from .models import DETECTION_SETTINGS, event_loss
from .traces import event_targets, simulated_batches

# Windows in a batch, and spread (1 sd, logarithm) by which their amplitude is varied: that of the noise level from
# one part of a recording to the next.
BATCH_SIZE, AMPLITUDE_SPREAD = 12, 0.1
# Left out around each event, in s, where the recording's own noise is collected.
BEFORE_EVENT_S, AFTER_EVENT_S = 0.002, 0.04
# Code that uses the model, for the user.
NEXT_STEP = "segment_events(recording, {model})"


@dataclass(frozen=True, kw_only=True)
class EventTrainingSettings(Settings):
    """How an event model is fine-tuned."""

    num_epochs: int = setting(5, "Most passes", minimum=1)
    num_windows: int = setting(240, "Windows of 0.4 s of the marked recordings in each pass", minimum=12)
    num_simulated_traces: int = setting(
        10, "Traces of 10 s with simulated events on the recordings' own noise in each pass", minimum=0
    )
    learning_rate: float = setting(5e-4, "Highest learning rate", minimum=0.0)
    seed: int = setting(0, "Random seed")


def train_events(
    recording: BaseRecording | str | Path | Sequence[BaseRecording | str | Path],
    events: pandas.DataFrame | str | Path | Sequence[pandas.DataFrame | str | Path],
    *,
    folder: str | Path | None = None,
    model: EventUNet | str | Path | None = None,
    polarity: int = 1,
    settings: EventTrainingSettings | None = None,
) -> TrainedModel:
    """
    Fine-tune an event model on recordings whose events somebody marked, and learn what these marks mean.

    The background between the marks is learnt from too, so every event must be marked. Half of the training is
    simulated events on the recordings' own noise, so that few marks do not make the model forget. The model then
    reports events as they were marked: their end (if marked), their beginning, and how small they may be.

    Parameters
    ----------
    recording : BaseRecording | path | list of them, with one channel each
    events : pandas.DataFrame | path | list of them
        Marks, see `read_events`. `end_s` is optional; events whose `decision` is "reject" are background.
    folder : str | Path | None, default: None
        Where the model is saved; `segment_events` takes it. None does not save it.
    model : str | path | EventUNet | None, default: None
        To start from; None takes "events-unet".
    polarity : 1 | -1, default: 1
        1: events go up, -1: down.
    settings : EventTrainingSettings | None, default: None

    Returns
    -------
    TrainedModel
        Its scores compare F1 on the last 15 % of each trace with that of the network before. `info.settings` holds what
        was learnt: threshold, end, onset_shift_ms.

    Raises
    ------
    ValueError
        If the marks do not fit the recordings.

    Examples
    --------
    Learn from marked cells, keep the model, and use it, now or later:

    >>> from si_deepsort import segment_events, train_events
    >>> train_events(["a.abf", "b.abf", "c.abf"], ["a.csv", "b.csv", "c.csv"], polarity=-1, folder="my_events")
    >>> segment_events("d.abf", "my_events")
    """
    if polarity not in (1, -1):
        raise ValueError(f"polarity={polarity!r}, expected 1 (events up) or -1 (events down).")
    settings = settings or EventTrainingSettings()
    by_recording = _all_marked(recording, events, polarity)
    marked = [trace for _, traces in by_recording for trace in traces]
    net, training = starting_network(model), dict(command="si_deepsort.train_events", seed=settings.seed)
    info, scores = _train(net, marked, partial(_find_all, by_recording, polarity), settings)
    name = info.name if folder is None else Path(folder).absolute().name
    info = replace(info, name=name, training=training | dict(data=f"{_num_events(marked)} marked events of the user"))
    return finish_training(net, info, folder, scores=scores, next_step=NEXT_STEP, prints=True)


def _all_marked(recording, events, polarity):
    """Each recording with the marked traces of its segments."""
    pairs = marked_recordings(recording, events)
    by_recording = [(pair[0], _marked_traces(*pair, polarity)) for pair in pairs]
    if not any(_num_events(traces) for _, traces in by_recording):
        raise ValueError("No event is marked. Mark at least some tens of events.")
    return by_recording


def _num_events(marked: Sequence[MarkedTrace]) -> int:
    return sum(len(trace.fitted) for trace in marked)


def _train(net: EventUNet, marked: list[MarkedTrace], find, settings: EventTrainingSettings) -> tuple:
    """Fine-tune a network in place; its info, and its scores beside those before."""
    parent, before = parent_reference(net), net.info.settings if net.info is not None else {}
    parent_name = "the network before" if net.info is None else net.info.name
    threshold = float(before.get("threshold", DETECTION_SETTINGS["threshold"]))
    f1_before = held_out_f1(find(net), marked, threshold=threshold)
    _fine_tune(net, marked, settings)
    found = find(net.eval())
    scores, metrics = _held_out_scores(found, marked, threshold, f1_before, parent_name)
    info = ModelInfo(
        name="events-fine-tuned",
        task="events",
        sampling_frequency=marked[0].trace.rate,
        metrics=metrics,
        settings=before | _learn_meaning(found, marked, threshold),
        parent=parent,
    )
    return info, scores


def _find_all(by_recording, polarity, net) -> list[Candidates]:
    """What a network finds in each segment of all recordings, doubtful events too."""
    traces = [(recording, [marked.trace for marked in segments]) for recording, segments in by_recording]
    return [one for recording, segments in traces for one in find_in_recording(net, recording, segments, polarity)]


def _held_out_scores(found, marked, threshold, f1_before, parent_name) -> tuple[dict, dict[str, float]]:
    """Score for people, and the numbers for the model's info; without held-out marks there is no number."""
    learnt_threshold = threshold_of_learnt_part(found, marked, default=threshold)
    f1 = held_out_f1(found, marked, threshold=learnt_threshold)
    place, num_events = "last part of each trace", num_held_out_events(marked)
    if num_events == 0:
        return {place: "no event is marked there, so nothing was measured"}, {}
    details = f"{num_events} events"
    score = HeldOutScore(measure="F1", value=f1, default=f1_before, default_name=parent_name, details=details)
    return {place: score}, dict(held_out_f1=f1, held_out_f1_before=f1_before)


def _learn_meaning(found, marked, threshold) -> dict[str, float | str]:
    """End, onset and threshold with which the network's events are like the marks."""
    fitted = [trace.fitted for trace in marked]
    learnt = learn_convention([trace.marks for trace in marked], fitted)
    return learnt | dict(threshold=learn_threshold(found, fitted, default=threshold))


def _fine_tune(net, marked, settings):
    training, validation = _split_windows(marked, settings)
    noise = [noise for noise in map(_own_noise, marked) if len(noise) > WINDOW_FRAMES]

    def training_batches(epoch):
        rng = np.random.default_rng([settings.seed, epoch])
        yield from _random_batches(training, settings.num_windows, rng)
        if settings.num_simulated_traces and noise:
            seed = settings.seed + 1_000 * (epoch + 1)
            yield from simulated_batches(seed, num_traces=settings.num_simulated_traces, real_noise=noise)

    fit_settings = FitSettings(
        num_epochs=settings.num_epochs, learning_rate=settings.learning_rate, seed=settings.seed, device="cpu"
    )
    fit(net, event_loss, training_batches, lambda: validation, fit_settings, label="events")


def marked_recordings(
    recordings: BaseRecording | str | Path | Sequence[BaseRecording | str | Path],
    events: pandas.DataFrame | str | Path | Sequence[pandas.DataFrame | str | Path],
) -> list[tuple[BaseRecording, pandas.DataFrame]]:
    """Recordings and their marks, opened, without rejected events; a ValueError if they do not belong together."""
    recordings = recordings if isinstance(recordings, list | tuple) else [recordings]
    events = events if isinstance(events, list | tuple) else [events]
    if len(recordings) != len(events):
        raise ValueError(f"Got {len(recordings)} recordings and {len(events)} tables, expected one table for each.")
    pairs = []
    for recording, table in zip(recordings, events, strict=True):
        recording = one_channel(recording)
        table = as_events(table) if isinstance(table, pandas.DataFrame) else read_events(table)
        if "segment" not in table:
            table = table.assign(segment=0)
        table = table[decisions_of(table) != REJECT]
        check_events_fit(table, recording)
        pairs.append((recording, table))
    return pairs


def _marked_traces(recording, table, polarity) -> list[MarkedTrace]:
    """
    All segments of a recording with their marks.

    Onsets are refined by the fit (by at most 2.5 ms), since people click near the onset and some programs give peaks.
    """
    traces = [prepare_trace(recording, segment) for segment in range(recording.get_num_segments())]
    noise_level = trace_noise_level(traces)
    marked = []
    for segment, trace in enumerate(traces):
        marks = table[table["segment"] == segment]
        onset_s = marks["onset_s"].to_numpy(float)
        end_s = marks["end_s"].to_numpy(float) if "end_s" in marks else onset_s + FIRST_GUESS_MS / 1000
        end_s = np.where(np.isfinite(end_s), end_s, onset_s + FIRST_GUESS_MS / 1000)
        fitted = measure_events(
            trace, onset_s, end_s, np.full(len(onset_s), np.nan), noise_level=noise_level, polarity=polarity
        )
        targets = event_targets(fitted, len(trace.values), trace.rate)
        targets[:, ~trace.is_valid[:]] = -1
        inputs = network_input(trace.values[:], noise_level, polarity)
        marked.append(MarkedTrace(trace, noise_level, marks, fitted, inputs, targets))
    return marked


def _split_windows(marked, settings):
    """The first part of each trace for training, the last windows for validation; short traces are padded."""
    training, windows, labels = [], [], []
    for trace in marked:
        inputs, targets = trace.inputs, trace.targets
        missing = max(0, WINDOW_FRAMES - len(inputs))
        inputs = np.pad(inputs, (0, missing))
        targets = np.pad(targets, ((0, 0), (0, missing)), constant_values=-1)
        stop = first_held_out(len(inputs))
        training.append((inputs[:stop], targets[:, :stop]))
        for start in range(stop, len(inputs) - WINDOW_FRAMES + 1, WINDOW_FRAMES):
            windows.append(inputs[start : start + WINDOW_FRAMES])
            labels.append(targets[:, start : start + WINDOW_FRAMES])
    if not windows:  # recordings of some seconds: nothing can be held out
        rng = np.random.default_rng(settings.seed)
        return training, list(_random_batches(training, BATCH_SIZE, rng))
    return training, [(torch.from_numpy(np.stack(windows)[:, None]), torch.from_numpy(np.stack(labels)))]


def _random_batches(training, num_windows, rng, batch_size=BATCH_SIZE):
    lengths = np.array([len(inputs) for inputs, _ in training], float)
    for _ in range(max(1, num_windows // batch_size)):
        windows, labels = [], []
        for choice in rng.choice(len(training), size=batch_size, p=lengths / lengths.sum()):
            inputs, targets = training[choice]
            start = rng.integers(0, len(inputs) - WINDOW_FRAMES + 1)
            windows.append(inputs[start : start + WINDOW_FRAMES] * np.float32(np.exp(rng.normal(0, AMPLITUDE_SPREAD))))
            labels.append(targets[:, start : start + WINDOW_FRAMES])
        yield torch.from_numpy(np.stack(windows)[:, None]), torch.from_numpy(np.stack(labels))


def _own_noise(marked: MarkedTrace):
    onsets = np.round(marked.fitted["onset_s"].to_numpy() * marked.trace.rate).astype(int)
    before, after = (round(length * marked.trace.rate) for length in (BEFORE_EVENT_S, AFTER_EVENT_S))
    return event_free_noise(marked.inputs, onsets, before=before, after=after)


def starting_network(model: EventUNet | str | Path | None) -> EventUNet:
    """The network to start from, or a copy of it; a ValueError if it is of another kind."""
    net = load_network(DEFAULT_MODEL if model is None else model, EventUNet, purpose="events")
    return _copy(net) if net is model else net


def _copy(net):
    twin = type(net)(net.config)
    twin.load_state_dict(net.state_dict())
    twin.info = None if net.info is None else replace(net.info)
    return twin.eval()
