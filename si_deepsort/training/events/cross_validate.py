"""What learning from marks would gain on recordings, days or animals that it never saw."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas
from spikeinterface.core import BaseRecording

from ...events.matching import intersection_over_union, marked_frames, match_events
from ...events.segment import segment_events
from ...nets.event_unet import EventUNet
from .train import EventTrainingSettings, marked_recordings, starting_network, train_events


def cross_validate_events(
    recordings: Sequence[BaseRecording | str | Path],
    events: Sequence[pandas.DataFrame | str | Path],
    *,
    groups: Sequence | None = None,
    model: EventUNet | str | Path | None = None,
    polarity: int = 1,
    settings: EventTrainingSettings | None = None,
) -> pandas.DataFrame:
    """
    Train without some recordings and compare with the marks of those, before and after.

    Parameters
    ----------
    recordings, events : sequences
        As for `train_events`.
    groups : sequence | None, default: None
        One label (day, animal) for each recording; a fold leaves out all recordings of one label. None: each its own.
    model, polarity, settings
        As for `train_events`.

    Returns
    -------
    pandas.DataFrame
        One row per fold: fold, num_true, and num_found, num_matched, f1, iou (overlap of the marked time, NaN without
        marked ends) before and after training.

    Raises
    ------
    ValueError
        If there are fewer than two groups.
    """
    pairs = marked_recordings(recordings, events)
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
        row = dict(fold=fold, num_true=sum(len(marks) for _, marks in held_out))
        for name, net in (("before", starting_network(model)), ("after", tuned.net)):
            row |= {f"{key}_{name}": value for key, value in _scores(held_out, net, polarity).items()}
        rows.append(row)
    return pandas.DataFrame(rows)


def _scores(pairs, net, polarity) -> dict[str, float]:
    num_true = num_found = num_matched = 0
    overlaps = []
    for recording, marks in pairs:
        found = segment_events(recording, net, polarity=polarity)
        for segment in range(recording.get_num_segments()):
            true, ours = (table[table["segment"] == segment] for table in (marks, found))
            num_true, num_found = num_true + len(true), num_found + len(ours)
            num_matched += len(match_events(true["onset_s"], ours["onset_s"]))
            if "end_s" in true and true["end_s"].notna().all() and len(true):
                size = recording.get_num_frames(segment), recording.get_sampling_frequency()
                frames = [marked_frames(table["onset_s"], table["end_s"], *size) for table in (true, ours)]
                overlaps.append(intersection_over_union(*frames))
    f1 = 2 * num_matched / max(1, num_true + num_found)
    iou = float(np.mean(overlaps)) if overlaps else float("nan")
    return dict(num_found=num_found, num_matched=num_matched, f1=f1, iou=iou)
