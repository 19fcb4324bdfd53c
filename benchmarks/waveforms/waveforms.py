"""
Waveforms to units, single channel: `python benchmarks/waveforms/waveforms.py --json FILE [--seeds 0 1 2]`

ee32009_waveforms, clean block: 5 folds by spike. difficult2_waveforms: learnt at noise .05, scored at noise .15, of
which training uses nothing, and at .20, which is made from .15 by more of its own noise; overlaps are left out of the
score. Peers see the same waveforms.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import scipy.io
import torch
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import markdown_table, write_results
from si_deepsort.inference import predict_in_batches
from si_deepsort.training.classification.train import ClassifierTrainingSettings, fit_classifier

DATA = Path(os.environ.get("SI_DEEPSORT_DATA", "../shared/data"))
NUM_SPIKES = 2176  # of ee32009_waveforms; the file repeats them with more noise
COMMON = dict(batch_size=64, shift_max=0, balance=0.0, patience=40, progress_bar=False, device="cpu")
# Noise levels of difficult2_waveforms that are scored; the first is that of a file.
TEST_NOISE = (0.15, 0.20)
LEARNING = dict(gain_sd=0.03, overlap_fraction=0.4, overlap_distance=0.04)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file for the results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=["ee32009", "difficult2"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, origin = [], provenance(seeds=[])  # before the first results make the checkout differ from its commit
    for number, seed in enumerate(arguments.seeds):
        for name, study in (("difficult2", study_difficult2), ("ee32009", study_ee32009)):
            if name in arguments.only:
                rows += [{"seed": seed} | row for row in study(seed)]
        table = summarize(rows)
        document = {**origin, "seeds": arguments.seeds[: number + 1], "results": rows, "tables": {"waveforms": table}}
        if arguments.json:
            write_results(document, arguments.json)
    print(markdown_table(table))


def study_ee32009(seed) -> list[dict]:
    """Accuracy of each method in 5 folds by spike."""
    folder = DATA / "ee32009_waveforms" / "wavelet_6versions"
    waveforms = np.load(folder / "X_classifier.npy")[:NUM_SPIKES, :, 0] / 0.3  # noise levels of the recording
    classes = np.load(folder / "y_classifier_raw.npy").ravel()[:NUM_SPIKES].astype(int)
    fold = np.random.default_rng(seed).permutation(NUM_SPIKES) % 5
    rows = []
    for test in range(5):
        training = (waveforms[fold != test], classes[fold != test])
        settings = ClassifierTrainingSettings(num_epochs=30, seed=seed, **COMMON, **LEARNING)
        rows += [
            {"fold": test, **row}
            for row in compare(*training, {"ee32009": waveforms[fold == test]}, classes[fold == test], settings)
        ]
        print(rows[-3:], file=sys.stderr, flush=True)
    return rows


def study_difficult2(seed) -> list[dict]:
    """Accuracy of each method at more noise than the .05 at which it learnt."""
    (training, training_classes), (test, test_classes) = (read_difficult2(noise) for noise in ("005", "015"))
    level = 1.4826 * np.median(np.abs(training[:, :8] - np.median(training[:, :8])))
    keep, score = training_classes > 0, test_classes > 0
    settings = ClassifierTrainingSettings(num_epochs=30, seed=seed, **COMMON | dict(shift_max=1), **LEARNING)
    tests = {
        f"difficult2, noise {noise:.2f}": (noisier(test[score], test_classes[score], noise, seed) / level)
        for noise in TEST_NOISE
    }
    return compare(training[keep] / level, training_classes[keep] - 1, tests, test_classes[score] - 1, settings)


def noisier(waveforms, classes, noise, seed) -> np.ndarray:
    """Waveforms of the file with more of their own noise: sums of two deviations from the means of their classes."""
    means = np.stack([waveforms[classes == unit].mean(axis=0) for unit in np.unique(classes)])
    deviations = waveforms - means[np.searchsorted(np.unique(classes), classes)]
    rng = np.random.default_rng(seed)
    first, second = (deviations[rng.integers(0, len(waveforms), len(waveforms))] for _ in range(2))
    angles = rng.uniform(0, 2 * np.pi, (len(waveforms), 1))
    added = np.cos(angles) * first + np.sin(angles) * second
    return waveforms + np.sqrt((noise / TEST_NOISE[0]) ** 2 - 1) * added


def read_difficult2(noise):
    content = scipy.io.loadmat(DATA / "difficult2_waveforms" / f"spikes_C_Difficult2_noise{noise}.mat")
    return content["spikes"].astype(float), content["spikes_labels"].ravel().astype(int)


def compare(waveforms, classes, tests: dict, test_classes, settings) -> list[dict]:
    """Accuracy of the networks and of peers on the same waveforms; `tests` holds versions of the test waveforms."""
    rows = []

    def score(method, predict):
        for name, test in tests.items():
            rows.append({"data": name, "method": method, "accuracy": float((predict(test) == test_classes).mean())})

    for architecture in ("cnn", "gru"):
        net = fit_classifier(waveforms, classes, architecture=architecture, settings=settings)
        score(architecture.upper(), lambda test, net=net: classes_of(net, test))
    peers = {
        "ExtraTrees": ExtraTreesClassifier(300, random_state=settings.seed),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
    }
    for name, peer in peers.items():
        score(name, peer.fit(waveforms, classes).predict)
    return rows


def classes_of(net, waveforms) -> np.ndarray:
    return predict_in_batches(net, waveforms.astype("float32")[:, None]).argmax(axis=1)


def summarize(rows) -> dict:
    datasets = list(dict.fromkeys(row["data"] for row in rows))
    table = []
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = [method]
        for data in datasets:
            own = [row for row in rows if row["data"] == data and row["method"] == method]
            seeds = sorted({row["seed"] for row in own})
            means = [np.mean([row["accuracy"] for row in own if row["seed"] == seed]) for seed in seeds]
            cells.append(f"{np.mean(means):.4f} ({min(means):.4f} to {max(means):.4f})")
        table.append(cells)
    caption = (
        "Waveforms given to the right unit, mean (range over seeds). ee32009: 5 folds by spike; difficult2: learnt at "
        "noise 0.05, tested with more. Noise 0.20 is that of 0.15 with more of its own noise."
    )
    return {"columns": ["method", *datasets], "rows": table, "caption": caption}


if __name__ == "__main__":
    main()
