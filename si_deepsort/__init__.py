"""
Neural networks for extracellular electrophysiology, inside SpikeInterface.

`import si_deepsort` adds the sorter "deepsort" and the preprocessors `deep_interpolate`, `wavelet_denoise` and
`matched_filter` to SpikeInterface. PyTorch is imported only when a network is used.
"""

from importlib import import_module

from ._version import __version__

# Public name -> module that holds it. Imported on first use, so that `import si_deepsort` stays light.
_PUBLIC = {
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
    "tune_detector": "training.detection.tune",
    "find_peaks": "detection.find_peaks",
    "detection_probability": "detection.find_peaks",
    "resume_sorter": "sorter.resume",
    "run_sorter_jobs": "jobs",
    "write_report": "report",
    "segment_events": "events.segment",
    "simulate_events": "events.simulate",
    "train_events": "training.events.train",
    "train_spike_predictor": "training.lfp.train",
    "predict_spikes": "lfp.predict",
    "cross_validate": "lfp.crossval",
    "leave_one_band_out": "lfp.ablation",
}
__all__ = ["DEEPSORT", "__version__", "register", *sorted(_PUBLIC)]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'si_deepsort' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__():
    return sorted([*globals(), *_PUBLIC])


from .register import DEEPSORT, register  # noqa: E402

register()
