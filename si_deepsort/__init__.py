"""
Neural networks for extracellular electrophysiology, inside SpikeInterface.

`import si_deepsort` adds the sorter "deepsort" and the preprocessors `deep_interpolate`, `wavelet_denoise` and
`matched_filter` to SpikeInterface. PyTorch is imported only when a network is used.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ._version import __version__

# Public name -> module that holds it. Imported on first use, so that `import si_deepsort` stays light.
_PUBLIC = {
    "DEEPSORT": "register",
    "register": "register",
    "load_model": "zoo",
    "save_model": "zoo",
    "list_models": "zoo",
    "pull": "zoo",
    "push_to_hub": "zoo",
    "model_provenance": "zoo",
    "ModelInfo": "zoo",
    "fine_tune": "training.fine_tune",
    "generate_recording": "generation",
    "deep_interpolate": "preprocessing",
    "wavelet_denoise": "preprocessing",
    "matched_filter": "preprocessing",
    "train_deep_interpolation": "training.interpolation.train",
    "artifact_report": "benchmarking.artifact_report",
    "train_detector": "training.detection.train",
    "train_classifier": "training.classification.train",
    "train_autoencoder": "training.embedding.train",
    "predict_cell_types": "cell_types",
    "separate_neuron": "known_units.separate_neuron",
    "tune_detector": "training.detection.tune",
    "find_peaks": "detection.find_peaks",
    "detection_probability": "detection.probability",
    "resume_sorter": "sorter.resume",
    "stress_test": "stress",
    "StressTest": "stress",
    "StressTestSettings": "stress",
    "run_sorter_jobs": "jobs",
    "write_report": "report",
    "assess": "assessment",
    "Assessment": "assessment",
    "segment_events": "events.segment",
    "simulate_events": "events.simulate",
    "train_events": "training.events.train",
    "train_spike_predictor": "training.lfp.train",
    "predict_spikes": "lfp.predict",
    "cross_validate": "training.lfp.cross_validate",
    "leave_one_band_out": "training.lfp.ablation",
}
__all__ = ["__version__", *sorted(_PUBLIC)]
# The program whose help is shown without importing SpikeInterface; its commands call `register` themselves.
_COMMAND = "si-deepsort"


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'si_deepsort' has no attribute '{name}'")
    value = getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    # The module `register` would hide the function of the same name.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])


if Path(sys.argv[0] if sys.argv else "").stem != _COMMAND:
    __getattr__("register")()
