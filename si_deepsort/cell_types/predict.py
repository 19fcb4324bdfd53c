"""`predict_cell_types`: putative excitatory and inhibitory units of a sorting, with probabilities."""

import warnings
from os import PathLike

import numpy as np
import pandas as pd
import spikeinterface.core as si

from ..geometry import recording_geometry
from ..nets.network import Network
from ..noise import recording_noise_levels
from ..preprocessing.band_pass import band_pass
from ..spike_vectors import main_channels, some_of_each
from .features import burst_index, trough_to_peak_ms

# Band of the waveforms that the model was trained on, in Hz: what CellExplorer stores as filtered waveforms.
FREQ_MIN, FREQ_MAX = 500.0, 8000.0
# Sampling frequencies of the training data in Hz; others are warned of.
LEAST_RATE_HZ = 20_000.0
# Samples before and after the trough in ms: those of the training waveforms.
MS_BEFORE, MS_AFTER = 0.8, 1.2
# Spikes that are averaged, and the fewest from which a type is told: the autocorrelogram of fewer is mostly chance.
MOST_AVERAGED, LEAST_SPIKES = 300, 100
# The trough of the mean must be this many of its standard errors, or the waveform is not clear.
LEAST_ERRORS = 10.0
# A unit whose probability is between these is unsure.
UNSURE = (0.2, 0.8)
EXCITATORY, INHIBITORY, NOT_SURE = "excitatory", "inhibitory", "unsure"
DEFAULT_MODEL = "cell-type"


def predict_cell_types(
    sorting: si.BaseSorting | si.SortingAnalyzer,
    recording: si.BaseRecording | None = None,
    *,
    model: "str | PathLike | Network" = DEFAULT_MODEL,
    share_excitatory: float = 0.5,
    seed: int = 0,
) -> pd.DataFrame:
    """
    Putative type of each unit: excitatory or inhibitory, from the duration of its spike and its bursts.

    Parameters
    ----------
    sorting : BaseSorting | SortingAnalyzer
    recording : BaseRecording | None, default: None
        The recording that was sorted, before filters if possible. Not needed for an analyzer that has its recording.
    model : str | Path | Network, default: "cell-type"
        The bundled model, or another of its kind.
    share_excitatory : float, default: 0.5
        Share of excitatory units that is expected before the units are looked at, e.g. .8 in neocortex.
    seed : int, default: 0
        Seed of the choice of spikes that are averaged.

    Returns
    -------
    pandas.DataFrame
        A row for each unit, by its id: `cell_type` ("excitatory", "inhibitory" or "unsure"), `probability_excitatory`,
        `trough_to_peak_ms`, `burst_index`, `num_spikes`, and `reason`, which says why a unit is unsure.

    Raises
    ------
    ValueError
        If there is no recording, it does not fit the sorting, or the model is of another kind.

    Warns
    -----
    UserWarning
        If sampling frequency or filter differ from what the model was trained on.
    """
    from ..nets.cell_type import CellTypeClassifier
    from ..zoo import load_network

    sorting, recording = _pair(sorting, recording)
    if not 0 < share_excitatory < 1:
        raise ValueError(f"share_excitatory={share_excitatory}, expected a share between 0 and 1.")
    net = load_network(model, CellTypeClassifier, purpose="cell types", device="cpu")
    table = unit_features(sorting, recording, seed=seed)
    prepared = _not_as_trained(recording)
    log_odds = _log_odds(net, table) + np.log(share_excitatory / (1 - share_excitatory))
    table["probability_excitatory"] = 1 / (1 + np.exp(-log_odds))
    table["reason"] = [prepared or _doubt(row) for row in table.itertuples()]
    is_excitatory = table["probability_excitatory"] > 0.5
    table["cell_type"] = np.where(table["reason"] != "", NOT_SURE, np.where(is_excitatory, EXCITATORY, INHIBITORY))
    columns = ["cell_type", "probability_excitatory", "trough_to_peak_ms", "burst_index", "num_spikes", "reason"]
    return table[columns]


def unit_features(sorting: si.BaseSorting, recording: si.BaseRecording, *, seed: int) -> pd.DataFrame:
    """
    Features of each unit.

    Parameters
    ----------
    sorting : BaseSorting
    recording : BaseRecording
    seed : int

    Returns
    -------
    pandas.DataFrame
        By unit id: `trough_to_peak_ms`, `burst_index`, `num_spikes`, `trough_errors` (trough in standard errors of the
        mean) and `is_upright` (whether the trough is larger than the peak before or after it).
    """
    waveforms, nbefore, errors = _mean_waveforms(sorting, recording, seed)
    sampling_frequency = recording.get_sampling_frequency()
    segments = range(sorting.get_num_segments())
    rows = []
    for unit, waveform, error in zip(sorting.unit_ids, waveforms, errors, strict=True):
        trains = [sorting.get_unit_spike_train(unit, segment_index=i) / sampling_frequency for i in segments]
        near = waveform[max(0, nbefore - round(0.5e-3 * sampling_frequency)) :]
        rows.append(
            dict(
                trough_to_peak_ms=trough_to_peak_ms(waveform, sampling_frequency, nbefore),
                burst_index=burst_index(trains),
                num_spikes=sum(len(train) for train in trains),
                trough_errors=-near.min(initial=0.0) / error if error > 0 else 0.0,
                is_upright=bool(-near.min(initial=0.0) >= near.max(initial=0.0)),
            )
        )
    columns = ["trough_to_peak_ms", "burst_index", "num_spikes", "trough_errors", "is_upright"]
    return pd.DataFrame(rows, index=pd.Index(sorting.unit_ids, name="unit_id"), columns=columns)


