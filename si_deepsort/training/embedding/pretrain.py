"""
Train the bundled autoencoder of single-channel waveforms in white traces, from a seed.

`python -m si_deepsort.training.embedding.pretrain --folder FOLDER [--seed 0]`
"""

import argparse

import numpy as np
from spikeinterface.preprocessing import bandpass_filter

from ...generation import INDEPENDENT_POISSON, GenerationSettings, generate_recording, named_probe
from ...preprocessing.estimate_whitening import estimate_whitening
from ...sorter.clusters.embed import AUTOENCODER_SAMPLES
from ...sorter.peaks.energy import spike_shapes
from ...zoo import ModelInfo, save_model
from .train import AutoencoderTrainingSettings, fit_autoencoder, reconstruction_errors

SAMPLING_FREQUENCY = 30_000.0


def white_waveforms(num_waveforms: int, seed: int) -> np.ndarray:
    """
    Generated spikes of random shape, size and jitter as white traces show them on one channel, with noise.

    Returns
    -------
    np.ndarray, shape (num_waveforms, 1, AUTOENCODER_SAMPLES), float32
        In noise standard deviations.
    """
    rng = np.random.default_rng(seed)
    nbefore = round(0.7 * SAMPLING_FREQUENCY / 1000)
    waveforms = []
    for part in range(8):
        slope = rng.uniform(0.5, 1.5)
        frequencies = np.linspace(0, SAMPLING_FREQUENCY / 2, 60)
        power = 1 / (1 + (frequencies / rng.uniform(800, 4000)) ** (2 * slope))
        settings = GenerationSettings(
            duration_s=3.0, num_units=0, num_far_units=20, seed=int(seed * 100 + part), **INDEPENDENT_POISSON
        )
        recording, _ = generate_recording(named_probe("tetrode"), settings, noise_power=(frequencies, power))
        band = bandpass_filter(recording, 150.0, 7000.0, ftype="bessel", filter_order=2, dtype="float32")
        time_filter = estimate_whitening(band, order=24, radius_um=100.0, seed=seed).time_filter
        shapes = spike_shapes(
            SAMPLING_FREQUENCY, time_filter, nbefore=nbefore + 2, nafter=AUTOENCODER_SAMPLES - nbefore + 2
        )
        chosen = rng.integers(len(shapes), size=num_waveforms // 8)
        jitter = rng.integers(0, 5, size=len(chosen))
        cut = shapes[chosen[:, None], jitter[:, None] + np.arange(AUTOENCODER_SAMPLES)]
        sizes = rng.choice([-1, 1], len(chosen), p=[0.1, 0.9]) * np.exp(rng.uniform(0, np.log(60), len(chosen)))
        waveforms.append(cut * sizes[:, None] + rng.standard_normal(cut.shape))
    return np.concatenate(waveforms)[:, None].astype("float32")


def main(arguments: list[str] | None = None) -> None:
    """Command line of the training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    waveforms = white_waveforms(24_000, options.seed)
    held_out = white_waveforms(8_000, options.seed + 1)
    settings = AutoencoderTrainingSettings(embedding_dimension=4, num_hidden=32, num_epochs=15, seed=options.seed)
    net = fit_autoencoder(waveforms, settings=settings)
    metrics = {name: float(value) for name, value in reconstruction_errors(net, waveforms, held_out).items()}
    info = ModelInfo(
        name="waveform-autoencoder",
        task="embedding",
        sampling_frequency=SAMPLING_FREQUENCY,
        training={
            "command": f"python -m si_deepsort.training.embedding.pretrain --seed {options.seed} --folder FOLDER",
            "seed": options.seed,
            "data": "generated spikes in generated noise of random spectrum, whitened; 24,000 waveforms",
            "data_license": "MIT (generated)",
        },
        metrics=metrics,
    )
    save_model(net, options.folder, info)
    print(metrics)


if __name__ == "__main__":
    main()
