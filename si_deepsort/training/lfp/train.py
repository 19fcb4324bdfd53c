"""Train a predictor of spikes from field potentials, and save it with everything that prediction needs."""

from dataclasses import asdict
from pathlib import Path

from spikeinterface.core import BaseRecording, BaseSorting

from ...lfp.features import FeatureSettings
from ...lfp.predictors import PredictorSettings
from ...lfp.scale import channel_sizes, unit_of
from ...lfp.targets import Session, pair_session
from ...zoo import ModelInfo
from ..held_out_score import HeldOutScore
from ..trained_model import TrainedModel, finish_training
from .fit_predictor import fit_predictor

# Code that uses the model, for the user.
NEXT_STEP = "predict_spikes(recording, {model})"


def train_spike_predictor(
    recording: BaseRecording,
    sorting: BaseSorting,
    unit_id: str | int | list | None = None,
    model: str = "bilstm",
    folder: str | Path | None = None,
    *,
    features: FeatureSettings | None = None,
    settings: PredictorSettings | None = None,
) -> TrainedModel:
    """
    Learn to predict when neurons fire from the field potential recorded with them.

    The predictor claims only what held-out blocks of the training data support: where they support nothing, it
    predicts the constant rate (`info.metrics` says what was gained; evaluate with `cross_validate`).

    Parameters
    ----------
    recording : BaseRecording
        Field potential: one segment, any number of channels, any rate; in uV where it has gains, else as stored.
    sorting : BaseSorting
        Spikes on the same clock; its sampling rate may differ.
    unit_id : unit id | list of unit ids | "population" | None, default: None
        What is predicted: one unit, several at once, the sum of all, or each unit (None).
    model : "constant" | "glm" | "bilstm" | "gru" | "cnn", default: "bilstm"
    folder : str | Path | None, default: None
        Where the model is saved; load it with `load_model` or give it to `predict_spikes`.
    features : FeatureSettings | None, default: None
        Bands, bins, causal or acausal.
    settings : PredictorSettings | None, default: None

    Returns
    -------
    TrainedModel
        Its score is the gain over the constant rate on held-out blocks. `predict_spikes` takes it.

    Raises
    ------
    ValueError
        For unknown units, too few spikes (the message says how many are needed), clocks that differ, NaN, saturated
        channels, or bands above Nyquist.

    Examples
    --------
    >>> trained = train_spike_predictor(lfp_recording, sorting, unit_id="7", model="bilstm", folder="unit7")
    >>> trained.info.metrics
    """
    features = features or FeatureSettings()
    settings = settings or PredictorSettings()
    session = _session(recording, sorting, unit_id)
    paired = pair_session(session, features, target="population" if _is_population(unit_id) else "unit")
    net, training = fit_predictor([paired], model=model, settings=settings, causal=features.causal)
    info = _model_info(recording, paired, training, model, folder, features, settings)
    scores = {"held-out blocks": _held_out_score(list(info.metrics.values()))}
    return finish_training(net, info, folder, scores=scores, next_step=NEXT_STEP, prints=True)


def _held_out_score(bits_per_spike: list[float]) -> HeldOutScore:
    num_predicted = sum(bits > 0 for bits in bits_per_spike)
    return HeldOutScore(
        measure="bits per spike",
        value=sum(bits_per_spike) / len(bits_per_spike),
        default=0.0,
        default_name="the constant rate",
        details=f"{num_predicted} of {len(bits_per_spike)} trains predicted",
    )


def _model_info(recording, paired, training, model, folder, features, settings) -> ModelInfo:
    return ModelInfo(
        name=Path(folder).name if folder else f"spike-predictor-{model}",
        task="lfp",
        sampling_frequency=float(recording.get_sampling_frequency()),
        input_unit="uV" if unit_of(recording) == "uV" else "that of the training data",
        training=dict(
            command="si_deepsort.train_spike_predictor",
            seed=settings.seed,
            data="a recording of the user",
            duration_s=len(paired.counts) * paired.bin_s,
            num_spikes=[int(total) for total in paired.counts.sum(axis=0)],
        ),
        metrics={
            f"held_out_bits_per_spike_{name}": float(values["held_out_bits"])
            for name, values in training["outputs"].items()
        },
        settings=dict(
            features=asdict(features),
            predictor=asdict(settings),
            num_channels=recording.get_num_channels(),
            channel_ids=[str(channel_id) for channel_id in recording.channel_ids],
            unit=unit_of(recording),
            channel_sizes=[float(size) for size in channel_sizes(recording)],
            unit_ids=[_plain(name) for name in paired.output_names],
            base_rates=[float(values["base_rate"]) for values in training["outputs"].values()],
        ),
    )


def _session(recording, sorting, unit_id) -> Session:
    if unit_id is None or _is_population(unit_id):
        return Session(recording, sorting)
    return Session(recording, sorting, unit_ids=list(unit_id) if isinstance(unit_id, list | tuple) else [unit_id])


def _is_population(unit_id) -> bool:
    return isinstance(unit_id, str) and unit_id == "population"


def _plain(name):
    return name.item() if hasattr(name, "item") else name