def _pair(sorting, recording):
    """Sorting and recording, checked."""
    if isinstance(sorting, si.SortingAnalyzer):
        analyzer = sorting
        sorting = analyzer.sorting
        recording = analyzer.recording if recording is None and analyzer.has_recording() else recording
    if recording is None:
        raise ValueError("The recording is needed: predict_cell_types(sorting, recording).")
    if sorting.get_num_segments() != recording.get_num_segments() or not np.isclose(
        sorting.get_sampling_frequency(), recording.get_sampling_frequency()
    ):
        raise ValueError(
            f"The sorting has {sorting.get_num_segments()} segments at {sorting.get_sampling_frequency():g} Hz, the "
            f"recording {recording.get_num_segments()} at {recording.get_sampling_frequency():g} Hz: they must belong "
            "together."
        )
    recording_geometry(recording)
    return sorting, recording


def _mean_waveforms(sorting, recording, seed):
    """Mean waveform of each unit on its main channel, the sample of the trough, and the standard error of the mean."""
    sampling_frequency = recording.get_sampling_frequency()
    filtered = band_pass(recording, freq_min=FREQ_MIN, freq_max=min(FREQ_MAX, 0.45 * sampling_frequency))
    nbefore, nafter = (round(ms * sampling_frequency / 1000) for ms in (MS_BEFORE, MS_AFTER))
    spikes, num_units = sorting.to_spike_vector(), len(sorting.unit_ids)
    lengths = np.array([recording.get_num_frames(i) for i in range(recording.get_num_segments())])
    frames = spikes["sample_index"]
    spikes = spikes[(frames >= nbefore) & (frames + nafter < lengths[spikes["segment_index"]])]
    spikes = spikes[some_of_each(spikes["unit_index"], MOST_AVERAGED, seed)]
    if len(spikes) == 0:
        return np.zeros((num_units, nbefore + nafter)), nbefore, np.zeros(num_units)
    templates = si.estimate_templates(
        filtered, spikes, sorting.unit_ids, nbefore, nafter, return_in_uV=False, n_jobs=1, progress_bar=False
    )
    templates = np.nan_to_num(templates)
    mains = main_channels(templates)
    counts = np.bincount(spikes["unit_index"], minlength=num_units)
    levels = recording_noise_levels(filtered, seed=seed)[mains]
    return templates[np.arange(num_units), :, mains], nbefore, levels / np.sqrt(np.maximum(counts, 1))


def _log_odds(net, table) -> np.ndarray:
    import torch

    # Units without a waveform or spikes stand in the middle; they are unsure in any case.
    features = table[list(net.config.features)].to_numpy("float32")
    known = np.isfinite(features)
    features = np.where(known, features, net.mean.numpy())
    with torch.inference_mode():
        return net(torch.from_numpy(features.astype("float32"))).numpy().astype(float)


def _doubt(row) -> str:
    """Why the type of a unit is not sure; empty if it is."""
    if row.num_spikes < LEAST_SPIKES:
        return f"only {row.num_spikes} spikes, at least {LEAST_SPIKES} are needed"
    if not np.isfinite(row.trough_to_peak_ms) or row.trough_errors < LEAST_ERRORS:
        return "the mean waveform is not clear"
    if not row.is_upright:
        return "the spike goes upwards, as in axons and dendrites"
    if UNSURE[0] < row.probability_excitatory < UNSURE[1]:
        return "waveform and bursts do not tell"
    return ""


def _not_as_trained(recording) -> str:
    """Warn of a recording that is not like those of the training; a reason if no type can be told at all."""
    sampling_frequency = recording.get_sampling_frequency()
    if sampling_frequency < LEAST_RATE_HZ:
        warnings.warn(
            f"The recording has {sampling_frequency:g} Hz, the model was trained at 20 and 30 kHz: durations of "
            "spikes are less exact.",
            stacklevel=3,
        )
    steps = _lazy_steps(recording)
    if any("whiten" in type(step).__name__.lower() for step in steps):
        warnings.warn(
            "The recording is whitened, which changes waveforms: no cell type is told. Give the recording before "
            "whitening.",
            stacklevel=3,
        )
        return "the recording is whitened"
    edges = [edge for step in steps if (edge := _lower_edge(step)) is not None]
    if edges and max(edges) > FREQ_MIN:
        warnings.warn(
            f"The recording was filtered above {max(edges):g} Hz, the model was trained on waveforms above "
            f"{FREQ_MIN:g} Hz: excitatory units look inhibitory. Give the recording before filters.",
            stacklevel=3,
        )
    elif not edges and recording.is_filtered():
        warnings.warn(
            f"The recording was filtered, it is not known how. The model was trained on waveforms of {FREQ_MIN:g} to "
            f"{FREQ_MAX:g} Hz: a higher lower edge makes excitatory units look inhibitory.",
            stacklevel=3,
        )
    return ""


def _lazy_steps(recording) -> list:
    """A recording and the recordings from which it is made lazily."""
    steps = []
    while recording is not None:
        steps.append(recording)
        recording = recording._kwargs.get("recording")
    return steps


def _lower_edge(step) -> float | None:
    """Lower edge in Hz of a high-pass or band-pass of SpikeInterface or of this package; None for other steps."""
    given = step._kwargs
    if given.get("freq_min") is not None:
        return float(given["freq_min"])
    band = given.get("band")
    if band is None or given.get("btype") == "lowpass":
        return None
    return float(np.min(band))
