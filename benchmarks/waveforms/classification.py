"""
Spike or background on a channel that training never saw, and clusters without labels.

    python benchmarks/waveforms/classification.py --data FOLDER --train 9 16 33 --validation 11 --test N --json FILE
    python benchmarks/waveforms/classification.py --data FOLDER --leave-one-out --seeds 5 --json FILE

FOLDER holds `channel_spikes_N.npy` and `channel_background_N.npy`, each of shape (waveforms, samples). The labels of
the test channel are used for the score alone: the border between the classes is drawn on the test channel's own
waveforms, at the odds that were best on the training channels. "odds of the package" takes those of the package, which
were chosen on all these channels, and "fixed border" is the network alone, with the border of the training channels.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
import torch
from label_free import COMPONENTS, study_autoencoder, study_clusters
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import markdown_table, write_results
from si_deepsort.components import principal_components
from si_deepsort.inference import predict_in_batches
from si_deepsort.known_units.separate_neuron import BORDER, scale_to_noise, separate_neuron
from si_deepsort.training.classification.train import ClassifierTrainingSettings, fit_classifier

DATA = Path(os.environ.get("SI_DEEPSORT_DATA", "../shared/data")) / "zebrafinch_h5"
MEASURES = ("accuracy", "precision", "recall", "f1")
NUM_EPOCHS = 5
# Log-odds from which on a waveform is the neuron's, of which the training channels choose one.
BORDERS = np.arange(-3.0, 1.01, 0.1)


def main():
    arguments = parse_arguments()
    torch.set_num_threads(1)
    channels = load_channels(arguments.data)
    splits = plan_splits(arguments, sorted(channels))
    studied = sorted({split["test"] for split in splits})
    clusters = [study_clusters(channels[channel], channel) for channel in studied]
    errors = [study_autoencoder(channels[channel], channel) for channel in studied]
    rows, origin = [], provenance(seeds=[])  # before the first results make the checkout differ from its commit
    for seed in range(arguments.seeds):
        for split in splits:
            rows += run_split(channels, split, seed)
        print(f"seed {seed} done", file=sys.stderr, flush=True)
        document = {**origin, "seeds": list(range(seed + 1)), **make_results(rows, clusters, errors, studied)}
        if arguments.json:
            write_results(document, arguments.json)
    for table in document["tables"].values():
        print(f"\n{markdown_table(table)}")
    if arguments.plots:
        for channel in studied:
            plot_channel(channels[channel], channel, Path(arguments.plots))


def make_results(rows, clusters, errors, studied) -> dict:
    """Results and tables of the seeds that are done."""
    return {
        "results": rows,
        "clustering": clusters,
        "autoencoder": errors,
        "tables": {
            "classification": classification_table(rows, studied),
            "clustering": clustering_table(clusters),
            "autoencoder": autoencoder_table(errors),
        },
    }


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of channel_{spikes,background}_N.npy")
    parser.add_argument("--train", type=int, nargs="+", help="channels to learn from")
    parser.add_argument("--validation", type=int, nargs="*", default=[], help="channels that stop the training")
    parser.add_argument("--test", type=int, nargs="+", help="channels to score")
    parser.add_argument("--leave-one-out", action="store_true", help="each channel in turn is the test channel")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", help="file for the results")
    parser.add_argument("--plots", help="folder for a picture of each test channel")
    arguments = parser.parse_args()
    if not arguments.leave_one_out and not (arguments.train and arguments.test):
        parser.error("give --leave-one-out, or --train and --test")
    return arguments


def load_channels(folder: Path) -> dict:
    """Channel -> (waveforms in noise levels, labels 0 background 1 spike), for each pair of files in the folder."""
    channels = {}
    for file in sorted(folder.glob("channel_spikes_*.npy")):
        channel = int(re.search(r"(\d+)\.npy$", file.name).group(1))
        other = folder / f"channel_background_{channel}.npy"
        if other.exists():
            background, spikes = np.load(other), np.load(file)
            waveforms = scale_to_noise(np.concatenate([background, spikes]))
            channels[channel] = waveforms, np.repeat([0, 1], [len(background), len(spikes)])
    if not channels:
        raise SystemExit(f"{folder} holds no pair channel_spikes_N.npy, channel_background_N.npy.")
    return channels


def plan_splits(arguments, names) -> list[dict]:
    if arguments.leave_one_out:
        return [{"train": [n for n in names if n != test], "validation": [], "test": test} for test in names]
    wanted = {*arguments.train, *arguments.validation, *arguments.test}
    if wanted - set(names):
        raise SystemExit(f"No files for the channels {sorted(wanted - set(names))}; the folder has {names}.")
    return [{"train": arguments.train, "validation": arguments.validation, "test": test} for test in arguments.test]


def run_split(channels, split, seed) -> list[dict]:
    """Scores of all methods on one test channel."""
    waveforms, labels = channels[split["test"]]
    training = [channels[name] for name in (*split["train"], *split["validation"])]
    inputs = np.concatenate([pair[0] for pair in training])
    targets = np.concatenate([pair[1] for pair in training])
    is_held_out = None
    if split["validation"]:
        sizes = [len(channels[name][1]) for name in (*split["train"], *split["validation"])]
        is_held_out = np.repeat([False] * len(split["train"]) + [True] * len(split["validation"]), sizes)
    rows, border = [], best_border(training)
    for architecture in ("cnn", "gru"):
        settings = ClassifierTrainingSettings(
            num_epochs=NUM_EPOCHS, seed=seed, batch_size=256, progress_bar=False, device="cpu"
        )
        net = fit_classifier(inputs, targets, is_held_out=is_held_out, architecture=architecture, settings=settings)
        scores, network_s = timed(lambda net=net: score_waveforms(net, waveforms))
        log_odds, border_s = timed(lambda s=scores: separate_neuron(waveforms, scores=s, seed=seed))
        name = architecture.upper()
        rows.append(score(f"{name}, own border", labels, log_odds + BORDER > border, network_s + border_s))
        rows.append(score(f"{name}, odds of the package", labels, log_odds > 0, network_s + border_s))
        rows.append(score(f"{name}, fixed border", labels, scores > 0, network_s))
    if seed == 0:
        linear = LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000).fit(inputs, targets)
        predicted, seconds = timed(lambda: linear.predict(waveforms))
        rows.append(score("logistic regression", labels, predicted, seconds))
    for name, method in (("KMeans, no labels", smaller_of_two), ("mixture, no labels", mixture_labels)):
        predicted, seconds = timed(lambda method=method: method(waveforms, seed))
        rows.append(score(name, labels, predicted, seconds))
    return [{"test": split["test"], "seed": seed, **row} for row in rows]


def best_border(training) -> float:
    """The log-odds at which label-free separation of the training channels agrees best with their labels."""
    scores = np.zeros(len(BORDERS))
    for waveforms, labels in training:
        log_odds = separate_neuron(waveforms) + BORDER
        scores += [f1_score(labels, log_odds > border, average="macro") for border in BORDERS]
    return float(BORDERS[scores.argmax()])


def score_waveforms(net, waveforms) -> np.ndarray:
    """Log-odds of a spike, shape (num_waveforms,)."""
    logits = predict_in_batches(net, waveforms[:, None])
    return logits[:, 1] - logits[:, 0]


def smaller_of_two(waveforms, seed) -> np.ndarray:
    """KMeans in three principal components; the smaller of the two clusters is the neuron."""
    labels = KMeans(2, n_init=5, random_state=seed).fit_predict(principal_components(waveforms, COMPONENTS))
    return labels == np.bincount(labels, minlength=2).argmin()


def mixture_labels(waveforms, seed) -> np.ndarray:
    """`separate_neuron` without a classifier."""
    return separate_neuron(waveforms, seed=seed) > 0


def score(method, labels, predicted, seconds) -> dict:
    predicted = np.asarray(predicted).astype(int)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    accuracy = accuracy_score(labels, predicted)
    values = dict(zip(MEASURES, map(float, (accuracy, precision, recall, f1)), strict=True))
    return {"method": method, **values, "ms": 1000 * seconds, "num_waveforms": len(labels)}


def timed(function):
    """Result and CPU time in s, the best of three calls."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        result = function()
        seconds.append(time.process_time() - start)
    return result, min(seconds)


