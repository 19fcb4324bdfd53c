"""
Make the bundled detectors: `python -m si_deepsort.training.detection.pretrain --folder MODELS`.

They learn from generated recordings that differ from each other in everything that may differ between laboratories
(`random_recordings.py`). The recordings are generated while the network learns; each is seen in one epoch alone. No
recorded data is used.
"""

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from ...detection.front_end import DEFAULT_FRONT_END
from ...detection.prepare import BUNDLED
from ...detection.spike_detector import SpikeDetector
from ...fit import Batch, FitSettings, fit
from ...nets import network_class
from ...nets.detector import Detector, DetectorConfig
from ...zoo import CARD_FILE, ModelInfo, render_card, save_model
from ..random_recordings import random_recording
from .examples import Examples, concatenate_examples, examples_from_recording
from .threshold import choose_threshold, threshold_of_equal_recall
from .train import ARCHITECTURES, CONFIG, detection_loss, example_tensors

logger = logging.getLogger(__name__)

# Seeds of held-out recordings start here, above those of any training.
HELD_OUT_SEED = 10_000_000
# Recordings that are generated together, and how often their candidates are seen in one epoch.
RECORDINGS_PER_EPOCH, PASSES = 25, 3
# Candidates without a spike of a recording, at most.
NUM_NEGATIVES = 1500
# Candidates of a batch.
BATCH_SIZE = 512
# What the generated recordings teach of noise and far units does not hold everywhere: size counts more than they say,
# by this slope of the log-odds over the logarithm of the size. Tuned on generated development recordings (seed 1).
ADDED_SLOPE = 20.0


def generated_examples(net: Detector, seeds: range) -> Examples:
    """Examples of generated recordings, each of which counts alike, however many candidates it has."""
    parts = []
    for seed in seeds:
        white, sorting = random_recording(seed)
        if not sorting.count_total_num_spikes():
            continue
        locations, frequency = white.get_channel_locations()[:, :2], white.get_sampling_frequency()
        detector = SpikeDetector(net, white.whitening, locations, frequency, sample=white.get_traces())
        examples, _ = examples_from_recording(white, sorting, detector, num_negatives=NUM_NEGATIVES, seed=seed)
        if len(examples):
            examples.weights /= examples.weights.mean()
            parts.append(examples)
    return concatenate_examples(parts)


def training_batches(net: Detector, first_seed: int, epoch: int) -> Iterator[Batch]:
    """Batches of an epoch, whose recordings no other epoch sees."""
    start = first_seed + epoch * RECORDINGS_PER_EPOCH
    examples = generated_examples(net, range(start, start + RECORDINGS_PER_EPOCH))
    rng = np.random.default_rng([first_seed, epoch])
    for _ in range(PASSES):
        order = rng.permutation(len(examples))
        for first in range(0, len(order), BATCH_SIZE):
            yield example_tensors(examples.where(order[first : first + BATCH_SIZE]))


def pretrain(
    architecture: str,
    *,
    num_epochs: int,
    num_held_out: int,
    seed: int,
    typical_waveform: bool = False,
    checkpoint_folder: Path | None = None,
) -> tuple[Detector, Examples]:
    """
    Train a detector on generated recordings.

    With `typical_waveform` its candidates are matches with the typical waveform of a recording, else of the energy.

    Returns
    -------
    net : Detector
    held_out : Examples
        Candidates of recordings that the network did not learn from; they chose its best epoch.
    """
    torch.manual_seed(seed)
    net: Any = network_class(ARCHITECTURES[architecture])(CONFIG if typical_waveform else DetectorConfig())
    held_out = generated_examples(net, range(HELD_OUT_SEED, HELD_OUT_SEED + num_held_out))

    def validation_batches() -> Iterator[Batch]:
        for first in range(0, len(held_out), 8 * BATCH_SIZE):
            yield example_tensors(held_out.where(np.arange(first, min(first + 8 * BATCH_SIZE, len(held_out)))))

    settings = FitSettings(
        num_epochs=num_epochs, learning_rate=2e-3, patience=num_epochs, seed=seed, device="cpu", progress_bar=False
    )
    fit(
        net,
        detection_loss,
        lambda epoch: training_batches(net, seed, epoch),
        validation_batches,
        settings,
        checkpoint_folder=checkpoint_folder,
        label="detector",
    )
    if typical_waveform:
        add_slope(net, held_out)
    return net, held_out


