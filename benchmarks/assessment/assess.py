"""
Expected precision, recall and spike probabilities of `assess` against the truth, on recordings that it never saw.

    si-deepsort benchmark --recordings plain,tetrode --sorters lupin,spykingcircus2 --seeds 201 --folder FOLDER
    python benchmarks/assessment/assess.py --folders FOLDER [--sort RECORDING:SEED:SORTER ...] [--examples EXAMPLES]

Sortings are those of a benchmark's folder; `--sort` adds more. Recordings have templates of detailed neuron models and
of real units, of which training saw none, and seeds from 201 on; few channels of SpikeInterface's generator
(`simple_recordings.py`) are a group of their own, as kinds like these were trained on. tridesclous2 is a sorter that
training never saw.
Beside the network stand SpikeInterface's usual rules, and gradient-boosted trees on the same features (`--examples`).
"""

import argparse
import json
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import spikeinterface.core as si
from simple_recordings import SIMPLE_KINDS, simple_recording
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import roc_auc_score

from si_deepsort.assessment.assess import conclude, examine, signal_to_noise
from si_deepsort.assessment.missed import SNR_EDGES
from si_deepsort.assessment.white_traces import white_traces
from si_deepsort.benchmarking.peers import default_params, run_peer
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.recipes import RECIPES
from si_deepsort.benchmarking.recordings import ground_truth_recording
from si_deepsort.benchmarking.repeatable import unseeded_generators_seeded
from si_deepsort.benchmarking.report import write_results
from si_deepsort.preprocessing.band_pass import band_pass
from si_deepsort.preprocessing.shared_noise import own_noise_levels
from si_deepsort.training.assessment.calibrate import calibration_error
from si_deepsort.training.assessment.data import load_examples
from si_deepsort.training.assessment.labels import FOUND_ACCURACY, true_quality

ROOT = Path(__file__).parents[2]
DURATION_S = 60.0
# A unit is good from this accuracy on.
GOOD_ACCURACY = 0.8
# Units with a higher expected value are calibrated apart (`training.assessment.calibrate.EDGES`).
SURE = 0.98
# Units with a lower true value are not pure, or not whole.
INEXACT = 0.99
# The usual rules, as in the quality metrics tutorial of SpikeInterface, with an SNR of 5.
RULES = "snr > 5 and isi_violations_ratio < 0.5 and presence_ratio > 0.9 and not amplitude_cutoff > 0.1"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", type=Path, nargs="*", default=[], help="folders of si-deepsort benchmark")
    parser.add_argument("--sort", nargs="*", default=[], help="RECORDING:SEED:SORTER, sorted into the last folder")
    parser.add_argument("--examples", type=Path, help="examples for the gradient-boosted trees")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "assess.json")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    si.set_global_job_kwargs(n_jobs=1, progress_bar=False)
    for wanted in options.sort:
        sort_case(*wanted.split(":"), options.folders[-1])
    trees = fit_trees(options.examples) if options.examples else None
    cases, units, spikes = [], [], []
    for case in sorted(file.parent for folder in options.folders for file in folder.glob("*/*/sorting/si_folder.json")):
        described = json.loads((case.parent / "case.json").read_text(encoding="utf-8"))
        # Folders with other names than their sorter are kept sortings of earlier versions.
        if case.parent.name != described["sorter"]:
            continue
        found = measure_case(described, si.load(case), trees)
        for rows, part in zip((cases, units, spikes), found, strict=True):
            rows.append(part)
        print(cases[-1], flush=True)
        # Written after each sorting, so that an interrupted run leaves what it has measured.
        write_results(as_document(pd.DataFrame(cases), pd.concat(units), pd.concat(spikes)), options.json)


