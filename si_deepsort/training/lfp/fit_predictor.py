"""
Fit a spike predictor: constant, GLM, bidirectional LSTM, GRU or temporal CNN, all with one interface.

Each predictor is a small ensemble. Time is cut into as many blocks as there are members; each member is trained
without its block and stops when that block says so. What the members predict for their own blocks then decides how
far their mean is believed (`calibration`).
"""

from typing import Any

import numpy as np
import torch

from ...fit import FitSettings, evaluate, fit
from ...inference import choose_device
from ...lfp.checks import check_spike_count
from ...lfp.predictors import MODELS, PredictorSettings, gap_bins, network_config
from ...lfp.targets import PairedBins
from ...lfp.windows import cut_windows, predict_output, to_rate
from ...nets.spike_predictor import SpikePredictor, SpikePredictorConfig
from .calibration import calibrate, log_base
from .folds import Fold, block_folds
from .linear import fit_glm, lagged


def fit_predictor(
    data: list[PairedBins],
    *,
    model: str = "bilstm",
    settings: PredictorSettings | None = None,
    causal: bool = False,
    spans: list | None = None,
) -> tuple[SpikePredictor, dict]:
    """
    Fit a predictor to one or several sessions.

    Parameters
    ----------
    data : list of PairedBins
        With the same features and outputs.
    model : "constant" | "glm" | "bilstm" | "gru" | "cnn", default: "bilstm"
    settings : PredictorSettings | None, default: None
    causal : bool, default: False
        The predictor looks at the past only; compute causal features for it.
    spans : list of (session, first, last) | None, default: None
        Stretches of bins that may be used: index into `data`, first bin, one past the last. None takes everything.

    Returns
    -------
    SpikePredictor
        In evaluation mode, on the CPU.
    dict
        "outputs": for each output gain, offset, evidence and held_out_bits (see `calibration.calibrate`) and
        base_rate, in spikes per bin, which is the prediction of the constant.

    Raises
    ------
    ValueError
        If a unit has too few spikes, the sessions differ in their features, or the recording is too short.
    """
    settings = settings or PredictorSettings()
    if model not in MODELS:
        raise ValueError(f"Unknown model '{model}'; expected one of {MODELS}.")
    _check_same_layout(data)
    spans = spans or [(session, 0, len(paired.counts)) for session, paired in enumerate(data)]
    counts = _gather([paired.counts for paired in data], spans)
    for name, total in zip(data[0].output_names, counts.sum(axis=0), strict=True):
        check_spike_count(int(total), name, minimum=settings.min_spikes)
    config = network_config(data[0], model, settings, causal)
    folds = block_folds(spans, settings.num_members, gap_bins(data[0], config))
    mean, scale = _feature_scale(data, spans)
    standard = [((paired.features.values - mean) / scale).clip(-8, 8) for paired in data]
    if model == "constant":
        nets = [SpikePredictor(config) for _ in folds]
    else:
        nets = _fit_linear_members(standard, data, folds, config, settings)
    if model in ("bilstm", "gru", "cnn"):
        for number, (net, fold) in enumerate(zip(nets, folds, strict=True)):
            _train_residual(net, fold, standard, data, settings, number)
    return _assemble(nets, folds, standard, data, settings, (mean, scale))


def _check_same_layout(data):
    if not data:
        raise ValueError("No session was given; expected at least one.")
    for paired in data[1:]:
        same = [name[1:] for name in paired.features.names] == [name[1:] for name in data[0].features.names]
        if not same or paired.bin_s != data[0].bin_s or len(paired.output_names) != len(data[0].output_names):
            raise ValueError(
                f"Session '{paired.labels.get('name')}' has {len(paired.features.names)} features in bins of "
                f"{paired.bin_s:g} s and {len(paired.output_names)} outputs; the first session has "
                f"{len(data[0].features.names)}, {data[0].bin_s:g} s and {len(data[0].output_names)}. Choose the same "
                "number of channels and target='population' or 'label' for sessions with different units."
            )


def _gather(arrays, spans):
    return np.concatenate([arrays[session][first:last] for session, first, last in spans])


def _feature_scale(data, spans):
    values = _gather([paired.features.values for paired in data], spans)
    scale = values.std(axis=0)
    return values.mean(axis=0), np.where(scale > 1e-12, scale, 1.0).astype(np.float32)


def _fit_linear_members(standard, data, folds: list[Fold], config, settings) -> list[SpikePredictor]:
    """One net per fold, with its linear part fitted to the fold's training bins."""
    num_taps = config.num_lags * (1 if config.causal else 2) + 1
    kinds = [name[1:] for name in data[0].features.names]
    groups = np.repeat([sorted(set(kinds)).index(kind) for kind in kinds], num_taps)
    nets = []
    for number, fold in enumerate(folds):
        design = np.concatenate([lagged(standard[s][a:b], config.num_lags, config.causal) for s, a, b in fold.training])
        counts = _gather([paired.counts for paired in data], fold.training)
        torch.manual_seed(settings.seed + number)
        net = SpikePredictor(config)
        first_member: Any = net.members[0]
        linear = first_member.linear.requires_grad_(False)  # the network learns what the GLM leaves over
        for output in range(config.num_outputs):
            weights, intercept, _ = fit_glm(
                design, counts[:, output], groups, likelihood=config.likelihood, seed=settings.seed
            )
            linear.weight[output] = torch.from_numpy(weights.reshape(linear.weight.shape[1:]))
            linear.bias[output] = intercept
        nets.append(net)
    return nets


