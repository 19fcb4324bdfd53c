"""
Does a stress test predict what a sorter finds? Recall by SNR of injected units against that of the true units.

    python benchmarks/assessment/stress_test.py [--sortings FOLDER]

`--sortings` takes the first sorting of each recording from a folder of `si-deepsort benchmark`, which saves a sorting.
"""

import argparse
import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import spikeinterface.core as si
from scipy.special import erf

from si_deepsort.benchmarking.external import unit_snr
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.recordings import ground_truth_recording
from si_deepsort.benchmarking.report import write_results
from si_deepsort.benchmarking.score import score_sorting
from si_deepsort.stress import StressTestSettings, stress_test
from si_deepsort.stress.bins import SNR_EDGES, RecallCurve, resampled_curves
from si_deepsort.stress.plan import Run, hybrid_of, injected_sorting, repetition_folder

CASES = ",".join(
    f"{name}:{seed}"
    for seed in (201, 202, 203)
    for name in ("tetrode", "linear32", "plain", "hybrid", "bursting", "synchronous_small", "synchronous_dense")
)
# Neurons of these recordings ignore each other.
INDEPENDENT = ("plain", "tetrode", "linear32", "neuropixels1", "neuropixels2", "hybrid", "small", "bursting")
# Recordings with so few units that two or three are injected at a time are sorted this often.
REPETITIONS_OF_FEW = {"tetrode": 6}
# With fewer injected units, a bin of a recording was not tested: its true units are counted, not compared.
FEWEST_INJECTED = 3
# Resamples of recordings and units for the interval of a difference.
NUM_RESAMPLES = 400
# Predictions are to be this exact.
WITHIN = 0.05