def as_document(cases: pd.DataFrame, units: pd.DataFrame, spikes: pd.DataFrame) -> dict:
    """The results file."""
    groups = {"deepsort": ["deepsort"], "lupin, spykingcircus2": ["lupin", "spykingcircus2"]}
    groups |= {"tridesclous2 (unseen)": ["tridesclous2"], "deepsort, few channels": ["deepsort, few channels"]}
    records = {
        name: summarize(cases, units, spikes, sorters)
        for name, sorters in groups.items()
        if units["sorter"].isin(sorters).any()
    }
    command = "python benchmarks/assessment/assess.py --folders FOLDER --examples EXAMPLES"
    return dict(
        **provenance(seeds=sorted({int(seed) for seed in cases["seed"]}), command=command),
        cases=cases.to_dict(orient="records"),
        groups=records,
        tables={"assess": as_table(records)},
    )


def sort_case(name: str, seed: str, sorter: str, folder: Path):
    """Sort a held-out recording, unless it was sorted before; laid out as `si-deepsort benchmark` does."""
    case = folder / f"{name}-seed{seed}-{DURATION_S:g}s" / sorter
    if (case / "sorting" / "si_folder.json").exists():
        return
    recording, _ = recording_of(name, int(seed))
    case.mkdir(parents=True, exist_ok=True)
    if name in SIMPLE_KINDS:
        # Sorters take recordings from disk alone.
        recording = recording.save(folder=case / "recording", overwrite=True)
    drifts = name not in SIMPLE_KINDS and RECIPES[name].drift_um > 0
    start = time.process_time()
    with unseeded_generators_seeded(int(seed)):
        sorting = run_peer(sorter, recording, case / "run", **default_params(sorter, drift=drifts))
    source = dict(name=name, seed=int(seed), duration_s=DURATION_S)
    described = dict(sorter=sorter, recording=source, cpu_s=time.process_time() - start)
    (case / "case.json").write_text(json.dumps(described), encoding="utf-8")
    sorting.save(folder=case / "sorting")
    shutil.rmtree(case / "recording", ignore_errors=True)


def recording_of(name: str, seed: int) -> tuple[si.BaseRecording, si.BaseSorting]:
    """A recording of 60 s by its name, and its truth."""
    if name in SIMPLE_KINDS:
        return simple_recording(name, seed, DURATION_S)
    return ground_truth_recording(name, seed, DURATION_S)


def measure_case(case: dict, sorting: si.BaseSorting, trees) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    """Predictions and truth of one sorting: as a whole, by unit, and by spike."""
    source, sorter = case["recording"], case["sorter"]
    recording, truth = recording_of(source["name"], source["seed"])
    sorter += ", few channels" if source["name"] in SIMPLE_KINDS else ""
    start = time.process_time()
    white = white_traces(recording, seed=0)
    evidence, features = examine(sorting, white, duration_s=DURATION_S)
    noise = own_noise_levels(white.get_parent(), seed=0)
    snr = signal_to_noise(evidence, white.whitening, noise)
    assessment = conclude(sorting, white, evidence, features, snr=snr)
    cpu_s = time.process_time() - start
    spikes, rate = sorting.to_spike_vector(), recording.get_sampling_frequency()
    quality = true_quality(spikes, len(sorting.unit_ids), truth.to_spike_vector(), len(truth.unit_ids), rate)
    units = assessment.units.reset_index(drop=True)
    units["precision"], units["recall"], units["sorter"] = quality.precision, quality.recall, sorter
    units = pd.concat([units, usual_rules(sorting, recording)], axis=1)
    if trees is not None:
        flat = flat_features(features.unit_matrix(), features.pair_matrix())
        units[["tree_precision", "tree_recall"]] = np.stack([np.clip(one.predict(flat), 0, 1) for one in trees], axis=1)
    is_judged = assessment.spikes["is_judged"].to_numpy()
    judged = pd.DataFrame(
        {
            "probability": assessment.spikes["probability"].to_numpy()[is_judged],
            "is_right": quality.is_right[is_judged],
            "sorter": sorter,
        }
    )
    missed = np.histogram(truth.get_property("gt_snr")[quality.accuracy_of_neurons <= FOUND_ACCURACY], SNR_EDGES)[0]
    whole = dict(recording=source["name"], seed=source["seed"], sorter=sorter, num_units=len(units), cpu_s=cpu_s)
    whole |= {
        "missed": missed.tolist(),
        "missed_estimate": assessment.missed["missed"].tolist(),
        "missed_lower": assessment.missed["lower"].tolist(),
        "missed_upper": assessment.missed["upper"].tolist(),
    }
    return whole, units, judged


