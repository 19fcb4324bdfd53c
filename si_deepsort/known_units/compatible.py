"""Whether a recording fits a classifier of known units, and what its units are called in a sorting."""

import numpy as np
from spikeinterface.core import BaseRecording

from ..nets.network import Network

# Relative difference of two sampling rates that counts as none.
SAME_RATE = 1e-4


def check_sampling_frequency(recording: BaseRecording, net: Network) -> None:
    """
    Refuse a recording of another sampling rate.

    Raises
    ------
    ValueError
        If the sampling rate is not that of the labelled recording.
    """
    trained = net.info.sampling_frequency
    if trained is not None and abs(recording.get_sampling_frequency() / trained - 1) > SAME_RATE:
        raise ValueError(
            f"The recording has {recording.get_sampling_frequency()} Hz, the classifier was trained at {trained} "
            "Hz. Resample the recording with spikeinterface.preprocessing.resample."
        )


def channels_of_classifier(recording: BaseRecording, channel_ids: list) -> np.ndarray:
    """
    Positions of the classifier's channels in a recording, found by their names.

    Raises
    ------
    ValueError
        If the recording lacks a channel.
    """
    wanted = [str(channel) for channel in channel_ids]
    by_name = {str(channel): place for place, channel in enumerate(recording.channel_ids)}
    if set(wanted) - set(by_name):
        raise ValueError(
            f"The recording lacks the channels {sorted(set(wanted) - set(by_name))} of the classifier; it has "
            f"{list(by_name)[:8]}... Train a classifier for this probe, or rename the channels."
        )
    return np.array([by_name[channel] for channel in wanted], dtype=int)


def name_units(known_ids: list, is_found: np.ndarray, num_new: int) -> np.ndarray:
    """
    Ids of the known units that were found, as they are, and of new units.

    Parameters
    ----------
    known_ids : list
        Ids of all known units.
    is_found : np.ndarray, shape (num_known,), bool
    num_new : int
        Number of new units. They are numbered after all known ones (whole numbers) or named new0, new1, ...
    """
    found = [unit for unit, is_there in zip(known_ids, is_found, strict=True) if is_there]
    if all(isinstance(unit, int | np.integer) for unit in known_ids):
        return np.array([*found, *(max(known_ids, default=-1) + 1 + n for n in range(num_new))], dtype=int)
    taken = {str(unit) for unit in known_ids}
    new = [name for n in range(num_new + len(taken)) if (name := f"new{n}") not in taken][:num_new]
    return np.array([*map(str, found), *new], dtype=str)