def add_slope(net: Detector, held_out: Examples) -> None:
    """Let size count more, by `ADDED_SLOPE`; scale and shift the log-odds so that held-out probabilities are right."""
    with torch.no_grad():
        net.slope.add_(ADDED_SLOPE)
        parts = np.array_split(np.arange(len(held_out)), max(1, len(held_out) // BATCH_SIZE))
        logits = torch.cat([net(*example_tensors(held_out.where(part))[:3]) for part in parts])
    labels, weights = torch.from_numpy(held_out.labels), torch.from_numpy(held_out.weights)
    values = torch.tensor([0.0, 0.0], requires_grad=True)  # logarithm of the scale, and shift
    optimizer = torch.optim.LBFGS([values], max_iter=100)

    def loss():
        optimizer.zero_grad()
        result = binary_cross_entropy_with_logits(logits * values[0].exp() + values[1], labels, weights)
        result.backward()
        return result

    optimizer.step(loss)
    scale, shift = float(values[0].exp()), float(values[1])
    with torch.no_grad():
        last: Any = net.decide[-1]
        net.slope.mul_(scale)
        last.weight *= scale
        last.bias.mul_(scale).add_(shift)


ENERGY = """Finds spikes in extracellular traces: for each peak of the energy in white traces the probability that it is
a spike of a neuron nearby, and not noise, a side lobe of a larger spike, or a spike of a far neuron. It starts from the
rule by which energy alone detects and learns where this rule errs. `run_sorter("deepsort", recording,
detection="{short}")` sorts with it, `find_peaks(recording, method="{short}", as_candidates=True)` gives the peaks."""

TYPICAL = """Finds spikes in extracellular traces: for each peak of the match with the typical waveform of the
recording, which is learnt from its large spikes without labels, the probability that it is a spike of a neuron nearby,
and not noise, a side lobe of a larger spike, or a spike of a far neuron. It starts from the rule by which a matched
filter detects and learns where this rule errs. `find_peaks(recording, method="{short}")` gives the peaks,
`detection_probability(recording, "{short}")` the probabilities, and `run_sorter("deepsort", recording,
detection="{short}")` sorts with it. Metrics named after energy are those of the matched filter alone."""

CARD = """## What it does

{summary}

## Inputs

White traces, as the front end makes them that is saved with the model: a band-pass, a common reference where there are
many channels, and a whitening over time and channels. A window of 1.2 ms before to 1.6 ms after the peak on its channel
and its nearest neighbours (up to 12, up to 120 um away), resampled to 15 kHz; the distances of the neighbours; the size
of the peak, and of the largest one around it. One contact, tetrodes, linear and dense probes, 10 to 40 kHz.

## Limits

Trained on generated recordings alone. A peak below {candidate_threshold:g} noise standard deviations is
never reported. If two spikes lie within 60 um and 0.4 ms, the larger one is reported. A neuron whose dendrites reach
along the probe has second peaks, which `find_peaks` drops because they come back. Compare with energy alone on data
like yours (`find_peaks(recording, method="energy")`); `benchmarks/detection/detection.py` does so on recordings made
from detailed neuron models.

## How to fine-tune

`train_detector(recording, sorting, start_from="{start}", folder="my_detector")`.
"""


def main() -> None:
    """Generate, train, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="gets a folder for each model")
    parser.add_argument("--architectures", nargs="+", default=["cnn", "gru"], choices=sorted(ARCHITECTURES))
    parser.add_argument("--typical-waveform", action="store_true", help="candidates match the recording's waveform")
    parser.add_argument("--num-epochs", type=int, default=14, help=f"of {RECORDINGS_PER_EPOCH} recordings each")
    parser.add_argument("--num-held-out", type=int, default=24, help="recordings that choose the best epoch")
    parser.add_argument("--checkpoints", type=Path, help="an interrupted training goes on from here")
    parser.add_argument("--seed", type=int, default=1000)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for architecture in options.architectures:
        checkpoints = None if options.checkpoints is None else options.checkpoints / architecture
        net, held_out = pretrain(
            architecture,
            num_epochs=options.num_epochs,
            num_held_out=options.num_held_out,
            seed=options.seed,
            typical_waveform=options.typical_waveform,
            checkpoint_folder=checkpoints,
        )
        save(net, held_out, architecture, options)


def save(net: Detector, held_out: Examples, architecture: str, options: argparse.Namespace) -> None:
    """Save a detector with its threshold, its front end and its card."""
    is_typical = net.config.typical_waveform
    _, metrics = choose_threshold(net, held_out)
    threshold, at_this_recall = threshold_of_equal_recall(net, held_out)
    info = ModelInfo(
        name=f"{'peaks' if is_typical else 'detector'}-{architecture}",
        task="detection",
        training={
            "command": f"python -m si_deepsort.training.detection.pretrain --architectures {architecture} "
            f"{'--typical-waveform ' if is_typical else ''}--num-epochs "
            f"{options.num_epochs} --num-held-out {options.num_held_out} --seed {options.seed} --folder FOLDER",
            "seed": options.seed,
            "data": "generated recordings (si_deepsort.generation), no recorded data",
            "data_license": "MIT",
            "num_recordings": options.num_epochs * RECORDINGS_PER_EPOCH,
        },
        metrics=metrics | at_this_recall,
        settings={"threshold": threshold, "front_end": DEFAULT_FRONT_END},
    )
    short = architecture if BUNDLED[architecture] == info.name else info.name
    summary = (TYPICAL if is_typical else ENERGY).format(short=short)
    card = CARD.format(summary=summary, start=short, candidate_threshold=net.config.candidate_threshold)
    folder = save_model(net, options.folder / info.name, info, card)
    (folder / CARD_FILE).write_text(render_card(folder), encoding="utf-8")
    logger.info("%s: %d weights, threshold %.3f, %s", info.name, net.num_parameters(), threshold, metrics)


if __name__ == "__main__":
    main()
