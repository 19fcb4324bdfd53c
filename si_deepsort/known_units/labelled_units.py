"""
Templates of labelled units: kept in a classifier, and brought into another recording of the same probe.

Templates are learnt in white traces. Another recording is whitened in another way, since its noise is another one, so
the labelled recording's whitening is undone and that of the new recording is applied.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from spikeinterface.core import BaseRecording

from ..nets.classifier import WaveformClassifier
from ..preprocessing.whitening import Whitening
from .compatible import channels_of_classifier, check_sampling_frequency

# Names of values that are kept as arrays in the network, and as settings in its info.
_ARRAYS = ("num_spikes", "threshold_factors")


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledUnits:
    """
    What the sorter needs to know of labelled units.

    Attributes
    ----------
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
        In the white traces of the labelled recording; exactly 0 on channels where a unit is not visible.
    nbefore : int
        Sample of the spike time in a template.
    num_spikes : np.ndarray, shape (num_units,), int
        Labelled spikes of each unit.
    threshold_factors : np.ndarray, shape (num_units,), float32
        Multiples of the matching threshold at which labelled spikes are found best.
    whitening : Whitening
        The whitening of the labelled recording.
    unit_ids, channel_ids : list
        Ids of the units, and of all channels of the labelled recording.
    is_in_uV : bool
        Whether the traces before whitening are in uV; otherwise they are in the recording's own unit.
    """

    templates: np.ndarray
    nbefore: int
    num_spikes: np.ndarray
    threshold_factors: np.ndarray
    whitening: Whitening
    unit_ids: list
    channel_ids: list
    is_in_uV: bool

    def templates_in(self, recording: BaseRecording, whitening: Whitening, *, nbefore: int, nafter: int) -> np.ndarray:
        """
        Templates in the white traces of another recording.

        Parameters
        ----------
        recording : BaseRecording
            It has all channels of the labelled recording, in any order.
        whitening : Whitening
            The whitening of this recording.
        nbefore, nafter : int
            Samples before and from the spike time on; 0 beyond the templates that were learnt.

        Returns
        -------
        np.ndarray, shape (num_units, nbefore + nafter, num_channels), float32
            In noise standard deviations, 0 on channels where a unit is not visible.
        """
        places = channels_of_classifier(recording, self.channel_ids)
        before_whitening = np.zeros((*self.templates.shape[:2], recording.get_num_channels()))
        before_whitening[:, :, places] = self.whitening.unwhiten(self.templates)
        if self.is_in_uV:
            before_whitening /= recording.get_channel_gains()
        visible = np.zeros((len(self.templates), recording.get_num_channels()), dtype=bool)
        visible[:, places] = np.any(self.templates != 0, axis=1)
        white = whitening.whiten(before_whitening) * visible[:, None]
        result = np.zeros((len(white), nbefore + nafter, white.shape[2]), dtype="float32")
        first, last = max(0, nbefore - self.nbefore), min(nbefore + nafter, nbefore - self.nbefore + white.shape[1])
        shift = self.nbefore - nbefore
        result[:, first:last] = white[:, first + shift : last + shift]
        return result


def with_labelled_units(net: WaveformClassifier, units: LabelledUnits) -> WaveformClassifier:
    """
    A classifier of the same units that also holds their templates.

    Its info must be given `labelled_settings(units)` beside its other settings.
    """
    unit_rows, channels = np.nonzero(np.any(units.templates != 0, axis=1))
    sizes = (len(unit_rows), units.templates.shape[1], len(units.channel_ids), len(units.whitening.time_filter))
    result = type(net)(replace(net.config, sorting_sizes=sizes))
    result.load_state_dict(net.state_dict(), strict=False)
    assert result.sorting is not None
    values = dict(
        rows=units.templates[unit_rows, :, channels],
        row_units=unit_rows,
        row_channels=channels,
        time_filter=units.whitening.time_filter,
        space_matrix=units.whitening.space_matrix,
        **{name: getattr(units, name) for name in _ARRAYS},
    )
    for name, value in values.items():
        getattr(result.sorting, name).copy_(torch.from_numpy(np.array(value)))
    return result.to(next(net.parameters()).device).eval()


def labelled_settings(units: LabelledUnits) -> dict:
    """What is saved of labelled units in the settings of a model, beside the arrays in its network."""
    return {
        "recorded_channel_ids": np.asarray(units.channel_ids).tolist(),
        "templates_nbefore": units.nbefore,
        "templates_in_uV": units.is_in_uV,
    }


def labelled_units_of(net: WaveformClassifier, recording: BaseRecording) -> LabelledUnits | None:
    """
    The labelled units of a classifier, if it holds templates and they fit a recording.

    Parameters
    ----------
    net : WaveformClassifier
    recording : BaseRecording
        The recording that is to be sorted.

    Returns
    -------
    LabelledUnits | None
        None for a model of an earlier version, which holds no templates.

    Raises
    ------
    ValueError
        If the recording has another sampling rate, lacks channels, or has no gains although the templates are in uV.
    """
    check_sampling_frequency(recording, net)
    if net.sorting is None:
        return None
    kept, arrays = net.info.settings, {name: value.cpu().numpy() for name, value in net.sorting.named_buffers()}
    channel_ids = kept["recorded_channel_ids"]
    channels_of_classifier(recording, channel_ids)
    if kept["templates_in_uV"] and not recording.has_scaleable_traces():
        raise ValueError(
            "The recording has no gains to uV, the labelled one had. Set them: recording.set_channel_gains(...) and "
            "recording.set_channel_offsets(...)."
        )
    templates = np.zeros((len(arrays["num_spikes"]), arrays["rows"].shape[1], len(channel_ids)), dtype="float32")
    templates[arrays["row_units"], :, arrays["row_channels"]] = arrays["rows"]
    return LabelledUnits(
        templates=templates,
        nbefore=kept["templates_nbefore"],
        whitening=Whitening(arrays["time_filter"], arrays["space_matrix"]),
        unit_ids=kept["unit_ids"],
        channel_ids=channel_ids,
        is_in_uV=kept["templates_in_uV"],
        **{name: arrays[name] for name in _ARRAYS},
    )
