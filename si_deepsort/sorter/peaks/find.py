"""Peaks of spikes, found by the energy of their waveforms, by a network or by a threshold."""

import numpy as np
from spikeinterface.core import BaseRecording
from spikeinterface.core.base import base_peak_dtype
from spikeinterface.core.node_pipeline import run_node_pipeline

from ...detection.find_peaks import find_peaks
from ...detection.front_end import FrontEnd
from ...preprocessing.whitening import Whitening
from .energy import make_energy_filters
from .energy_node import EnergyDetector

# Threshold of the energy detector: the norm, in noise standard deviations, of a spike's part in its subspace. Noise
# alone exceeds it less than once per second and channel.
ENERGY_THRESHOLD = 6.5


def find_spike_peaks(
    traces: BaseRecording,
    whitening: Whitening,
    *,
    method: str,
    threshold: float | None,
    radius_um: float,
    seed: int,
    job_kwargs: dict,
    applied_front_end: FrontEnd | None = None,
) -> np.ndarray:
    """
    Find the peaks of spikes.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    whitening : Whitening
        The whitening of the traces.
    method : str
        "energy", or a method of `find_peaks`: a network's name or folder, or one of SpikeInterface's methods.
    threshold : float | None
        Detection threshold, whose unit depends on the method; None takes the method's own.
    radius_um : float
        Smaller peaks within this radius of a larger one are dropped.
    seed : int
        Seed of the chunks in which noise is measured.
    job_kwargs : dict
        SpikeInterface's job_kwargs.
    applied_front_end : FrontEnd | None, default: None
        The steps that made the traces, which a network may have been trained for; see `find_peaks`.

    Returns
    -------
    np.ndarray, shape (num_peaks,)
        SpikeInterface's peak dtype, sorted by segment and sample.
    """
    if method == "energy":
        filters = make_energy_filters(
            whitening, traces.get_channel_locations()[:, :2], sampling_frequency=traces.get_sampling_frequency()
        )
        threshold = ENERGY_THRESHOLD if threshold is None else threshold
        node = EnergyDetector(traces, filters, threshold=threshold, radius_um=radius_um)
        peaks = run_node_pipeline(traces, [node], job_kwargs, job_name="detect spikes (energy)", squeeze_output=True)
        return peaks.astype(base_peak_dtype)
    return find_peaks(
        traces.astype("float32"),
        method=method,
        threshold=threshold,
        radius_um=radius_um,
        applied_front_end=applied_front_end,
        seed=seed,
        job_kwargs=job_kwargs,
    )
