"""
Units that others make redundant: collisions, which are pairs of spikes of other units, and mixtures of similar units.

A template cannot tell a collision from a unit that happens to look like the sum of two others; neither can the number
of its spikes, since neighbouring neurons fire together. Single spikes can: each spike of a collision is explained by
the other units as well, every one of them with its own lag and amplitude.
"""

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass

import numpy as np
from scipy.stats import binom
from spikeinterface.core import BaseRecording

from ...geometry import channel_distances
from ...spike_vectors import main_channels, some_of_each, trains_of
from ...threads import alone, each
from ..average_waveforms import MOST_AVERAGED_SPIKES
from ..matching.kernels import INTERPOLATION_REACH
from ..matching.overlaps import TemplateOverlaps, make_template_overlaps, waveform_directions
from ..matching.pursuit import pursue_correlations
from .merge import fire_as_two
from .spike_windows import make_window_templates, read_spike_windows
from .templates import UnitTemplates

# A rarer unit that explains more than this share of the energy of a template is taken for a part of the unit: half, as
# then all others explain less. With .8, 2 of 60 neurons of SpikeInterface's generator (32 channels, seed 11) were lost.
DUPLICATE_SHARE = 0.5
# A unit is tested if the templates of others leave less than this fraction of the energy of its template. The lags of
# a collision vary, so its template is smeared and is no exact sum.
SUSPICIOUS_RESIDUAL = 0.75
# Templates of others are used if their score exceeds this fraction of the energy of the unit, plus this constant in
# squared noise standard deviations.
EXPLAINED_FRACTION, EXPLAINED_ENERGY = 0.02, 10.0
# Variance of the amplitudes with which the templates of others are fitted to the template of a unit.
AMPLITUDE_VARIANCE = 0.02
# Spikes of each unit that are tested: with as many, the share of doubtful ones is known to 6 %.
MOST_TESTED_SPIKES = 40
# A quarter of these spikes is tested first, then half of them: they decide alone if a unit with just the limiting share
# of such spikes shows so few of them, or so many, with a smaller probability than this.
MOST_UNCERTAIN = 0.02
# Channels within this many um of the main channel of a unit, and those where it is visible, are looked at.
TEST_RADIUS_UM = 150.0
# A spike is doubtful if the unit explains its window better than the others by less than this, as twice a log
# likelihood ratio: a likelihood ratio of 4.5.
LEAST_GAIN = 3.0
# To it comes this fraction of the energy of the template: the spikes of a unit differ in shape, and the sum of two
# others leaves as much. True units that look like a sum gain 4 % and more. Chosen on development recordings (a tetrode,
# seed 1, and 45 units that fire together, seed 1). It decides nothing if the unit looks like one other unit alone, and
# the two coincide as one neuron does not.
MISFIT_FRACTION = 0.01
# A unit that looks like the sum of several others is a collision if more than this share of its spikes are doubtful:
# units that are a little contaminated stay. Chosen on the same recordings.
DOUBTFUL_SHARE = 0.2
# A unit that looks like one other unit is superfluous if more than this share of its spikes are doubtful. With .2, 48
# small units that fire together had 1 instead of 7 false units, but a tetrode lost .03 of its accuracy.
SUPERFLUOUS_SHARE = 0.5
# A unit is one, whatever its other spikes are, if at most this share of them could be spikes of others that cost
# nothing: contamination makes no collision of a neuron. Most spikes decide; not tuned.
MOST_UNDECIDED = 0.5


def find_redundant_units(
    traces: BaseRecording,
    spikes: np.ndarray,
    templates: UnitTemplates,
    *,
    fewest_others: int,
    threshold: float,
    amplitude_variance: float,
    seed: int,
) -> np.ndarray:
    """
    Find units whose spikes other units explain as well.

    Units are tested from the rarest one on, each against all others that are left, and against those of them that have
    more spikes: a pair of neurons fires together less often than either of them. Rarer units may be collisions of the
    same pair with other lags; templates are fitted one after the other, and such a sum comes before its parts. A rarer
    unit of a similar shape is a part of the unit rather than the other way round: it explains nothing.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    spikes : np.ndarray
        Sorted spike vector of the units.
    templates : UnitTemplates
    fewest_others : int
        A unit is tested if the templates of as many others explain much of its own: 2 finds collisions alone, 1 also
        finds units that hold a mixture of others, whose spikes a later matching gives to these.
    threshold : float
        Smallest score of a spike, twice a log likelihood ratio: what an additional spike costs.
    amplitude_variance : float
        Variance of the amplitudes of a unit's spikes, relative to its template.
    seed : int
        Seed of the choice of spikes.

    Returns
    -------
    np.ndarray, shape (num_units,), bool
    """
    seen = tested_channels(templates, traces.get_channel_locations()[:, :2])
    tests = _CollisionTests(
        traces,
        spikes[some_of_each(spikes["unit_index"], MOST_TESTED_SPIKES, seed)],
        templates,
        make_template_overlaps(templates.values),
        trains_of(spikes, len(templates.values)),
        templates.squared_errors().sum(axis=1),
        chance_gains(templates),
        seen,
        fewest_others=fewest_others,
        threshold=threshold,
        amplitude_variance=amplitude_variance,
    )
    # A unit depends on those that are visible on the channels where it is tested.
    depends = seen.astype("float32") @ templates.visible.T.astype("float32") > 0
    return ~_kept_one_by_one(tests.is_unit, np.argsort(templates.num_spikes, kind="stable"), depends)


