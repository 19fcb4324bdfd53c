"""
Train the bundled denoising autoencoder of peaks in white traces, from a seed.

`python -m si_deepsort.training.embedding.pretrain --folder FOLDER [--seed 0]`

It learns from generated recordings (`random_recordings.py`): the waveforms around a peak are given, with all that
noise, overlaps and jitter do to them, and the mean waveform of its unit is to be rebuilt. The recordings are generated
while the network learns; each is seen in one epoch alone. No recorded data is used.
"""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from spikeinterface.core.base import base_peak_dtype

from ...detection.candidates import CandidateFinder
from ...detection.energy import make_energy_filters
from ...detection.node import ENERGY_THRESHOLD
from ...fit import Batch, FitSettings, fit
from ...geometry import channel_distances
from ...nets.denoising_autoencoder import DenoisingAutoencoder, DenoisingAutoencoderConfig
from ...sorter.clusters.describe import describe_peaks
from ...sorter.clusters.embed import as_waveforms
from ...zoo import CARD_FILE, ModelInfo, render_card, save_model
from ..detection.examples import classify_candidates, unit_sizes
from ..detection.labels import clean_labels, mean_waveforms
from ..random_recordings import random_recording

logger = logging.getLogger(__name__)

CONFIG = DenoisingAutoencoderConfig()
# Radius in um of the channels around a peak: the default of the sorter.
RADIUS_UM = 80.0
# Channels around a peak, at most; of more, the nearest.
MOST_CHANNELS = 16
# Seeds of held-out recordings start here, above those of any training.
HELD_OUT_SEED = 20_000_000
# Recordings that are generated together, and how often their peaks are seen in one epoch.
RECORDINGS_PER_EPOCH, PASSES = 16, 5
# Peaks of a batch.
BATCH_SIZE = 256
# Reach in ms around a label of the mean waveform.
WAVEFORM_MS = 2.0


@dataclass
class Peaks:
    """
    Peaks of spikes with what is to be rebuilt.

    Attributes
    ----------
    waveforms : np.ndarray, shape (num_peaks, MOST_CHANNELS, num_samples + 2 * margin), float32
    distances_um : np.ndarray, shape (num_peaks, MOST_CHANNELS), float32
        Infinite for an empty place.
    targets : np.ndarray, shape (num_peaks, MOST_CHANNELS, num_samples), float32
        Mean waveform of the unit.
    """

    waveforms: np.ndarray
    distances_um: np.ndarray
    targets: np.ndarray

    def where(self, chosen: np.ndarray) -> "Peaks":
        """The chosen peaks."""
        return Peaks(self.waveforms[chosen], self.distances_um[chosen], self.targets[chosen])

    def tensors(self) -> Batch:
        """As the network takes them, then the targets."""
        return tuple(torch.from_numpy(array) for array in (self.waveforms, self.distances_um, self.targets))


def generated_peaks(seeds: range) -> Peaks:
    """Peaks of generated recordings."""
    parts = [part for seed in seeds if (part := _peaks_of_recording(seed)) is not None]
    return Peaks(*(np.concatenate([getattr(part, name) for part in parts]) for name in Peaks.__dataclass_fields__))


