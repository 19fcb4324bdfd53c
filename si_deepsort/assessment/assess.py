"""`assess`: how far to trust the units and spikes of any sorting, and what it has probably missed."""

import warnings
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from spikeinterface.core import BaseRecording, BaseSorting

from ..preprocessing.shared_noise import own_noise_levels
from ..preprocessing.whitening import Whitening
from ..spike_vectors import check_belongs
from .assessment import Assessment
from .evidence import Evidence, gather_evidence
from .features import Features, compute_features
from .missed import MissedModel, missed_by_depth, missed_neurons, recording_features, size_counts, unexplained
from .predict import Predictions, predict
from .reasons import unit_reasons
from .trains import NUM_PARTS, parts_of_recording
from .white_traces import white_traces

if TYPE_CHECKING:
    from ..nets.assessor import Assessor
    from ..nets.network import Network

# Seconds of a long recording that are read, spread over all of it.
MOST_S = 60.0
# A sorting is doubted as a whole if most spikes of more than this share of its units hardly stand out from noise.
MOST_INVISIBLE = 0.7
# Spike times lie on the peaks of white waveforms to about .1 ms, whatever the sorter; from this lag in ms on they are
# doubted, if as many units have it. Only units with this many averaged spikes and this squared norm have a peak.
MOST_LAG_MS, FEWEST_AVERAGED, LEAST_NORM = 0.35, 20, 25.0
# The recording is longer than what was sorted if this share of it or more, at its start or its end, has no spikes, and
# this many would be expected there: by chance that happens in one of e^20 sortings.
SILENT_SHARE, FEWEST_EXPECTED = 0.1, 20


def assess(
    sorting: BaseSorting,
    recording: BaseRecording,
    *,
    model: "str | PathLike | Network" = "assessment",
    duration_s: float = MOST_S,
    every_spike: bool = False,
    seed: int = 0,
) -> Assessment:
    """
    Say how far to trust a sorting of any sorter.

    Parameters
    ----------
    sorting : BaseSorting
        From any sorter.
    recording : BaseRecording
        The recording that was sorted. It is filtered and whitened here, whether or not that was done before.
    model : str | Path | Network, default: "assessment"
        The network that judges: a name, a model folder, or a loaded network.
    duration_s : float, default: 60.0
        Seconds of the recording that are read, spread over all of it. Less is read where there are many channels.
    every_spike : bool, default: False
        Judge each spike of the recording, which reads all of it. By default up to 300 spikes of each unit are judged,
        and the others have the expected precision of their unit as probability.
    seed : int, default: 0
        Seed of the choice of spikes.

    Returns
    -------
    Assessment
        `units`, `spikes` and `missed` as tables.

    Raises
    ------
    ValueError
        If the recording cannot be the one that was sorted, has no probe or no signal, or `duration_s` is not positive.
    TypeError
        If one of both is something else, such as a path.

    Warns
    -----
    UserWarning
        If most units are not seen in the recording, if their spike times lie beside their spikes, or if the sorting
        ends much earlier than the recording.
    """
    if not duration_s > 0:
        raise ValueError(f"duration_s: got {duration_s!r}, expected a positive number of seconds.")
    check_belongs(sorting, recording)
    white = white_traces(recording, seed=seed)
    noise = own_noise_levels(white.get_parent(), seed=seed)
    _check_signal(noise)
    _warn_of_other_length(sorting, recording)
    given: dict[str, Any] = dict(model=model, duration_s=duration_s, every_spike=every_spike, seed=seed)
    return assess_white(sorting, white, whitening=white.whitening, noise_before=noise, **given)


