"""Clusters of peaks: selected, described, embedded, clustered channel by channel and aligned."""

import logging
from dataclasses import dataclass

import numpy as np
from spikeinterface.core import BaseRecording

from ...preprocessing.whitening import Whitening
from ...spike_vectors import make_spike_vector
from .cluster import cluster_by_channel
from .describe import describe_peaks
from .embed import peak_embeddings
from .select import select_peaks

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClusteringValues:
    """
    The values that clustering uses.

    Attributes
    ----------
    most_per_channel : int
        Peaks that are clustered on each channel, at most.
    radius_um : float
        Channels within this radius of a peak describe it.
    embedding : "pca" | "autoencoder"
    method : "isosplit" | "hdbscan" | "dbscan"
    min_size : int
        Smallest number of peaks of a cluster.
    seed : int
        Random seed.
    """

    most_per_channel: int
    radius_um: float
    embedding: str
    method: str
    min_size: int
    seed: int


def cluster_peaks(
    traces: BaseRecording, whitening: Whitening, peaks: np.ndarray, values: ClusteringValues
) -> np.ndarray:
    """
    Cluster peaks by their waveforms.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    whitening : Whitening
        The whitening of the traces.
    peaks : np.ndarray, shape (num_peaks,)
        SpikeInterface's peak dtype, sorted by segment and sample.
    values : ClusteringValues

    Returns
    -------
    np.ndarray
        Sorted spike vector with one unit for each cluster. Peaks that belong to no cluster are dropped; the others are
        aligned to the mean waveform of their cluster.
    """
    peaks = select_peaks(peaks, most_per_channel=values.most_per_channel, seed=values.seed)
    descriptions = describe_peaks(traces, whitening, peaks, radius_um=values.radius_um)
    labels = cluster_by_channel(
        peak_embeddings(
            descriptions,
            values.embedding,
            channel_locations=traces.get_channel_locations()[:, :2],
            sampling_frequency=traces.get_sampling_frequency(),
        ),
        peaks["channel_index"],
        method=values.method,
        min_size=values.min_size,
        seed=values.seed,
    )
    logger.info("%d clusters of %d peaks", labels.max(initial=-1) + 1, len(peaks))
    is_clustered = labels >= 0
    units = np.unique(labels[is_clustered], return_inverse=True)[1]
    frames = descriptions.aligned(labels)[is_clustered]
    return make_spike_vector(frames, units, peaks["segment_index"][is_clustered])