def _peaks_of_recording(seed: int) -> Peaks | None:
    white, sorting = random_recording(seed, sampling_frequency=CONFIG.sampling_frequency)
    if not sorting.count_total_num_spikes():
        return None
    locations, frequency = white.get_channel_locations()[:, :2], white.get_sampling_frequency()
    traces, num_units = white.get_traces(), len(sorting.unit_ids)
    labels = clean_labels([traces], sorting, frequency)
    filters = make_energy_filters(white.whitening, locations, sampling_frequency=frequency)
    sizes, offsets = unit_sizes([traces], labels, filters, num_units, frequency, seed=seed)
    finder = CandidateFinder(filters, locations, frequency)
    found = finder.find(traces, threshold=ENERGY_THRESHOLD, margin=finder.margin)
    units = labels.units[0]
    _, spikes = classify_candidates(found, labels.frames[0] + offsets[units], units, sizes, frequency)
    found, spikes = found.where(spikes >= 0), spikes[spikes >= 0]
    if not len(found):
        return None
    peaks = np.zeros(len(found), dtype=base_peak_dtype)
    peaks["sample_index"], peaks["channel_index"] = found.frames, found.channels
    descriptions = describe_peaks(white, white.whitening, peaks, radius_um=RADIUS_UM)
    waveforms = as_waveforms(descriptions, np.arange(len(peaks)), frequency)
    reach = round(WAVEFORM_MS * frequency / 1000)
    means, _ = mean_waveforms([traces], labels.frames, labels.units, num_units, reach, seed)
    starts = reach + offsets - filters.nbefore
    clean = np.stack([mean[start : start + CONFIG.num_samples] for mean, start in zip(means, starts, strict=True)])
    neighbors = descriptions.neighbors[found.channels]
    targets = clean[units[spikes]][np.arange(len(peaks))[:, None], :, neighbors]
    distances = np.where(neighbors >= 0, channel_distances(locations)[found.channels[:, None], neighbors], np.inf)
    return _nearest(waveforms, distances.astype("float32"), targets)


def _nearest(waveforms, distances_um, targets) -> Peaks:
    """The nearest `MOST_CHANNELS` channels of each peak; empty places are 0."""
    is_missing = np.isinf(distances_um)
    waveforms[is_missing], targets[is_missing] = 0.0, 0.0
    missing = MOST_CHANNELS - distances_um.shape[1]
    if missing > 0:
        pad = ((0, 0), (0, missing))
        distances_um = np.pad(distances_um, pad, constant_values=np.inf)
        waveforms, targets = (np.pad(array, (*pad, (0, 0))) for array in (waveforms, targets))
    order = np.argsort(distances_um, axis=1, kind="stable")[:, :MOST_CHANNELS]
    return Peaks(
        np.take_along_axis(waveforms, order[:, :, None], axis=1).astype("float32"),
        np.take_along_axis(distances_um, order, axis=1),
        np.take_along_axis(targets, order[:, :, None], axis=1).astype("float32"),
    )


