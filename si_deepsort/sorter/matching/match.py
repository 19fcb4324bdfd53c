"""Template matching: find all spikes of all units in white traces, overlapping spikes included."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from spikeinterface.core import BaseRecording, ChannelSparsity, Templates
from spikeinterface.sortingcomponents.matching import find_spikes_from_templates
from spikeinterface.sortingcomponents.matching.base import BaseTemplateMatching

from ...chunk_jobs import run_node
from ...detection.energy import comparison_stride
from ...noise import MAD_TO_SD, medians, sample_traces
from ...preprocessing.half_precision import stored_halves
from ...spike_vectors import main_channels, make_spike_vector
from ...threads import each
from .correlate import MatchedFilters, correlate_templates, make_matched_filters, squared_norms
from .on_device import filters_on_device
from .overlaps import make_template_overlaps
from .pursuit import pursue_spikes

# Two spikes of a unit are at least this far apart in ms: no longer than the shortest intervals in bursts.
REFRACTORY_MS = 0.5
# Random chunks, and their length in s, in which the correlation of templates with noise is measured.
NOISE_CHUNKS, NOISE_CHUNK_S = 6, 0.3
# A spike is a misfit of another one if its amplitude is this many standard deviations of the amplitudes of its unit too
# small: one in 4000 spikes of a neuron is, and what a large spike leaves over takes a fifth to a third of a template.
MISFIT_SDS = 3.5


@dataclass(frozen=True, kw_only=True)
class MatchingValues:
    """
    The values that template matching uses.

    Attributes
    ----------
    method : "pursuit" | "wobble" | "circus-omp" | "tdc-peeler" | "nearest"
        This package's method, or one of SpikeInterface's; the other values are for "pursuit" only.
    threshold : float
        Smallest score of a spike of a unit that fires at the usual rate: twice its log likelihood ratio against noise.
    amplitude_variance : float
        Variance of the amplitudes of a unit's spikes, relative to its template.
    seed : int
        Seed of the chunks in which noise is measured.
    device : str, default: "cpu"
        Where templates are correlated with traces, see `si_deepsort.on_device.device_for`.
    """

    method: str
    threshold: float
    amplitude_variance: float
    seed: int
    device: str = "cpu"


class PursuitMatching(BaseTemplateMatching):
    """
    Node of SpikeInterface's pipelines that matches templates by `pursuit.pursue_spikes`.

    Parameters
    ----------
    recording : BaseRecording
        White traces.
    templates : Templates
        SpikeInterface's container of templates.
    thresholds : np.ndarray, shape (num_units,), float
        Smallest score of a spike of each unit.
    amplitude_variance : float
        Variance of the amplitudes of a unit's spikes, relative to its template.
    least_amplitudes : np.ndarray | None, shape (num_units,), float
        Spikes of a smaller amplitude, relative to the template, are found and left out; None leaves out none.
    device : str, default: "cpu"
        Where templates are correlated with traces.
    prior_costs : np.ndarray | None, shape (num_units,), float
        See `pursuit.pursue_spikes`.
    """

    name = "pursuit"
    need_noise_levels = False

    def __init__(
        self,
        recording: BaseRecording,
        templates,
        return_output=True,
        thresholds=None,
        amplitude_variance=0.02,
        least_amplitudes=None,
        device="cpu",
        prior_costs=None,
    ):
        BaseTemplateMatching.__init__(self, recording, templates, return_output=return_output)
        self.thresholds, self.prior_costs = thresholds, prior_costs
        self.least_amplitudes = np.full(len(thresholds), -np.inf) if least_amplitudes is None else least_amplitudes
        self.amplitude_variance = amplitude_variance
        self.refractory_frames = max(1, round(REFRACTORY_MS * recording.get_sampling_frequency() / 1000))
        dense = templates.get_dense_templates()
        stride = comparison_stride(recording.get_sampling_frequency())
        self.filters = filters_on_device(make_matched_filters(dense, stride), device)
        self.overlaps = make_template_overlaps(dense, stride)
        self.main_channels = main_channels(dense)

    def get_margin(self):
        """Frames to either side of a chunk in which spikes may overlap with those inside."""
        # Two templates, as a multiple of the stride, so that all chunks are correlated at the same frames.
        return 2 * self.overlaps.num_lags * self.overlaps.stride

    def compute_matching(self, traces: np.ndarray, start_frame, end_frame, segment_index):
        """Spikes of a chunk in SpikeInterface's matching dtype."""
        frames, units, amplitudes, _ = pursue_spikes(
            traces,
            self.filters,
            self.overlaps,
            thresholds=self.thresholds,
            amplitude_variance=self.amplitude_variance,
            refractory_frames=self.refractory_frames,
            prior_costs=self.prior_costs,
        )
        is_spike = amplitudes >= self.least_amplitudes[units]
        frames, units, amplitudes = frames[is_spike], units[is_spike], amplitudes[is_spike]
        spikes = np.zeros(len(frames), dtype=self.get_dtype())
        spikes["sample_index"] = frames + self.templates.nbefore
        spikes["cluster_index"] = units
        spikes["channel_index"] = self.main_channels[units]
        spikes["amplitude"] = amplitudes
        return spikes[np.argsort(spikes["sample_index"], kind="stable")]


