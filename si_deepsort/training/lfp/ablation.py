"""Which bands of the field potential carry information: train again without each."""

import pandas as pd

from ...lfp.features import FeatureSettings, FeatureTable
from ...lfp.metrics import bits_of_blocks
from ...lfp.predictors import PredictorSettings
from ...lfp.targets import PairedBins, Session
from .cross_validate import gain_blocks, held_out_predictions, make_folds, pair_sessions


def leave_one_band_out(
    sessions: Session | list[Session],
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
