"""Which bands carry the information: leave one out, keep only one, or scramble one."""

import numpy as np
import pandas as pd

from .crossval import HeldOut, gain_blocks, held_out_predictions, make_folds, pair_sessions
from .features import FeatureSettings, FeatureTable
from .metrics import bits_of_blocks
from .predictors import PredictorSettings, fit_predictor
from .targets import PairedBins
from .windows import predict_output, to_rate


def leave_one_band_out(
    sessions,
    *,
    model: str = "bilstm",
    by: str = "block",
    num_folds: int | None = None,
    target: str | None = None,
    features: FeatureSettings | None = None,
    settings: PredictorSettings | None = None,
) -> pd.DataFrame:
    """
    Train again without each band, on the same folds: what no other band can replace.

    Parameters
    ----------
    sessions : Session | list of Session
    model, by, num_folds, target, features, settings
        As in `cross_validate`.

    Returns
    -------
    pandas.DataFrame
        One row per output and band, the most important first: bits_per_spike without the band; drop = bits per spike
        of all bands less that, with drop_low and drop_high (95 %, the same blocks of time for both).
    """
    settings = settings or PredictorSettings()
    sessions, data = pair_sessions(sessions, by=by, target=target, features=features)
    causal = bool(features and features.causal)
    folds = make_folds(sessions, data, model, settings, by=by, num_folds=num_folds)

    def predictions(selected):
        return held_out_predictions(selected, folds, model=model, settings=settings, causal=causal)

    full = predictions(data)
    rows = []
    for band in _bands(data):
        without = predictions(_select(data, lambda name, band=band: name != band))
        rows += _compare(full, without, band, data[0].bin_s, settings)
    return _sorted(rows, "drop")


def only_one_band(
    sessions,
    *,
    model: str = "bilstm",
    by: str = "block",
    num_folds: int | None = None,
    target: str | None = None,
    features: FeatureSettings | None = None,
    settings: PredictorSettings | None = None,
) -> pd.DataFrame:
    """
    Train with each band alone: what it carries by itself.

    Returns
    -------
    pandas.DataFrame
        One row per output and band, the best first: bits_per_spike with low and high, num_spikes.
    """
    settings = settings or PredictorSettings()
    sessions, data = pair_sessions(sessions, by=by, target=target, features=features)
    causal = bool(features and features.causal)
    folds = make_folds(sessions, data, model, settings, by=by, num_folds=num_folds)
    rows = []
    for band in _bands(data):
        alone = _select(data, lambda name, band=band: name == band)
        held_out = held_out_predictions(alone, folds, model=model, settings=settings, causal=causal)
        for output, pieces in _by_output(held_out).items():
            rows.append(dict(output=output, band=band, **bits_of_blocks(*gain_blocks(pieces, data[0].bin_s, settings))))
    return _sorted(rows, "bits_per_spike")


def permutation_importance(
    sessions,
    *,
    model: str = "bilstm",
    by: str = "block",
    num_folds: int | None = None,
    target: str | None = None,
    features: FeatureSettings | None = None,
    settings: PredictorSettings | None = None,
) -> pd.DataFrame:
    """
    Shift each band by half the test block, without training again: what the trained predictor relies on.

    Returns
    -------
    pandas.DataFrame
        As `leave_one_band_out`.
    """
    settings = settings or PredictorSettings()
    sessions, data = pair_sessions(sessions, by=by, target=target, features=features)
    causal = bool(features and features.causal)
    folds = make_folds(sessions, data, model, settings, by=by, num_folds=num_folds)
    scrambled: dict = {None: [], **{band: [] for band in _bands(data)}}
    band_of = np.array([name[1] for name in data[0].features.names])
    for fold in folds:
        net, training = fit_predictor(data, model=model, settings=settings, causal=causal, spans=list(fold.training))
        for session, first, last in fold.test:
            for band, pieces in scrambled.items():
                values = data[session].features.values[first:last].copy()
                columns = band_of == band
                values[:, columns] = np.roll(values[:, columns], len(values) // 2, axis=0)
                rate = to_rate(predict_output(net, values), settings.likelihood)
                for column, name in enumerate(data[0].output_names):
                    counts = data[session].counts[first:last, column]
                    reference = training["outputs"][name]["base_rate"]
                    pieces.append(HeldOut(fold.name, str(name), session, first, counts, rate[:, column], reference))
    rows = []
    for band in _bands(data):
        rows += _compare(scrambled[None], scrambled[band], band, data[0].bin_s, settings)
    return _sorted(rows, "drop")


def _compare(full, other, band, bin_s, settings) -> list[dict]:
    rows = []
    others = _by_output(other)
    for output, pieces in _by_output(full).items():
        gain, spikes = gain_blocks(pieces, bin_s, settings)
        gain_without, _ = gain_blocks(others[output], bin_s, settings)
        drop = bits_of_blocks(gain - gain_without, spikes)
        without = bits_of_blocks(gain_without, spikes)
        rows.append(
            dict(
                output=output,
                band=band,
                bits_per_spike=without["bits_per_spike"],
                drop=drop["bits_per_spike"],
                drop_low=drop["low"],
                drop_high=drop["high"],
            )
        )
    return rows


def _sorted(rows, column):
    table = pd.DataFrame(rows)
    return table.sort_values(["output", column], ascending=[True, False], ignore_index=True)


def _by_output(held_out) -> dict:
    outputs = dict.fromkeys(piece.output for piece in held_out)
    return {output: [piece for piece in held_out if piece.output == output] for output in outputs}


def _bands(data) -> list:
    return list(dict.fromkeys(name[1] for name in data[0].features.names))


def _select(data, keep_band) -> list[PairedBins]:
    def select(table: FeatureTable) -> FeatureTable:
        return table.select(lambda channel, band, kind: keep_band(band))

    return [PairedBins(select(p.features), p.counts, p.output_names, p.labels) for p in data]
