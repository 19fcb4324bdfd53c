"""Load a detection network and make it ready for white traces."""

import warnings
from os import PathLike

from spikeinterface.core import BaseRecording

from ..geometry import separated_locations
from ..nets.detector import CNNDetector, Detector, GRUDetector
from ..nets.network import Network
from ..noise import sample_signal
from ..preprocessing.whitening import Whitening
from ..zoo import load_network
from .candidates import RADIUS_UM
from .spike_detector import SpikeDetector

# Short names of the bundled detectors. The CNN judges matches with the typical waveform of the recording, the GRU peaks
# of the energy.
BUNDLED = {"cnn": "peaks-cnn", "gru": "detector-gru"}
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
    traces: BaseRecording,
    model: str | PathLike | Network = "cnn",
    *,
    whitening: Whitening | None = None,
    radius_um: float = RADIUS_UM,
    exclusive_ms: float | None = None,
    subtract_larger: bool = True,
) -> SpikeDetector:
    """
    Make a detection network ready for white traces.

    Parameters
    ----------
    traces : BaseRecording
        White traces: the front end of the network has been applied.
    model : str | Path | Network, default: "cnn"
        "cnn", "gru", a model folder or a network.
    whitening : Whitening | None, default: None
        The whitening of the traces. None takes that of the recording, which a step "whiten" made.
    radius_um, exclusive_ms : float, float | None
        The largest of several peaks this close in space and time is a candidate. None takes the model's own time.
    subtract_larger : bool, default: True
        Subtract what larger spikes make of the matches with the typical waveform around them, if candidates are such
        matches: smaller spikes beside them are found.

    Returns
    -------
    SpikeDetector

    Raises
    ------
    ValueError
        If there is no such model, it is not for detection, the traces are not white, or there are several channels and
        no probe.

    Warns
    -----
    UserWarning
        If the model was trained at another sampling rate: the windows are resampled to its rate.
    """
    net = load_detector(model)
    frequency = traces.get_sampling_frequency()
    _warn_of_another_rate(net, frequency)
    return SpikeDetector(
        net,
        whitening_of(traces) if whitening is None else whitening,
        separated_locations(traces),
        frequency,
        radius_um=radius_um,
        exclusive_ms=exclusive_ms,
        sample=sample_signal(traces) if net.config.typical_waveform else None,
        subtract_larger=subtract_larger,
    )


def whitening_of(traces: BaseRecording) -> Whitening:
    """
    The whitening that made white traces.

    Raises
    ------
    ValueError
        If the last step of the recording is not the whitening.
    """
    whitening = getattr(traces, "whitening", None)
    if whitening is None:
        raise ValueError(
            f"Got a recording of type {type(traces).__name__}, expected white traces, whose last step is "
            "whiten_time_space. Let the last step of the front end be {'name': 'whiten', 'params': {}}, or give the "
            "whitening of the traces."
        )
    return whitening


def _warn_of_another_rate(net: Network, sampling_frequency: float) -> None:
    trained = net.info.sampling_frequency if net.info is not None else None
    if trained is not None and abs(sampling_frequency / trained - 1) > SAME_RATE:
        warnings.warn(
            f"The detector '{net.info.name}' was trained at {trained:g} Hz, the recording has {sampling_frequency:g} "
            "Hz. Its windows are resampled; train a detector at this rate if it misses spikes.",
            stacklevel=4,
        )
