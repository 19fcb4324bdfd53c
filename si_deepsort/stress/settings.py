"""What is injected in a stress test: how many units, how large, how fast they fire, and how their spikes vary."""

from dataclasses import dataclass

from ..generation import SpikeStatistics
from ..settings import SettingError, Settings, setting

# Lowest and highest firing rate in Hz where own units do not tell it: those of most recordings of the benchmarks.
USUAL_RATES_HZ = (0.5, 15.0)


@dataclass(frozen=True, kw_only=True)
class StressTestSettings(Settings):
    """Settings of `stress_test`."""

    num_repetitions: int = setting(5, "How often new units are injected and the recording is sorted again", minimum=1)
    units_per_repetition: int | None = setting(
        None,
        "Units injected at a time; None: two fifths of the number of own units if they replace these, else a fifth; "
        "from 2 to 40",
        minimum=1,
    )
    snr_min: float = setting(3.0, "SNR of the smallest injected units", minimum=1.0)
    snr_max: float = setting(20.0, "SNR of the largest injected units", minimum=1.0)
    firing_rate_min: float | None = setting(
        None, "Lowest firing rate in Hz; None: that of the unit that is replaced, or 0.5", minimum=0.01
    )
    firing_rate_max: float | None = setting(
        None, "Highest firing rate in Hz; None: as for the lowest, or 15", minimum=0.01, maximum=200.0
    )
    burst_fraction: float | None = setting(
        None, "Fraction of units that fire bursts; None: as many as of the recording's own", minimum=0.0, maximum=1.0
    )
    synchrony: float | None = setting(
        None,
        "Share of the spikes of a unit that follow a neighbour within .8 ms; None: as the recording's own units do",
        minimum=0.0,
        maximum=0.9,
    )
    statistics: SpikeStatistics = setting(SpikeStatistics(), "How units fire and how their spikes vary")
    seed: int = setting(0, "Seed of all random numbers")

    def __post_init__(self) -> None:
        super().__post_init__()
        rates = dict(zip(("firing_rate_min", "firing_rate_max"), self.rate_range, strict=True))
        for low, high in (("snr_min", "snr_max"), ("firing_rate_min", "firing_rate_max")):
            least, most = (rates.get(name, getattr(self, name)) for name in (low, high))
            if most < least:
                raise SettingError(high, f"got {most:g}, expected at least {low} ({least:g}).")

    @property
    def rates_as_own(self) -> bool:
        """Whether units fire as fast as the own units that they replace."""
        return self.firing_rate_min is None and self.firing_rate_max is None

    @property
    def rate_range(self) -> tuple[float, float]:
        """Lowest and highest firing rate in Hz where own units do not tell it."""
        low, high = USUAL_RATES_HZ
        if self.firing_rate_min is not None:
            low, high = self.firing_rate_min, max(high, self.firing_rate_min)
        if self.firing_rate_max is not None:
            low, high = (min(low, self.firing_rate_max) if self.firing_rate_min is None else low), self.firing_rate_max
        return low, high
