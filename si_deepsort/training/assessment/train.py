"""
Train the network that judges sortings, from examples with known truth.

`python -m si_deepsort.training.assessment.train --examples EXAMPLES --folder FOLDER [--seed 0]`
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...nets.assessor import QUANTILES, Assessor, AssessorConfig
from ...zoo import ModelInfo
from ..trained_model import TrainedModel, finish_training
from .calibrate import calibrate
from .data import ExampleSet, folds_by_recording, load_examples

# Spikes of each unit in a batch.
SPIKES_AT_ONCE = 8
# Weights of the losses of labels and of spikes beside those of the quantiles.
LABEL_WEIGHT, SPIKE_WEIGHT = 0.05, 0.1
# What to do with a trained network.
NEXT_STEP = "si_deepsort.assess(sorting, recording, model={model}).summary()"
# Share of the units that are shown without any neighbour, and share of single neighbours that are hidden: most
# recordings are crowded, so that a unit without similar ones would else be taken for noise, which most such units are.
HIDDEN_ALL, HIDDEN_ONE = 0.15, 0.2
# Standard deviation of the noise that is added to normalized features in training.
FEATURE_NOISE = 0.1


@dataclass(frozen=True, kw_only=True)
class AssessorTrainingSettings:
    """
    How the network is trained.

    Attributes
    ----------
    num_epochs, batch_size : int
    learning_rate, weight_decay : float
        As AdamW takes them; the learning rate falls to 0 along a cosine.
    seed : int
    """

    num_epochs: int = 150
    batch_size: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    seed: int = 0


def train_assessor(
    examples: str | Path, folder: str | Path | None, *, settings: AssessorTrainingSettings | None = None
) -> TrainedModel:
    """
    Train, calibrate and save the network.

    Parameters
    ----------
    examples : str | Path
        Folder of examples, see `make_all_examples`.
    folder : str | Path | None
        Where the model is saved; None does not save it.
    settings : AssessorTrainingSettings | None, default: None

    Raises
    ------
    ValueError
        If there are no examples, or of fewer recordings than members.
    """
    settings = settings or AssessorTrainingSettings()
    loaded = load_examples(examples)
    torch.manual_seed(settings.seed)
    net = Assessor(
        AssessorConfig(
            num_unit_features=loaded.units.shape[1],
            num_pair_features=loaded.pairs.shape[2],
            num_spike_features=loaded.spikes.shape[1],
        )
    )
    if loaded.families().max() + 1 < net.config.num_members:
        raise ValueError(
            f"The examples are of {loaded.families().max() + 1} families of recordings, expected at least "
            f"{net.config.num_members}: each member of the network leaves some out."
        )
    set_normalization(net, loaded)
    folds = folds_by_recording(loaded, net.config.num_members, settings.seed)
    for number in range(net.config.num_members):
        fit_member(net, number, loaded, np.flatnonzero(folds != number), settings)
    net.eval()
    calibration, metrics = calibrate(net, loaded, folds)
    info = ModelInfo(
        name="assessment",
        task="assessment",
        input_unit="features of units and spikes in white traces",
        training={
            "command": "python -m si_deepsort.training.assessment.train --examples EXAMPLES --folder FOLDER "
            f"--seed {settings.seed}",
            "examples": "made as by benchmarks/assessment/make_examples.py",
            "seed": settings.seed,
            "data": f"{len(loaded.names)} sortings of {loaded.num_recordings} generated recordings by deepsort, lupin "
            "and spykingcircus2, and true sortings with faults; no recorded data",
            "data_license": "MIT",
            "num_units": len(loaded.units),
        },
        metrics=metrics,
        settings=calibration,
    )
    scores = {name: f"{value:.3f}" for name, value in metrics.items()}
    return finish_training(net, info, folder, scores=scores, next_step=NEXT_STEP, prints=True)


def set_normalization(net: Assessor, examples: ExampleSet) -> None:
    """Give the network the mean and the standard deviation of each feature."""
    for kind, features in (("unit", examples.units), ("pair", examples.pairs), ("spike", examples.spikes)):
        flat = features.reshape(-1, features.shape[-1])
        getattr(net, f"{kind}_mean").copy_(torch.from_numpy(np.nanmean(flat, axis=0)))
        getattr(net, f"{kind}_scale").copy_(torch.from_numpy(np.maximum(np.nanstd(flat, axis=0), 1e-3)))


def fit_member(
    net: Assessor, number: int, examples: ExampleSet, rows: np.ndarray, settings: AssessorTrainingSettings
) -> None:
    """Train one member on some units."""
    rng = np.random.default_rng([settings.seed, number])
    torch.manual_seed(settings.seed * 1000 + number)
    member = net.members[number].train()
    optimizer = torch.optim.AdamW(member.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    num_steps = settings.num_epochs * -(-len(rows) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    starts = np.searchsorted(examples.spike_units, np.arange(len(examples.units) + 1))
    weights = examples.weights()
    for _ in range(settings.num_epochs):
        shuffled = rng.permutation(rows)
        for start in range(0, len(shuffled), settings.batch_size):
            batch = shuffled[start : start + settings.batch_size]
            loss = _loss(net, member, examples, batch, starts, weights, rng)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def _loss(net, member, examples, batch, starts, weights, rng):
    units, pairs = torch.from_numpy(examples.units[batch]), torch.from_numpy(examples.pairs[batch])
    is_there = ~pairs.isnan().any(dim=2)
    hidden = torch.where(torch.rand(len(batch), 1) < HIDDEN_ALL, 1.0, HIDDEN_ONE)
    is_there &= torch.rand(is_there.shape) >= hidden
    units, pairs = net.normalized(units, "unit"), net.normalized(pairs, "pair")
    units = units + FEATURE_NOISE * torch.randn_like(units)
    outputs = member.judge_units(units, pairs, is_there)
    weight = torch.from_numpy(weights[batch]).float()
    loss = torch.zeros(())
    for part, name in enumerate(("precision", "recall")):
        target = torch.from_numpy(getattr(examples, name)[batch]).float()
        error = target[:, None] - outputs[:, 3 * part : 3 * part + 3]
        quantiles = torch.tensor(QUANTILES)
        # The middle counts more: it is the expected value.
        pinball = torch.maximum(quantiles * error, (quantiles - 1) * error) * torch.tensor([1.0, 2.0, 1.0])
        loss = loss + (pinball.sum(dim=1) * weight).mean()
    labels = torch.from_numpy(examples.labels[batch])
    loss = (
        loss - LABEL_WEIGHT * (outputs[:, 6:].clamp(min=1e-6).log()[torch.arange(len(batch)), labels] * weight).mean()
    )
    counts = starts[batch + 1] - starts[batch]
    drawn = starts[batch][:, None] + (rng.random((len(batch), SPIKES_AT_ONCE)) * counts[:, None]).astype(int)
    owners = np.repeat(np.arange(len(batch)), SPIKES_AT_ONCE)[np.repeat(counts > 0, SPIKES_AT_ONCE)]
    drawn = drawn[counts > 0].ravel()
    if len(drawn):
        spikes = net.normalized(torch.from_numpy(examples.spikes[drawn]), "spike")
        log_odds = member.judge_spikes(spikes, outputs[torch.from_numpy(owners)].detach())[:, 0]
        target = torch.from_numpy(examples.is_right[drawn]).float()
        errors = nn.functional.binary_cross_entropy_with_logits(log_odds, target, reduction="none")
        loss = loss + SPIKE_WEIGHT * (errors * weight[torch.from_numpy(owners)]).mean()
    return loss


def main(arguments: list[str] | None = None) -> None:
    """Command line of the training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    train_assessor(options.examples, options.folder, settings=AssessorTrainingSettings(seed=options.seed))


if __name__ == "__main__":
    main()
