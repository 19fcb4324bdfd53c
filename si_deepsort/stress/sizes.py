"""How large injected units are, and which of the recording's own units are taken out for them."""

from dataclasses import dataclass

import numpy as np

from .own_units import SourceTemplates
from .settings import StressTestSettings


@dataclass(frozen=True, eq=False)
class Sizes:
    """
    Sizes of the units of one repetition.

    Attributes
    ----------
    snr : np.ndarray, shape (num_units,), float64
    replaced : np.ndarray | None, shape (num_units,), int
        The own unit that is taken out for each; None if units are added.
    """

    snr: np.ndarray
    replaced: np.ndarray | None


def sizes_of_repetitions(
    num_units: int, settings: StressTestSettings, sources: SourceTemplates | None, *, are_replaced: bool
) -> list[Sizes]:
    """
    Sizes for all repetitions.

    Parameters
    ----------
    num_units : int
        Units of a repetition.
    settings : StressTestSettings
    sources : SourceTemplates | None
        Own units.
    are_replaced : bool
        Whether own units are taken out for injected ones.
    """
    if are_replaced and sources is not None:
        return replacing_sizes(sources, num_units, settings)
    snr = spread_of_snr(num_units * settings.num_repetitions, settings).reshape(-1, num_units)
    return [Sizes(own, None) for own in snr]


def spread_of_snr(num_units: int, settings: StressTestSettings) -> np.ndarray:
    """
    SNR of all units of all repetitions, in random order, shape (num_units,).

    It is evenly spread in its inverse, so that half of the units are small (below 5 of 3 to 20): there recall changes
    most, and most neurons of a recording are small, because amplitudes fall with the distance.
    """
    rng = np.random.default_rng([settings.seed, 30])
    steps = (np.arange(num_units) + rng.uniform(size=num_units)) / num_units
    low, high = 1 / settings.snr_max, 1 / settings.snr_min
    return rng.permutation(1 / (low + (high - low) * steps))


def replacing_sizes(sources: SourceTemplates, num_units: int, settings: StressTestSettings) -> list[Sizes]:
    """
    Own units in random order, each as often as the others; every second one is replaced by one as large, the others by
    smaller ones.

    Larger ones would hide more spikes of others than the units that they replace. The smaller ones are evenly spread in
    the inverse of their SNR, from the smallest to that of the unit that is replaced.

    Parameters
    ----------
    sources : SourceTemplates
        At least one.
    num_units : int
        Units of a repetition.
    settings : StressTestSettings
    """
    assert sources.snr is not None
    rng = np.random.default_rng([settings.seed, 30])
    num_sources, total = len(sources.snr), num_units * settings.num_repetitions
    rounds = -(-total // num_sources)
    order = np.concatenate([rng.permutation(num_sources) for _ in range(rounds)])[:total]
    own = np.clip(sources.snr[order], settings.snr_min, settings.snr_max)
    share = np.where(np.arange(total) % 2 == 0, 0.0, rng.uniform(size=total))
    snr = 1 / (1 / own + share * (1 / settings.snr_min - 1 / own))
    pairs = zip(snr.reshape(-1, num_units), order.reshape(-1, num_units), strict=True)
    return [Sizes(size, replaced) for size, replaced in pairs]
