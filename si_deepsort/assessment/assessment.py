"""The result of `assess`: tables of units, spikes and missed neurons, and what can be done with them."""

import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from spikeinterface.core import BaseSorting, NumpySorting, load

if TYPE_CHECKING:
    from spikeinterface.curation.curation_model import Curation

# Properties of the units that SpikeInterface, phy and spikeinterface-gui show.
PROPERTIES = (
    "expected_precision",
    "precision_lower",
    "precision_upper",
    "expected_recall",
    "recall_lower",
    "recall_upper",
    "label",
    "confidence",
)
# Property that holds the reasons in words, which the report shows.
REASONS = "reasons"
UNITS_FILE, SPIKES_FILE, WHOLE_FILE, SORTING_FOLDER = "units.csv", "spikes.npz", "assessment.json", "sorting"


@dataclass(frozen=True, eq=False)
class Assessment:
    """
    How far to trust a sorting.

    Attributes
    ----------
    sorting : BaseSorting
        The sorting that was judged.
    units : pandas.DataFrame
        One row for each unit, by its id: num_spikes, snr, label ("good", "multi-unit", "fragment" or "noise"),
        confidence (probability of the label), expected_precision and expected_recall with the bounds of their 90 %
        intervals (precision_lower, precision_upper, ...), probability_good and so on, and the reasons in words.
    spikes : pandas.DataFrame
        One row for each spike, in the order of `sorting.to_spike_vector()`: probability that it is real and of its
        unit, and is_judged (False: it has the expected precision of its unit).
    missed : pandas.DataFrame
        Estimated number of neurons that were missed in each range of SNR, its 90 % interval, and the share of such
        neurons that sorters found in the recordings on which the network was trained.
    missed_by_depth : pandas.DataFrame
        Events per second that no unit explains, at each depth.
    model : dict
        Where the network comes from.
    """

    sorting: BaseSorting
    units: pd.DataFrame
    spikes: pd.DataFrame
    missed: pd.DataFrame
    missed_by_depth: pd.DataFrame
    model: dict

    def summary(self) -> str:
        """A few lines of text: how many units of each label, what to expect of them, and what was missed."""
        units = self.units
        if len(units) == 0:
            return "\n".join(["No units.", *self._missed_lines()])
        counts = units["label"].value_counts()
        labels = ", ".join(f"{count} {label}" for label, count in counts.items())
        worst = units[units["label"] != "good"].sort_values("expected_precision").head(5)
        lines = [
            f"{len(units)} units: {labels}.",
            "Means over units: expected precision {:.2f}, expected recall {:.2f}. The 90 % interval of the precision "
            "lies above 0.9 for {} units.".format(
                units["expected_precision"].mean(),
                units["expected_recall"].mean(),
                (units["precision_lower"] >= 0.9).sum(),
            ),
        ]
        lines += [f"Unit {unit}: {row['label']}; {row['reasons']}." for unit, row in worst.iterrows()]
        return "\n".join([*lines, *self._missed_lines()])

    def _missed_lines(self) -> list[str]:
        return [
            f"Missed neurons of SNR {row['snr']}: about {row['missed']:.0f} ({row['lower']} to {row['upper']})."
            for _, row in self.missed.iterrows()
        ]

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        """For notebooks."""
        shown = ["label", "confidence", "expected_precision", "expected_recall", "num_spikes", "snr", "reasons"]
        text = html.escape(self.summary()).replace("\n", "<br>")
        return f"<p>{text}</p>" + self.units[shown].to_html(float_format=lambda value: f"{value:.2f}", escape=True)

    def curate(self, min_precision: float = 0.95, *, min_spike_probability: float | None = None) -> BaseSorting:
        """
        Keep the units that are expected to be pure.

        Parameters
        ----------
        min_precision : float, default: 0.95
            Smallest expected precision, from 0 to 1.
        min_spike_probability : float | None, default: None
            Also leave out spikes that are less probable than this. None keeps all spikes of the units.

        Returns
        -------
        BaseSorting
            With the properties of `set_properties`.

        Raises
        ------
        ValueError
            If a limit is not between 0 and 1.
        """
        for name, value in (("min_precision", min_precision), ("min_spike_probability", min_spike_probability)):
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name}: got {value!r}, expected a number from 0 to 1.")
        sorting = self.sorting
        if min_spike_probability is not None:
            kept = sorting.to_spike_vector()[self.spikes["probability"].to_numpy() >= min_spike_probability]
            sorting = NumpySorting(kept, sorting.get_sampling_frequency(), sorting.unit_ids)
        is_pure = (self.units["expected_precision"] >= min_precision).to_numpy()
        curated = sorting.select_units(np.asarray(sorting.unit_ids)[is_pure])
        _set_properties(curated, self.units[is_pure])
        return curated

    def to_curation(self) -> "Curation":
        """The labels in SpikeInterface's curation format, for `apply_curation` and for spikeinterface-gui."""
        from spikeinterface.curation.curation_model import Curation

        ids = [unit.item() if isinstance(unit, np.generic) else unit for unit in self.units.index]
        options = ["good", "multi-unit", "fragment", "noise"]
        return Curation(
            format_version="2",
            unit_ids=ids,
            label_definitions={"quality": {"label_options": options, "exclusive": True}},
            manual_labels=[
                {"unit_id": unit, "labels": {"quality": [label]}}
                for unit, label in zip(ids, self.units["label"], strict=True)
            ],
            removed=[],
            merges=[],
            splits=[],
        )

    def set_properties(self, sorting: BaseSorting) -> None:
        """
        Set what is expected of each unit as properties of a sorting, which SpikeInterface, phy and its GUI show.

        Parameters
        ----------
        sorting : BaseSorting
            It gets the properties expected_precision, expected_recall, their bounds, label, confidence and reasons.

        Raises
        ------
        ValueError
            If it has a unit that was not judged.
        """
        unknown = [unit for unit in sorting.unit_ids if unit not in self.units.index]
        if unknown:
            raise ValueError(f"The units {unknown[:10]} were not judged. Assess this sorting first.")
        _set_properties(sorting, self.units.loc[list(sorting.unit_ids)])

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """
        Write the tables and the sorting to a folder.

        Raises
        ------
        ValueError
            If the folder exists and is not to be replaced.
        """
        folder = Path(folder)
        if folder.exists() and not (overwrite and (folder / WHOLE_FILE).exists()):
            remedy = "replace it with overwrite=True" if (folder / WHOLE_FILE).exists() else "it holds no assessment"
            raise ValueError(f"{folder} exists. Choose another folder, or {remedy}.")
        folder.mkdir(parents=True, exist_ok=True)
        self.units.to_csv(folder / UNITS_FILE)
        np.savez_compressed(folder / SPIKES_FILE, **{name: self.spikes[name].to_numpy() for name in self.spikes})
        NumpySorting.from_sorting(self.sorting).save(folder=folder / SORTING_FOLDER, overwrite=True)
        whole = {
            "missed": self.missed.to_dict(orient="list"),
            "missed_by_depth": self.missed_by_depth.to_dict(orient="list"),
            "model": self.model,
        }
        (folder / WHOLE_FILE).write_text(json.dumps(whole, indent=1), encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> "Assessment":
        """
        Read what `save` wrote.

        Raises
        ------
        ValueError
            If the folder holds no assessment.
        """
        folder = Path(folder)
        if not (folder / WHOLE_FILE).exists():
            raise ValueError(f"{folder} holds no {WHOLE_FILE}: it was not written by Assessment.save.")
        whole = json.loads((folder / WHOLE_FILE).read_text(encoding="utf-8"))
        sorting = load(folder / SORTING_FOLDER)
        units = pd.read_csv(folder / UNITS_FILE, index_col="unit_id")
        units.index = pd.Index(sorting.unit_ids, name="unit_id")
        return cls(
            sorting=sorting,
            units=units,
            spikes=pd.DataFrame(dict(np.load(folder / SPIKES_FILE))),
            missed=pd.DataFrame(whole["missed"]),
            missed_by_depth=pd.DataFrame(whole["missed_by_depth"]),
            model=whole["model"],
        )


def _set_properties(sorting: BaseSorting, units: pd.DataFrame) -> None:
    for name in PROPERTIES:
        values = units[name].to_numpy()
        sorting.set_property(name, values.astype(str) if name == "label" else values.astype(float))
    sorting.set_property(REASONS, units[REASONS].to_numpy().astype(str))
