"""Which unit a field potential is in, and whether its size is that of the training: a predictor depends on both."""

from collections.abc import Sequence

import numpy as np
from spikeinterface.core import BaseRecording

from .features import in_microvolts

# The size of a channel is measured in this many stretches of this length, in s, spread over the recording.
NUM_STRETCHES, STRETCH_S = 10, 2.0
# A field potential of the same preparation may differ in size by this factor. Counts instead of uV differ by 5.1
# (0.195 uV per count) or more, mV by 1000.
LARGEST_RATIO = 3.0


def unit_of(recording: BaseRecording) -> str:
    """Unit of the features: "uV" if the recording has gains and offsets, else "unknown"."""
    has_gains = recording.get_channel_gains() is not None and recording.get_channel_offsets() is not None
    return "uV" if has_gains else "unknown"


def channel_sizes(recording: BaseRecording) -> np.ndarray:
    """
    Typical size of each channel.

    Parameters
    ----------
    recording : BaseRecording
        One segment.

    Returns
    -------
    np.ndarray, shape (num_channels,), float64
        Median standard deviation of stretches of 2 s, in uV or the recording's own unit.
    """
    num_frames = recording.get_num_frames(segment_index=0)
    length = min(num_frames, max(2, round(STRETCH_S * recording.get_sampling_frequency())))
    starts = np.unique(np.linspace(0, num_frames - length, NUM_STRETCHES).astype(int))
    sizes = []
    for start in starts:
        traces = recording.get_traces(segment_index=0, start_frame=int(start), end_frame=int(start + length))
        sizes.append(in_microvolts(recording, traces).std(axis=0, dtype=float))
    return np.median(sizes, axis=0)


def in_trained_order(recording: BaseRecording, channel_ids: Sequence[str]) -> BaseRecording:
    """
    The channels that a model was trained on, in its order.

    Parameters
    ----------
    recording : BaseRecording
    channel_ids : sequence of str
        Channels of the training.

    Returns
    -------
    BaseRecording

    Raises
    ------
    ValueError
        If the recording has other channels, or more: the name "0" says little about a channel of a longer list.
    """
    by_name = {str(channel_id): channel_id for channel_id in recording.channel_ids}
    missing = [name for name in channel_ids if name not in by_name]
    same_number = len(by_name) == len(channel_ids)
    if missing or not same_number:
        rename = f" or, if they are the same channels, recording.rename_channels({list(channel_ids)})"
        raise ValueError(
            f"The recording has {len(by_name)} channels, the model was trained on {len(channel_ids)}: it needs "
            f"{list(channel_ids)} and got {list(by_name)}. Select the right channels with recording.select_channels"
            f"{rename if same_number else ''}."
        )
    wanted = [by_name[name] for name in channel_ids]
    return recording if wanted == list(recording.channel_ids) else recording.select_channels(wanted)


def check_scale(recording: BaseRecording, trained_unit: str, trained_sizes: Sequence[float]) -> None:
    """
    Refuse a recording whose unit is not that of the training.

    Parameters
    ----------
    recording : BaseRecording
        With the channels of the training, in their order.
    trained_unit : "uV" | "unknown"
    trained_sizes : sequence of float
        From `channel_sizes` of the training recording.

    Raises
    ------
    ValueError
        If unit or gains are not known and the traces are over 3 times larger or smaller than in training.
    """
    ratios = channel_sizes(recording) / np.maximum(np.asarray(trained_sizes, float), 1e-30)
    ratio = float(np.median(ratios))
    if trained_unit == unit_of(recording) == "uV" or 1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO:
        return
    here = "in uV" if unit_of(recording) == "uV" else "in a unit that it does not say (it has no gains)"
    there = "in uV" if trained_unit == "uV" else "in an unknown unit"
    raise ValueError(
        f"The field potential is {ratio:.3g} times as large as in training: the recording is {here}, the training was "
        f"{there}. Give both the same unit, e.g. recording.set_channel_gains and set_channel_offsets, or train again "
        "with FeatureSettings(standardise=True), which does not depend on the unit."
    )
