"""Step 5 of the sorter: every spike of every unit, overlapping ones resolved, by template matching."""

import numpy as np
from spikeinterface.core import ChannelSparsity, Templates
from spikeinterface.core.base import minimum_spike_dtype
from spikeinterface.core.node_pipeline import run_node_pipeline
from spikeinterface.sortingcomponents.matching import find_spikes_from_templates
from spikeinterface.sortingcomponents.matching.base import BaseTemplateMatching

from ...noise import MAD_TO_SD, medians, sample_traces
from ..units.templates import UnitTemplates
from .correlate import correlate_templates, correlation_stride, make_matched_filters
from .overlaps import make_template_overlaps
from .pursuit import pursue_spikes

CLASSICAL = ("wobble", "circus-omp", "tdc-peeler", "nearest")
REFRACTORY_MS = 0.5


class PursuitMatching(BaseTemplateMatching):
    """
    `pursuit.pursue_spikes` as a node of SpikeInterface's template matching.

    Parameters
    ----------
    recording : BaseRecording
        White.
    templates : Templates
        Of SpikeInterface.
    thresholds : np.ndarray, shape (num_units,), float
        Smallest score of each unit.
    amplitude_variance : float
        Of a unit's spikes, relative to its template.
    """

    name = "pursuit"
    need_noise_levels = False

    def __init__(self, recording, templates, return_output=True, thresholds=None, amplitude_variance=0.02):
        BaseTemplateMatching.__init__(self, recording, templates, return_output=return_output)
        self.thresholds = thresholds
        self.amplitude_variance = amplitude_variance
        self.refractory_frames = max(1, round(REFRACTORY_MS * recording.get_sampling_frequency() / 1000))
        dense = templates.get_dense_templates()
        stride = correlation_stride(recording.get_sampling_frequency())
        self.filters, self.overlaps = make_matched_filters(dense, stride), make_template_overlaps(dense, stride)
        self.main_channels = np.abs(dense).max(axis=1).argmax(axis=1)

    def get_margin(self):
        """Frames on either side of a chunk: spikes there may overlap with those inside."""
        # Two templates, as a multiple of the stride, so that all chunks are looked at at the same frames.
        return 2 * self.overlaps.num_lags * self.overlaps.stride

    def compute_matching(self, traces, start_frame, end_frame, segment_index):
        """Spikes of a chunk, as SpikeInterface's matching dtype."""
        frames, units, amplitudes, _ = pursue_spikes(
            traces,
            self.filters,
            self.overlaps,
            thresholds=self.thresholds,
            amplitude_variance=self.amplitude_variance,
            refractory_frames=self.refractory_frames,
        )
        spikes = np.zeros(len(frames), dtype=self.get_dtype())
        spikes["sample_index"] = frames + self.templates.nbefore
        spikes["cluster_index"] = units
        spikes["channel_index"] = self.main_channels[units]
        spikes["amplitude"] = amplitudes
        return spikes[np.argsort(spikes["sample_index"], kind="stable")]


def noise_scales(recording, templates: np.ndarray, *, seed: int) -> np.ndarray:
    """
    Standard deviation of each template's correlation with noise, relative to white noise.

    Far units and what whitening left over make it larger than 1; scores are to be divided by its square.
    """
    traces = sample_traces(recording, seed=seed, num_chunks=6, chunk_s=0.3)
    filters = make_matched_filters(templates, correlation_stride(recording.get_sampling_frequency()))
    if len(traces) < filters.num_samples:
        return np.ones(len(templates))
    # One by one, so that copies stay in the processor's cache.
    spread = MAD_TO_SD * np.array([medians(np.abs(own)) for own in correlate_templates(traces, filters)])
    return np.maximum(spread / np.sqrt(np.maximum(filters.norms, 1e-9)), 1.0)


def match_templates(
    recording,
    templates: UnitTemplates,
    *,
    method: str,
    threshold: float,
    amplitude_variance: float,
    seed: int,
    job_kwargs: dict,
    chunks: list | None = None,
):
    """
    Spikes of all units.

    Parameters
    ----------
    recording : BaseRecording
        White.
    method : "pursuit" | "wobble" | "circus-omp" | "tdc-peeler" | "nearest"
        Ours, or one of SpikeInterface's.
    threshold : float
        Smallest score of a spike (twice its log likelihood ratio against noise).
    chunks : list of tuple | None, default: None
        Segment, first frame and end of what is looked at; None for everything. Methods of SpikeInterface look at
        everything.

    Returns
    -------
    np.ndarray
        Of SpikeInterface's spike vector dtype, sorted by segment and sample.
    """
    if len(templates.values) == 0:
        # find_spikes_from_templates fails on zero templates (SpikeInterface 0.105.3).
        return np.zeros(0, dtype=minimum_spike_dtype)
    wrapped = as_si_templates(recording, templates)
    if method == "pursuit":
        scales = noise_scales(recording, templates.values, seed=seed)
        node = PursuitMatching(
            recording, wrapped, thresholds=threshold * scales**2, amplitude_variance=amplitude_variance
        )
        found = run_node_pipeline(recording, [node], job_kwargs, job_name="match templates", slices=chunks)
    else:
        needs_levels = method in ("tdc-peeler", "nearest")
        params = dict(noise_levels=np.ones(recording.get_num_channels())) if needs_levels else {}
        found = find_spikes_from_templates(
            recording, wrapped, method=method, method_kwargs=params, job_kwargs=job_kwargs
        )
    spikes = np.zeros(len(found), dtype=minimum_spike_dtype)
    for name, source in [("sample_index",) * 2, ("unit_index", "cluster_index"), ("segment_index",) * 2]:
        spikes[name] = found[source]
    return spikes[np.lexsort((spikes["unit_index"], spikes["sample_index"], spikes["segment_index"]))]


def as_si_templates(recording, templates: UnitTemplates) -> Templates:
    """SpikeInterface's container of the templates, sparse where they are 0."""
    unit_ids = np.arange(len(templates.values))
    mask = np.any(templates.values != 0, axis=1)
    dense = Templates(
        templates_array=templates.values,
        sampling_frequency=recording.get_sampling_frequency(),
        nbefore=templates.nbefore,
        channel_ids=recording.channel_ids,
        unit_ids=unit_ids,
        probe=recording.get_probe(),
        is_in_uV=False,
    )
    return dense.to_sparse(ChannelSparsity(mask, unit_ids, recording.channel_ids))
