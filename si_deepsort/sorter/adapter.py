"""
The sorter as SpikeInterface sees it: its settings and a thin adapter. The flow itself is in `pipeline.py`.

PyTorch is not imported here: this module is loaded by `import si_deepsort`.
"""

import gc
import shutil
import warnings
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from spikeinterface.core import load
from spikeinterface.core.job_tools import fix_job_kwargs
from spikeinterface.sorters import BaseSorter

from .._version import __version__
from ..settings import Settings, default_params, params_description, setting, settings_from_dict

# Where SpikeInterface writes the settings of a run.
PARAMS_FILE = "spikeinterface_params.json"
# Of SpikeInterface's compute_motion.
MOTION_PRESETS = (
    "dredge",
    "medicine",
    "dredge_fast",
    "nonrigid_accurate",
    "nonrigid_fast_and_accurate",
    "rigid_fast",
    "kilosort_like",
)


@dataclass(frozen=True, kw_only=True)
class DeepSortSettings(Settings):
    """Settings of the sorter; distances in um, times in ms or s, frequencies in Hz."""

    apply_preprocessing: bool = setting(True, "Band-pass and reference first; False for a preprocessed recording")
    freq_min: float = setting(150.0, "Lower edge of the band-pass in Hz", minimum=1.0)
    freq_max: float = setting(7000.0, "Upper edge of the band-pass in Hz", minimum=100.0)
    common_reference: bool = setting(True, "Subtract the median of shanks with at least 32 channels")
    motion_correction: str | None = setting(
        "auto",
        "auto corrects drift where it finds some; else None or a preset of compute_motion",
        choices=("auto", *MOTION_PRESETS, None),
    )
    whitening_order: int = setting(24, "Order of the whitening filter over time; 0 for none", minimum=0, maximum=200)
    whitening_radius_um: float = setting(100.0, "Channels this close are whitened together", minimum=0.0)
    cache: str = setting("folder", "Where white traces are kept", choices=("folder", "memory", "none"))
    detection: str = setting("energy", "cnn, gru, energy, locally_exclusive, matched_filtering or a model folder")
    detect_threshold: float | None = setting(None, "Of the detection; None takes the method's own", minimum=0.0)
    detect_radius_um: float = setting(60.0, "Of several peaks this close the largest stays", minimum=0.0)
    embedding: str = setting("pca", "Features of a waveform", choices=("pca", "autoencoder"))
    embedding_radius_um: float = setting(80.0, "Channels this close to a peak describe it", minimum=0.0)
    clustering: str = setting("isosplit", "Clustering method", choices=("isosplit", "hdbscan", "dbscan"))
    min_cluster_size: int = setting(15, "Fewest spikes of a unit while clustering", minimum=3)
    max_peaks_per_channel: int = setting(3000, "Most peaks per channel that are clustered", minimum=100)
    merge_distance: float = setting(
        3.75, "Clusters whose templates are closer than this, in noise units, are one unit", minimum=0.0
    )
    merge_separation: float = setting(
        3.5, "Matched units whose spikes are closer than this, in their standard deviations, are one", minimum=0.0
    )
    matching: str | None = setting(
        "pursuit",
        "Template matching; None returns the clustered peaks, those of one unit joined",
        choices=("pursuit", "wobble", "circus-omp", "tdc-peeler", "nearest", None),
    )
    match_threshold: float = setting(18.0, "Smallest score of a spike: twice its log likelihood ratio", minimum=0.0)
    amplitude_variance: float = setting(0.02, "Of a unit's spikes, relative to its template", minimum=1e-4)
    num_rounds: int = setting(2, "Rounds of looking for missed units and matching again", minimum=0, maximum=10)
    ms_before: float = setting(1.3, "Template before the spike in ms", minimum=0.2)
    ms_after: float = setting(2.0, "Template after the spike in ms", minimum=0.2)
    min_firing_rate: float = setting(0.1, "Units below this rate in Hz are dropped", minimum=0.0)
    min_amplitude: float = setting(2.9, "Units whose peak is smaller, in noise levels, are dropped", minimum=0.0)
    min_spike_size: float = setting(
        7.5, "Units whose typical spike is smaller, in standard deviations of white noise, are dropped", minimum=0.0
    )
    classifier: str | None = setting(None, "Model folder of a trained classifier: spikes go to its known units")
    seed: int = setting(0, "Of everything random")
    job_kwargs: dict = setting({}, "SpikeInterface's job_kwargs: n_jobs, chunk_duration, progress_bar, ...")

    def __post_init__(self):
        super().__post_init__()
        if self.freq_max <= self.freq_min:
            raise ValueError(f"freq_max ({self.freq_max} Hz) must be above freq_min ({self.freq_min} Hz).")


