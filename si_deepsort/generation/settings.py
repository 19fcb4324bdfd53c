"""What a generated recording is made of, and how its neurons fire."""

from dataclasses import dataclass
from typing import Any

from ..noise import NEUROPIXELS_NOISE_CORRELATION, NEUROPIXELS_NOISE_LENGTH_UM
from ..settings import SettingError, Settings, setting


@dataclass(frozen=True, kw_only=True)
class SpikeStatistics(Settings):
    """How neurons fire and how their spikes vary. Every effect can be turned off by 0."""

    refractory_ms: float = setting(2.0, "Refractory period in ms: no shorter interval", minimum=0.0)
    regularity: float = setting(0.5, "Intervals are gamma distributed with shape 1 + regularity", minimum=0.0)
    log_rate_sd: float = setting(1.0, "Standard deviation of the logarithm of the firing rate", minimum=0.0)
    theta_depth: float = setting(0.2, "Depth of the modulation of all rates by theta", minimum=0.0, maximum=1.0)
    gamma_depth: float = setting(0.1, "Depth of the modulation of all rates by gamma", minimum=0.0, maximum=1.0)
    up_down_depth: float = setting(0.3, "Depth of the modulation by up and down states", minimum=0.0, maximum=1.0)
    burst_probability: float = setting(
        0.12, "Share of spikes of a bursting unit that start a burst", minimum=0.0, maximum=1.0
    )
    burst_most_extra: int = setting(3, "Most further spikes in a burst", minimum=0)
    burst_interval_min_ms: float = setting(4.0, "Shortest interval within bursts in ms", minimum=0.0)
    burst_interval_max_ms: float = setting(10.0, "Longest interval within bursts in ms", minimum=0.0)
    burst_decay: float = setting(0.85, "Each spike of a burst is this times as large as the one before", minimum=0.0)
    deep_burst_share: float = setting(
        0.1, "Share of bursting units whose spikes shrink to half, as Purkinje cells' do", minimum=0.0, maximum=1.0
    )
    amplitude_sd: float = setting(0.06, "Relative standard deviation of the amplitude of spikes", minimum=0.0)
    slow_amplitude_sd: float = setting(0.1, "Standard deviation of slow amplitude changes", minimum=0.0)
    shape_change_sd: float = setting(0.05, "Standard deviation of slow changes of the width of spikes", minimum=0.0)
    start_share: float = setting(0.0, "Share of units that start to fire in mid-recording", minimum=0.0, maximum=1.0)
    stop_share: float = setting(0.0, "Share of units that stop in mid-recording", minimum=0.0, maximum=1.0)
    fade_share: float = setting(0.0, "Share of units that fade in the second half", minimum=0.0, maximum=1.0)
    fade_to: float = setting(0.3, "Relative amplitude of fading units at the end", minimum=0.0, maximum=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.burst_interval_max_ms < self.burst_interval_min_ms:
            raise SettingError(
                "burst_interval_max_ms",
                f"got {self.burst_interval_max_ms:g}, expected at least burst_interval_min_ms "
                f"({self.burst_interval_min_ms:g}).",
            )


@dataclass(frozen=True, kw_only=True)
class Disturbances(Settings):
    """What the room and the experiment add to the traces. Every effect can be turned off by 0."""

    line_noise_uV: float = setting(0.0, "Amplitude of the mains in uV", minimum=0.0)
    line_hz: float = setting(50.0, "Frequency of the mains in Hz", minimum=1.0)
    line_harmonics: float = setting(0.1, "Relative amplitude of the third harmonic", minimum=0.0)
    artefact_rate: float = setting(0.0, "Stimulation artefacts per s", minimum=0.0)
    artefact_uV: float = setting(4000.0, "Peak of stimulation artefacts in uV", minimum=0.0)
    artefact_ms: float = setting(50.0, "Duration of stimulation artefacts in ms", minimum=0.1)
    dead_channel_share: float = setting(0.0, "Share of channels that die in mid-recording", minimum=0.0, maximum=1.0)


@dataclass(frozen=True, kw_only=True)
class GenerationSettings(Settings):
    """A recording to be generated."""

    duration_s: float = setting(60.0, "Duration in s", minimum=0.01)
    sampling_frequency: float = setting(30_000.0, "In Hz", minimum=1000.0)
    num_units: int = setting(20, "Units with known spikes", minimum=0)
    num_far_units: int = setting(40, "Small background units (hash), not in the ground truth", minimum=0)
    amplitude_min_uV: float = setting(30.0, "Peak of the smallest unit in uV", minimum=0.0)
    amplitude_max_uV: float = setting(300.0, "Peak of the largest unit in uV", minimum=0.0)
    firing_rate_min: float = setting(0.5, "Lowest firing rate in Hz", minimum=0.0)
    firing_rate_max: float = setting(15.0, "Highest firing rate in Hz", minimum=0.0)
    burst_fraction: float = setting(0.2, "Fraction of units that fire bursts", minimum=0.0, maximum=1.0)
    positive_fraction: float = setting(0.05, "Fraction of units with positive-going spikes", minimum=0.0, maximum=1.0)
    synchrony: float = setting(
        0.1, "Share of the spikes of a neighbour that a unit joins within .8 ms", minimum=0.0, maximum=1.0
    )
    statistics: SpikeStatistics | None = setting(
        SpikeStatistics(),
        "How neurons fire and how their spikes vary; None: independent Poisson trains of equal spikes",
    )
    disturbances: Disturbances = setting(Disturbances(), "Line noise, artefacts and dying channels")
    drift_um: float = setting(0.0, "The tissue moves slowly up and down by this much in um", minimum=0.0)
    jump_um: float = setting(0.0, "Standard deviation of sudden jumps of the tissue in um", minimum=0.0)
    noise_uV: float = setting(8.0, "Standard deviation of the noise in uV", minimum=0.0)
    noise_correlation: float = setting(NEUROPIXELS_NOISE_CORRELATION, "Noise correlation of near contacts", minimum=0.0)
    noise_length_um: float = setting(NEUROPIXELS_NOISE_LENGTH_UM, "Decay length of the noise correlation", minimum=1.0)
    seed: int = setting(0, "Seed of all random numbers")


# Settings for trains as they were before there were others: Poisson trains of neurons that ignore each other, and whose
# spikes are all alike. Networks that were trained on such recordings can be trained again only with these.
INDEPENDENT_POISSON: dict[str, Any] = dict(statistics=None, synchrony=0.0)
