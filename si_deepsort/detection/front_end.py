"""
The front end of a detector: the preprocessing between the recording of a user and the traces that the network sees.

A front end is a list of steps as SpikeInterface's preprocessing pipelines have them, such as
`[{"name": "bandpass_filter", "params": {"freq_min": 300.0}}]`. It is saved with a model (`info.settings["front_end"]`),
so that the model sees the same traces wherever it is used. Its last step is "whiten", for detectors see white traces.

The steps of the sorter's front end are "band_pass", "reference" and "whiten", with the same filters and estimates as
in the sorter.
"""

import json
import warnings

from spikeinterface.core import BaseRecording

from ..nets.network import Network
from ..preprocessing.band_pass import band_pass
from ..preprocessing.reference import common_reference
from ..preprocessing.whiten import whiten_time_space

FrontEnd = list[dict]

_SORTER_STEPS = {"band_pass": band_pass, "reference": common_reference, "whiten": whiten_time_space}


def white_front_end(
    *, freq_min: float | None, freq_max: float | None, with_reference: bool, order: int, radius_um: float
) -> FrontEnd:
    """
    The sorter's front end for given values of its settings.

    Parameters
    ----------
    freq_min, freq_max : float | None
        Edges of the band-pass in Hz. None leaves the band-pass out.
    with_reference : bool
        Whether to subtract the median of shanks with many channels.
    order : int
        Order of the whitening filter over time.
    radius_um : float
        Channels this close are whitened together.
    """
    filters = [{"name": "band_pass", "params": {"freq_min": freq_min, "freq_max": freq_max}}]
    reference = [{"name": "reference", "params": {}}]
    whiten = [{"name": "whiten", "params": {"order": order, "radius_um": radius_um}}]
    return (filters if freq_min is not None else []) + (reference if with_reference else []) + whiten


# The sorter's front end with its default settings: what detectors were trained on that were saved without one.
DEFAULT_FRONT_END = white_front_end(freq_min=150.0, freq_max=7000.0, with_reference=True, order=24, radius_um=100.0)


def front_end_of(net: Network) -> FrontEnd:
    """The steps that are saved with a network, or those of the sorter with its default settings."""
    saved = net.info.settings.get("front_end") if net.info is not None else None
    return DEFAULT_FRONT_END if saved is None else saved


def apply_front_end(recording: BaseRecording, steps: FrontEnd) -> BaseRecording:
    """
    Apply the steps of a front end, lazily.

    Parameters
    ----------
    recording : BaseRecording
    steps : list of dict
        Each with `name`, a preprocessor of SpikeInterface or a step of the sorter, and `params`, its keyword arguments.

    Returns
    -------
    BaseRecording

    Raises
    ------
    ValueError
        If a step is unknown or its parameters do not fit.
    """
    from spikeinterface.preprocessing import apply_preprocessing_pipeline

    for step in steps:
        try:
            if step["name"] in _SORTER_STEPS:
                recording = _SORTER_STEPS[step["name"]](recording, **step["params"])
            else:
                recording = apply_preprocessing_pipeline(recording, [{"params": {}, **step}])
        except (TypeError, AssertionError) as error:
            raise ValueError(
                f"The front end's step {step!r} cannot be applied: {error}. Expected "
                "{'name': a preprocessor of SpikeInterface, 'params': its keyword arguments}."
            ) from error
    return recording


def traces_for(recording: BaseRecording, net: Network, applied_front_end: FrontEnd | None) -> BaseRecording:
    """
    The recording as a network shall see it.

    Parameters
    ----------
    recording : BaseRecording
    net : Network
        A detector.
    applied_front_end : list of dict | None
        The steps that the recording has been through already. None applies those of the network.

    Warns
    -----
    UserWarning
        If other steps were applied than those that the network was trained on.
    """
    own = front_end_of(net)
    if applied_front_end is None:
        return apply_front_end(recording, own)
    if _as_json(own) != _as_json(applied_front_end):
        name = net.info.name if net.info is not None else net.architecture
        warnings.warn(
            f"The detector '{name}' was trained on traces of the front end {own}, these traces are of "
            f"{applied_front_end}. It may miss spikes: use the same settings, or train a detector on these traces.",
            stacklevel=4,
        )
    return recording


def _as_json(steps: FrontEnd) -> str:
    return json.dumps(steps, sort_keys=True, default=lambda value: value.tolist())
