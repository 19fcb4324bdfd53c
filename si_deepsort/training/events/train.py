"""`train_events`: fine-tune an event model on a user's own marked events."""

from dataclasses import dataclass, replace

import numpy as np
import pandas
import torch

from ...events.matching import match_events
from ...events.measure import measure_events
from ...events.probability import WINDOW_FRAMES
from ...events.segment import DEFAULT_MODEL, one_channel, segment_events
from ...events.simulate import event_free_noise
from ...events.tables import DECISION, REJECT, as_events, check_events_fit, read_events
from ...events.traces import network_input, prepare_trace, trace_noise_level
from ...fit import FitSettings, fit
from ...settings import Settings, setting
from ...zoo import ModelInfo, load_model, parent_reference
from .models import DETECTION_SETTINGS, event_loss
from .traces import event_targets, simulated_batches

FIRST_GUESS_MS = 12.0  # length of a marked event of which only the onset is known
VALIDATION_PART = 0.15


@dataclass(frozen=True, kw_only=True)
class EventTrainingSettings(Settings):
    """How an event model is fine-tuned."""

    num_epochs: int = setting(5, "Most passes", minimum=1)
    num_windows: int = setting(240, "Windows of 0.4 s of the marked recordings in each pass", minimum=12)
    num_simulated_traces: int = setting(
        10, "Traces of 10 s with simulated events on the recordings' own noise in each pass", minimum=0
    )
    learning_rate: float = setting(5e-4, "Highest learning rate", minimum=0.0)
    seed: int = setting(0, "Of everything")


def train_events(recording, events, *, model=None, polarity: int = 1, settings: EventTrainingSettings | None = None):
    """
    Fine-tune an event model on recordings whose events somebody marked.

    All of each recording is learnt from, the background between the marks too; so every event must be marked. Half of
    the training is simulated events on the recordings' own event-free noise, so that few marks do not make the model
    forget.

    Parameters
    ----------
    recording : BaseRecording | path | list of them
        With one channel each.
    events : pandas.DataFrame | path | list of them
        Marks of each recording: see `read_events`. `end_s` is optional; events whose `decision` is "reject" are
        background.
    model : str | path | EventUNet | None, default: None
        To start from; None takes "events-unet".
    polarity : 1 | -1, default: 1
        1 where events go up, -1 where they go down.
    settings : EventTrainingSettings | None, default: None

    Returns
    -------
    EventUNet
        With `info`; keep it with `save_model(net, folder, net.info)`, use it as `segment_events(..., model=net)`.

    Raises
    ------
    ValueError
        If the marks do not fit the recordings.
    """
    settings = settings or EventTrainingSettings()
    marked = [_marked_trace(*pair, polarity) for pair in _pairs(recording, events)]
    marked = [trace for traces in marked for trace in traces]
    num_events = sum(len(trace[2]) for trace in marked)
    if num_events == 0:
        raise ValueError("No event is marked. Mark at least some tens of events.")
    net = _starting_network(model)
    parent = parent_reference(net)
    _fine_tune(net, marked, settings)
    net.info = ModelInfo(
        name="events-fine-tuned",
        task="events",
        sampling_frequency=marked[0][3],
        training=dict(seed=settings.seed, data=f"{num_events} marked events of the user"),
        settings=DETECTION_SETTINGS,
        parent=parent,
    )
    return net


def _fine_tune(net, marked, settings):
    training, validation = _split_windows(marked, settings)
    noise = [noise for noise in (_own_noise(*trace) for trace in marked) if len(noise) > WINDOW_FRAMES]

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


def cross_validate_events(recordings, events, *, groups=None, model=None, polarity: int = 1, settings=None):
    """
    What fine-tuning would gain on recordings, days or animals that it never saw.

    Parameters
    ----------
    recordings, events : lists
        As for `train_events`.
    groups : list | None, default: None
        One label (day, animal) per recording; a fold leaves out all recordings of one label. None: each its own.
    model, polarity, settings
        As for `train_events`.

    Returns
    -------
    pandas.DataFrame
        One row per fold: fold, num_true, and num_found, num_matched, f1 before and after fine-tuning.
    """
    pairs = _pairs(recordings, events)
    groups = list(range(len(pairs))) if groups is None else list(groups)
    if len(groups) != len(pairs) or len(set(groups)) < 2:
        raise ValueError(
            f"Got {len(pairs)} recordings in groups {groups}, expected one label each, two different ones."
        )
    rows = []
    for fold in dict.fromkeys(groups):
        seen = [pair for pair, group in zip(pairs, groups, strict=True) if group != fold]
        held_out = [pair for pair, group in zip(pairs, groups, strict=True) if group == fold]
        tuned = train_events(*map(list, zip(*seen, strict=True)), model=model, polarity=polarity, settings=settings)
        row = dict(fold=fold)
        for name, net in (("before", _starting_network(model)), ("after", tuned)):
            row |= _fold_scores(held_out, net, polarity, name)
        rows.append(row)
    return pandas.DataFrame(rows)


