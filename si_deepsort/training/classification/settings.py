"""The settings of the training of a classifier."""

from dataclasses import dataclass

from ...fit import FitSettings
from ...settings import setting, with_default


@dataclass(frozen=True, kw_only=True)
class ClassifierTrainingSettings(FitSettings):
    """Settings of the training of a classifier."""

    num_epochs: int = with_default(FitSettings, "num_epochs", 30)
    learning_rate: float = with_default(FitSettings, "learning_rate", 3e-3)
    weight_decay: float = with_default(FitSettings, "weight_decay", 1e-2)
    patience: int = with_default(FitSettings, "patience", 8)
    batch_size: int = setting(128, "Waveforms per step", minimum=1)
    balance: float = setting(1.0, "0 weights all waveforms equally, 1 all classes", minimum=0.0, maximum=1.0)
    gain_sd: float = setting(0.1, "Standard deviation of the logarithm of the random gain", minimum=0.0)
    shift_max: int = setting(1, "Largest random shift in samples", minimum=0)
    noise_sd: float = setting(0.3, "Standard deviation of the added white noise, in noise levels", minimum=0.0)
    noise_factor: float | None = setting(
        None,
        "Largest multiple of the measured noise of the waveforms that is added to them (None: so much that two similar "
        "units are just told apart); it prepares for recordings with more noise",
        minimum=0.0,
    )
    overlap_fraction: float = setting(0.1, "Part of the waveforms to which another is added", minimum=0.0, maximum=1.0)
    overlap_distance: float = setting(0.25, "Its smallest distance, in waveforms", minimum=0.0, maximum=1.0)
