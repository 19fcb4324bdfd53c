"""
Greedy template matching in whitened traces, with second thoughts.

Every template is correlated with the traces once; afterwards only these correlations are updated, by the precomputed
overlap of each pair of templates at sub-sample shifts, so a spike costs the same however long the recording is. A
spike is accepted where it explains most, over all units and times. When nothing above the threshold is left, each
spike is taken out again and put back where it fits best: overlapping spikes that stole each other's energy are undone.

In white noise of variance 1 the score of a spike is twice its log likelihood ratio against "no spike", with the
amplitude drawn from a normal distribution around 1. The threshold of a unit that fires at rate r is therefore
2 log(sampling_frequency / r): the prior odds.

Where templates hold nothing above a quarter of the sampling rate, correlations at every second frame say everything:
what lies between two places is read from the sine through three of them.
"""

import numpy as np

from .correlate import MatchedFilters, correlate_templates
from .kernels import find_spikes
from .overlaps import JITTERS, TemplateOverlaps


def pursue_spikes(
    traces: np.ndarray,
    filters: MatchedFilters,
    overlaps: TemplateOverlaps,
    *,
    thresholds: np.ndarray,
    amplitude_variance: float,
    refractory_frames: int,
):
    """
    Spikes in a chunk of whitened traces.

    Parameters
    ----------
    traces : np.ndarray, shape (num_frames, num_channels), float32
    filters : MatchedFilters
    overlaps : TemplateOverlaps
        Of the same templates, with the same stride.
    thresholds : np.ndarray, shape (num_units,), float
        Smallest score of a spike of each unit.
    amplitude_variance : float
        Of the amplitudes of a unit's spikes, relative to its template.
    refractory_frames : int
        A unit does not fire twice within this many frames.

    Returns
    -------
    frames : np.ndarray, shape (num_spikes,), int
        First frame of the template, to the frame whatever the stride.
    units : np.ndarray, shape (num_spikes,), int
    amplitudes : np.ndarray, shape (num_spikes,), float32
        Relative to the template.
    scores : np.ndarray, shape (num_spikes,), float32
    """
    if len(traces) < filters.num_samples or len(filters.norms) == 0:
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0, "float32"), np.zeros(0, "float32")
    return pursue_correlations(
        correlate_templates(traces.astype("float32", copy=False), filters),
        overlaps,
        thresholds=thresholds,
        amplitude_variance=amplitude_variance,
        refractory_frames=refractory_frames,
    )


def pursue_correlations(correlations, overlaps: TemplateOverlaps, *, thresholds, amplitude_variance, refractory_frames):
    """As `pursue_spikes`, given the inner products of templates and traces, which are used up."""
    places, jitters, units, amplitudes, scores = find_spikes(
        correlations,
        overlaps,
        thresholds.astype("float32"),
        np.float32(1.0 / amplitude_variance),
        max(1, round(refractory_frames / overlaps.stride)),
    )
    frames = places * overlaps.stride + np.rint((jitters / JITTERS - 0.5) * overlaps.stride).astype(int)
    order = np.lexsort((units, frames))
    return frames[order], units[order], amplitudes[order], scores[order]
