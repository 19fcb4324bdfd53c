"""The result of a stress test: a table of injected units, scores by SNR, depth and rate, in words, and on disk."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..benchmarking.score import paired_difference
from .bins import (
    RATE_EDGES,
    SNR_EDGES,
    RecallCurve,
    bin_edges,
    depth_edges,
    recall_bounds,
    scores_by,
    scores_of,
)

UNITS_FILE, RUNS_FILE, FACTS_FILE = "units.csv", "runs.csv", "facts.json"
# Share of the units of a bin that must be found for the summary to say that they are.
MOSTLY = 0.8
# Injected units, at least, from which the SNR is told at which most are found: with 10 units, a share of .8 has a
# standard error of .13.
FEWEST_UNITS = 10
# Share of the recording's own units that is found again beside the injected ones; below it the recording was
# overloaded, or the sorter is not repeatable.
LEAST_KEPT = 0.8


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class StressTest:
    """
    What sorters found of the units that were injected into a recording.

    Attributes
    ----------
    units : pandas.DataFrame
        A row for each sorter and injected unit: `sorter`, `repetition`, `unit_id`, `snr`, `x_um`, `depth_um`, `source`
        (the template's origin), `replaces` (the own unit that was taken out for it, or ""), `num_spikes`,
        `firing_rate` (Hz), `accuracy`, `recall`, `precision` (NaN if no unit of the sorting matches) and `is_found` (a
        unit of the sorting agrees with it by half or more).
    runs : pandas.DataFrame
        A row for each sorter and repetition: `sorter`, `repetition`, `status` ("done", "failed" or "not finished"),
        `error`, `num_units`, `run_time_s`, `own_units_kept` (share of the units of the first sorting that are found
        again, for the sorter that made it).
    facts : dict
        What was tested and how: recording, settings, number of own units, units per repetition, origin of the
        templates, versions.
    """

    units: pd.DataFrame
    runs: pd.DataFrame
    facts: dict[str, Any]

    @property
    def sorters(self) -> list[str]:
        """Names of the sorters, in the order in which they were given."""
        return list(self.facts["sorters"])

    def by_snr(self, edges: tuple[float, ...] = SNR_EDGES) -> pd.DataFrame:
        """
        Scores in bins of SNR.

        Parameters
        ----------
        edges : tuple of float, default: (3, 5, 8, 12, 20)
            The outer bins reach as far as there are units.

        Returns
        -------
        pandas.DataFrame
            For each sorter and bin: `sorter`, `from`, `to`, `num_units`, and `detection` (share of units found),
            `recall` (0 for units that were not found) and `precision` (of those found), each with `_low` and `_high`,
            the ends of the 90 % interval. Empty if no sorter has ended.
        """
        return self._by("snr", edges)

    def by_rate(self, edges: tuple[float, ...] = RATE_EDGES) -> pd.DataFrame:
        """Scores in bins of firing rate in Hz, as `by_snr`."""
        return self._by("firing_rate", edges)

    def by_depth(self) -> pd.DataFrame:
        """Scores in four bins of depth in um, as `by_snr`."""
        if self.units.empty:
            return pd.DataFrame()
        return scores_by(self.units, "depth_um", depth_edges(self.units["depth_um"].to_numpy()))

    def overall(self) -> pd.DataFrame:
        """Scores of each sorter over all injected units, with the columns of `by_snr`, the best sorter first."""
        groups = self.units.groupby("sorter", sort=False) if len(self.units) else []
        table = pd.DataFrame([{"sorter": sorter, **scores_of(own)} for sorter, own in groups])
        return table if table.empty else table.sort_values("recall", ascending=False, ignore_index=True)

    def expected_recall(self, snr: np.ndarray, firing_rate: np.ndarray, sorter: str | None = None) -> np.ndarray:
        """
        Recall to be expected for units of given SNR and firing rate, by logistic regression over the injected units.

        Parameters
        ----------
        snr, firing_rate : np.ndarray, shape (num_units,), float64
            Rates in Hz.
        sorter : str | None, default: None
            None takes the first sorter.

        Returns
        -------
        np.ndarray, shape (num_units,), float64

        Raises
        ------
        ValueError
            If no run of the sorter has ended well.
        """
        curve = RecallCurve.fit(self._units_of(sorter))
        return curve.at(np.asarray(snr, dtype=float), np.asarray(firing_rate, dtype=float))

    def expected_recall_bounds(
        self, snr: np.ndarray, firing_rate: np.ndarray, sorter: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        The 90 % interval of `expected_recall`, by a bootstrap over the injected units; arguments as there.

        It tells how far the mean recall of units of this size and rate is known, not how single units differ. Units
        that are smaller than all injected ones were not tested: their interval begins at 0. That of larger ones ends
        at 1.

        Returns
        -------
        low, high : np.ndarray, shape (num_units,), float64
        """
        size, rate = np.asarray(snr, dtype=float), np.asarray(firing_rate, dtype=float)
        return recall_bounds(self._units_of(sorter), size, rate)

    def _units_of(self, sorter: str | None) -> pd.DataFrame:
        """The injected units with the scores of a sorter; None is the first."""
        sorter = self.sorters[0] if sorter is None else sorter
        own = self.units[self.units["sorter"] == sorter] if len(self.units) else self.units
        if own.empty:
            raise ValueError(f"No run of {sorter} has ended well; sorters are {self.sorters}.")
        return own

    def compared(self) -> pd.DataFrame:
        """
        The best sorter against each other one, over the same injected units.

        Returns
        -------
        pandas.DataFrame
            `sorter`, `other`, `difference` of the recall with `low` and `high` (95 %), `num_units`, `num_better`,
            `num_worse`; empty for fewer than two sorters.
        """
        order = list(self.overall()["sorter"]) if len(self.units) else []
        rows = []
        for other in order[1:]:
            both = self.units[self.units["sorter"] == order[0]].merge(
                self.units[self.units["sorter"] == other], on="unit_id", suffixes=("", "_other")
            )
            if len(both):
                difference = paired_difference(both["recall"], both["recall_other"])
                rows.append({"sorter": order[0], "other": other, **difference})
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """What was found, in sentences."""
        return "\n".join(in_words(self))

    def save(self, folder: str | Path) -> Path:
        """
        Write `units.csv`, `runs.csv` and `facts.json` into a folder, which is made if it is missing.

        Returns
        -------
        Path
            The folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.units.to_csv(folder / UNITS_FILE, index=False)
        self.runs.to_csv(folder / RUNS_FILE, index=False)
        (folder / FACTS_FILE).write_text(json.dumps(self.facts, indent=1), encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> "StressTest":
        """
        Read what `save` wrote.

        Raises
        ------
        ValueError
            If the folder holds no result.
        """
        folder = Path(folder)
        if not (folder / FACTS_FILE).exists():
            raise ValueError(f"{folder} holds no result of a stress test, expected a folder written by save(folder).")
        texts = dict(unit_id=str, source=str, replaces=str, error=str, sorter=str, status=str)
        units = pd.read_csv(folder / UNITS_FILE, dtype=texts)
        units = units.fillna({"replaces": ""}) if len(units) else units
        runs = pd.read_csv(folder / RUNS_FILE, dtype=texts)
        runs["error"] = runs["error"].fillna("")
        facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
        return cls(units=units, runs=runs, facts=facts)

    def write_page(self, path: str | Path) -> Path:
        """
        Write one HTML page that needs no other file.

        Parameters
        ----------
        path : str | Path

        Returns
        -------
        Path
            The file.
        """
        from .page import write_page

        return write_page(self, path)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from .page import notebook_html

        return notebook_html(self)

    def _by(self, column, edges) -> pd.DataFrame:
        if self.units.empty:
            return pd.DataFrame()
        return scores_by(self.units, column, bin_edges(self.units[column].to_numpy(float), edges))


def in_words(test: StressTest) -> list[str]:
    """The result as sentences: what was done, what each sorter found, which is best, and what went wrong."""
    facts = test.facts
    num_units = test.units["unit_id"].nunique() if len(test.units) else 0
    sentences = [
        f"{num_units} units were injected into {facts['num_channels']} channels and {facts['duration_s']:.4g} s, "
        f"{facts['units_per_repetition']} at a time "
        f"{'in place of as many of' if facts['own_units_taken_out'] else 'beside'} {facts['num_own_units']} own units; "
        f"their templates: {facts['templates']}."
    ]
    overall = test.overall()
    for _, row in overall.iterrows():
        sentences.append(
            f"{row['sorter']} found {_share(row, 'detection')} of them; recall {_share(row, 'recall')}, precision of "
            f"the units found {_share(row, 'precision')} (90 % intervals)."
        )
        sentences.append(_from_snr(test.by_snr(), row["sorter"]))
    sentences += [_comparison(row) for _, row in test.compared().iterrows()]
    return sentences + _problems(test)


def _share(row, name) -> str:
    if np.isnan(row[name]):
        return "unknown"
    return f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"


def _from_snr(table, sorter) -> str:
    own = table[table["sorter"] == sorter].sort_values("from")
    if own["num_units"].sum() < FEWEST_UNITS:
        return f"{FEWEST_UNITS} or more injected units tell from which SNR {sorter} finds them: use more repetitions."
    well = own["detection"].to_numpy() >= MOSTLY
    # The lowest bin from which on all bins are well found.
    num_well = len(well) - 1 - np.flatnonzero(~well).max() if (~well).any() else len(well)
    if num_well == 0:
        return f"At no SNR does {sorter} find {MOSTLY:.0%} of the units."
    return f"{sorter} finds {MOSTLY:.0%} or more of the units from an SNR of {own['from'].iloc[-num_well]:.2g} on."


def _comparison(row) -> str:
    numbers = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}] over {row['num_units']:.0f} units"
    verdict = "is better than" if row["low"] > 0 else "is not clearly better than"
    return f"{row['sorter']} {verdict} {row['other']}: recall {numbers}."


def _problems(test: StressTest) -> list[str]:
    sentences = list(test.facts.get("notes", []))
    for sorter in test.sorters:
        own = test.runs[test.runs["sorter"] == sorter]
        failed = own[own["status"] == "failed"]
        if len(failed):
            sentences.append(f"{sorter} failed in {len(failed)} of {len(own)} runs: {failed['error'].iloc[0]}")
        waiting = (own["status"] == "not finished").sum()
        if waiting:
            sentences.append(f"{waiting} of {len(own)} runs of {sorter} have not ended: run the same test again later.")
        kept = own["own_units_kept"].dropna()
        if len(kept) and kept.mean() < LEAST_KEPT:
            sentences.append(
                f"Beside the injected units {sorter} found only {kept.mean():.0%} of the units that it finds without "
                "them: the recording is crowded, or small changes of the traces change the result."
            )
    return sentences
