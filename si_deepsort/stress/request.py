"""What a stress test was asked for, and what injected units are modelled on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import spikeinterface.core as si
from spikeinterface.core import Motion

from .own_units import SourceTemplates, Surroundings
from .settings import StressTestSettings


@dataclass(frozen=True, eq=False)
class Request:
    """
    The checked arguments of `stress_test`.

    Attributes
    ----------
    recording : BaseRecording
    sorters : list of str
    params : dict of dict
        Parameters by sorter.
    sorting : BaseSorting | None
    library : SourceTemplates | None
        Templates that the user gave.
    motion : Motion | None
    settings : StressTestSettings
    sort : callable
        Runs a list of (Run, BaseRecording).
    """

    recording: si.BaseRecording
    sorters: list[str]
    params: dict[str, dict[str, Any]]
    sorting: si.BaseSorting | None
    library: SourceTemplates | None
    motion: Motion | None
    settings: StressTestSettings
    sort: Callable[[list], None]

    def with_recording(self, recording: si.BaseRecording) -> "Request":
        """The same request for the same recording in another place."""
        return replace(self, recording=recording)


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnSpikes:
    """
    The recording's own units, with which injected ones fire together.

    Attributes
    ----------
    trains_s : list of np.ndarray, shape (num_spikes,), float64
        In s from the start of the first segment, segments joined without a gap.
    locations_um : np.ndarray, shape (num_units, 2), float64
    names : list of str
    """

    trains_s: list[np.ndarray]
    locations_um: np.ndarray
    names: list[str]

    def without(self, names: set[str]) -> "OwnSpikes":
        """All but the units of some names."""
        kept = [number for number, name in enumerate(self.names) if name not in names]
        return OwnSpikes(
            trains_s=[self.trains_s[number] for number in kept],
            locations_um=self.locations_um[kept],
            names=[self.names[number] for number in kept],
        )


@dataclass(frozen=True, eq=False)
class Models:
    """
    What injected units are modelled on.

    Attributes
    ----------
    surroundings : Surroundings
    sources : SourceTemplates | None
        None, or without templates: templates of the package's generator are taken.
    own : OwnSpikes
    first : BaseSorting | None
        The sorting of the recording as it is; None if no sorter gave one.
    first_sorter : str | None
        Who made it; None if the user gave it.
    replaces_units : bool
        Whether own units are taken out for the injected ones, so that the recording stays as crowded as it is.
    """

    surroundings: Surroundings
    sources: SourceTemplates | None
    own: OwnSpikes
    first: si.BaseSorting | None
    first_sorter: str | None
    replaces_units: bool

    @property
    def origin(self) -> str:
        """Where the templates come from: "own units", "given templates" or "generated"."""
        return "generated" if self.sources is None or len(self.sources.templates) == 0 else self.sources.origin
