"""Pictures of a benchmark of sorters; each function returns a matplotlib figure that is not shown."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .study import recording_key
from .summary import REFERENCE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Values of the SNR axis, which is logarithmic.
SNR_TICKS = (3, 5, 8, 15, 30)


def make_figures(document: dict, folder: str | Path | None = None) -> dict:
    """
    All pictures of a results document, by title.

    Parameters
    ----------
    document : dict
        From `summary.summarize`.
    folder : str | Path | None, default: None
        Results folder with the sortings, for the confusion matrices. None leaves those out.
    """
    done = [result for result in document["cases"] if result["status"] == "done"]
    figures = {}
    if done:
        figures["Accuracy against SNR"] = plot_accuracy_against_snr(done)
        figures["Accuracy against run time"] = plot_accuracy_against_cost(document["summary"])
    if any(record["sorter"] == REFERENCE for record in document["paired"]):
        figures["Unit by unit"] = plot_unit_by_unit(done)
    for result in done:
        if folder is not None and result["case"]["sorter"] == REFERENCE:
            key = recording_key(result["case"]["recording"])
            figures[f"Confusion matrix, {key}"] = plot_confusion(result, Path(folder) / key / REFERENCE)
    return figures


def plot_accuracy_against_snr(results: list[dict]) -> "Figure":
    """A panel per sorter: each true unit, and the mean in a sliding window over units in the order of SNR."""
    sorters = list(dict.fromkeys(result["case"]["sorter"] for result in results))
    figure, axes = _new_figure(len(sorters))
    for ax, sorter in zip(axes, sorters, strict=True):
        runs = [result["units"] for result in results if result["case"]["sorter"] == sorter]
        snr = np.concatenate([units["snr"] for units in runs])
        accuracy = np.concatenate([units["accuracy"] for units in runs])
        order = np.argsort(snr)
        width = min(15, len(order))
        ax.plot(snr, accuracy, ".", markersize=3, alpha=0.5)
        window = np.ones(width) / width
        ax.plot(np.convolve(snr[order], window, "valid"), np.convolve(accuracy[order], window, "valid"))
        ax.set(title=sorter, xlabel="SNR", xscale="log", ylim=(-0.03, 1.03))
        ax.set_xticks(SNR_TICKS, [str(tick) for tick in SNR_TICKS])
        ax.minorticks_off()
    axes[0].set_ylabel("accuracy")
    return figure


def plot_accuracy_against_cost(summary: list[dict]) -> "Figure":
    """Mean accuracy of each sorter on each recording against its CPU-seconds per recorded second."""
    figure, (ax,) = _new_figure(1, size=5.0)
    done = [record for record in summary if record["status"] == "done"]
    for sorter in dict.fromkeys(record["sorter"] for record in done):
        points = [record for record in done if record["sorter"] == sorter]
        ax.plot([p["cpu_s_per_s"] for p in points], [p["mean_accuracy"] for p in points], "o", label=sorter)
    ax.set(
        xscale="log", xlim=(0.003, 10), xlabel="CPU-seconds per recorded second", ylabel="mean accuracy", ylim=(0, 1.02)
    )
    ax.legend(fontsize=8)
    return figure


def plot_unit_by_unit(results: list[dict]) -> "Figure":
    """A panel per peer: accuracy of deepsort against that of the peer, a point per true unit."""
    own = {_key(result): result["units"] for result in results if result["case"]["sorter"] == REFERENCE}
    peers = list(dict.fromkeys(r["case"]["sorter"] for r in results if r["case"]["sorter"] != REFERENCE))
    figure, axes = _new_figure(len(peers))
    for ax, peer in zip(axes, peers, strict=True):
        for result in results:
            if result["case"]["sorter"] == peer and _key(result) in own:
                ax.plot(result["units"]["accuracy"], own[_key(result)]["accuracy"], ".", alpha=0.6, color="C0")
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        ax.set(xlabel=peer, aspect="equal", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axes[0].set_ylabel(REFERENCE)
    return figure


def plot_confusion(result: dict, case_folder: Path) -> "Figure":
    """SpikeInterface's confusion matrix of a case whose sorting was kept."""
    import spikeinterface.core as si
    import spikeinterface.widgets as sw
    from spikeinterface.comparison import compare_sorter_to_ground_truth

    from .case import load_case_recording

    figure, (ax,) = _new_figure(1, size=7.0)
    sorting = si.load(case_folder / "sorting")
    if len(sorting.unit_ids) > 0:
        _, truth = load_case_recording(result["case"])
        comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
        sw.plot_confusion_matrix(comparison, count_text=False, backend="matplotlib", ax=ax)
    return figure


def _key(result):
    return recording_key(result["case"]["recording"])


def _new_figure(num_panels: int, size: float = 3.0):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size * num_panels, size), layout="constrained")
    axes = figure.subplots(1, num_panels, squeeze=False)[0]
    return figure, list(axes)
