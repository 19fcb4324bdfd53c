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
    "peak_detector_cnn": "detector.CNNDetector",
    "peak_detector_gru": "detector.GRUDetector",
    "classifier_cnn": "classifier.CNNClassifier",
    "classifier_gru": "classifier.GRUClassifier",
    "autoencoder": "autoencoder.Autoencoder",
    "denoising_autoencoder": "denoising_autoencoder.DenoisingAutoencoder",
    "spike_predictor": "spike_predictor.SpikePredictor",
    "event_unet": "event_unet.EventUNet",
    "assessor": "assessor.Assessor",
    "cell_type": "cell_type.CellTypeClassifier",
}
# Names of networks that this version has no more, and what to do.
FORMER = dict.fromkeys(
    ("detector_cnn", "detector_gru"),
    "It is a detector of version 0.1.0, which judged extrema of single samples. Train the detector again on the same "
    "labels with train_detector (command: si-deepsort train-detector), or take the bundled 'cnn' or 'gru'.",
)


def network_class(architecture: str) -> "type[Network]":
    """
    Find the class of a network by its name in `ARCHITECTURES`.

    Raises
    ------
    ValueError
        If no network has this name.
    """
    if architecture in FORMER:
        raise ValueError(f"The architecture '{architecture}' cannot be loaded. {FORMER[architecture]}")
    if architecture not in ARCHITECTURES:
        raise ValueError(f"Unknown architecture '{architecture}'. This version knows {sorted(ARCHITECTURES)}.")
    module_name, class_name = ARCHITECTURES[architecture].split(".")
    return getattr(import_module(f"{__name__}.{module_name}"), class_name)