def assess_white(
    sorting: BaseSorting,
    white: BaseRecording,
    *,
    whitening: Whitening,
    noise_before: np.ndarray,
    model: "str | PathLike | Network" = "assessment",
    duration_s: float = MOST_S,
    every_spike: bool = False,
    seed: int = 0,
) -> Assessment:
    """
    As `assess`, from white traces that exist already.

    Parameters
    ----------
    sorting : BaseSorting
    white : BaseRecording
        White traces, with positions of the channels in um.
    whitening : Whitening
        The whitening of these traces.
    noise_before : np.ndarray, shape (num_channels,), float
        Noise levels before whitening.
    model, duration_s, every_spike, seed
        As for `assess`.
    """
    evidence, features = examine(sorting, white, duration_s=duration_s, every_spike=every_spike, seed=seed)
    snr = signal_to_noise(evidence, whitening, noise_before)
    return conclude(sorting, white, evidence, features, snr=snr, model=model)


def examine(
    sorting: BaseSorting, white: BaseRecording, *, duration_s: float, every_spike: bool = False, seed: int = 0
) -> tuple[Evidence, Features]:
    """The evidence of a sorting in white traces, and the features that the network sees; arguments as for `assess`."""
    spikes, num_units = sorting.to_spike_vector(), len(sorting.unit_ids)
    num_frames = [white.get_num_frames(segment) for segment in range(white.get_num_segments())]
    evidence = gather_evidence(white, spikes, num_units, most_s=duration_s, seed=seed, judges_all=every_spike)
    return evidence, compute_features(evidence, spikes, num_frames, white.get_sampling_frequency())


def conclude(
    sorting: BaseSorting,
    white: BaseRecording,
    evidence: Evidence,
    features: Features,
    *,
    snr: np.ndarray,
    model: "str | PathLike | Network" = "assessment",
) -> Assessment:
    """
    What the network says of a sorting that was examined.

    Parameters
    ----------
    sorting : BaseSorting
    white : BaseRecording
        White traces.
    evidence, features : Evidence, Features
        From `examine`.
    snr : np.ndarray, shape (num_units,), float
        From `signal_to_noise`.
    model : str | Path | Network, default: "assessment"
    """
    net, spikes = _load(model), sorting.to_spike_vector()
    judged_units = spikes["unit_index"][evidence.judged.positions]
    num_channels = white.get_num_channels()
    predictions = predict(net, features, judged_units, evidence.most_of_one_neuron, num_channels=num_channels)
    _warn_of_other_recording(features)
    _warn_of_shifted_times(evidence, white.get_sampling_frequency())
    whole = recording_features(
        size_counts(evidence),
        float(np.sum(~unexplained(evidence))),
        predictions.labels,
        evidence.templates.norms,
        duration_s=evidence.duration_s,
        num_channels=num_channels,
    )
    return Assessment(
        sorting=sorting,
        units=_unit_table(sorting, evidence, features, predictions, snr),
        spikes=_spike_table(spikes, evidence, predictions),
        missed=missed_neurons(MissedModel.from_settings(net.info.settings["missed"]), whole),
        missed_by_depth=missed_by_depth(evidence, white.get_channel_locations()[:, 1]),
        model=dict(net.info.source),
    )


def signal_to_noise(evidence: Evidence, whitening: Whitening, noise_before: np.ndarray) -> np.ndarray:
    """Peak of each template before whitening, in noise levels, (num_units,), float."""
    dense = evidence.templates.dense(len(noise_before))
    snr = np.zeros(len(dense))
    # One by one: templates of a thousand units on all channels would fill the memory several times.
    for unit, template in enumerate(dense):
        peaks = np.abs(whitening.unwhiten(template[None])[0]).max(axis=0)
        snr[unit] = (peaks / np.where(noise_before > 0, noise_before, np.inf)).max()
    return snr


def _load(model) -> "Assessor":
    from ..nets.assessor import Assessor
    from ..zoo import load_network

    return load_network(model, Assessor, purpose="assessment")


