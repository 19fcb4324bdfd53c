"""Step 1 of the sorter, as its settings choose it: peaks by energy, by a network or by a threshold."""

from spikeinterface.core.base import base_peak_dtype
from spikeinterface.core.node_pipeline import run_node_pipeline

from ...detection.find_peaks import find_peaks
from ...preprocessing.whitening import Whitening
from ..front_end.steps import front_end_steps
from .energy import make_energy_filters
from .energy_node import EnergyDetector

ENERGY_THRESHOLD = 6.5


def find_spike_peaks(traces, whitening: Whitening, settings, job_kwargs):
    """
    Peaks of spikes.

    Parameters
    ----------
    traces : BaseRecording
        Cached white traces.
    whitening : Whitening
        The whitening that made them white.
    settings : DeepSortSettings

    Returns
    -------
    np.ndarray
        With SpikeInterface's peak dtype, sorted by segment and sample.
    """
    threshold = settings.detect_threshold
    if settings.detection == "energy":
        filters = make_energy_filters(
            whitening, traces.get_channel_locations()[:, :2], sampling_frequency=traces.get_sampling_frequency()
        )
        node = EnergyDetector(
            traces,
            filters,
            threshold=ENERGY_THRESHOLD if threshold is None else threshold,
            radius_um=settings.detect_radius_um,
        )
        peaks = run_node_pipeline(traces, [node], job_kwargs, job_name="detect spikes (energy)", squeeze_output=True)
        return peaks.astype(base_peak_dtype)
    return find_peaks(
        traces.astype("float32"),
        method=settings.detection,
        threshold=threshold,
        radius_um=settings.detect_radius_um,
        applied_front_end=front_end_steps(settings),
        seed=settings.seed,
        job_kwargs=job_kwargs,
    )
