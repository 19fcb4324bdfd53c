"""
Networks: tensors in, tensors out. No file, no recording and no optimizer in this folder.

Axes are (batch, channels, frames). `ARCHITECTURES` names every network. The name is saved in the `config.json` of a
model folder and decides into which class its weights are loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .network import Network

ARCHITECTURES = {
    "interpolator": "interpolator.Interpolator",
    "keras_unet": "keras_unet.KerasUNet",
    "detector_cnn": "detector.CNNDetector",
    "detector_gru": "detector.GRUDetector",
    "classifier_cnn": "classifier.CNNClassifier",
    "classifier_gru": "classifier.GRUClassifier",
    "autoencoder": "autoencoder.Autoencoder",
    "spike_predictor": "spike_predictor.SpikePredictor",
    "event_unet": "event_unet.EventUNet",
    "assessor": "assessor.Assessor",
    "cell_type": "cell_type.CellTypeClassifier",
}


def network_class(architecture: str) -> "type[Network]":
    """
    Find the class of a network by its name in `ARCHITECTURES`.

    Raises
    ------
    ValueError
        If no network has this name.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"Unknown architecture '{architecture}'. This version knows {sorted(ARCHITECTURES)}.")
    module_name, class_name = ARCHITECTURES[architecture].split(".")
    return getattr(import_module(f"{__name__}.{module_name}"), class_name)