def classification_table(rows, studied) -> dict:
    table = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        seeds = sorted({row["seed"] for row in own})
        means = {m: [np.mean([row[m] for row in own if row["seed"] == seed]) for seed in seeds] for m in MEASURES}
        f1 = means["f1"]
        per_channel = [np.mean([row["f1"] for row in own if row["test"] == channel]) for channel in studied]
        table.append(
            [
                method,
                *(f"{np.mean(means[m]):.3f}" for m in MEASURES),
                f"{min(f1):.3f} to {max(f1):.3f}",
                f"{np.mean([row['ms'] for row in own]):.0f}",
                *(f"{value:.3f}" for value in per_channel),
            ]
        )
    columns = [
        "method",
        "accuracy",
        "macro precision",
        "macro recall",
        "macro F1",
        "F1 over seeds",
        "CPU ms per channel",
    ]
    columns += [f"F1, channel {channel}" for channel in studied]
    caption = "Spike or background on a channel that training never saw, mean over channels and seeds, one core."
    return {"columns": columns, "rows": table, "caption": caption}


def clustering_table(clusters) -> dict:
    methods = [name for name in clusters[0] if "," in name and "eps" not in name] + ["neuron/background mixture"]
    rows = [
        [name, f"{np.mean([c[name] for c in clusters]):.3f}", *(f"{c[name]:.3f}" for c in clusters)] for name in methods
    ]
    caption = "Clusters of each channel's threshold crossings without labels: adjusted Rand index, one setting for all."
    return {
        "columns": ["method", "mean", *(f"channel {c['channel']}" for c in clusters)],
        "rows": rows,
        "caption": caption,
    }


