"""
Make the bundled detectors: `python -m si_deepsort.training.detection.pretrain --folder MODELS`.

They learn from generated recordings that differ from each other in everything that may differ between laboratories
(`random_recordings.py`). No recorded data is used.
"""

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...nets import network_class
from ...nets.detector import DetectorConfig
from ...zoo import CARD_FILE, ModelInfo, render_card, save_model
from ..random_recordings import random_recording
from .examples import Examples, concatenate_examples, examples_from_recording
from .threshold import choose_threshold
from .train import ARCHITECTURES, DetectorTrainingSettings, fit_detector

logger = logging.getLogger(__name__)

CONFIG = DetectorConfig(activity_heights=(3.5, 5.0, 7.0, 10.0))
HIDDEN = {"cnn": CONFIG.hidden, "gru": (24, 24, 48)}
# One recording in so many stops the training and sets the threshold.
ONE_HELD_OUT_IN = 6


def generated_examples(num_recordings: int, seed: int, settings: DetectorTrainingSettings) -> tuple[Examples, Examples]:
    """Training examples, and held-out ones from recordings of their own."""
    training: list[Examples] = []
    held_out: list[Examples] = []
    for number in range(num_recordings):
        recording, sorting = random_recording(seed + number)
        if not sorting.count_total_num_spikes():
            continue
        examples, _ = examples_from_recording(
            recording,
            sorting,
            CONFIG,
            candidate_threshold=settings.candidate_threshold,
            num_negatives=settings.num_negatives,
            seed=seed + number,
        )
        # Each recording counts alike, however many candidates its channels have.
        examples.weights /= examples.weights.mean()
        is_held_out = number % ONE_HELD_OUT_IN == 0
        (held_out if is_held_out else training).append(examples)
        logger.info("recording %d: %d spikes of %d examples", number, examples.labels.sum(), len(examples))
    return concatenate_examples(training), concatenate_examples(held_out)


def write_examples(file: Path, training: Examples, held_out: Examples) -> None:
    """Keep generated examples, so that several networks can learn from them."""
    np.savez(
        file,
        **{f"training_{k}": v for k, v in vars(training).items()},
        **{f"held_out_{k}": v for k, v in vars(held_out).items()},
    )


def read_examples(file: Path) -> tuple[Examples, Examples]:
    """What `write_examples` wrote."""
    with np.load(file) as arrays:
        names = list(Examples.__dataclass_fields__)
        training, held_out = (
            Examples(*(arrays[f"{part}_{name}"] for name in names)) for part in ("training", "held_out")
        )
    return training, held_out


CARD = """## What it does

Finds spikes in band-passed extracellular traces, whitened or not, of either polarity: for each local extremum the
probability that it is the peak of a spike. `find_peaks(recording, method="{short}")` gives the peaks,
`detection_probability(recording, "{short}")` the probabilities.

## Inputs

A window of 0.8 ms before to 1.2 ms after the extremum on the channel and its nearest neighbours (up to 12, up to 150 um
away), resampled to 20 kHz and divided by the robust noise level of each channel; the distances of the neighbours; how
often the channel exceeds 3.5, 5, 7 and 10 noise levels. One contact, tetrodes, linear and dense probes, 10 to 40 kHz.

## Limits

Trained on generated recordings alone. A peak below {candidate_threshold} noise levels is never reported. Two spikes
whose peaks are nearer than 0.35 ms and 75 um are reported as one. On a single channel with much multi-unit background
many small events are reported too; `find_peaks(only_standing_out=True)` leaves them out. On recordings made from
detailed neuron models the ranking of its probabilities was behind a plain threshold with a long exclusion
(`benchmarks/detection/detection.py`): measure both on data like yours before you prefer it.

## How to fine-tune

`train_detector(recording, sorting, start_from="{short}", folder="my_detector")`.
"""


def main() -> None:
    """Generate, train, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="gets detector-cnn/ and detector-gru/")
    parser.add_argument("--architectures", nargs="+", default=["cnn", "gru"], choices=sorted(ARCHITECTURES))
    parser.add_argument("--num-recordings", type=int, default=700)
    parser.add_argument("--num-epochs", type=int, default=8)
    parser.add_argument("--examples", type=Path, help="keeps the generated examples here, or takes them from here")
    parser.add_argument("--seed", type=int, default=1000)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = DetectorTrainingSettings(
        num_epochs=options.num_epochs, num_negatives=1200, seed=options.seed, progress_bar=False
    )
    if options.examples is not None and options.examples.exists():
        training, held_out = read_examples(options.examples)
    else:
        training, held_out = generated_examples(options.num_recordings, options.seed, settings)
        if options.examples is not None:
            write_examples(options.examples, training, held_out)
    for architecture in options.architectures:
        torch.manual_seed(options.seed)
        net: Any = network_class(ARCHITECTURES[architecture])(replace(CONFIG, hidden=HIDDEN[architecture]))
        fit_detector(net, training, held_out, settings)
        threshold, metrics = choose_threshold(net, held_out)
        command = (
            f"python -m si_deepsort.training.detection.pretrain --architectures {architecture} "
            f"--num-recordings {options.num_recordings} --num-epochs {options.num_epochs} --seed {options.seed}"
        )
        info = ModelInfo(
            name=f"detector-{architecture}",
            task="detection",
            training={
                "command": command,
                "seed": options.seed,
                "data": "generated recordings (si_deepsort.generation), no recorded data",
                "data_license": "MIT",
                "num_examples": len(training),
            },
            metrics=metrics,
            settings={"threshold": threshold, "candidate_threshold": settings.candidate_threshold},
        )
        card = CARD.format(short=architecture, candidate_threshold=settings.candidate_threshold)
        folder = save_model(net, options.folder / info.name, info, card)
        (folder / CARD_FILE).write_text(render_card(folder), encoding="utf-8")
        logger.info("%s: %d weights, threshold %.3f, %s", info.name, net.num_parameters(), threshold, metrics)


if __name__ == "__main__":
    main()