def rebuilding_loss(net: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Mean logarithm of the squared error of a peak, in noise levels: large overlaps must not outweigh the rest."""
    *inputs, targets = batch
    errors = (net(*inputs) - targets).square().sum(dim=2)
    errors = (errors * torch.isfinite(inputs[1])).sum(dim=1)
    return torch.log1p(errors / CONFIG.code_dimension).mean()


def pretrain(
    *, num_epochs: int, num_held_out: int, seed: int, checkpoint_folder: Path | None = None
) -> tuple[DenoisingAutoencoder, Peaks]:
    """Train the autoencoder on generated recordings; the network, and held-out peaks."""
    held_out = generated_peaks(range(HELD_OUT_SEED, HELD_OUT_SEED + num_held_out))
    torch.manual_seed(seed)
    net = DenoisingAutoencoder(CONFIG)
    net.directions.copy_(torch.from_numpy(first_directions(held_out.targets, CONFIG.code_dimension)))

    def training_batches(epoch: int) -> Iterator[Batch]:
        start = seed + epoch * RECORDINGS_PER_EPOCH
        peaks = generated_peaks(range(start, start + RECORDINGS_PER_EPOCH))
        rng = np.random.default_rng([seed, epoch])
        for _ in range(PASSES):
            order = rng.permutation(len(peaks.waveforms))
            for first in range(0, len(order), BATCH_SIZE):
                yield peaks.where(order[first : first + BATCH_SIZE]).tensors()

    def validation_batches() -> Iterator[Batch]:
        for first in range(0, len(held_out.waveforms), 4096):
            yield held_out.where(np.arange(first, min(first + 4096, len(held_out.waveforms)))).tensors()

    settings = FitSettings(
        num_epochs=num_epochs, learning_rate=2e-3, patience=num_epochs, seed=seed, device="cpu", progress_bar=False
    )
    folder = checkpoint_folder
    fit(net, rebuilding_loss, training_batches, validation_batches, settings, checkpoint_folder=folder, label="peaks")
    return net, held_out


def first_directions(waveforms: np.ndarray, number: int) -> np.ndarray:
    """Principal directions (number, num_samples) of waveforms (num_peaks, num_channels, num_samples) of norm 1."""
    rows = waveforms.reshape(-1, waveforms.shape[2])
    norms = np.linalg.norm(rows, axis=1)
    rows = rows[norms > 1.0] / norms[norms > 1.0, None]
    return np.linalg.svd(rows, full_matrices=False)[2][:number].astype("float32")


def rebuilding_errors(net: DenoisingAutoencoder, held_out: Peaks) -> dict[str, float]:
    """
    Median squared error of a rebuilt peak, all channels together, in noise levels.

    Returns
    -------
    dict of float
        That of the network, and that of the projection on the directions of its decoder (`linear_error`).
    """
    errors = {"autoencoder_error": [], "linear_error": []}  # type: dict[str, list]
    margin, num_samples = net.config.margin, net.config.num_samples
    with torch.inference_mode():
        for first in range(0, len(held_out.waveforms), 4096):
            batch = held_out.where(np.arange(first, min(first + 4096, len(held_out.waveforms))))
            waveforms, distances_um, targets = batch.tensors()
            linear = net.decode(waveforms[..., margin : margin + num_samples] @ net.directions.T)
            for name, rebuilt in (("autoencoder_error", net(waveforms, distances_um)), ("linear_error", linear)):
                squares = (rebuilt - targets).square().sum(dim=2) * torch.isfinite(distances_um)
                errors[name].append(squares.sum(dim=1).numpy())
    return {name: float(np.median(np.concatenate(values))) for name, values in errors.items()}


CARD = """## What it does

Describes a spike in white traces in {code_dimension} numbers for each channel around its peak. It was trained to
rebuild the mean waveform of the neuron from a single spike with all its noise, overlaps and jitter, so the description
is free of much of these. Distances between descriptions are in noise standard deviations.
`run_sorter("deepsort", recording, embedding="autoencoder")` clusters spikes by it.

## Inputs

White traces from .7 ms before the peak to 1 ms after it at 30 kHz, with a margin of {margin} samples, on the channels
around the peak, and their distances. Any probe; the order of the channels does not matter. Other sampling rates are
interpolated.

## Limits

Trained on generated recordings alone, and on spikes that the detection by energy finds.

## How to fine-tune

It cannot be trained further. `train_autoencoder(recording, sorting, folder=...)` trains an autoencoder of the waveforms
of one recording.
"""


def main(arguments: list[str] | None = None) -> None:
    """Command line of the training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--num-epochs", type=int, default=8, help=f"of {RECORDINGS_PER_EPOCH} recordings each")
    parser.add_argument("--num-held-out", type=int, default=6, help="recordings that choose the best epoch")
    parser.add_argument("--checkpoints", type=Path, help="an interrupted training goes on from here")
    parser.add_argument("--seed", type=int, default=2000)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    net, held_out = pretrain(
        num_epochs=options.num_epochs,
        num_held_out=options.num_held_out,
        seed=options.seed,
        checkpoint_folder=options.checkpoints,
    )
    save(net, held_out, options)


def save(net: DenoisingAutoencoder, held_out: Peaks, options: argparse.Namespace) -> None:
    """Save the autoencoder with its card."""
    info = ModelInfo(
        name="waveform-autoencoder",
        task="embedding",
        sampling_frequency=CONFIG.sampling_frequency,
        training={
            "command": f"python -m si_deepsort.training.embedding.pretrain --num-epochs {options.num_epochs} "
            f"--num-held-out {options.num_held_out} --seed {options.seed} --folder FOLDER",
            "seed": options.seed,
            "data": "generated recordings (si_deepsort.generation), no recorded data",
            "data_license": "MIT (generated)",
            "num_recordings": options.num_epochs * RECORDINGS_PER_EPOCH,
        },
        metrics=rebuilding_errors(net, held_out),
    )
    card = CARD.format(code_dimension=net.config.code_dimension, margin=net.config.margin)
    folder = save_model(net, options.folder, info, card)
    (folder / CARD_FILE).write_text(render_card(folder), encoding="utf-8")
    logger.info("%s", info.metrics)


if __name__ == "__main__":
    main()
