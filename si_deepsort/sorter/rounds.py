"""Rounds of the sorter: match spikes, look for units among the peaks that no spike explains, match again."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from spikeinterface.core import BaseRecording

from ..chunks import are_inside, duration_of, spread_chunks
from ..preprocessing.whitening import Whitening
from ..spike_vectors import in_order, main_channels
from .clusters.find import ClusteringValues, cluster_peaks
from .clusters.split import split_units
from .matching.match import MatchingValues, match_templates
from .matching.prior_odds import prior_costs_of
from .matching.residual_peaks import residual_peaks, worth_clustering
from .reproducible import fixed_chunks, whole_chunks
from .run_folder import RunFolder
from .units.averages import average_units
from .units.background import Background
from .units.known import KnownUnits, join_known
from .units.refine import Refined, RefinementValues, refine_before_last_matching, refine_clusters
from .units.templates import UnitTemplates, peak_offsets

# Seconds, spread over the stretches from which units are learnt, in which the templates of clusters are matched first:
# they suffice to find most spikes of the clusters. Tuned on generated development recordings (seeds 1-5).
MOST_CLUSTERED_S = 100.0

# Chunks of 1 s of a long recording whose spikes are kept together, once they are matched.
PART_CHUNKS = 600

Refinement = Callable[[BaseRecording, np.ndarray, Background, RefinementValues], Refined]
Chunks = list[tuple[int, int, int]] | None


@dataclass(frozen=True)
class MatchingRounds:
    """
    What all rounds share.

    Attributes
    ----------
    whole : BaseRecording
        White traces of the whole recording.
    traces : BaseRecording
        White traces of the stretches from which units are learnt.
    whitening : Whitening
        The whitening of the traces.
    background : Background
        Background of the traces.
    peaks : np.ndarray, shape (num_peaks,)
        Peaks in `traces`: SpikeInterface's peak dtype, sorted by segment and sample.
    clustering, refinement, matching : ClusteringValues, RefinementValues, MatchingValues
        The values that the steps use.
    run : RunFolder
        Where the results of steps are kept.
    job_kwargs : dict
        SpikeInterface's job_kwargs.
    run_on_cluster : callable | None, default: None
        Matches the whole recording on a cluster, see `match_templates`.
    known : KnownUnits | None, default: None
        Templates of known units, which take part in the last matching.
    """

    whole: BaseRecording
    traces: BaseRecording
    whitening: Whitening
    background: Background
    peaks: np.ndarray
    clustering: ClusteringValues
    refinement: RefinementValues
    matching: MatchingValues
    run: RunFolder
    job_kwargs: dict
    run_on_cluster: Callable[..., np.ndarray] | None = None
    known: KnownUnits | None = None

    def matched_spikes(self, spikes: np.ndarray, num_rounds: int) -> np.ndarray:
        """
        Match the units of clustered peaks, and those that are found among residual peaks in each round.

        In all rounds templates are those of clusters; at the end spikes are matched once more, with templates of
        matched spikes. Only this last matching uses the whole recording.

        Parameters
        ----------
        spikes : np.ndarray
            Sorted spike vector of the clustered peaks.
        num_rounds : int
            With 0 rounds, spikes are matched once, with the templates of the clusters.

        Returns
        -------
        np.ndarray
            Sorted spike vector of the whole recording.
        """
        few = spread_chunks(self.traces, MOST_CLUSTERED_S)
        if num_rounds == 0:
            return self.match_whole("matched_clusters", spikes, refine_clusters)
        spikes = self.match("matched_clusters", spikes, refine_clusters, few)
        clustered = np.zeros(0, dtype=int)
        for number in range(1, num_rounds + 1):
            chunks = few if number == 1 else None
            spikes, clustered = self.run.keep_all(
                (f"clusters_{number}", f"clustered_{number}"),
                lambda spikes=spikes, clustered=clustered, chunks=chunks: self.add_missed_units(  # type: ignore[misc]
                    spikes, clustered, chunks
                ),
            )
            chunks = few if number == num_rounds else None
            spikes = self.match(f"matched_clusters_{number}", spikes, refine_clusters, chunks)
        return self.match_whole("matched", spikes, refine_before_last_matching, duration_of(self.traces, chunks))

    def match(self, name: str, spikes: np.ndarray, refine: Refinement, chunks: Chunks) -> np.ndarray:
        """Refine units and match their templates in some chunks of what units are learnt from; kept under a name."""

        def compute():
            averages = refine(self.traces, spikes, self.background, self.refinement).averages
            templates = averages.templates().values
            is_whole = self.traces is self.whole and chunks is None
            options = dict(
                job_kwargs=fixed_chunks(self.job_kwargs), run_on_cluster=self.run_on_cluster if is_whole else None
            )

            def match_part(part: Chunks) -> np.ndarray:
                return match_templates(self.traces, templates, averages.nbefore, self.matching, chunks=part, **options)

            return self.in_parts(name, match_part) if is_whole else match_part(chunks)

        return self.run.keep(name, compute)

    def match_whole(
        self, name: str, spikes: np.ndarray, refine: Refinement, matched_s: float | None = None
    ) -> np.ndarray:
        """
        Refine units and match their templates, and those of known units, in the whole recording; kept under a name.

        Parameters
        ----------
        name : str
        spikes : np.ndarray
            Sorted spike vector.
        refine : callable
        matched_s : float | None, default: None
            Seconds in which the spikes were matched: they tell how often each unit fires. None if they are clustered
            peaks, which hold only some of the spikes.
        """

        def compute():
            refined = refine(self.traces, spikes, self.background, self.refinement)
            found, factors, costs = refined.averages.templates(), None, None
            templates = found.values
            if self.known is not None:
                templates, factors = join_known(self.known, found, merge_distance=self.refinement.merge_distance)
            elif matched_s is not None:
                costs = prior_costs_of(np.bincount(refined.spikes["unit_index"], minlength=len(templates)), matched_s)
            options = dict(
                job_kwargs=fixed_chunks(self.job_kwargs),
                run_on_cluster=self.run_on_cluster,
                keep_misfits=False,
                threshold_factors=factors,
                prior_costs=costs,
            )

            def match_part(part: Chunks) -> np.ndarray:
                nbefore = refined.averages.nbefore
                return match_templates(self.whole, templates, nbefore, self.matching, chunks=part, **options)

            return self.in_parts(name, match_part)

        return self.run.keep(name, compute)

    def in_parts(self, name: str, match_part: Callable[[Chunks], np.ndarray]) -> np.ndarray:
        """Match the whole recording; the parts of a long one are kept, so that a stop loses little."""
        is_short = self.whole is self.traces and self.run_on_cluster is None
        if is_short or self.matching.method != "pursuit":
            return match_part(None)
        every = whole_chunks(self.whole)
        parts = [every[start : start + PART_CHUNKS] for start in range(0, len(every), PART_CHUNKS)]
        return np.concatenate(
            [self.run.keep(f"{name}_part_{i}", partial(match_part, part)) for i, part in enumerate(parts)]
        )

    def add_missed_units(
        self, spikes: np.ndarray, clustered_before: np.ndarray, chunks: Chunks
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Split units that hold several, and add the clusters of residual peaks in some chunks.

        Parameters
        ----------
        spikes : np.ndarray
            Sorted spike vector of the matched spikes.
        clustered_before : np.ndarray, int
            Second result of the round before; empty in the first round.
        chunks : list of tuple | None
            Segment, first frame and end of each chunk; None for the whole recording.

        Returns
        -------
        spikes : np.ndarray
            Sorted spike vector.
        clustered : np.ndarray, int
            Positions of the peaks that were clustered last on each channel, see `worth_clustering`.
        """
        values = self.refinement
        reach = dict(nbefore=values.nbefore, nafter=values.nafter)
        templates = average_units(self.traces, spikes, self.background, **reach, seed=values.seed).templates()
        candidates = np.flatnonzero(are_inside(self.peaks, chunks))
        residual = candidates[self.are_residual(self.peaks[candidates], spikes, templates)]
        chosen, clustered = worth_clustering(self.peaks["channel_index"], residual, clustered_before)
        # A unit that codes did not tell from others may stand out in principal components, so these come second.
        described = replace(self.clustering, embedding="pca")
        found = cluster_peaks(self.traces, self.whitening, self.peaks[chosen], described)
        spikes = split_units(
            self.traces,
            spikes,
            templates,
            method=self.clustering.method,
            min_size=self.clustering.min_size,
            amplitude_variance=values.amplitude_variance,
            seed=values.seed,
        )
        found["unit_index"] += spikes["unit_index"].max(initial=-1) + 1
        return in_order(np.concatenate([spikes, found])), clustered

    def are_residual(self, peaks: np.ndarray, spikes: np.ndarray, templates: UnitTemplates) -> np.ndarray:
        """Which peaks no spike explains: small units that larger ones had hidden may be among them."""
        return residual_peaks(
            peaks,
            spikes,
            peak_channels=main_channels(templates.values),
            peak_offsets=peak_offsets(templates),
            locations=self.traces.get_channel_locations()[:, :2],
            radius_um=self.clustering.radius_um,
            sampling_frequency=self.traces.get_sampling_frequency(),
        )
