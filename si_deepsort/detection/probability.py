"""Probability of a spike at each sample and channel of a recording."""

from pathlib import Path

import numpy as np
from spikeinterface.core import BaseRecording

from ..nets.network import Network
from .front_end import traces_for
from .prepare import load_detector, prepare_detector
from .spike_detector import SpikeDetector

# Places at which traces are judged together: it bounds the memory and does not change the result.
CHUNK_PLACES = 100_000


def detection_probability(recording: BaseRecording, model: str | Path | Network = "cnn") -> list[np.ndarray]:
    """
    Probability that each sample of each channel is the peak of a spike.

    It is 0 wherever there is no candidate, which is a peak of the match with the typical waveform of the recording
    ("cnn"), or of the energy in white traces; then the waveform itself may be largest up to half a millisecond away,
    where `find_peaks` puts the spike.

    Parameters
    ----------
    recording : BaseRecording
        Unfiltered, in any unit; the front end of the model is applied.
    model : str | Path | Network, default: "cnn"
        "cnn", "gru", a model folder or a network.

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
    detector = prepare_detector(recording, net)
    segments = range(recording.get_num_segments())
    return [probability_in(recording.get_traces(segment_index=index), detector) for index in segments]


def probability_in(traces: np.ndarray, detector: SpikeDetector) -> np.ndarray:
    """
    Probability of a spike's peak at each sample and channel of a whole segment; 0 where there is no candidate.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
        White traces.
    detector : SpikeDetector

    Returns
    -------
    np.ndarray, shape (num_frames, num_channels), float32
    """
    result = np.zeros(traces.shape, dtype="float32")
    margin, step = detector.margin, CHUNK_PLACES * detector.finder.stride
    for start in range(0, len(traces), step):
        stop = min(start + step, len(traces))
        first, last = max(0, start - margin), min(len(traces), stop + margin)
        padding = ((first - start + margin, stop + margin - last), (0, 0))
        found, probabilities = detector.judged(np.pad(traces[first:last], padding), margin=margin)
        result[start - margin + found.frames, found.channels] = probabilities
    return result