def main() -> None:
    """Run all recordings and seeds, those that have ended from the folder, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", nargs="?", default="benchmarks/results/stress_test.json")
    parser.add_argument("--cases", default=CASES, help="name:seed of recordings, separated by commas")
    parser.add_argument("--duration", type=float, default=60.0, help="in s")
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--sortings", type=Path, help="folder of si-deepsort benchmark with sortings of the cases")
    parser.add_argument("--sorter", default="deepsort")
    parser.add_argument("--folder", default="benchmarks/cache/stress_test", help="of sortings, to continue later")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    cases = options.cases.split(",")
    origin = provenance(seeds=sorted({int(case.split(":")[1]) for case in cases}))
    done: tuple[list, list] = ([], [])
    for case in cases:
        name, seed = case.split(":")
        tables = measure(name, int(seed), options)
        for rows, table in zip(done, tables, strict=True):
            rows.append(table.assign(recording=name, seed=int(seed)))
        print(case, *(f"{table['recall'].mean():.3f} of {len(table)}" for table in tables), flush=True)
        both = (pd.concat(rows, ignore_index=True) for rows in done)
        write_results(origin | as_document(*both, options), options.output)


def as_document(true: pd.DataFrame, injected: pd.DataFrame, options: argparse.Namespace) -> dict:
    """The results so far."""
    bins = compare(true, injected)
    cases = [f"{name}:{seed}" for name, seed in true[["recording", "seed"]].drop_duplicates().to_numpy().tolist()]
    return dict(
        sorter=options.sorter,
        cases=cases,
        durations_s=[options.duration],
        repetitions=options.repetitions,
        true_units=true.round(4).to_dict("list"),
        injected_units=injected.round(4).to_dict("list"),
        rows=bins.to_dict("records"),
        tables=dict(stress_test=as_table(bins, cases, options)),
    )


def measure(name: str, seed: int, options: argparse.Namespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """SNR and recall of the true units of a recording, and of those injected into it."""
    recording, truth = ground_truth_recording(name, seed, options.duration)
    folder = Path(options.folder) / f"{name}-{seed}-{options.duration:g}s"
    repetitions = max(options.repetitions, REPETITIONS_OF_FEW.get(name, 0))
    settings = StressTestSettings(num_repetitions=repetitions, seed=seed)
    first = None
    if options.sortings is not None:
        first = si.load(options.sortings / f"{name}-seed{seed}-{options.duration:g}s" / options.sorter / "sorting")
    test = stress_test(recording, options.sorter, sorting=first, folder=folder, settings=settings, progress_bar=False)
    if first is None:
        run = Run(repetition=None, sorter=options.sorter, folder=(folder / "first_sorting" / options.sorter).absolute())
        first = run.sorting()
    scores = score_sorting(truth, first)["units"]
    true = pd.DataFrame(
        dict(snr=unit_snr(recording, truth), recall=scores["recall"], firing_rate=scores["firing_rate"])
    )
    injected = test.units[["snr", "recall", "precision", "firing_rate"]].copy()
    # Means of spikes hold those of neighbours that fire at the same time, which makes small units look larger (true
    # units of SNR 3.5 to 5 by .15 in a dense development recording). The SNR of both kinds is measured alike.
    for number, own in injected.groupby(test.units["repetition"]):
        place = repetition_folder(folder, number)
        injected.loc[own.index, "snr"] = unit_snr(hybrid_of(recording, place), injected_sorting(place))
    true["predicted"] = RecallCurve.fit(injected).at(true["snr"].to_numpy(), true["firing_rate"].to_numpy())
    return true, injected


def compare(true: pd.DataFrame, injected: pd.DataFrame) -> pd.DataFrame:
    """
    True and predicted recall by SNR, for recordings of independent neurons and for each other one.

    The prediction for a true unit is that of the stress test of its recording for its SNR and firing rate. Units of a
    bin in which hardly any units were injected into their recording are "not tested".
    """
    is_tested = tested(true, injected)
    groups = [("independent neurons", true["recording"].isin(INDEPENDENT))]
    groups += [(name, true["recording"] == name) for name in true["recording"].unique() if name not in INDEPENDENT]
    rows, rng, predictions = [], np.random.default_rng(0), resampled_predictions(true, injected)
    for name, is_own in groups:
        for low, high in [*pairwise(SNR_EDGES), (SNR_EDGES[0], SNR_EDGES[-1])]:
            inside = is_own & true["snr"].between(low, high)
            units = true[inside & is_tested]
            if units.empty:
                continue
            others = injected[injected["recording"].isin(units["recording"]) & injected["snr"].between(low, high)]
            own = predictions[:, true.index.get_indexer(units.index)]
            row = dict(recordings=name, snr_from=low, snr_to=high, **_difference(units, others, own, rng))
            rows.append(row | dict(not_tested=int((inside & ~is_tested).sum())))
    return pd.DataFrame(rows)


def tested(true: pd.DataFrame, injected: pd.DataFrame) -> pd.Series:
    """Whether enough units were injected into the recording of each true unit, in its bin of SNR."""

    def bins(units):
        return list(zip(units["recording"], units["seed"], np.digitize(units["snr"], SNR_EDGES), strict=True))

    counts = Counter(bins(injected))
    return pd.Series([counts[one] >= FEWEST_INJECTED for one in bins(true)], index=true.index)


def resampled_predictions(true: pd.DataFrame, injected: pd.DataFrame) -> np.ndarray:
    """Predictions for all true units from resamples of the injected units, (num_resamples, num_true_units)."""
    predictions = np.zeros((NUM_RESAMPLES, len(true)))
    for place, (case, of) in enumerate(injected.groupby(["recording", "seed"])):
        is_own = ((true["recording"] == case[0]) & (true["seed"] == case[1])).to_numpy()
        for number, curve in enumerate(resampled_curves(of, NUM_RESAMPLES, seed=place)):
            predictions[number, is_own] = curve.at(*true.loc[is_own, ["snr", "firing_rate"]].to_numpy().T)
    return predictions


def _difference(units: pd.DataFrame, others: pd.DataFrame, predictions: np.ndarray, rng: np.random.Generator) -> dict:
    """
    Difference of predicted and true recall, with what chance does to it: both kinds of units are resampled.

    A bin that is exactly right on average lies within the goal with the probability `chance_within`.
    """
    difference = (units["predicted"] - units["recall"]).to_numpy()
    picked = rng.integers(0, len(units), (NUM_RESAMPLES, len(units)))
    recall = units["recall"].to_numpy()
    means = np.take_along_axis(predictions - recall, picked, axis=1).mean(axis=1)
    error = float(means.std())
    return dict(
        standard_error=error,
        chance_within=float(erf(WITHIN / np.sqrt(2) / max(error, 1e-9))),
        true_units=len(units),
        injected_units=len(others),
        true_recall=float(units["recall"].mean()),
        predicted_recall=float(units["predicted"].mean()),
        difference=float(difference.mean()),
        low=float(np.quantile(means, 0.05)),
        high=float(np.quantile(means, 0.95)),
    )


def as_table(bins: pd.DataFrame, cases: list[str], options: argparse.Namespace) -> dict:
    """The table for the documentation."""
    rows = [
        [
            row.recordings,
            f"{row.snr_from:g} to {row.snr_to:g}",
            row.true_units,
            row.not_tested,
            f"{row.true_recall:.3f}",
            row.injected_units,
            f"{row.predicted_recall:.3f}",
            f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]",
            f"{row.chance_within:.2f}",
            "yes" if abs(row.difference) <= WITHIN else "no",
        ]
        for row in bins.itertuples()
    ]
    columns = ["recordings", "SNR", "true units", "not tested", "recall", "injected units", "predicted", "difference"]
    return dict(
        title="Recall predicted by a stress test, and the true recall",
        caption=f"{options.sorter} on {', '.join(cases)} (name:seed), {options.duration:g} s, {options.repetitions} "
        f"repetitions each ({', '.join(f'{name}: {times}' for name, times in REPETITIONS_OF_FEW.items())}). Predicted: "
        "for SNR and firing rate of each true unit. 90 % intervals resample true and injected units. Not tested: "
        f"further true units of recordings with fewer than {FEWEST_INJECTED} injected units in the bin. By chance: "
        f"probability that the difference is within {WITHIN:g} if the prediction is right on average.",
        columns=[*columns, "by chance", f"within {WITHIN:g}"],
        rows=rows,
    )


if __name__ == "__main__":
    main()
