"""One page that shows how well spikes are predicted: rates, ROC, calibration, bands, transfer between groups."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from ...html_report import embed_figure, embed_table, section, write_page
from ...lfp.features import FeatureSettings
from ...lfp.metrics import calibration_curve, circular_shift_null
from ...lfp.predictors import PredictorSettings
from ...lfp.targets import Session
from .ablation import leave_one_band_out
from .cross_validate import HeldOut, held_out_predictions, make_folds, pair_sessions, score_table, transfer_matrix


def write_report(
    sessions: Session | list[Session],
    path: str | Path,
    *,
    model: str = "bilstm",
    by: str = "block",
    target: str | None = None,
    transfer_by: str | None = None,
    features: FeatureSettings | None = None,
    settings: PredictorSettings | None = None,
) -> Path:
    """
    Cross-validate, leave each band out, and write everything to one HTML file.

    Parameters
    ----------
    sessions : Session | list of Session
    path : str | Path
        The HTML file to write; pictures are inside it.
    model, by, target, features, settings
        As in `cross_validate`.
    transfer_by : "region" | "hemisphere" | "participant" | "session" | None, default: None
        Adds the matrix of training here and testing there.

    Returns
    -------
    Path
    """
    settings = settings or PredictorSettings()
    listed, data = pair_sessions(sessions, by=by, target=target, features=features)
    causal = bool(features and features.causal)
    folds = make_folds(listed, data, model, settings, by=by)
    held_out = held_out_predictions(data, folds, model=model, settings=settings, causal=causal)
    bin_s = data[0].bin_s
    table = score_table(held_out, bin_s, settings)
    common: dict[str, Any] = dict(model=model, target=target, features=features, settings=settings)
    bands = leave_one_band_out(sessions, by=by, **common)
    parts = [_summary(table, held_out, bin_s, settings, model, by)]
    for output in dict.fromkeys(piece.output for piece in held_out):
        pieces = [piece for piece in held_out if piece.output == output]
        figure = plot_output(pieces, bands[bands.output == output], bin_s)
        parts.append(section(output, embed_figure(figure, f"Prediction of {output}")))
    if transfer_by is not None:
        matrix = transfer_matrix(listed, group_by=transfer_by, **{**common, "target": target or "population"})
        parts.append(section("Train here, test there", embed_figure(plot_transfer(matrix), "Transfer between groups")))
    parts.append(section("All folds", embed_table(table, shows_index=False)))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_page(path, "Spikes from field potentials", parts)


def plot_output(pieces: list[HeldOut], bands: pd.DataFrame, bin_s: float):
    """Rates, ROC, calibration and bands of one output, as a matplotlib figure."""
    from matplotlib.figure import Figure
    from sklearn.metrics import roc_curve

    counts = np.concatenate([piece.counts for piece in pieces])
    rate = np.concatenate([piece.rate for piece in pieces])
    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.subplot_mosaic([["rate", "rate", "rate"], ["roc", "calibration", "bands"]])
    shown, smooth = pieces[0], max(0.02 / bin_s, 1.0)
    num_bins = min(len(shown.counts), round(4 / bin_s))
    time = (shown.first + np.arange(num_bins)) * bin_s
    observed = gaussian_filter1d(shown.counts.astype(float), smooth) / bin_s
    predicted = gaussian_filter1d(shown.rate, smooth) / bin_s
    axes["rate"].plot(time, observed[:num_bins], color="0.6", label="observed")
    axes["rate"].plot(time, predicted[:num_bins], color="C3", label="predicted, held out")
    axes["rate"].set(xlabel="time (s)", ylabel=f"rate (Hz), smoothed {1000 * smooth * bin_s:.0f} ms")
    axes["rate"].legend(loc="upper right")
    if 0 < (counts > 0).sum() < len(counts):
        false_positive, true_positive, _ = roc_curve(counts > 0, rate)
        axes["roc"].plot(false_positive, true_positive, color="C3")
    axes["roc"].plot([0, 1], [0, 1], "k:")
    axes["roc"].set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC")
    curve = calibration_curve(counts, rate)
    axes["calibration"].plot(
        np.array(curve["predicted"]) / bin_s, np.array(curve["observed"]) / bin_s, "o-", color="C3"
    )
    largest = max(predicted.max(), observed.max())
    axes["calibration"].plot([0, largest], [0, largest], "k:")
    axes["calibration"].set(xlabel="predicted (Hz)", ylabel="observed (Hz)", title="Calibration")
    position = np.arange(len(bands))
    errors = np.stack([bands["drop"] - bands.drop_low, bands.drop_high - bands["drop"]]).clip(0)
    axes["bands"].barh(position, bands["drop"], xerr=errors, color="C0")
    axes["bands"].set_yticks(position, bands.band)
    axes["bands"].invert_yaxis()
    axes["bands"].set(xlabel="bits per spike lost", title="Without this band")
    return figure


def plot_transfer(matrix: pd.DataFrame):
    """Bits per spike of each pair of groups, as a matplotlib figure; a dot marks intervals above 0."""
    from matplotlib.figure import Figure

    mean = matrix.pivot_table(index="train", columns="test", values="bits_per_spike")
    low = matrix.pivot_table(index="train", columns="test", values="low")
    figure = Figure(figsize=(2.5 + len(mean), 2 + 0.8 * len(mean)), layout="constrained")
    axes = figure.subplots()
    limit = max(float(np.nanmax(np.abs(mean))), 1e-3)
    axes.imshow(mean, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for row, column in np.ndindex(*mean.shape):
        mark = " •" if low.iloc[row, column] > 0 else ""
        axes.text(column, row, f"{mean.iloc[row, column]:.3f}{mark}", ha="center", va="center")
    axes.set_xticks(range(len(mean.columns)), mean.columns, rotation=30, ha="right")
    axes.set_yticks(range(len(mean)), mean.index)
    axes.set(xlabel="tested on", ylabel="trained on", title="bits per spike")
    return figure


def _summary(table, held_out, bin_s, settings, model, by) -> str:
    rows = []
    for row in table[table.fold == "all"].itertuples():
        pieces = [piece for piece in held_out if piece.output == row.output]
        counts, rate = (np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("counts", "rate"))
        reference = np.concatenate([np.full(len(piece.counts), piece.reference) for piece in pieces])
        null = circular_shift_null(counts, rate, reference, bin_s=bin_s, likelihood=settings.likelihood)
        verdict = "predicted" if row.low > 0 else "nothing shown"
        rows.append(
            {
                "unit": row.output,
                "spikes": row.num_spikes,
                "bits per spike": row.bits_per_spike,
                "95 % interval": f"{row.low:.4f} to {row.high:.4f}",
                "shifted spikes": f"{null['low']:.4f} to {null['high']:.4f}",
                "ROC AUC": row.roc_auc,
                "accuracy": row.accuracy,
                "accuracy of never predicting a spike": row.base_rate_accuracy,
                "verdict": verdict,
            }
        )
    return (
        f"<p>Model: {model}. Held out: {by}. Bits per spike are those gained over the constant rate of the training "
        "data. The 95 % intervals come from blocks of time. 'Shifted spikes' is what circularly shifted spikes give."
        "</p>" + embed_table(pd.DataFrame(rows), shows_index=False)
    )
