"""Files with a field potential and sorted tetrode spikes: read, aligned, predicted, scored."""

import re

import numpy as np
from spikeinterface.core import NumpyRecording, NumpySorting

from si_deepsort.lfp.checks import MIN_SPIKES, saturated_share
from si_deepsort.lfp.features import FeatureSettings
from si_deepsort.lfp.history import history_of
from si_deepsort.lfp.metrics import (
    bits_of_blocks,
    bits_per_spike,
    block_sums,
    calibration_curve,
    circular_shift_null,
    classification_scores,
    gain_per_bin,
    rate_correlation,
)
from si_deepsort.lfp.predictors import PredictorSettings
from si_deepsort.lfp.targets import PairedBins, Session, pair_session
from si_deepsort.lfp.windows import predict_output, to_rate
from si_deepsort.training.lfp.fit_predictor import fit_predictor

SPIKE_RATE = 48_000.0
# One channel: the three share one theta rhythm (correlation .96), and phase alone says when spikes fall, not whether
# the animal is in a state of high rates.
FEATURES = FeatureSettings(bands="rodent", kinds=("phase",))
WIDE_FEATURES = FeatureSettings(bands="rodent", kinds=("signal", "phase", "amplitude"))


def read_paired(path, *, earlier=None, offset_s=None) -> dict:
    """
    Field potential and spikes of one file, on a clock that starts with the field potential.

    Spike times may be on the clock of the whole session: if they do not fit in the file's own duration, the file is
    taken to follow `earlier` without a gap.
    """
    with np.load(path, allow_pickle=False) as file:
        lfp = np.asarray(file["lfp"])
        rate = float(file["lfp_fs"]) if "lfp_fs" in file else 250.0
        names = sorted(name.removesuffix("_times") for name in file.files if re.fullmatch(r"t\d+_times", name))
        spikes = {name: (np.ravel(file[f"{name}_times"]), np.ravel(file[f"{name}_labels"])) for name in names}
    if not names:
        raise ValueError(f"{path} has no spike times; expected arrays such as t7_times and t7_labels.")
    if any(len(times) != len(labels) for times, labels in spikes.values()):
        raise ValueError(f"{path} has spike times and labels of unequal length.")
    lfp = lfp[:, None] if lfp.ndim == 1 else lfp
    lfp = lfp.T if lfp.shape[0] < lfp.shape[1] else lfp
    duration = len(lfp) / rate
    everything = np.concatenate([times for times, _ in spikes.values()])
    if offset_s is None:
        offset_s = _guess_offset(everything, duration, earlier, path)
    units = {}
    for name, (times, labels) in spikes.items():
        for label in np.unique(labels[labels > 0]):
            units[f"{name} unit {label}"] = np.sort(times[labels == label] - offset_s)
    return dict(lfp=lfp, rate=rate, duration_s=duration, offset_s=offset_s, units=units, path=str(path))


def _guess_offset(times, duration, earlier, path) -> float:
    if len(times) == 0 or (times.min() >= -0.5 and times.max() <= duration + 0.5):
        return 0.0
    candidate = earlier["duration_s"] + earlier["offset_s"] if earlier else 0.0
    if times.min() >= candidate - 0.5 and times.max() <= candidate + duration + 0.5:
        return candidate
    raise ValueError(
        f"Spikes of {path} lie between {times.min():.1f} and {times.max():.1f} s; its field potential lasts "
        f"{duration:.1f} s and the training file ends at {candidate:.1f} s. Say where it starts with --test-offset-s."
    )


def pair(data: dict, unit_names: list, features: FeatureSettings, channels) -> PairedBins:
    """Features of the chosen channels, and counts of the named units (silent where a file lacks one)."""
    recording = NumpyRecording([data["lfp"][:, channels].astype(np.float32)], data["rate"])
    frames = {
        name: np.round(data["units"].get(name, np.zeros(0)).clip(0, data["duration_s"]) * SPIKE_RATE).astype(np.int64)
        for name in unit_names
    }
    sorting = NumpySorting.from_unit_dict([frames], SPIKE_RATE)
    return pair_session(Session(recording, sorting, unit_ids=unit_names), features)


def with_shifted(paired: PairedBins, names: list) -> PairedBins:
    """The named units once more, their spikes moved around the recording by 37 % of its length."""
    columns = [paired.output_names.index(name) for name in names]
    moved = np.roll(paired.counts[:, columns], round(0.37 * len(paired.counts)), axis=0)
    counts = np.concatenate([paired.counts, moved], axis=1)
    return PairedBins(paired.features, counts, paired.output_names + [f"{name} shifted" for name in names])