def noise_scales(recording: BaseRecording, templates: np.ndarray, *, seed: int) -> np.ndarray:
    """
    Standard deviation of each template's correlation with noise, relative to that in white noise.

    Far units, and what whitening leaves over, make it larger than 1. Scores grow with its square.

    Parameters
    ----------
    recording : BaseRecording
        White traces.
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float
        In noise standard deviations.
    seed : int
        Seed of the choice of chunks.

    Returns
    -------
    np.ndarray, shape (num_units,), float
        At least 1.
    """
    traces = sample_traces(recording, seed=seed, num_chunks=NOISE_CHUNKS, chunk_s=NOISE_CHUNK_S)
    filters = make_matched_filters(templates, comparison_stride(recording.get_sampling_frequency()))
    if len(traces) < filters.num_samples:
        return np.ones(len(templates))
    # One template after the other, so that copies stay in the processor's cache.
    spread = MAD_TO_SD * np.array(list(each(lambda own: medians(np.abs(own)), correlate_templates(traces, filters))))
    return np.maximum(spread / np.sqrt(np.maximum(filters.norms, 1e-9)), 1.0)


def match_templates(
    recording: BaseRecording,
    templates: np.ndarray,
    nbefore: int,
    values: MatchingValues,
    *,
    job_kwargs: dict,
    threshold_factors: np.ndarray | None = None,
    prior_costs: np.ndarray | None = None,
    chunks: list[tuple[int, int, int]] | None = None,
    run_on_cluster: Callable[..., np.ndarray] | None = None,
    keep_misfits: bool = True,
) -> np.ndarray:
    """
    Find the spikes of all units.

    Parameters
    ----------
    recording : BaseRecording
        White traces.
    templates : np.ndarray, shape (num_units, num_samples, num_channels), float32
        In noise standard deviations; exactly 0 on channels where a unit is not visible.
    nbefore : int
        Sample of the spike time in a template.
    values : MatchingValues
    job_kwargs : dict
        SpikeInterface's job_kwargs.
    threshold_factors : np.ndarray | None, shape (num_units,), default: None
        Multiples of the threshold, one for each unit; only for "pursuit". None is 1 for all.
    prior_costs : np.ndarray | None, shape (num_units,), default: None
        See `prior_odds.prior_costs_of`; only for "pursuit".
    chunks : list of tuple | None, default: None
        Segment, first frame and end of each chunk that is matched, by "pursuit" only; None matches the whole recording.
    run_on_cluster : callable | None, default: None
        Runs a node over chunks elsewhere, see `cluster_stream`; only for "pursuit".
    keep_misfits : bool, default: True
        False leaves out spikes that are too small for their unit (only "pursuit"); kept, they explain leftovers.

    Returns
    -------
    np.ndarray
        Sorted spike vector.
    """
    if not np.any(templates):
        return make_spike_vector(*np.zeros((3, 0), dtype="int64"))
    if values.method == "pursuit":
        least = None if keep_misfits else least_amplitudes(templates, values.amplitude_variance)
        node = _pursuit_node(recording, templates, nbefore, values, threshold_factors, prior_costs, least)
        if run_on_cluster is not None and chunks is not None:
            found = run_on_cluster(recording, node, chunks, job_name="match templates")
        else:
            found = run_node(_source(recording, node), node, job_kwargs, job_name="match templates", chunks=chunks)
    else:
        found = _by_spikeinterface(recording, templates, nbefore, values.method, job_kwargs)
    return make_spike_vector(found["sample_index"], found["cluster_index"], found["segment_index"])


