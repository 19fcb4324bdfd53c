"""The settings of the sorter. The command line and the dictionaries of SpikeInterface are made from them."""

import re
from dataclasses import dataclass

from ..settings import SettingError, Settings, setting

# Presets of SpikeInterface's compute_motion.
MOTION_PRESETS = (
    "dredge",
    "medicine",
    "dredge_fast",
    "nonrigid_accurate",
    "nonrigid_fast_and_accurate",
    "rigid_fast",
    "kilosort_like",
)
# Detectors of SpikeInterface that compare traces with a threshold.
THRESHOLD_DETECTORS = ("locally_exclusive", "matched_filtering")
# Largest seed of numpy's older generators, which SpikeInterface's matching methods still use.
LARGEST_SEED = 2**32 - 1

# Names of devices, as a regular expression; whether a device exists is seen when a run begins.
DEVICES = r"cpu|auto|cuda(:\d+)?|mps|torch-cpu"


@dataclass(frozen=True, kw_only=True)
class DeepSortSettings(Settings):
    """Settings of the sorter; distances in um, times in ms or s, frequencies in Hz."""

    apply_preprocessing: bool = setting(
        True, "Band-pass filter and reference the recording first. Use False if it is filtered already"
    )
    freq_min: float = setting(150.0, "Lower edge of the band-pass filter in Hz", minimum=1.0)
    freq_max: float = setting(7000.0, "Upper edge of the band-pass filter in Hz", minimum=100.0)
    common_reference: bool = setting(
        True,
        "Subtract the median over the channels of each shank that has at least 32 channels, and from fewer channels "
        "the noise that they share, where it is strong",
    )
    motion_correction: str | None = setting(
        "auto",
        "Drift correction: 'auto' estimates drift and corrects it if there is some, None never corrects, and a preset "
        "of SpikeInterface's compute_motion always corrects",
        choices=("auto", *MOTION_PRESETS, None),
    )
    whitening_order: int = setting(
        24, "Order in samples of the filter that whitens noise over time; 0 switches it off", minimum=0, maximum=200
    )
    whitening_radius_um: float = setting(
        100.0, "Channels within this distance in um are whitened together; 0 only scales each channel", minimum=0.0
    )
    cache: str = setting(
        "folder",
        "Where whitened traces are kept during the run: in the output folder, in memory, or nowhere (computed anew in "
        "each step)",
        choices=("folder", "memory", "none"),
    )
    detection: str = setting(
        "cnn",
        "Spike detection: the network 'cnn', which judges places that match the typical waveform of the recording, the "
        "networks 'gru' or 'detector-cnn', which judge peaks of the energy of any waveform, 'energy' (all such peaks "
        "above a threshold), 'locally_exclusive' or 'matched_filtering' (SpikeInterface's threshold detectors), or the "
        "folder of a trained detector",
    )
    detect_threshold: float | None = setting(
        None,
        "Detection threshold; its unit depends on `detection`. energy: size of a waveform (square root of its energy) "
        "in standard deviations of the whitened noise (None: 6.5). locally_exclusive, matched_filtering: noise levels "
        "(None: 5). cnn, gru, a trained detector: probability of a spike from 0 to 1 (None: the model's own)",
        minimum=0.0,
    )
    detect_radius_um: float = setting(
        60.0,
        "Exclusion radius in um: of peaks at the same time within this distance, only the largest is kept",
        minimum=0.0,
    )
    embedding: str = setting(
        "pca",
        "Features of a waveform for clustering: the bundled autoencoder network, or principal components",
        choices=("autoencoder", "pca"),
    )
    embedding_radius_um: float = setting(
        80.0, "Channels within this distance in um of a peak contribute to its features", minimum=0.0
    )
    clustering: str = setting("isosplit", "Clustering method", choices=("isosplit", "hdbscan", "dbscan"))
    min_cluster_size: int | None = setting(
        None,
        "Smallest number of spikes of a cluster (None: follows the duration, from 5 in 20 s or less to 15 in 60 s or "
        "more; the log says which firing rates this leaves out)",
        minimum=3,
    )
    max_peaks_per_channel: int = setting(
        3000, "Largest number of peaks per channel that are clustered; a larger number is subsampled", minimum=100
    )
    merge_distance: float = setting(
        3.75,
        "Clusters are merged if the distance between their templates, in standard deviations of the noise, is smaller",
        minimum=0.0,
    )
    # The halves of one neuron are 2.3 apart. 2.7 was chosen on generated and hybrid development recordings (seeds 1-5).
    merge_separation: float = setting(
        2.7,
        "Units are merged after matching unless the separation of their spikes, in standard deviations of the spikes, "
        "is significantly larger",
        minimum=0.0,
    )
    matching: str | None = setting(
        "pursuit",
        "Template matching: 'pursuit' is this package's, the others are SpikeInterface's; None returns the clustered "
        "peaks without matching",
        choices=("pursuit", "wobble", "circus-omp", "tdc-peeler", "nearest", None),
    )
    match_threshold: float = setting(
        18.0,
        "Smallest score of a matched spike: twice the logarithm of its likelihood ratio against noise. In the last "
        "matching it is that of a unit that fires 3.7 Hz; rarer units need more (no unit; only for matching='pursuit')",
        minimum=0.0,
    )
    amplitude_variance: float = setting(
        0.02,
        "Expected variance of the amplitudes of a unit's spikes, relative to the squared amplitude of its template (no "
        "unit)",
        minimum=1e-4,
    )
    num_rounds: int = setting(
        2,
        "Rounds in which missed units are looked for and all units are matched again",
        minimum=0,
        maximum=10,
    )
    ms_before: float = setting(1.3, "Length of a template before the spike in ms; longer if waveforms are", minimum=0.2)
    ms_after: float = setting(2.0, "Length of a template after the spike in ms; longer if waveforms are", minimum=0.2)
    min_firing_rate: float = setting(0.1, "Units with a lower mean firing rate in Hz are dropped", minimum=0.0)
    min_amplitude: float = setting(
        2.9, "Units whose mean waveform has a smaller peak, in noise levels, are dropped", minimum=0.0
    )
    min_spike_size: float = setting(
        7.5,
        "Units whose typical spike is smaller, in standard deviations of the whitened noise, are dropped; with "
        "assess=True, those at least .9 times as large are kept if they are judged to be good",
        minimum=0.0,
    )
    classifier: str | None = setting(
        None, "Folder of a trained classifier; spikes are assigned to its known units. None does not classify"
    )
    assess: bool = setting(
        True,
        "Judge the units at the end: their properties say which precision and recall to expect, and assessment.csv in "
        "the output folder says why",
    )
    drop_fragments: bool = setting(
        True,
        "Leave out units that are judged to be fragments and to hold less than half of the spikes of their neuron, or "
        "to be rare noise and to hold less than a fifth (only with assess=True)",
    )
    seed: int = setting(0, "Random seed", minimum=0, maximum=LARGEST_SEED)
    job_kwargs: dict = setting(
        {},
        "SpikeInterface's options for parallel processing: n_jobs, chunk_duration, progress_bar and others. None of "
        "them changes the spikes: detection and matching always use chunks of 1 s and one thread in each worker",
    )
    device: str = setting(
        "cpu",
        "Where traces are filtered and whitened, spikes detected and templates correlated: 'cpu' (compiled code, the "
        "reference), or by PyTorch on a GPU: 'auto' (CUDA if there is one, else 'cpu'), 'cuda', 'cuda:1', 'mps'. The "
        "spikes are the same but for rounding. 'torch-cpu' computes as on a GPU, without one, to test it",
    )
    dask_scheduler: str | None = setting(
        None,
        "Address of a dask scheduler, such as 'tcp://host:8786': its workers match the whole recording, with the same "
        "spikes. They must see the recording and the output folder under the same paths. None uses this machine alone",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.freq_max <= self.freq_min:
            raise SettingError(
                "freq_max",
                f"got {self.freq_max:g} Hz with freq_min {self.freq_min:g} Hz, must be above freq_min. Raise freq_max "
                "or lower freq_min.",
            )
        is_network = self.detection not in ("energy", *THRESHOLD_DETECTORS)
        if is_network and self.detect_threshold is not None and self.detect_threshold > 1:
            raise SettingError(
                "detect_threshold",
                f"got {self.detect_threshold:g}, expected a probability from 0 to 1 with detection={self.detection!r}.",
            )
        if not re.fullmatch(DEVICES, self.device):
            raise SettingError(
                "device", f"got {self.device!r}, expected 'cpu', 'auto', 'cuda', 'cuda:1', 'mps' or 'torch-cpu'."
            )
        if self.dask_scheduler is not None and self.device not in ("cpu", "auto"):
            raise SettingError(
                "device", f"got {self.device!r} with a dask_scheduler, whose workers compute on CPUs. Use 'cpu'."
            )
        _check_job_kwargs(self.job_kwargs)


def _check_job_kwargs(job_kwargs: dict) -> None:
    """Check names and values by SpikeInterface's rules, which it would apply only after the run has begun."""
    if not job_kwargs:
        return
    import numpy as np
    from spikeinterface.core import NumpyRecording
    from spikeinterface.core.job_tools import ensure_chunk_size, fix_job_kwargs, job_keys

    unknown = [name for name in job_kwargs if name not in job_keys]
    if unknown:
        raise SettingError("job_kwargs", f"got {', '.join(map(repr, unknown))}, expected names among {list(job_keys)}.")
    one_of: dict[str, tuple] = dict(pool_engine=("process", "thread"), mp_context=("fork", "spawn", "forkserver"))
    one_of |= dict(progress_bar=(True, False))
    for name, choices in one_of.items():
        value = job_kwargs.get(name)
        if value is not None and value not in choices:
            raise SettingError("job_kwargs", f"got {name}={value!r}, expected one of {', '.join(map(repr, choices))}.")
    try:
        chunk_size = ensure_chunk_size(NumpyRecording([np.zeros((1, 1))], 1e4), **fix_job_kwargs(job_kwargs))
        if chunk_size < 1:
            raise ValueError("a chunk holds no frame")
    except (AssertionError, TypeError, ValueError) as error:
        raise SettingError(
            "job_kwargs", f"got {job_kwargs!r}, expected values such as n_jobs=2, chunk_duration='1s' ({error})."
        ) from error
