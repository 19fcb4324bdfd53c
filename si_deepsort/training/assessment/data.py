"""All examples of a folder as arrays, and their division into folds by recording."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Weight of an example from a degraded true sorting; sortings of sorters weigh 1. Tuned on development recordings with
# biophysical templates (seeds 1-6), as the number of epochs and the width of the network are.
DEGRADED_WEIGHT = 0.3


@dataclass(frozen=True)
class ExampleSet:
    """
    Examples of many sortings, one after the other.

    Attributes
    ----------
    names : list of str
        "RECORDING.SORTER" of each sorting.
    sortings : np.ndarray, shape (num_units,), int
        Sorting of each unit.
    units, pairs : np.ndarray, float32
        Matrices of `assessment.features`.
    precision, recall : np.ndarray, shape (num_units,), float
    labels : np.ndarray, shape (num_units,), int
    spikes : np.ndarray, shape (num_spikes, num_spike_features), float32
        Ordered by unit.
    spike_units : np.ndarray, shape (num_spikes,), int
        Row of the unit of each spike.
    is_right : np.ndarray, shape (num_spikes,), bool
    whole : dict of str to np.ndarray, shape (num_sortings, ...)
        Values of each sorting as a whole.
    """

    names: list[str]
    sortings: np.ndarray
    units: np.ndarray
    pairs: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    labels: np.ndarray
    spikes: np.ndarray
    spike_units: np.ndarray
    is_right: np.ndarray
    whole: dict[str, np.ndarray]

    @property
    def num_recordings(self) -> int:
        """Number of recordings that were sorted."""
        return len({name.rpartition(".")[0] for name in self.names})

    def families(self) -> np.ndarray:
        """
        Number of the family of each sorting, (num_sortings,), int.

        Recordings are named KIND-SEED-DURATION. Those of one seed and one number of neurons are a family: the shapes
        of all neurons are drawn at once from the seed, so that they are the same in all of these. A recording with
        another name is a family of its own.
        """
        stems = self._stems(r"\2")
        num_neurons = self.whole["num_neurons"].sum(axis=1)
        return np.unique([f"{stem} {num}" for stem, num in zip(stems, num_neurons, strict=True)], return_inverse=True)[
            1
        ]

    def kinds(self) -> np.ndarray:
        """Number of the kind of the recording of each sorting, (num_sortings,), int; named as for `families`."""
        return np.unique(self._stems(r"\1"), return_inverse=True)[1]

    def _stems(self, part: str) -> list[str]:
        """A part of the name of the recording of each sorting."""
        return [re.sub(r"^(.+)-(\d+)-[\d.]+$", part, name.rpartition(".")[0]) for name in self.names]

    def weights(self) -> np.ndarray:
        """Weight of each unit in training, (num_units,), float."""
        is_degraded = np.array(["degraded" in name.rpartition(".")[2] for name in self.names])
        return np.where(is_degraded, DEGRADED_WEIGHT, 1.0)[self.sortings]


WHOLE = ("event_counts", "num_explained", "duration_s", "num_channels", "num_missed", "num_neurons")


def load_examples(folder: str | Path) -> ExampleSet:
    """
    Load the examples of a folder.

    Parameters
    ----------
    folder : str | Path
        Holds `RECORDING.SORTER.npz`, see `make_all_examples`.

    Raises
    ------
    ValueError
        If there are none.
    """
    files = sorted(file for file in Path(folder).glob("*.npz") if not file.name.endswith(".partial.npz"))
    if not files:
        raise ValueError(f"{folder} holds no examples, expected files NAME.SORTER.npz. Make them first.")
    loaded = [dict(np.load(file)) for file in files]
    starts = np.concatenate([[0], np.cumsum([len(part["units"]) for part in loaded])])
    joined = {
        name: np.concatenate([part[name] for part in loaded])
        for name in ("units", "pairs", "precision", "recall", "labels")
    }
    spike_units = np.concatenate([part["spike_units"] + start for part, start in zip(loaded, starts[:-1], strict=True)])
    order = np.argsort(spike_units, kind="stable")
    return ExampleSet(
        names=[file.name.removesuffix(".npz") for file in files],
        sortings=np.repeat(np.arange(len(loaded)), np.diff(starts)),
        spikes=np.concatenate([part["spikes"] for part in loaded])[order],
        spike_units=spike_units[order],
        is_right=np.concatenate([part["is_right"] for part in loaded])[order],
        whole={name: np.stack([part[name] for part in loaded]) for name in WHOLE},
        **joined,
    )


def folds_by_recording(examples: ExampleSet, num_folds: int, seed: int) -> np.ndarray:
    """Fold of each unit, (num_units,), int; all recordings of a family are in one fold, and folds are about equal."""
    families = examples.families()[examples.sortings]
    sizes = np.bincount(families)
    folds, filled = np.zeros(len(sizes), dtype=int), np.zeros(num_folds)
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    for family in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        folds[family] = filled.argmin()
        filled[folds[family]] += sizes[family]
    return folds[families]
