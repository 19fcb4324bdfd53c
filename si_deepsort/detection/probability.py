"""Probability of a spike at each sample and channel of a recording."""

from pathlib import Path

import numpy as np
from spikeinterface.core import BaseRecording

from ..nets.network import Network
from .front_end import traces_for
from .prepare import load_detector, prepare_detector


def detection_probability(
    recording: BaseRecording,
    model: str | Path | Network = "cnn",
    *,
    candidate_threshold: float | None = None,
    seed: int = 0,
) -> list[np.ndarray]:
    """
    Probability that each sample of each channel is the peak of a spike.

    It is 0 wherever there is no candidate: no local extremum, or one below `candidate_threshold`.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed traces for the bundled networks, in any unit. A model that was saved with a front end takes the
        recording from before it.
    model : str | Path | Network, default: "cnn"
        "cnn", "gru", a model folder or a network.
    candidate_threshold : float | None, default: None
        Smallest height of a candidate in noise levels. None takes the model's.
    seed : int, default: 0
        Random seed of the chunks on which noise is estimated.

    Returns
    -------
    list of np.ndarray, each of shape (num_frames, num_channels), float32
        One array per segment.

    Raises
    ------
    ValueError
        If there is no such model, it is not for detection, or there are several channels and no probe.
    """
    net = load_detector(model)
    recording = traces_for(recording, net, None)
    detector = prepare_detector(recording, net, candidate_threshold=candidate_threshold, seed=seed)
    segments = range(recording.get_num_segments())
    return [detector.probability(recording.get_traces(segment_index=index)) for index in segments]