def _by_spikeinterface(recording, templates, nbefore, method, job_kwargs) -> np.ndarray:
    """
    Spikes found by one of SpikeInterface's methods; at least one template is visible somewhere.

    A template that is 0 everywhere stops some of these methods, and lets others find nothing at all.
    """
    visible = np.flatnonzero(np.any(templates != 0, axis=(1, 2)))
    params = dict(noise_levels=np.ones(recording.get_num_channels())) if method in ("tdc-peeler", "nearest") else {}
    wrapped = as_si_templates(recording, templates[visible], nbefore)
    options = dict(method=method, method_kwargs=params, job_kwargs=job_kwargs)
    found = find_spikes_from_templates(recording, wrapped, **options)
    found["cluster_index"] = visible[found["cluster_index"]]
    return found


def least_amplitudes(templates: np.ndarray, amplitude_variance: float) -> np.ndarray:
    """Amplitudes, (num_units,), below which a spike is a misfit; parameters as in `match_templates`."""
    variances = amplitude_variance + 1 / np.maximum(squared_norms(templates), 1e-9)
    return 1 - MISFIT_SDS * np.sqrt(variances)


def match_with_amplitudes(
    recording: BaseRecording,
    templates: np.ndarray,
    nbefore: int,
    values: MatchingValues,
    *,
    job_kwargs: dict,
    threshold_factors: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Find the spikes of all units in a whole recording by "pursuit", and their amplitudes.

    Parameters as in `match_templates`; at least one template.

    Returns
    -------
    spikes : np.ndarray
        Sorted spike vector.
    amplitudes : np.ndarray, shape (num_spikes,), float32
        Relative to the template.
    """
    node = _pursuit_node(recording, templates, nbefore, values, threshold_factors, None, None)
    found = run_node(_source(recording, node), node, job_kwargs, job_name="match templates")
    found = found[np.lexsort((found["cluster_index"], found["sample_index"], found["segment_index"]))]
    spikes = make_spike_vector(found["sample_index"], found["cluster_index"], found["segment_index"])
    return spikes, found["amplitude"]


def _pursuit_node(
    recording, templates, nbefore, values: MatchingValues, threshold_factors, prior_costs, least
) -> PursuitMatching:
    thresholds = values.threshold + (np.zeros(len(templates)) if prior_costs is None else prior_costs)
    thresholds = np.maximum(thresholds, 0) * noise_scales(recording, templates, seed=values.seed) ** 2
    if threshold_factors is not None:
        thresholds = thresholds * threshold_factors
    limits = dict(thresholds=thresholds, least_amplitudes=least, prior_costs=prior_costs)
    options = dict(amplitude_variance=values.amplitude_variance, device=values.device)
    return PursuitMatching(recording, as_si_templates(recording, templates, nbefore), **options, **limits)


def _source(recording: BaseRecording, node: PursuitMatching) -> BaseRecording:
    """What the node reads: half-precision traces as they are stored, if it correlates with compiled code."""
    halves = stored_halves(recording)
    return recording if halves is None or not isinstance(node.filters, MatchedFilters) else halves


def as_si_templates(recording: BaseRecording, templates: np.ndarray, nbefore: int) -> Templates:
    """Templates in SpikeInterface's container, sparse where they are 0; parameters as in `match_templates`."""
    unit_ids = np.arange(len(templates))
    mask = np.any(templates != 0, axis=1)
    dense = Templates(
        templates_array=templates,
        sampling_frequency=recording.get_sampling_frequency(),
        nbefore=nbefore,
        channel_ids=recording.channel_ids,
        unit_ids=unit_ids,
        probe=recording.get_probe(),
        is_in_uV=False,
    )
    return dense.to_sparse(ChannelSparsity(mask, unit_ids, recording.channel_ids))