def autoencoder_table(errors) -> dict:
    names = [name for name in errors[0] if name != "channel"]
    rows = [[name, *(f"{e[name]:.4f}" for e in errors)] for name in names]
    caption = "Mean squared reconstruction error per sample on held-out waveforms, in squared noise levels."
    return {
        "columns": ["model, dimension", *(f"channel {e['channel']}" for e in errors)],
        "rows": rows,
        "caption": caption,
    }


def plot_channel(pair, channel, folder: Path):
    """Principal components and waveforms of the two classes that were found, beside the labels."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    waveforms, labels = pair
    features, found = principal_components(waveforms, COMPONENTS), separate_neuron(waveforms) > 0
    figure, axes = plt.subplots(2, 3, figsize=(11, 6.5), layout="constrained")
    for row, (title, classes) in enumerate((("found", found), ("labelled", labels == 1))):
        for is_spike, color in ((False, "0.6"), (True, "tab:red")):
            chosen = np.flatnonzero(classes == is_spike)
            for column, (x, y) in enumerate(((0, 1), (0, 2))):
                axes[row, column].plot(*features[chosen][:, [x, y]].T, ".", ms=1.5, color=color)
                axes[row, column].set(xlabel=f"PC {x + 1} (noise levels)", ylabel=f"PC {y + 1}", title=title)
            some = chosen[:: max(1, len(chosen) // 60)]
            axes[row, 2].plot(waveforms[some].T, lw=0.4, color=color)
        axes[row, 2].set(xlabel="sample", ylabel="noise levels", title=f"waveforms, {title}")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"channel_{channel}.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
