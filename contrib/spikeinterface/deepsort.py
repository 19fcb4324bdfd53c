"""
Wrapper of deepsort for SpikeInterface's own tree: `src/spikeinterface/sorters/external/deepsort.py`.

The settings are written down here, because SpikeInterface shows them without the package. A test in the package keeps
them equal to its own.
"""

import importlib.util
from pathlib import Path

from ..basesorter import BaseSorter


class DeepsortSorter(BaseSorter):
    """Deepsort sorter object."""

    sorter_name = "deepsort"
    requires_locations = False
    gpu_capability = "nvidia-optional"
    requires_binary_data = False
    compatible_with_parallel = {"loky": True, "multiprocessing": True, "threading": True}
    handle_multi_segment = True

    _default_params = {
        'apply_preprocessing': True,
        'freq_min': 150.0,
        'freq_max': 7000.0,
        'common_reference': True,
        'motion_correction': 'auto',
        'whitening_order': 24,
        'whitening_radius_um': 100.0,
        'cache': 'folder',
        'detection': 'cnn',
        'detect_threshold': None,
        'detect_radius_um': 60.0,
        'embedding': 'pca',
        'embedding_radius_um': 80.0,
        'clustering': 'isosplit',
        'min_cluster_size': None,
        'max_peaks_per_channel': 3000,
        'merge_distance': 3.75,
        'merge_separation': 2.7,
        'matching': 'pursuit',
        'match_threshold': 18.0,
        'amplitude_variance': 0.02,
        'num_rounds': 2,
        'ms_before': 1.3,
        'ms_after': 2.0,
        'min_firing_rate': 0.1,
        'min_amplitude': 2.9,
        'min_spike_size': 7.5,
        'classifier': None,
        'assess': True,
        'drop_fragments': True,
        'seed': 0,
        'job_kwargs': {},
        'device': 'cpu',
        'dask_scheduler': None,
    }

    _params_description = {
        'apply_preprocessing': 'Band-pass filter and reference the recording first. Use False if it is filtered already',
        'freq_min': 'Lower edge of the band-pass filter in Hz',
        'freq_max': 'Upper edge of the band-pass filter in Hz',
        'common_reference': 'Subtract the median over the channels of each shank that has at least 32 channels, and from fewer channels the noise that they share, where it is strong',
        'motion_correction': "Drift correction: 'auto' estimates drift and corrects it if there is some, None never corrects, and a preset of SpikeInterface's compute_motion always corrects. One of ('auto', 'dredge', 'medicine', 'dredge_fast', 'nonrigid_accurate', 'nonrigid_fast_and_accurate', 'rigid_fast', 'kilosort_like', None).",
        'whitening_order': 'Order in samples of the filter that whitens noise over time; 0 switches it off',
        'whitening_radius_um': 'Channels within this distance in um are whitened together; 0 only scales each channel',
        'cache': "Where whitened traces are kept during the run: in the output folder, in memory, or nowhere (computed anew in each step). One of ('folder', 'memory', 'none').",
        'detection': "Spike detection: the network 'cnn', which judges places that match the typical waveform of the recording, the networks 'gru' or 'detector-cnn', which judge peaks of the energy of any waveform, 'energy' (all such peaks above a threshold), 'locally_exclusive' or 'matched_filtering' (SpikeInterface's threshold detectors), or the folder of a trained detector",
        'detect_threshold': "Detection threshold; its unit depends on `detection`. energy: size of a waveform (square root of its energy) in standard deviations of the whitened noise (None: 6.5). locally_exclusive, matched_filtering: noise levels (None: 5). cnn, gru, a trained detector: probability of a spike from 0 to 1 (None: the model's own)",
        'detect_radius_um': 'Exclusion radius in um: of peaks at the same time within this distance, only the largest is kept',
        'embedding': "Features of a waveform for clustering: the bundled autoencoder network, or principal components. One of ('autoencoder', 'pca').",
        'embedding_radius_um': 'Channels within this distance in um of a peak contribute to its features',
        'clustering': "Clustering method. One of ('isosplit', 'hdbscan', 'dbscan').",
        'min_cluster_size': 'Smallest number of spikes of a cluster (None: follows the duration, from 5 in 20 s or less to 15 in 60 s or more; the log says which firing rates this leaves out)',
        'max_peaks_per_channel': 'Largest number of peaks per channel that are clustered; a larger number is subsampled',
        'merge_distance': 'Clusters are merged if the distance between their templates, in standard deviations of the noise, is smaller',
        'merge_separation': 'Units are merged after matching unless the separation of their spikes, in standard deviations of the spikes, is significantly larger',
        'matching': "Template matching: 'pursuit' is this package's, the others are SpikeInterface's; None returns the clustered peaks without matching. One of ('pursuit', 'wobble', 'circus-omp', 'tdc-peeler', 'nearest', None).",
        'match_threshold': "Smallest score of a matched spike: twice the logarithm of its likelihood ratio against noise. In the last matching it is that of a unit that fires 3.7 Hz; rarer units need more (no unit; only for matching='pursuit')",
        'amplitude_variance': "Expected variance of the amplitudes of a unit's spikes, relative to the squared amplitude of its template (no unit)",
        'num_rounds': 'Rounds in which missed units are looked for and all units are matched again',
        'ms_before': 'Length of a template before the spike in ms; longer if waveforms are',
        'ms_after': 'Length of a template after the spike in ms; longer if waveforms are',
        'min_firing_rate': 'Units with a lower mean firing rate in Hz are dropped',
        'min_amplitude': 'Units whose mean waveform has a smaller peak, in noise levels, are dropped',
        'min_spike_size': 'Units whose typical spike is smaller, in standard deviations of the whitened noise, are dropped; with assess=True, those at least .9 times as large are kept if they are judged to be good',
        'classifier': 'Folder of a trained classifier; spikes are assigned to its known units. None does not classify',
        'assess': 'Judge the units at the end: their properties say which precision and recall to expect, and assessment.csv in the output folder says why',
        'drop_fragments': 'Leave out units that are judged to be fragments and to hold less than half of the spikes of their neuron, or to be rare noise and to hold less than a fifth (only with assess=True)',
        'seed': 'Random seed',
        'job_kwargs': "SpikeInterface's options for parallel processing: n_jobs, chunk_duration, progress_bar and others. None of them changes the spikes: detection and matching always use chunks of 1 s and one thread in each worker",
        'device': "Where traces are filtered and whitened, spikes detected and templates correlated: 'cpu' (compiled code, the reference), or by PyTorch on a GPU: 'auto' (CUDA if there is one, else 'cpu'), 'cuda', 'cuda:1', 'mps'. The spikes are the same but for rounding. 'torch-cpu' computes as on a GPU, without one, to test it",
        'dask_scheduler': "Address of a dask scheduler, such as 'tcp://host:8786': its workers match the whole recording, with the same spikes. They must see the recording and the output folder under the same paths. None uses this machine alone",
    }

    sorter_description = """deepsort whitens traces over time and space, detects spikes by the energy of their waveforms
    or by a network, clusters them, and matches the templates of the clusters."""

    installation_mesg = """\nTo use deepsort run:\n
       >>> pip install si-deepsort

    More information on deepsort at:
      * https://github.com/si-deepsort/si-deepsort
    """

    @classmethod
    def is_installed(cls):
        return importlib.util.find_spec("si_deepsort") is not None

    @classmethod
    def use_gpu(cls, params):
        return params["device"].startswith(("auto", "cuda"))

    @classmethod
    def get_sorter_version(cls):
        from si_deepsort import __version__

        return __version__

    @classmethod
    def _check_apply_filter_in_params(cls, params):
        return params["apply_preprocessing"]

    @classmethod
    def _check_params(cls, recording, sorter_output_folder, params):
        from si_deepsort.settings import settings_from_dict
        from si_deepsort.sorter.settings import DeepSortSettings

        # Wrong values are refused before anything is computed.
        settings_from_dict(DeepSortSettings, params)
        return params

    @classmethod
    def _setup_recording(cls, recording, sorter_output_folder, params, verbose):
        pass

    @classmethod
    def _run_from_folder(cls, sorter_output_folder, params, verbose):
        from si_deepsort.sorter.adapter import DeepSortSorter

        DeepSortSorter._run_from_folder(sorter_output_folder, params, verbose)

    @classmethod
    def _get_result_from_folder(cls, sorter_output_folder):
        from spikeinterface.core import load

        return load(Path(sorter_output_folder) / "sorting")
