"""Training of cell types: animals are held out whole, few animals prove little, and training is repeatable."""

from pathlib import Path

import numpy as np
import pytest
import torch

from si_deepsort.training.cell_types.cells import KnownCells, load_cells
from si_deepsort.training.cell_types.train import fit_probability, train_cell_types
from si_deepsort.training.cell_types.validate import accuracy_interval, leave_one_animal_out
from si_deepsort.zoo import load_model

CELLS = Path(__file__).parents[2].parent / "shared" / "data" / "opto_tagged_cells" / "cells.npz"


def some_cells(num_animals=6, cells_per_animal=5, seed=0):
    rng = np.random.default_rng(seed)
    animals = np.repeat([f"animal{number}" for number in range(num_animals)], cells_per_animal)
    is_excitatory = np.repeat(np.arange(num_animals) % 2 == 0, cells_per_animal)
    features = np.stack([np.where(is_excitatory, 0.7, 0.35), np.where(is_excitatory, 1.5, -0.5)], axis=1)
    features += 0.1 * rng.standard_normal(features.shape)
    return KnownCells(features=features, is_excitatory=is_excitatory, animals=animals, labels=animals)


def test_no_animal_is_in_its_own_training():
    cells, seen = some_cells(), []

    def fit(features, is_excitatory):
        is_seen = (cells.features[:, None] == features).all(axis=2).any(axis=1)
        seen.append(set(cells.animals[is_seen]))
        return lambda wanted: np.full(len(wanted), 0.5)

    leave_one_animal_out(cells, fit)
    assert all(len(animals) == 5 for animals in seen) and len(seen) == 6


def test_few_animals_prove_little():
    few, many = (accuracy_interval(np.ones(5 * number, bool), some_cells(num_animals=number)) for number in (4, 40))
    assert few["value"] == many["value"] == 1.0
    assert few["bootstrap_low"] == 1.0, "which is why it is not what is reported"
    assert few["low"] < 0.7 and many["low"] > 0.8


def test_training_is_repeatable_and_saved(tmp_path):
    cells = some_cells()
    first, again = (train_cell_types(cells, tmp_path / name) for name in ("first", "again"))
    for name, value in first.net.state_dict().items():
        assert torch.equal(value, again.net.state_dict()[name])
    loaded = load_model(first.folder)
    assert torch.equal(loaded.linear.weight, first.net.linear.weight)
    assert first.info.metrics["balanced_accuracy"]["value"] > 0.9
    probability = fit_probability(cells.features, cells.is_excitatory)(cells.features)
    assert ((probability > 0.5) == cells.is_excitatory).mean() > 0.9


@pytest.mark.skipif(not CELLS.exists(), reason="the cells of known type are not at hand")
def test_the_bundled_model_is_what_training_gives():
    trained, bundled = train_cell_types(load_cells(CELLS), None).net, load_model("cell-type")
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(value, bundled.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cells\.npz"):
        load_cells(tmp_path / "cells.npz")
