"""Which spike predictors there are, their settings, and the structure of the network that fits given bins."""

from dataclasses import dataclass

import numpy as np

from ..nets.spike_predictor import SpikePredictorConfig
from ..settings import Settings, setting
from .checks import MIN_SPIKES
from .targets import PairedBins

MODELS = ("constant", "glm", "bilstm", "gru", "cnn")


@dataclass(frozen=True, kw_only=True)
class PredictorSettings(Settings):
    """How a spike predictor is built and trained."""

    likelihood: str = setting(
        "poisson", "Distribution of the number of spikes in a bin", choices=("poisson", "bernoulli")
    )
    num_members: int = setting(4, "Blocks of training time, each held out by one member", minimum=2, maximum=20)
    num_lags: int = setting(0, "Bins to each side (causal: back) that the linear part sees", minimum=0)
    hidden_size: int = setting(24, "Width of the network", minimum=1)
    num_layers: int = setting(1, "Layers of the recurrent network", minimum=1)
    dropout: float = setting(0.3, "Dropout of the network while training", minimum=0.0, maximum=0.95)
    context_ms: float = setting(200.0, "Context of the network on each side of a bin, ms", minimum=0.0)
    window_bins: int = setting(200, "Bins per training window", minimum=1)
    batch_size: int = setting(64, "Windows per step", minimum=1)
    bins_per_epoch: int = setting(200_000, "Most bins seen per epoch, which bounds the time for long recordings")
    num_epochs: int = setting(12, "Most passes", minimum=0)
    patience: int = setting(3, "Epochs without progress on the held-out block before a member stops", minimum=1)
    learning_rate: float = setting(2e-3, "Highest learning rate", minimum=0.0)
    weight_decay: float = setting(0.03, "Decay of the network's weights", minimum=0.0)
    caution: float = setting(1.96, "Standard errors between what held-out blocks gain and its lower bound", minimum=0.0)
    min_bits: float = setting(0.01, "Bits per spike that held-out blocks must gain, else nothing is claimed")
    min_spikes: int = setting(MIN_SPIKES, "Fewer spikes than this are refused", minimum=1)
    block_s: float = setting(10.0, "Length of the blocks over which scatter is measured, s", minimum=0.1)
    seed: int = setting(0, "Seed of weights and batches")
    device: str = setting("auto", "'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'")
    progress_bar: bool = setting(False, "Show a progress bar")


def gap_bins(paired: PairedBins, config: SpikePredictorConfig) -> int:
    """Bins between training and test that keep them apart: reach of the features plus context of the predictor."""
    reach = int(np.ceil(paired.features.reach_s / paired.bin_s))
    return 2 * reach + max(config.margin_bins, config.num_lags)


def network_config(paired: PairedBins, model, settings, causal) -> SpikePredictorConfig:
    """Configuration of the predictor that fits the bins, by the name of the model."""
    is_network = model in ("bilstm", "gru", "cnn")
    return SpikePredictorConfig(
        kind=model,
        num_features=paired.features.values.shape[1],
        num_outputs=paired.counts.shape[1],
        likelihood=settings.likelihood,
        causal=causal,
        num_lags=0 if model == "constant" else settings.num_lags,
        hidden_size=settings.hidden_size,
        num_layers=settings.num_layers,
        dropout=settings.dropout,
        margin_bins=round(settings.context_ms / 1000 / paired.bin_s) if is_network else 0,
    )
