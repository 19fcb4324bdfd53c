"""What is saved of a classifier beside its weights, and how good it is on held-out time."""

from pathlib import Path

import numpy as np

from ...inference import predict_in_batches
from ...known_units.labelled_units import LabelledUnits, labelled_settings
from ...nets.classifier import WaveformClassifier
from ...zoo import ModelInfo
from ..held_out_score import HeldOutScore
from .examples import LabelledWaveforms
from .settings import ClassifierTrainingSettings
from .templates import template_accuracy

# Probability below which a spike is assigned to no unit.
MIN_PROBABILITY = 0.5


def describe_classifier(
    net: WaveformClassifier,
    examples: LabelledWaveforms,
    units: LabelledUnits,
    folder: str | Path | None,
    sampling_frequency: float,
    nbefore: int,
    settings: ClassifierTrainingSettings,
) -> ModelInfo:
    """Info of a classifier that was trained on a labelled recording, with its accuracy on held-out time."""
    held_out = examples.is_held_out
    return ModelInfo(
        name=Path(folder).absolute().name if folder is not None else net.architecture,
        task="classification",
        sampling_frequency=sampling_frequency,
        probe="the one it was trained on",
        training={
            "command": "si_deepsort.train_classifier",
            "data": "labelled recordings of the user",
            "num_waveforms": len(examples.classes),
            "seed": settings.seed,
        },
        metrics={
            "held_out_accuracy": _accuracy(net, examples.waveforms[held_out], examples.classes[held_out]),
            "template_accuracy": template_accuracy(net, examples.waveforms[held_out], examples.classes[held_out]),
        },
        settings={
            "unit_ids": np.asarray(examples.unit_ids).tolist(),
            "channel_ids": np.asarray(examples.channel_ids).tolist(),
            "nbefore": nbefore,
            "min_probability": MIN_PROBABILITY,
            "label_offset_frames": examples.offset_frames,
            **labelled_settings(units),
        },
    )


def held_out_scores(info: ModelInfo, examples: LabelledWaveforms) -> dict[str, HeldOutScore | str]:
    """The network beside the nearest template."""
    accuracy, by_templates = (info.metrics[name] for name in ("held_out_accuracy", "template_accuracy"))
    score = HeldOutScore(
        measure="share of waveforms right",
        value=accuracy,
        default=by_templates,
        default_name="the nearest template",
        details=f"{len(examples.unit_ids)} units and no spike",
    )
    return {"held-out time": score if np.isfinite(accuracy) else "no waveform, so nothing was measured"}


def _accuracy(net, waveforms, classes) -> float:
    if len(waveforms) == 0:
        return float("nan")
    device = str(next(net.parameters()).device)
    return float((predict_in_batches(net, waveforms, device=device).argmax(axis=1) == classes).mean())
