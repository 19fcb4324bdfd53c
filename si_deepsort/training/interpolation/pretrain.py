"""
Train the bundled denoisers on generated recordings: `python -m si_deepsort.training.interpolation.pretrain NAME OUT`.

The noise of each recording is drawn around that of real Neuropixels recordings (spectrum, level, correlation between
channels), the units around SpikeInterface's generator; layouts are those that the model is meant for.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from probeinterface import generate_linear_probe, generate_multi_columns_probe, generate_tetrode

from ...generation import INDEPENDENT_POISSON, GenerationSettings, generate_recording, named_probe
from ...nets.interpolator import Interpolator
from ...noise import NEUROPIXELS_NOISE_FREQUENCIES, NEUROPIXELS_NOISE_POWER
from ...zoo import load_network, save_model
from ..trained_model import TrainedModel
from .batches import prepare_recordings
from .train import InterpolationTrainingSettings, held_out_loss, train_deep_interpolation

LAYOUTS = {
    "interpolator-any": (
        "tetrode",
        "linear32",
        "neuropixels1",
        "neuropixels2",
        "four_shanks",
        "linear50",
        "square",
        "neuropixels1",
        "neuropixels2",
    ),
    "neuropixels-v1": ("neuropixels1",) * 4,
    "neuropixels-v2": ("neuropixels2", "neuropixels2", "four_shanks", "neuropixels2"),
}
# Steps per uV of the int16 copies that are kept in memory.
SCALE = 20.0


def training_recording(layout: str, *, seed: int, duration_s: float = 8.0) -> si.NumpyRecording:
    """
    One generated recording with noise of its own.

    Parameters
    ----------
    layout : str
        A name of `named_probe`, or "linear50", "square" (pitches drawn from the seed).
    seed : int

    Returns
    -------
    NumpyRecording
        int16.
    """
    rng = np.random.default_rng([seed, 77])
    probe = _probe(layout, rng)
    num_channels = probe.get_contact_count()
    settings = GenerationSettings(
        duration_s=duration_s,
        num_units=max(3, num_channels // 2),
        num_far_units=max(6, num_channels),
        amplitude_min_uV=25.0,
        amplitude_max_uV=float(rng.uniform(150, 350)),
        firing_rate_min=1.0,
        firing_rate_max=15.0,
        noise_uV=float(rng.uniform(5, 14)),
        noise_correlation=float(rng.uniform(0.35, 0.8)),
        noise_length_um=float(rng.uniform(60, 200)),
        seed=seed,
        **INDEPENDENT_POISSON,
    )
    power = np.asarray(NEUROPIXELS_NOISE_POWER) ** rng.uniform(0.7, 1.25)
    recording, _ = generate_recording(probe, settings, noise_power=(np.asarray(NEUROPIXELS_NOISE_FREQUENCIES), power))
    traces = np.round(np.clip(recording.get_traces() * SCALE, -32768, 32767)).astype("int16")
    copy = si.NumpyRecording([traces], settings.sampling_frequency)
    copy.set_probe(recording.get_probe())
    return copy


def pretrain(
    name: str,
    folder: str | Path,
    *,
    seed: int = 0,
    start_from: str | Path | None = None,
    recordings_per_layout: int = 1,
    settings: InterpolationTrainingSettings,
) -> TrainedModel:
    """Train one of the bundled models into a folder."""
    layouts = LAYOUTS[name] * recordings_per_layout
    recordings = [training_recording(layout, seed=1000 * seed + index) for index, layout in enumerate(layouts, start=1)]
    settings = replace(settings, seed=seed, fit_table=False)
    return train_deep_interpolation(recordings, folder, start_from=start_from, settings=settings, name=name)


def describe(
    name: str, folder: str | Path, command: str, num_recordings: int, settings: InterpolationTrainingSettings
) -> None:
    """Write into a trained model where it comes from, and what it predicts on recordings that training never saw."""
    net = load_network(folder, Interpolator, purpose="denoising")
    recordings = [
        training_recording(layout, seed=900_000 + index, duration_s=2.0) for index, layout in enumerate(LAYOUTS[name])
    ]
    prepared = prepare_recordings(recordings, net, settings)
    info = replace(
        net.info,
        probe={"neuropixels-v1": "Neuropixels 1.0", "neuropixels-v2": "Neuropixels 2.0"}.get(name, "any"),
        training=dict(
            command=command,
            seed=settings.seed,
            data="generated recordings (si_deepsort.generation): spectrum and spatial correlation of the noise drawn "
            "around those of real Neuropixels recordings, parametric spikes; no recorded data",
            data_license="MIT",
            num_recordings=num_recordings,
        ),
        metrics=dict(unpredicted_variance=held_out_loss(net, prepared, settings)),
    )
    save_model(net, folder, info)


def _probe(layout, rng):
    if layout == "linear50":
        probe = generate_linear_probe(16, ypitch=float(rng.uniform(40, 60)))
    elif layout == "square":
        pitch = float(rng.uniform(15, 40))
        probe = generate_multi_columns_probe(4, 8, xpitch=pitch, ypitch=pitch)
    elif layout == "tetrode":
        probe = generate_tetrode()
    else:
        return named_probe(layout)
    probe.set_device_channel_indices(np.arange(probe.get_contact_count()))
    return probe


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(LAYOUTS))
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start-from", default=None)
    parser.add_argument("--recordings-per-layout", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--num-epochs", type=int, default=30)
    parser.add_argument("--steps-per-epoch", type=int, default=200)
    parser.add_argument("--batch-windows", type=int, default=3)
    arguments = parser.parse_args()
    settings = InterpolationTrainingSettings(
        learning_rate=arguments.learning_rate,
        num_epochs=arguments.num_epochs,
        steps_per_epoch=arguments.steps_per_epoch,
        batch_windows=arguments.batch_windows,
        patience=max(5, arguments.num_epochs),
        # A model that has learnt what noise is like in other recordings takes small spikes of a new one for it.
        noise_fraction=0.0,
    )
    per_layout = arguments.recordings_per_layout
    pretrain(
        arguments.name,
        arguments.folder,
        seed=arguments.seed,
        start_from=arguments.start_from,
        recordings_per_layout=per_layout,
        settings=settings,
    )
    values = {"--start-from": arguments.start_from, "--recordings-per-layout": per_layout}
    values |= {"--learning-rate": arguments.learning_rate}
    values |= {"--num-epochs": arguments.num_epochs, "--steps-per-epoch": arguments.steps_per_epoch}
    values |= {"--batch-windows": arguments.batch_windows, "--seed": arguments.seed}
    options = " ".join(f"{option} {value}" for option, value in values.items() if value is not None)
    command = f"python -m si_deepsort.training.interpolation.pretrain {arguments.name} FOLDER {options}"
    num_recordings = per_layout * len(LAYOUTS[arguments.name])
    describe(arguments.name, arguments.folder, command, num_recordings, replace(settings, seed=arguments.seed))


if __name__ == "__main__":
    main()