def predict_paired(train: dict, test: dict, *, models, features, channels, seed=0, **options) -> dict:
    """Train each model on one file, score it on the other, unit by unit."""
    names = sorted(name for name, times in train["units"].items() if len(times) >= MIN_SPIKES)
    skipped = sorted(set(train["units"]) - set(names))
    locked = [name for name in names if name.startswith("t7 ")] or names
    training = with_shifted(pair(train, names, features, channels), locked)
    testing = with_shifted(pair(test, names, features, channels), locked)
    settings = PredictorSettings(seed=seed, **options)
    rates, rows, bases = {}, {}, {}
    for model in models:
        net, fitted = fit_predictor([training], model=model, settings=settings)
        rates[model] = to_rate(predict_output(net, testing.features.values), settings.likelihood)
        bases[model] = fitted["outputs"]
    for column, name in enumerate(training.output_names):
        rows[name] = dict(training_spikes=int(training.counts[:, column].sum()))
        for model in models:
            scores = _scores(testing, column, rates[model][:, column], bases[model][name])
            if model not in ("constant", "glm") and "glm" in models:
                scores["ahead_of_glm"] = _against(testing, column, rates[model], rates["glm"])
            rows[name][model] = scores
    for name in locked:
        rows[name]["history"] = _history(training, testing, name, settings, with_features=False)
        rows[name]["history_and_glm"] = _history(training, testing, name, settings, with_features=True)
    pooled = {model: _pooled(testing, locked, rates[model], bases[model]) for model in models}
    saturated = [float(share) for share in saturated_share(test["lfp"][:, channels])]
    return dict(
        units=rows, pooled_t7=pooled, skipped_units=skipped, test_offset_s=test["offset_s"], saturated_share=saturated
    )


def _scores(testing, column, rate, fitted) -> dict:
    counts, bin_s, base = testing.counts[:, column], testing.bin_s, fitted["base_rate"]
    bits = bits_per_spike(counts, rate, base, bin_s=bin_s)
    # an oracle that knows the mean rate of the test data is a harder reference: it forgives no drift of the rate
    oracle = bits_per_spike(counts, rate, max(counts.mean(), 1e-9), bin_s=bin_s)
    # both told the mean rate of the test data: what remains is when spikes fall, not how many there are
    told = max(counts.mean(), 1e-9)
    timing = bits_per_spike(counts, rate * told / rate.mean(), told, bin_s=bin_s)
    return dict(
        **bits,
        against_test_rate=oracle,
        timing_alone=timing,
        gain=fitted["gain"],
        evidence=fitted["evidence"],
        held_out_bits=fitted["held_out_bits"],
        shift_null=circular_shift_null(counts, rate, base, bin_s=bin_s),
        rate_correlation=rate_correlation(counts, rate, bin_s=bin_s, smooth_s=0.02),
        calibration=calibration_curve(counts, rate),
        **{name: value for name, value in classification_scores(counts, rate).items() if name not in bits},
    )


def _against(testing, column, rate, other) -> dict:
    counts = testing.counts[:, column]
    return bits_per_spike(counts, rate[:, column], other[:, column], bin_s=testing.bin_s)


def _history(training, testing, name, settings, *, with_features) -> dict:
    first, second = (history_of(paired, name, with_features=with_features) for paired in (training, testing))
    net, fitted = fit_predictor([first], model="glm", settings=settings)
    rate = to_rate(predict_output(net, second.features.values), settings.likelihood)[:, 0]
    return bits_per_spike(second.counts[:, 0], rate, fitted["outputs"][name]["base_rate"], bin_s=second.bin_s)


def _pooled(testing, names, rates, fitted) -> dict:
    block = round(10 / testing.bin_s)
    gain, spikes = 0.0, 0.0
    for name in names:
        column = testing.output_names.index(name)
        counts = testing.counts[:, column]
        bins = gain_per_bin(counts, rates[:, column], fitted[name]["base_rate"])
        gain, spikes = gain + block_sums(bins, block), spikes + block_sums(counts, block)
    return bits_of_blocks(gain, spikes)


def select_units(data: dict, prefixes: list | None) -> dict:
    """Only the units whose name begins with one of the prefixes; None keeps all."""
    if prefixes is None:
        return data
    units = {name: times for name, times in data["units"].items() if name.startswith(tuple(prefixes))}
    if not units:
        raise ValueError(f"No unit begins with {prefixes}; the file has {sorted(data['units'])}.")
    return {**data, "units": units}


def first_part(data: dict, start_s: float, end_s: float) -> dict:
    """A stretch of a file as if it were a file."""
    frames = slice(round(start_s * data["rate"]), round(end_s * data["rate"]))
    units = {name: times[(times >= start_s) & (times < end_s)] - start_s for name, times in data["units"].items()}
    return {**data, "lfp": data["lfp"][frames], "duration_s": end_s - start_s, "offset_s": start_s, "units": units}
