"""A small untrained interpolator on disk, for tests that need some model."""

import torch

from si_deepsort.nets.interpolator import Interpolator, InterpolatorConfig
from si_deepsort.zoo import ModelInfo, save_model


def save_random_interpolator(folder, *, sampling_frequency: float = 30_000.0, seed: int = 0):
    """Save it; its nonlinear part is not zero. Returns the folder."""
    torch.manual_seed(seed)
    config = InterpolatorConfig(
        sampling_frequency=sampling_frequency, num_features=5, num_mixed=3, width=6, num_neighbors=6, geometry_width=12
    )
    net = Interpolator(config)
    torch.nn.init.normal_(net.readout.weight, std=0.1)
    return save_model(net, folder, ModelInfo(name="small", task="denoising", sampling_frequency=sampling_frequency))
