"""
Cross-validate spike predictors: by blocks of time within sessions, or by participant, region or hemisphere.

Every design predicts held-out time with `held_out_predictions`; the designs differ in their folds only.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ...lfp.features import FeatureSettings
from ...lfp.metrics import bits_of_blocks, block_sums, classification_scores, gain_per_bin, rate_correlation
from ...lfp.predictors import PredictorSettings, gap_bins, network_config
from ...lfp.targets import PairedBins, Session, pair_session
from ...lfp.windows import predict_output, to_rate
from .fit_predictor import fit_predictor
from .folds import Fold, block_folds, group_folds

GROUPS = ("session", "participant", "region", "hemisphere")


@dataclass(frozen=True)
class HeldOut:
    """
    Prediction for one stretch of time that was held out of the training.

    Attributes
    ----------
    fold, output : str
    session : int
    first : int
        First bin of the stretch.
    counts, rate : np.ndarray, shape (num_bins,)
        Real and expected spikes per bin.
    reference : float
        Constant rate of the training data, spikes per bin.
    """

    fold: str
    output: str
    session: int
    first: int
    counts: np.ndarray
    rate: np.ndarray
    reference: float


def cross_validate(
    sessions: Session | list[Session],
    *,
    model: str = "bilstm",
    by: str = "block",
    num_folds: int | None = None,
    stratify_by: str | None = None,
    target: str | None = None,
    features: FeatureSettings | None = None,
    settings: PredictorSettings | None = None,
) -> pd.DataFrame:
    """
    Cross-validate a spike predictor.

    Parameters
    ----------
    sessions : Session | list of Session
    model : "constant" | "glm" | "bilstm" | "gru" | "cnn", default: "bilstm"
    by : "block" | "session" | "participant" | "region" | "hemisphere", default: "block"
        What is held out: contiguous blocks of time with a gap, or whole groups of sessions.
    num_folds : int | None, default: None
        None takes 5 blocks, or one group at a time.
    stratify_by : str | None, default: None
        Label that is spread evenly over the folds when there are fewer folds than groups.
    target : "unit" | "population" | "label" | None, default: None
        None takes "unit" for one session and "population" for several.
    features : FeatureSettings | None, default: None
        When groups are held out, None standardises within each session.
    settings : PredictorSettings | None, default: None

    Returns
    -------
    pandas.DataFrame
        One row per fold and output, and one per output with fold "all": bits_per_spike with low and high (95 %, over
        blocks of time), roc_auc, average_precision, sensitivity, specificity, accuracy, base_rate_accuracy, log_loss,
        rate_correlation.

    Raises
    ------
    ValueError
        If there are too few groups, spikes or bins for the design.
    """
    settings = settings or PredictorSettings()
    sessions, data = pair_sessions(sessions, by=by, target=target, features=features)
    causal = bool(features and features.causal)
    folds = make_folds(sessions, data, model, settings, by=by, num_folds=num_folds, stratify_by=stratify_by)
    held_out = held_out_predictions(data, folds, model=model, settings=settings, causal=causal)
    return score_table(held_out, data[0].bin_s, settings)


def transfer_matrix(
    sessions: list[Session],
    *,
    group_by: str = "region",
    model: str = "bilstm",
    target: str = "population",
    features: FeatureSettings | None = None,
    settings: PredictorSettings | None = None,
) -> pd.DataFrame:
    """
    Train on each group of sessions, test on each other one; the diagonal is cross-validated by blocks.

    Returns
    -------
    pandas.DataFrame
        Columns train, test, output, bits_per_spike, low, high, num_spikes.
    """
    settings = settings or PredictorSettings()
    sessions, data = pair_sessions(sessions, by=group_by, target=target, features=features)
    causal = bool(features and features.causal)
    labels = _labels(sessions, group_by)
    spans = [(index, 0, len(paired.counts)) for index, paired in enumerate(data)]
    rows = []
    for trained in sorted(set(labels)):
        inside = [span for span in spans if labels[span[0]] == trained]
        tests = {label: [span for span in spans if labels[span[0]] == label] for label in sorted(set(labels))}
        folds = [Fold(tuple(inside), tuple(test), label) for label, test in tests.items() if label != trained]
        held_out = held_out_predictions(data, folds, model=model, settings=settings, causal=causal)
        gap = gap_bins(data[0], network_config(data[0], model, settings, causal))
        own = held_out_predictions(
            data, block_folds(inside, settings.num_members, gap), model=model, settings=settings, causal=causal
        )
        held_out += [replace(piece, fold=trained) for piece in own]
        for label in tests:
            table = score_table([piece for piece in held_out if piece.fold == label], data[0].bin_s, settings)
            table = table[table.fold == "all"][["output", "bits_per_spike", "low", "high", "num_spikes"]]
            rows.append(table.assign(train=trained, test=label))
    return pd.concat(rows, ignore_index=True)[["train", "test", *rows[0].columns[:-2]]]


def pair_sessions(sessions, *, by="block", target=None, features=None) -> tuple[list[Session], list[PairedBins]]:
    """Sessions as a list, and their bins; units are pooled where sessions have different ones."""
    sessions = [sessions] if isinstance(sessions, Session) else list(sessions)
    features = features or FeatureSettings(standardise=by != "block")
    target = target or ("unit" if len(sessions) == 1 else "population")
    return sessions, [pair_session(session, features, target=target) for session in sessions]


def make_folds(sessions, data, model, settings, *, by="block", num_folds=None, stratify_by=None) -> list[Fold]:
    """Folds of a design; see `cross_validate`."""
    if by == "block":
        gap = gap_bins(data[0], network_config(data[0], model, settings, False))
        spans = [(index, 0, len(paired.counts)) for index, paired in enumerate(data)]
        return block_folds(spans, num_folds or 5, gap)
    strata = None if stratify_by is None else _labels(sessions, stratify_by)
    num_bins = [len(paired.counts) for paired in data]
    return group_folds(_labels(sessions, by), num_bins, strata=strata, num_folds=num_folds, seed=settings.seed)


def held_out_predictions(
    data: list[PairedBins], folds: list[Fold], *, model: str, settings: PredictorSettings, causal: bool = False
) -> list[HeldOut]:
    """Train on each fold's training stretches, predict its test stretches; features of the training alone scale it."""
    pieces = []
    for fold in folds:
        net, training = fit_predictor(data, model=model, settings=settings, causal=causal, spans=list(fold.training))
        for session, first, last in fold.test:
            output = predict_output(net, data[session].features.values[first:last])
            rate = to_rate(output, settings.likelihood)
            for column, name in enumerate(data[0].output_names):
                counts = data[session].counts[first:last, column]
                reference = training["outputs"][name]["base_rate"]
                pieces.append(HeldOut(fold.name, str(name), session, first, counts, rate[:, column], reference))
    return pieces


