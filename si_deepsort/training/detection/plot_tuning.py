"""Plot how well a detector does over its threshold."""

from matplotlib.figure import Figure


def plot_tuning(curve: list[dict], chosen: dict) -> Figure:
    """
    F1 over the threshold, with a line for each front end and exclusive time.

    Parameters
    ----------
    curve : list of dict
        front_end, threshold, exclusive_ms and f1 of each choice.
    chosen : dict
        The row that was chosen.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for front_end, exclusive_ms in dict.fromkeys((row["front_end"], row["exclusive_ms"]) for row in curve):
        rows = [row for row in curve if (row["front_end"], row["exclusive_ms"]) == (front_end, exclusive_ms)]
        label = f"{front_end}, {exclusive_ms} ms"
        axes.plot([row["threshold"] for row in rows], [row["f1"] for row in rows], ".-", label=label)
    axes.plot(chosen["threshold"], chosen["f1"], "o", mfc="none", mec="k", ms=12, label="chosen")
    axes.set(xlabel="threshold (probability)", ylabel="F1 on noise-matched copies")
    axes.legend(fontsize="small")
    return figure