def usual_rules(sorting, recording) -> pd.DataFrame:
    """SpikeInterface's metrics that the usual rules use, one row for each unit."""
    filtered = band_pass(recording, 300.0, 6000.0).save(format="memory", verbose=False)
    analyzer = si.create_sorting_analyzer(sorting, filtered, sparse=False)
    analyzer.compute(["random_spikes", "noise_levels", "templates", "spike_amplitudes"])
    names = ["snr", "isi_violation", "presence_ratio", "amplitude_cutoff"]
    metrics = analyzer.compute("quality_metrics", metric_names=names).get_data()
    columns = ["snr", "isi_violations_ratio", "presence_ratio", "amplitude_cutoff"]
    metrics = metrics.reindex(sorting.unit_ids)[columns].astype(float).reset_index(drop=True)
    return metrics.assign(passes_rules=metrics.eval(RULES)).add_prefix("si_")


def fit_trees(folder: Path) -> list[HistGradientBoostingRegressor]:
    """Trees that predict precision and recall from the features that the network has."""
    examples = load_examples(folder)
    flat = flat_features(examples.units, examples.pairs)
    settings = dict(loss="absolute_error", max_iter=300, learning_rate=0.05, max_leaf_nodes=15, random_state=0)
    return [
        HistGradientBoostingRegressor(**settings).fit(flat, values, sample_weight=examples.weights())
        for values in (examples.precision, examples.recall)
    ]