@dataclass(frozen=True)
class _CollisionTests:
    """Whether units are more than collisions of others; arguments as in functions of this file."""

    traces: BaseRecording
    tested: np.ndarray
    templates: UnitTemplates
    overlaps: TemplateOverlaps
    trains: list[np.ndarray]
    errors: np.ndarray
    chance: np.ndarray
    seen: np.ndarray
    _: KW_ONLY
    fewest_others: int
    threshold: float
    amplitude_variance: float

    def is_unit(self, unit: int, is_left: np.ndarray) -> bool:
        """Whether a unit is one beside all others that are left, and beside those of them that have more spikes."""
        others, counts = np.flatnonzero(is_left & (np.arange(len(is_left)) != unit)), self.templates.num_spikes
        larger = others[counts[others] > counts[unit]]
        if self.fewest_others > 1:  # else a part was judged before, beside the unit alone
            others = others[(counts[others] >= counts[unit]) | (self._shared_energies(unit)[others] < DUPLICATE_SHARE)]
        return self._is_unit_beside(unit, larger) and (len(larger) == len(others) or self._is_unit_beside(unit, others))

    def _shared_energies(self, unit: int) -> np.ndarray:
        """Share of the energy of a unit's template that each other one explains alone, (num_units,)."""
        norms, pairs = self.overlaps.norms, slice(self.overlaps.starts[unit], self.overlaps.starts[unit + 1])
        shares, others = np.zeros(len(norms)), self.overlaps.units[pairs]
        best = self.overlaps.values[pairs].max(axis=1, initial=0.0)
        shares[others] = best**2 / np.maximum(norms[unit] * norms[others], 1e-9)
        return shares

    def _is_unit_beside(self, unit, others) -> bool:
        templates, norm = self.templates, self.overlaps.norms[unit]
        explaining, residual = _explain_template(templates.values, self.overlaps, unit, others)
        is_similar = residual - self.errors[unit] < SUSPICIOUS_RESIDUAL * norm
        if not is_similar or len(explaining) < self.fewest_others:
            return True
        own = self.tested[self.tested["unit_index"] == unit]
        gains = spike_gains(
            self.traces,
            [own[::4], own[2::4], own[1::2]],
            templates,
            unit,
            others,
            self.seen[unit],
            threshold=self.threshold,
            amplitude_variance=self.amplitude_variance,
        )
        share = DOUBTFUL_SHARE if len(explaining) > 1 else SUPERFLUOUS_SHARE
        least, misfit = LEAST_GAIN + self.chance[unit], MISFIT_FRACTION * norm
        decisive = self.threshold + least
        first, second = self.trains[unit], self.trains[explaining[0]]
        if len(explaining) > 1 or not fire_as_two(first, second, self.traces.get_sampling_frequency()):
            decisive += misfit
        return _most_gain(gains, len(own), least=least + misfit, decisive=decisive, share=share)


def tested_channels(templates: UnitTemplates, locations: np.ndarray) -> np.ndarray:
    """Channels at which the spikes of each unit are tested, (num_units, num_channels), bool; locations in um."""
    is_near = channel_distances(locations) <= TEST_RADIUS_UM
    return is_near[main_channels(templates.values)] | templates.visible


def chance_gains(templates: UnitTemplates) -> np.ndarray:
    """
    How much better units explain spikes because their templates were made from these spikes as well, (num_units,).

    Left out of its mean of n, a spike has a twice log likelihood that is 2 / n smaller in each dimension.
    """
    num_dimensions = len(waveform_directions(templates.values)) * templates.visible.sum(axis=1)
    return 2 * num_dimensions / np.clip(templates.num_spikes, 1, MOST_AVERAGED_SPIKES)