def _train_residual(net, fold: Fold, standard, data, settings, number):
    """Train the network part in place; it goes back to nothing if it does not help its held-out block."""
    device = choose_device(settings.device)
    arrays = [paired.counts for paired in data]
    per_bin = float(_gather(arrays, fold.training).mean(axis=0).sum())  # makes the loss nats per spike

    def loss(net, batch):
        values, counts, weights = batch
        margin = net.config.margin_bins
        output = net(values)[..., margin : values.shape[-1] - margin]
        return (net.loss(output, counts) * weights).sum() / weights.sum().clamp(min=1) / per_bin

    def batches(spans, seed):
        return _batches(standard, arrays, spans, net.config, settings, seed)

    fit_settings = FitSettings(
        num_epochs=settings.num_epochs,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        patience=settings.patience,
        seed=settings.seed + number,
        device=settings.device,
        progress_bar=settings.progress_bar,
    )
    before = evaluate(net.to(device), loss, batches(fold.test, None), device)
    start = {name: value.clone() for name, value in net.state_dict().items()}
    fit(
        net,
        loss,
        lambda epoch: batches(fold.training, settings.seed + 1000 * number + epoch),
        lambda: batches(fold.test, None),
        fit_settings,
        label=f"{net.config.kind}, member {number + 1}",
    )
    if evaluate(net, loss, batches(fold.test, None), device) > before:
        net.load_state_dict(start)
    net.cpu()


def _batches(standard, counts, spans, config, settings, seed):
    """Windows of all stretches in random order (`seed`), or in order and all of them (None)."""
    random = None if seed is None else np.random.default_rng(seed)
    length, margin = settings.window_bins, config.margin_bins
    windows = []
    for number, (_, first, last) in enumerate(spans):
        shift = 0 if random is None else int(random.integers(0, length))
        windows += [(number, start) for start in range(-shift, last - first, length)]
    windows = np.array(windows)
    if random is not None:
        windows = random.permutation(windows)[: max(1, settings.bins_per_epoch // length)]
    batch_size = settings.batch_size
    fill = np.zeros(standard[0].shape[1], dtype=np.float32)
    empty = np.full(counts[0].shape[1] + 0, -1, dtype=np.float32)  # marks bins outside the stretch
    for begin in range(0, len(windows), batch_size):
        inputs, targets = [], []
        for number in np.unique(windows[begin : begin + batch_size, 0]):
            session, first, last = spans[number]
            chosen = windows[begin : begin + batch_size]
            starts = chosen[chosen[:, 0] == number, 1]
            inputs.append(cut_windows(standard[session][first:last], starts, length=length, margin=margin, fill=fill))
            targets.append(cut_windows(counts[session][first:last], starts, length=length, margin=0, fill=empty))
        values, truth = (torch.from_numpy(np.concatenate(part)) for part in (inputs, targets))
        inside = (truth >= 0).float()
        yield values, truth.clamp(min=0), inside


def _assemble(nets, folds: list[Fold], standard, data, settings, scaling):
    """The ensemble, calibrated on what each member says of the block it never saw."""
    config = SpikePredictorConfig(**{**nets[0].config.to_dict(), "num_members": len(nets)})
    ensemble = SpikePredictor(config)
    for member, net in zip(ensemble.members, nets, strict=True):
        member.load_state_dict(net.members[0].state_dict())
    ensemble.feature_mean.copy_(torch.from_numpy(scaling[0]))
    ensemble.feature_scale.copy_(torch.from_numpy(scaling[1]))
    pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for number, (net, fold) in enumerate(zip(nets, folds, strict=True)):
        for session, first, last in fold.test:
            predicted = predict_output(net, standard[session][first:last], parts=True)
            pieces.append((predicted, data[session].counts[first:last], np.full(last - first, number)))
    parts, counts, numbers = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    block_bins = max(1, round(settings.block_s / data[0].bin_s))
    outputs = {}
    for output, name in enumerate(data[0].output_names):
        result = calibrate(
            parts[:, :, output],
            counts[:, output],
            numbers,
            likelihood=settings.likelihood,
            block_bins=block_bins,
            caution=settings.caution,
            min_bits=settings.min_bits,
        )
        ensemble.gain[:, output] = torch.tensor(result["gain"])
        ensemble.offset[output] = result["offset"]
        base = log_base(counts[:, output], settings.likelihood)
        outputs[name] = {**result, "base_rate": float(to_rate(base, settings.likelihood))}
    return ensemble.eval(), dict(outputs=outputs)
