"""Load a detection network and make it ready for a recording."""

import warnings
from os import PathLike

from spikeinterface.core import BaseRecording

from ..geometry import recording_geometry
from ..nets.detector import CNNDetector, Detector, GRUDetector
from ..nets.network import Network
from ..noise import sample_traces
from ..zoo import load_network
from .spike_detector import SpikeDetector, measure_channels

# Short names of the bundled detectors.
BUNDLED = {"cnn": "detector-cnn", "gru": "detector-gru"}
# Relative difference of two sampling rates that counts as none: clocks of one nominal rate differ by less.
SAME_RATE = 0.01


def load_detector(model: str | PathLike | Network) -> Detector:
    """
    Load a detection network by short name ("cnn", "gru"), name or folder, or check that a network is one.

    Raises
    ------
    ValueError
        If there is no such model, or it is not for detection.
    """
    named = BUNDLED.get(model, model) if isinstance(model, str) else model
    return load_network(named, (CNNDetector, GRUDetector), purpose="detection")


def prepare_detector(
    recording: BaseRecording,
    model: str | PathLike | Network = "cnn",
    *,
    candidate_threshold: float | None = None,
    seed: int = 0,
) -> SpikeDetector:
    """
    Make a detection network ready for a recording.

    Parameters
    ----------
    recording : BaseRecording
        Traces as the network shall see them, in any unit: its front end has been applied.
    model : str | Path | Network, default: "cnn"
        "cnn", "gru", a model folder or a network.
    candidate_threshold : float | None, default: None
        Smallest height of a candidate in noise levels. None takes the model's.
    seed : int, default: 0
        Random seed of the chunks on which noise and activity are measured.

    Returns
    -------
    SpikeDetector

    Raises
    ------
    ValueError
        If there is no such model, it is not for detection, or there are several channels and no probe.

    Warns
    -----
    UserWarning
        If the model was trained at another sampling rate: the windows are resampled to its rate.
    """
    net = load_detector(model)
    locations, shanks = recording_geometry(recording)
    frequency = recording.get_sampling_frequency()
    _warn_of_another_rate(net, frequency)
    sampled = sample_traces(recording, seed=seed)
    statistics = measure_channels(sampled, net.config, locations, frequency, shanks=shanks)
    return SpikeDetector(net, locations, frequency, statistics, shanks=shanks, candidate_threshold=candidate_threshold)


def _warn_of_another_rate(net: Network, sampling_frequency: float) -> None:
    trained = net.info.sampling_frequency if net.info is not None else None
    if trained is not None and abs(sampling_frequency / trained - 1) > SAME_RATE:
        warnings.warn(
            f"The detector '{net.info.name}' was trained at {trained:g} Hz, the recording has {sampling_frequency:g} "
            "Hz. Its windows are resampled; train a detector at this rate if it misses spikes.",
            stacklevel=4,
        )