def score_table(held_out: list[HeldOut], bin_s: float, settings: PredictorSettings) -> pd.DataFrame:
    """One row per fold and output, and one per output over all folds; see `cross_validate`."""
    rows = []
    for output in dict.fromkeys(piece.output for piece in held_out):
        mine = [piece for piece in held_out if piece.output == output]
        for fold in dict.fromkeys(piece.fold for piece in mine):
            rows.append(_score([piece for piece in mine if piece.fold == fold], fold, output, bin_s, settings))
        rows.append(_score(mine, "all", output, bin_s, settings))
    return pd.DataFrame(rows)


def gain_blocks(pieces: list[HeldOut], bin_s: float, settings: PredictorSettings) -> tuple[np.ndarray, np.ndarray]:
    """Bits gained over the constant, and spikes, of each block of time."""
    block = max(1, min(round(settings.block_s / bin_s), min(len(piece.counts) for piece in pieces) // 4))
    gains = [
        block_sums(gain_per_bin(piece.counts, piece.rate, piece.reference, settings.likelihood), block)
        for piece in pieces
    ]
    return np.concatenate(gains), np.concatenate([block_sums(piece.counts, block) for piece in pieces])


def _score(pieces, fold, output, bin_s, settings) -> dict:
    counts = np.concatenate([piece.counts for piece in pieces])
    rate = np.concatenate([piece.rate for piece in pieces])
    bits = bits_of_blocks(*gain_blocks(pieces, bin_s, settings))
    correlation = rate_correlation(counts, rate, bin_s=bin_s)
    return dict(fold=fold, output=output, **bits, **classification_scores(counts, rate), rate_correlation=correlation)


def _labels(sessions, by) -> list[str]:
    if by not in GROUPS:
        raise ValueError(f"Sessions cannot be grouped by '{by}'; expected 'block' or one of {GROUPS}.")
    labels = [getattr(session, "name" if by == "session" else by) for session in sessions]
    if by == "session":
        labels = [label or f"session {index}" for index, label in enumerate(labels)]
    missing = [index for index, label in enumerate(labels) if not label]
    if missing:
        raise ValueError(f"Sessions {missing} have no {by}; give each Session(..., {by}='...').")
    return labels
