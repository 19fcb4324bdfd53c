"""What is injected in a stress test: how many units, how large, how fast they fire, and how their spikes vary."""

from dataclasses import dataclass

from ..generation import SpikeStatistics
from ..settings import SettingError, Settings, setting


@dataclass(frozen=True, kw_only=True)
class StressTestSettings(Settings):
    """Settings of `stress_test`."""

    num_repetitions: int = setting(5, "How often new units are injected and the recording is sorted again", minimum=1)
    units_per_repetition: int | None = setting(
        None,
        "Units injected at a time; None: a fifth of the units that the recording has of its own, from 2 to 20",
        minimum=1,
    )
    snr_min: float = setting(3.0, "SNR of the smallest injected units", minimum=1.0)
    snr_max: float = setting(20.0, "SNR of the largest injected units", minimum=1.0)
    firing_rate_min: float = setting(0.5, "Lowest firing rate in Hz", minimum=0.01)
    firing_rate_max: float = setting(15.0, "Highest firing rate in Hz", minimum=0.01, maximum=200.0)
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
        for low, high in (("snr_min", "snr_max"), ("firing_rate_min", "firing_rate_max")):
            if getattr(self, high) < getattr(self, low):
                raise SettingError(
                    high, f"got {getattr(self, high):g}, expected at least {low} ({getattr(self, low):g})."
                )