def _fold_scores(pairs, net, polarity, name):
    counts = dict(num_true=0, num_found=0, num_matched=0)
    for recording, marks in pairs:
        found = segment_events(recording, net, polarity=polarity)
        for segment in range(recording.get_num_segments()):
            true_onset_s = marks.loc[marks["segment"] == segment, "onset_s"]
            found_onset_s = found.loc[found["segment"] == segment, "onset_s"]
            counts["num_true"] += len(true_onset_s)
            counts["num_found"] += len(found_onset_s)
            counts["num_matched"] += len(match_events(true_onset_s, found_onset_s))
    f1 = 2 * counts["num_matched"] / max(1, counts["num_true"] + counts["num_found"])
    num_true = counts.pop("num_true")
    return dict(num_true=num_true) | {f"{key}_{name}": value for key, value in (counts | dict(f1=f1)).items()}


def _pairs(recordings, events):
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
        if DECISION in table:
            table = table[table[DECISION].fillna("").astype(str).str.strip().str.lower() != REJECT]
        check_events_fit(table, recording)
        pairs.append((recording, table))
    return pairs


def _marked_trace(recording, table, polarity):
    """
    For each segment: network input, targets, onset frames, rate.

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
            trace, onset_s, end_s, np.ones(len(onset_s)), noise_level=noise_level, polarity=polarity
        )
        targets = event_targets(fitted, len(trace.values), trace.rate)
        targets[:, ~trace.is_valid] = -1
        inputs = network_input(trace.values, noise_level, polarity)
        marked.append((inputs, targets, np.round(fitted["onset_s"].to_numpy() * trace.rate).astype(int), trace.rate))
    return marked


def _split_windows(marked, settings):
    """The first part of each trace for training, the last windows for validation; short traces are padded."""
    training, windows, labels = [], [], []
    for inputs, targets, _, _ in marked:
        missing = max(0, WINDOW_FRAMES - len(inputs))
        inputs = np.pad(inputs, (0, missing))
        targets = np.pad(targets, ((0, 0), (0, missing)), constant_values=-1)
        num_held_out = int(VALIDATION_PART * len(inputs)) // WINDOW_FRAMES * WINDOW_FRAMES
        stop = len(inputs) - num_held_out
        training.append((inputs[:stop], targets[:, :stop]))
        for start in range(stop, len(inputs) - WINDOW_FRAMES + 1, WINDOW_FRAMES):
            windows.append(inputs[start : start + WINDOW_FRAMES])
            labels.append(targets[:, start : start + WINDOW_FRAMES])
    if not windows:  # recordings of some seconds: nothing can be held out
        rng = np.random.default_rng(settings.seed)
        return training, list(_random_batches(training, 12, rng))
    return training, [(torch.from_numpy(np.stack(windows)[:, None]), torch.from_numpy(np.stack(labels)))]


def _random_batches(training, num_windows, rng, batch_size=12):
    lengths = np.array([len(inputs) for inputs, _ in training], float)
    for _ in range(max(1, num_windows // batch_size)):
        windows, labels = [], []
        for choice in rng.choice(len(training), size=batch_size, p=lengths / lengths.sum()):
            inputs, targets = training[choice]
            start = rng.integers(0, len(inputs) - WINDOW_FRAMES + 1)
            windows.append(inputs[start : start + WINDOW_FRAMES] * np.float32(np.exp(rng.normal(0, 0.1))))
            labels.append(targets[:, start : start + WINDOW_FRAMES])
        yield torch.from_numpy(np.stack(windows)[:, None]), torch.from_numpy(np.stack(labels))


def _own_noise(inputs, targets, onsets, rate):
    return event_free_noise(inputs, onsets, before=round(0.002 * rate), after=round(0.04 * rate))


def _starting_network(model):
    net = load_model(DEFAULT_MODEL if model is None else model) if not hasattr(model, "config") else _copy(model)
    if net.architecture != "event_unet":
        raise ValueError(f"The model is a '{net.architecture}', expected an 'event_unet' such as '{DEFAULT_MODEL}'.")
    return net


def _copy(net):
    twin = type(net)(net.config)
    twin.load_state_dict(net.state_dict())
    twin.info = None if net.info is None else replace(net.info)
    return twin.eval()