class DeepSortSorter(BaseSorter):
    """The sorter "deepsort": detect, embed, cluster, match, in traces that are white over time and space."""

    sorter_name = "deepsort"
    sorter_description = "deepsort finds spikes by networks and subspace energy, and matches templates in white traces."
    installation_mesg = "pip install si-deepsort"
    requires_locations = False
    gpu_capability = "nvidia-optional"
    requires_binary_data = False
    handle_multi_segment = True
    compatible_with_parallel = {"loky": True, "multiprocessing": True, "threading": True}  # noqa: RUF012
    _default_params = default_params(DeepSortSettings)
    _params_description = params_description(DeepSortSettings)

    @classmethod
    def is_installed(cls):
        """Whether everything that a run imports is there."""
        return all(find_spec(name) is not None for name in ("torch", "numba", "sklearn"))

    @classmethod
    def get_sorter_version(cls):
        """Version of this package."""
        return __version__

    @classmethod
    def use_gpu(cls, params):
        """Only networks run on a GPU, and the default flow has none that is worth the transfer."""
        return False

    @classmethod
    def _check_apply_filter_in_params(cls, params):
        return False

    @classmethod
    def initialize_folder(cls, recording, output_folder, verbose, remove_existing_folder):
        """Complain about what cannot be sorted before anything is written."""
        from .front_end.check import check_recording

        folder = Path(output_folder or f"{cls.sorter_name}_output")
        if folder.is_dir() and not remove_existing_folder:
            has_run = (folder / PARAMS_FILE).exists()
            resume = " Go on with the run in it by si_deepsort.resume_sorter(folder)." if has_run else ""
            raise ValueError(
                f"The folder {folder} exists.{resume} Replace it by remove_existing_folder=True, or choose another "
                "name."
            )
        check_recording(recording)
        if not any(recording.check_serializability(kind) for kind in ("json", "pickle")):
            raise ValueError(
                "The recording lives in memory alone, where the sorter cannot find it again. Save it first: "
                "recording = recording.save(folder=...)."
            )
        return super().initialize_folder(recording, output_folder, verbose, remove_existing_folder)

    @classmethod
    def set_params_to_folder(cls, recording, output_folder, new_params, verbose):
        """Complain about wrong settings, and leave no folder that would be in the way of the next try."""
        try:
            _load_networks(settings_from_dict(DeepSortSettings, new_params))
        except Exception:
            shutil.rmtree(output_folder)
            raise
        return super().set_params_to_folder(recording, output_folder, new_params, verbose)

    @classmethod
    def _setup_recording(cls, recording, sorter_output_folder, params, verbose):
        pass

    @classmethod
    def _run_from_folder(cls, sorter_output_folder, params, verbose):
        from ..known_units.assign import with_known_units
        from ..preprocessing.band_pass import band_pass
        from ..zoo import model_provenance
        from .pipeline import sort_recording

        folder = Path(sorter_output_folder)
        recording = cls.load_recording_from_folder(folder.parent, with_warnings=False)
        settings = settings_from_dict(DeepSortSettings, params)
        job_kwargs = fix_job_kwargs({"progress_bar": verbose, **settings.job_kwargs})
        nets = _load_networks(settings)
        # From here on the run names the very weights: a tag that moves meanwhile changes nothing.
        settings = replace(settings, **{name: net.info.source["reference"] for name, net in nets.items()})
        classifier = nets.get("classifier")
        # SpikeInterface collects garbage after each chunk, which is slow if it looks at all modules.
        gc.freeze()
        try:
            with warnings.catch_warnings():
                # The cached traces need no provenance: they are deleted at the end.
                warnings.filterwarnings("ignore", message=".*provenance will not be saved")
                sorting = sort_recording(recording, settings, folder, job_kwargs)
        finally:
            gc.unfreeze()
        if classifier is not None:
            if settings.apply_preprocessing:
                recording = band_pass(recording, freq_min=settings.freq_min, freq_max=settings.freq_max)
            sorting = with_known_units(recording, sorting, classifier, seed=settings.seed)
        sorting.annotate(models={name: model_provenance(net) for name, net in nets.items()})
        sorting.save(folder=folder / "sorting", overwrite=True)

    @classmethod
    def _get_result_from_folder(cls, sorter_output_folder):
        return load(Path(sorter_output_folder) / "sorting")


def _load_networks(settings: DeepSortSettings) -> dict:
    """The networks of a run by setting; verified before anything is computed."""
    from ..detection.find_peaks import CLASSICAL, load_detector
    from ..known_units.assign import load_classifier

    nets = {}
    if settings.detection not in ("energy", *CLASSICAL):
        try:
            nets["detection"] = load_detector(settings.detection)
        except ValueError as error:
            methods = ", ".join(("energy", "cnn", "gru", *CLASSICAL))
            raise ValueError(f"detection={settings.detection!r} is none of {methods}, and no model: {error}") from error
    if settings.classifier is not None:
        nets["classifier"] = load_classifier(settings.classifier)
    return nets