def _unit_table(sorting, evidence: Evidence, features: Features, predictions: Predictions, snr) -> pd.DataFrame:
    from ..nets.assessor import LABELS

    best = predictions.labels.argmax(axis=1) if len(snr) else np.zeros(0, dtype=int)
    table = {
        "num_spikes": sorting.count_num_spikes_per_unit(outputs="array"),
        "snr": snr,
        "label": np.array(LABELS, dtype=object)[best],
        "confidence": predictions.labels.max(axis=1, initial=0.0),
    }
    for name, values in (("precision", predictions.precision), ("recall", predictions.recall)):
        table |= {f"expected_{name}": values[:, 1], f"{name}_lower": values[:, 0], f"{name}_upper": values[:, 2]}
    table |= {f"probability_{name}": predictions.labels[:, place] for place, name in enumerate(LABELS)}
    table = {name: values.astype(float) if values.dtype == "float32" else values for name, values in table.items()}
    table["reasons"] = unit_reasons(evidence, features, list(sorting.unit_ids))
    return pd.DataFrame(table, index=pd.Index(sorting.unit_ids, name="unit_id"))


def _spike_table(spikes, evidence: Evidence, predictions: Predictions) -> pd.DataFrame:
    probability = predictions.precision[:, 1][spikes["unit_index"]].astype("float32")
    is_judged = np.zeros(len(spikes), dtype=bool)
    probability[evidence.judged.positions] = predictions.spikes
    is_judged[evidence.judged.positions] = True
    return pd.DataFrame({"probability": probability, "is_judged": is_judged})


def _check_signal(noise: np.ndarray) -> None:
    if not (noise > 0).any():
        raise ValueError("All channels of the recording are silent: there is nothing by which spikes can be judged.")


def _warn_of_other_length(sorting: BaseSorting, recording: BaseRecording) -> None:
    """Warn if the recording seems to be longer than what was sorted."""
    lengths = [recording.get_num_frames(segment) for segment in range(recording.get_num_segments())]
    spikes = sorting.to_spike_vector()
    has_spikes = parts_of_recording(spikes, len(sorting.unit_ids), lengths).sum(axis=0) > 0
    if not has_spikes.any():
        return
    first, last = has_spikes.argmax() / NUM_PARTS, 1 - has_spikes[::-1].argmax() / NUM_PARTS
    silent = max(first, 1 - last)
    if silent >= SILENT_SHARE and silent * len(spikes) > FEWEST_EXPECTED:
        total_s = sum(lengths) / recording.get_sampling_frequency()
        warnings.warn(
            f"All spikes lie between {first * total_s:.3g} and {last * total_s:.3g} s of {total_s:.3g} s. Was a part "
            "of the recording sorted? Then give this part: recording.frame_slice(start_frame, end_frame).",
            stacklevel=3,
        )


def _warn_of_shifted_times(evidence: Evidence, sampling_frequency: float) -> None:
    """Warn if the waveforms of most units peak beside their spike times, as if these had been shifted."""
    templates = evidence.templates
    has_shape = (templates.counts >= FEWEST_AVERAGED) & (templates.norms >= LEAST_NORM)
    peaks = np.abs(templates.values[has_shape, :, 0]).argmax(axis=1) - templates.nbefore
    lags_ms = 1000 * peaks / sampling_frequency
    if len(lags_ms) >= 3 and np.mean(np.abs(lags_ms) > MOST_LAG_MS) > MOST_INVISIBLE:
        middle = float(np.median(lags_ms))
        warnings.warn(
            f"The waveforms of most units peak about {abs(middle):.1f} ms {'after' if middle > 0 else 'before'} their "
            "spike times. Were the times shifted, or the recording cut? The sorting is judged as it is, and its units "
            "seem worse than they are.",
            stacklevel=5,
        )


def _warn_of_other_recording(features: Features) -> None:
    shares = features.units.get("share_weak", np.zeros(0))
    shares = shares[np.isfinite(shares)]
    if len(shares) >= 3 and np.mean(shares > 0.5) > MOST_INVISIBLE:
        warnings.warn(
            f"Most spikes of {np.sum(shares > 0.5)} of {len(shares)} units hardly stand out from the noise of this "
            "recording. Is it the recording that was sorted?",
            stacklevel=5,
        )