def flat_features(units: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Features of a unit and of its two most similar neighbours."""
    return np.concatenate([units, pairs[:, :2].reshape(len(units), -1)], axis=1)


def summarize(cases: pd.DataFrame, units: pd.DataFrame, spikes: pd.DataFrame, sorters: list[str]) -> dict:
    """All measures over the sortings of some sorters."""
    units, spikes = units[units["sorter"].isin(sorters)], spikes[spikes["sorter"].isin(sorters)]
    cases = cases[cases["sorter"].isin(sorters)]
    is_good = accuracy(units["precision"], units["recall"]) > GOOD_ACCURACY
    expected = accuracy(units["expected_precision"], units["expected_recall"])
    found: dict = dict(num_units=len(units), num_sortings=len(cases), auc=auc(is_good, expected))
    for name in ("precision", "recall"):
        found[f"{name}_error"] = float((units[f"expected_{name}"] - units[name]).abs().mean())
        found |= coverage(units, name)
        found[f"{name}_width"] = float((units[f"{name}_upper"] - units[f"{name}_lower"]).mean())
        if f"tree_{name}" in units:
            found[f"tree_{name}_error"] = float((units[f"tree_{name}"] - units[name]).abs().mean())
    if "tree_precision" in units:
        found["tree_auc"] = auc(is_good, accuracy(units["tree_precision"], units["tree_recall"]))
    found["rules_auc"] = auc(is_good, units["si_passes_rules"].astype(float))
    found["snr_auc"] = auc(is_good, units["si_snr"].fillna(0))
    found["isi_auc"] = auc(is_good, -units["si_isi_violations_ratio"].fillna(0))
    found["spike_calibration_error"] = calibration_error(
        spikes["probability"].to_numpy(dtype=float), spikes["is_right"].to_numpy()
    )
    truth, low, high = (np.array(cases[name].tolist()) for name in ("missed", "missed_lower", "missed_upper"))
    found["missed_coverage"] = float(((low <= truth) & (truth <= high)).mean())
    holds = ((low <= truth) & (truth <= high)).mean(axis=1)
    found["missed_coverage_by_sorter"] = {
        sorter: float(holds[(cases["sorter"] == sorter).to_numpy()].mean()) for sorter in cases["sorter"].unique()
    }
    found["missed_width"] = float((high - low).mean())
    found["cpu_s"] = float(cases["cpu_s"].mean())
    return found


def coverage(units: pd.DataFrame, name: str) -> dict[str, float]:
    """
    Shares of the units whose true value lies inside the interval, over all units and apart.

    Units that are expected to be nearly 1 mostly are exactly 1, and no interval leaves out nine of ten: "least" is the
    share when each of their intervals is the smallest one that holds both the expected value and 1.
    """
    value, expected = units[name], units[f"expected_{name}"]
    inside = (units[f"{name}_lower"] <= value + 1e-9) & (value <= units[f"{name}_upper"] + 1e-9)
    is_sure, is_exact = expected >= SURE, value >= 1 - 1e-9
    parts = {
        "": inside,
        "_below_sure": inside[~is_sure],
        "_of_sure": inside[is_sure],
        "_of_inexact": inside[value < INEXACT],
        "_of_not_one": inside[~is_exact],
        "_least": np.where(is_sure, value >= expected - 1e-9, inside),
    }
    shares = {f"{name}_coverage{part}": float(np.mean(held)) for part, held in parts.items() if len(held)}
    return shares | {f"{name}_exactly_one": float(is_exact.mean()), f"{name}_share_sure": float(is_sure.mean())}


def accuracy(precision, recall):
    """SpikeInterface's accuracy from precision and recall."""
    return 1 / (1 / np.maximum(precision, 1e-3) + 1 / np.maximum(recall, 1e-3) - 1)


def auc(is_good, score) -> float | None:
    """Area under the curve; None if there is one class only."""
    return float(roc_auc_score(is_good, score)) if 0 < np.sum(is_good) < len(is_good) else None


def as_table(records: dict[str, dict]) -> dict:
    """One row for each measure, one column for each group of sorters."""
    names = {
        "num_units": "units",
        "num_sortings": "sortings",
        "precision_error": "precision: mean absolute error",
        "recall_error": "recall: mean absolute error",
        "precision_coverage": "precision: share inside the 90 % interval",
        "precision_coverage_below_sure": f"the same, units whose expected precision is below {SURE:g}",
        "precision_coverage_of_sure": f"the same, units whose expected precision is {SURE:g} or more",
        "precision_coverage_least": "the same, least possible with the expected precision and 1 inside",
        "precision_coverage_of_inexact": f"the same, units whose true precision is below {INEXACT:g}",
        "precision_coverage_of_not_one": "the same, units whose true precision is not exactly 1",
        "precision_exactly_one": "units whose true precision is exactly 1",
        "recall_coverage": "recall: share inside the 90 % interval",
        "recall_coverage_below_sure": f"the same, units whose expected recall is below {SURE:g}",
        "recall_coverage_of_inexact": f"the same, units whose true recall is below {INEXACT:g}",
        "auc": "accuracy above .8: AUC of the network",
        "tree_auc": "the same, gradient-boosted trees",
        "rules_auc": "the same, usual rules of SpikeInterface",
        "snr_auc": "the same, SNR alone",
        "isi_auc": "the same, violations of the refractory period alone",
        "tree_precision_error": "precision: mean absolute error of the trees",
        "tree_recall_error": "recall: mean absolute error of the trees",
        "spike_calibration_error": "spikes: expected calibration error",
        "missed_coverage": "missed neurons: share of intervals that hold the truth",
        "cpu_s": "CPU seconds for 60 s",
    }
    rows = [
        [text, *(format_number(record.get(name)) for record in records.values())]
        for name, text in names.items()
        if any(name in record for record in records.values())
    ]
    caption = "`assess` on recordings whose templates and seeds its training never saw."
    return dict(caption=caption, columns=["measure", *records], rows=rows)


def format_number(value) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


if __name__ == "__main__":
    main()
