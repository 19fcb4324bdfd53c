"""
Networks: tensors in, tensors out. No file, no recording, no optimiser in this folder.

Inside `nets`, axes are (batch, channels, frames). `ARCHITECTURES` names every network; the name is written in a model
folder's `config.json` and is the only thing that decides which class its weights are loaded into.
"""

from importlib import import_module

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
    "event_autoencoder": "event_unet.EventAutoencoder",
}


def network_class(architecture: str):
    """
    Class of a network by its name in `ARCHITECTURES`.

    Raises
    ------
    ValueError
        If no network has this name.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"Unknown architecture '{architecture}'. This version knows {sorted(ARCHITECTURES)}.")
    module_name, class_name = ARCHITECTURES[architecture].split(".")
    return getattr(import_module(f"{__name__}.{module_name}"), class_name)
