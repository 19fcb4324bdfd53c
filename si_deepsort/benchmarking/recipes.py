"""What the named benchmark recordings are made of."""

from dataclasses import dataclass, replace

from ..generation import Disturbances, SpikeStatistics


@dataclass(frozen=True)
class Recipe:
    """
    What a named recording is made of.

    Attributes
    ----------
    description : str
    data_file : str | None
        Stem of the file of biophysical templates, "real" for real units, None for generated ones only.
    layout : str
        Name of the probe layout when templates are generated.
    num_units : int
    peak_uV : (low, high) | None
        Templates are rescaled to peaks in this range, uniform in the logarithm. None leaves them as they are.
    firing_rate : (low, high)
        In Hz, uniform in the logarithm.
    drift_um : float
        The tissue moves up and down by this much, twice in a recording.
    simulated_noise : bool
        Whether to take the usual, unrealistic noise.
    statistics : SpikeStatistics | None
        How neurons fire and how their spikes vary. None: independent Poisson trains.
    burst_fraction : float
        Share of units that fire bursts.
    synchrony : float
        Share of the spikes of a neighbour that each unit joins, with a lag of at most `synchrony_ms`.
    disturbances : Disturbances | None
        Line noise, stimulation artefacts, dead channels. None: none.
    jump_um : float
        Standard deviation of sudden jumps of the tissue.
    plain_channels : int
        Channels of a recording of SpikeInterface's own generator, noise included. 0: of this package's generator.
    """

    description: str
    data_file: str | None
    layout: str
    num_units: int
    peak_uV: tuple[float, float] | None = None
    firing_rate: tuple[float, float] = (0.5, 15.0)
    drift_um: float = 0.0
    simulated_noise: bool = False
    statistics: SpikeStatistics | None = None
    burst_fraction: float = 0.2
    synchrony: float = 0.0
    disturbances: Disturbances | None = None
    jump_um: float = 0.0
    plain_channels: int = 0


_BASE = {
    "tetrode": Recipe("tetrode", "tetrode", "tetrode", 8),
    "linear32": Recipe("32 channels in a line", "linear32", "linear32", 26),
    "neuropixels1": Recipe("Neuropixels 1.0, 64 channels", "neuropixels1_64", "neuropixels1", 50),
    "neuropixels2": Recipe("Neuropixels 2.0, 64 channels, static", "neuropixels2_64", "neuropixels2", 40),
    "neuropixels2_drift": Recipe(
        "Neuropixels 2.0, 64 channels, drift of +-20 um", "neuropixels2_64", "neuropixels2", 40, drift_um=20.0
    ),
    "dense": Recipe(
        "dense overlaps: 45 units at 10-40 Hz on 64 channels",
        "neuropixels1_64",
        "neuropixels1",
        45,
        firing_rate=(10.0, 40.0),
    ),
    "small": Recipe("small units: most under SNR 5", "neuropixels2_64", "neuropixels2", 48, peak_uV=(25.0, 60.0)),
}
_HYBRID = Recipe("real Neuropixels units in noise of their covariance", "real", "neuropixels1", 20)