def _most_gain(gains: Iterator[np.ndarray], num_spikes: int, *, least: float, decisive: float, share: float) -> bool:
    """Whether all spikes but a share gain more than `least`, or most more than `decisive`; some decide if certain."""
    tested, limits = np.zeros(0), ((least, share), (decisive, MOST_UNDECIDED))
    for some in gains:
        tested = np.concatenate([tested, some])
        if len(tested) < num_spikes:
            passes = [_certainly_fewer(int(np.count_nonzero(tested <= limit)), len(tested), of) for limit, of in limits]
            if True in passes or passes == [False, False]:
                return True in passes
    return len(tested) > 0 and any(np.quantile(tested, of) > limit for limit, of in limits)


def _certainly_fewer(num_below: int, num_tested: int, share: float) -> bool | None:
    """Whether a smaller share of a unit's spikes is below a limit than `share`, by those tested; None: not certain."""
    fewer, more = binom.cdf(num_below, num_tested, share), binom.sf(num_below - 1, num_tested, share)
    return bool(fewer < more) if min(fewer, more) < MOST_UNCERTAIN else None


def _kept_one_by_one(is_unit: Callable[[int, np.ndarray], bool], order: np.ndarray, depends: np.ndarray) -> np.ndarray:
    """
    Which units are kept if they are judged in an order, each with those that are left then; (num_units,), bool.

    Threads judge units ahead, each with those that are left when its test begins. One that depends on a unit which was
    dropped meanwhile, `depends` of shape (num_units, num_units), is judged again.
    """
    is_left = np.ones(len(order), dtype=bool)

    def judge(unit: int) -> tuple[np.ndarray, bool]:
        seen = is_left.copy()
        return seen, is_unit(unit, seen)

    for unit, (seen, is_kept) in zip(order, each(judge, order), strict=True):
        if np.any(depends[unit] & seen & ~is_left):
            with alone():
                _, is_kept = judge(unit)
        is_left[unit] = is_kept
    return is_left


def _explain_template(templates, overlaps: TemplateOverlaps, unit, candidates):
    """Candidates whose templates explain the template of a unit, and the energy that they leave."""
    num_samples = overlaps.num_lags
    pairs = slice(overlaps.starts[unit], overlaps.starts[unit + 1])
    correlations = np.zeros((len(overlaps.norms), 2 * num_samples - 1), dtype="float32")
    correlations[overlaps.units[pairs]] = overlaps.values[pairs, INTERPOLATION_REACH:-INTERPOLATION_REACH]
    least_score = EXPLAINED_FRACTION * overlaps.norms[unit] + EXPLAINED_ENERGY
    thresholds = np.full(len(overlaps.norms), np.inf)
    thresholds[candidates] = least_score
    frames, others, amplitudes, _ = pursue_correlations(
        correlations,
        overlaps,
        thresholds=thresholds,
        amplitude_variance=AMPLITUDE_VARIANCE,
        refractory_frames=num_samples,
    )
    residual = np.zeros((3 * num_samples - 2, templates.shape[2]), dtype=templates.dtype)
    residual[num_samples - 1 : 2 * num_samples - 1] = templates[unit]
    for frame, other, amplitude in zip(frames, others, amplitudes, strict=True):
        residual[frame : frame + num_samples] -= amplitude * templates[other]
    return others, np.sum(residual**2)


def spike_gains(
    traces: BaseRecording,
    parts: list[np.ndarray],
    templates: UnitTemplates,
    unit: int,
    others: np.ndarray,
    is_tested: np.ndarray,
    *,
    threshold: float,
    amplitude_variance: float,
) -> Iterator[np.ndarray]:
    """
    How much better the windows of some spikes of a unit are explained with the unit than by others alone.

    Parameters
    ----------
    traces : BaseRecording
        White traces.
    parts : list of np.ndarray
        Sorted spike vectors, each with some spikes of the unit; they are tested one after the other.
    templates : UnitTemplates
        Templates of all units.
    unit : int
    others : np.ndarray, shape (num_others,), int
        Units that may explain the spikes instead.
    is_tested : np.ndarray, shape (num_channels,), bool
        Channels of the windows, see `tested_channels`.
    threshold, amplitude_variance : float
        As in `find_redundant_units`.

    Yields
    ------
    np.ndarray, shape (num_spikes,), float
        Differences of twice the log likelihood for the spikes of each part.
    """
    channels = np.flatnonzero(is_tested)
    members = np.concatenate([[unit], others[(templates.visible[others] & is_tested).any(axis=1)]])
    local = np.stack([templates.values[member][:, channels] for member in members])
    reach = dict(nbefore=templates.nbefore, num_samples=local.shape[1])
    explained = make_window_templates(local, threshold=threshold, amplitude_variance=amplitude_variance)
    for part in parts:
        yield explained.gains(read_spike_windows(traces, part, channels, **reach))