# Half of the units fire bursts whose spikes shrink; amplitudes vary by 6 % from spike to spike and slowly by 10 %.
_LIVELY = SpikeStatistics(shape_change_sd=0.0)
_SYNCHRONOUS_DENSE = Recipe(
    "32 channels, 45 units at 10-40 Hz, 25 % of a neighbour's spikes joined",
    "linear32",
    "linear32",
    45,
    firing_rate=(10.0, 40.0),
    statistics=_LIVELY,
    burst_fraction=0.5,
    synchrony=0.25,
)
_SYNCHRONOUS_SMALL = Recipe(
    "32 channels, 48 small units, 15 % of a neighbour's spikes joined",
    "linear32",
    "linear32",
    48,
    peak_uV=(25.0, 60.0),
    statistics=_LIVELY,
    burst_fraction=0.5,
    synchrony=0.15,
)
_REALISTIC = {
    "synchronous_dense": _SYNCHRONOUS_DENSE,
    "synchronous_small": _SYNCHRONOUS_SMALL,
    "independent_dense": replace(
        _SYNCHRONOUS_DENSE, description="the units of synchronous_dense, each on its own", synchrony=0.0
    ),
    "independent_small": replace(
        _SYNCHRONOUS_SMALL, description="the units of synchronous_small, each on its own", synchrony=0.0
    ),
    "bursting": Recipe(
        "Neuropixels 1.0, half of the units fire bursts whose spikes shrink",
        "neuropixels1_64",
        "neuropixels1",
        40,
        firing_rate=(1.0, 30.0),
        statistics=replace(_LIVELY, deep_burst_share=0.2),
        burst_fraction=0.5,
    ),
    "changing": Recipe(
        "Neuropixels 1.0, units that start, stop or fade in mid-recording, slow changes of amplitude",
        "neuropixels1_64",
        "neuropixels1",
        40,
        firing_rate=(1.0, 30.0),
        statistics=replace(
            _LIVELY, slow_amplitude_sd=0.2, shape_change_sd=0.1, start_share=0.2, stop_share=0.2, fade_share=0.25
        ),
    ),
    "jumps": Recipe(
        "Neuropixels 2.0, drift of +-10 um with jumps of 5 um",
        "neuropixels2_64",
        "neuropixels2",
        40,
        drift_um=10.0,
        statistics=_LIVELY,
        jump_um=5.0,
    ),
    "artefacts": Recipe(
        "32 channels, stimulation artefacts of 4 mV and 50 ms at 5 Hz, 50 Hz line noise",
        "linear32",
        "linear32",
        26,
        statistics=_LIVELY,
        disturbances=Disturbances(
            line_noise_uV=500.0, line_harmonics=0.02, artefact_rate=5.0, artefact_uV=4000.0, artefact_ms=50.0
        ),
    ),
    "rates": Recipe(
        "Neuropixels 2.0, lognormal rates from .1 to 100 Hz",
        "neuropixels2_64",
        "neuropixels2",
        40,
        firing_rate=(0.1, 100.0),
        statistics=replace(_LIVELY, log_rate_sd=1.5),
    ),
}
# Units from below the noise to very large ones, which the recordings above have only with biophysical templates: what a
# sorter misses, and how it fails at small units, is learnt from these.
_CROWDED = Recipe(
    "many generated units from 15 to 250 uV with bursts, 15 % of a neighbour's spikes joined",
    None,
    "linear32",
    54,
    peak_uV=(15.0, 250.0),
    firing_rate=(0.5, 30.0),
    statistics=_LIVELY,
    burst_fraction=0.4,
    synchrony=0.15,
)
RECIPES: dict[str, Recipe] = {
    **_BASE,
    "hybrid": _HYBRID,
    "four_shanks": Recipe("four shanks of 16 channels", None, "four_shanks", 32),
    "crowded_linear32": _CROWDED,
    "crowded_tetrode": replace(_CROWDED, layout="tetrode", num_units=12),
    "crowded_neuropixels1": replace(_CROWDED, layout="neuropixels1", num_units=60),
    **{
        f"{name}_generated": replace(recipe, description=recipe.description + ", generated templates", data_file=None)
        for name, recipe in {**_BASE, **_REALISTIC}.items()
    },
    "linear32_simulated_noise": Recipe(
        "warning example: 32 channels, the usual simulated noise", "linear32", "linear32", 26, simulated_noise=True
    ),
    **_REALISTIC,
    "plain": Recipe("SpikeInterface's own generator, as users try it", None, "", 25, plain_channels=64),
    "plain_crowded": Recipe("the same, two neurons for each channel", None, "", 60, plain_channels=32),
    "plain_one_channel": Recipe("the same, one channel", None, "", 3, plain_channels=1),
    **{
        f"{name}_synchronous": replace(
            recipe, description=recipe.description + ", 20 % of a neighbour's spikes joined", synchrony=0.2
        )
        for name, recipe in {**_BASE, "hybrid": _HYBRID}.items()
    },
}
