"""The benchmarks of `lfp.py` other than the paired session: each takes a seed and returns plain values."""

import os
import time
from pathlib import Path

import numpy as np
import scipy.io
import scipy.signal
from spikeinterface.core import NumpyRecording, NumpySorting

from si_deepsort import cross_validate, leave_one_band_out
from si_deepsort.lfp.bands import BANDS
from si_deepsort.lfp.features import FeatureSettings
from si_deepsort.lfp.metrics import classification_scores
from si_deepsort.lfp.predictors import PredictorSettings
from si_deepsort.lfp.simulate import PlantedUnit, simulate_session, threshold_toy
from si_deepsort.lfp.targets import Session, pair_session
from si_deepsort.training.lfp.cross_validate import held_out_predictions, score_table
from si_deepsort.training.lfp.fit_predictor import fit_predictor
from si_deepsort.training.lfp.folds import Fold, group_folds

SIMULATED = FeatureSettings(bin_ms=10.0)
# Less time for the network where it is trained hundreds of times.
QUICK = PredictorSettings(num_members=2, hidden_size=8, num_epochs=4, batch_size=32)


def data_folder() -> Path:
    """Folder of the evaluation data, named by the environment variable SI_DEEPSORT_DATA."""
    return Path(os.environ.get("SI_DEEPSORT_DATA", "../shared/data"))


def run_toy(seed: int) -> dict:
    """Four sines and noise, predicted one step ahead; the last 30 % of time is the test."""
    traces, has_spike, best = threshold_toy(seed=seed)
    rate = 1000.0
    sorting = NumpySorting.from_unit_dict([{"toy": np.flatnonzero(has_spike)}], rate)
    # One second before each bin, as the raw trace or as a spectrum of narrow bands that knows nothing of the sines.
    spectrum = {f"{centre:g} Hz": (centre - 1.25, centre + 1.25) for centre in np.arange(5, 80, 2.5)}
    common = dict(bin_ms=1.0, causal=True, lead_ms=1.0)
    session = Session(NumpyRecording([traces], rate), sorting)
    raw = pair_session(session, FeatureSettings(kinds=("broadband",), **common))
    narrow = pair_session(session, FeatureSettings(bands=spectrum, kinds=("signal",), **common))
    split = round(0.7 * len(traces))
    result = {"best_possible": _toy_scores(has_spike[split:], best[split:])}
    # the sines repeat after 200 ms, so blocks of that length have the same expectation
    common = dict(likelihood="bernoulli", seed=seed, block_s=0.2)
    network = dict(context_ms=64.0, num_epochs=8, batch_size=8, hidden_size=16, dropout=0.1)
    choices = {
        "logistic regression, 100 lags": (raw, "glm", PredictorSettings(num_lags=100, **common)),
        "glm": (narrow, "glm", PredictorSettings(**common)),
        "bilstm": (narrow, "bilstm", PredictorSettings(**network, **common)),
        "cnn": (narrow, "cnn", PredictorSettings(**network, **common)),
    }
    fold = [Fold(((0, 0, split - 1500),), ((0, split, len(traces)),), "last 30 %")]
    for name, (paired, model, settings) in choices.items():
        piece = held_out_predictions([paired], fold, model=model, settings=settings, causal=True)[0]
        result[name] = _toy_scores(piece.counts, piece.rate)
        print(name, result[name], flush=True)
    return result


def _toy_scores(counts, rate) -> dict:
    scores = classification_scores(counts, rate)
    return {name: scores[name] for name in ("roc_auc", "log_loss", "accuracy", "base_rate_accuracy")}


def run_simulator(seed: int, *, num_seeds: int = 20) -> dict:
    """Two cell types follow two bands: does leave-one-band-out put each planted band first?"""
    rows = [planted_row(1000 * seed + number) for number in range(num_seeds)]
    found = sum(row["found"] for row in rows)
    print(f"planted bands first, with intervals above 0: {found} of {num_seeds}", flush=True)
    return dict(found=found, num_seeds=num_seeds, rows=rows)


def planted_row(seed: int, *, duration_s: float = 240.0) -> dict:
    """One simulated session: the band planted in each cell type, and the one that leave-one-band-out puts first."""
    names = list(BANDS)
    slow, fast = names[seed % 4], names[4 + seed % 2]
    units = [
        PlantedUnit(band=slow, strength=0.6, label="wide"),
        PlantedUnit(band=fast, strength=0.6, coupling="amplitude", label="narrow", rate_hz=8.0),
    ]
    session = simulate_session(units, duration_s=duration_s, seed=seed)
    table = leave_one_band_out(session, model="glm", target="label", features=SIMULATED)
    first = {name: group.iloc[0] for name, group in table.groupby("output")}
    is_right = first["wide"].band == slow and first["narrow"].band == fast
    is_sure = min(first["wide"].drop_low, first["narrow"].drop_low) > 0
    return dict(
        found=bool(is_right and is_sure),
        wide=[slow, first["wide"].band],
        narrow=[fast, first["narrow"].band],
        seed=seed,
    )


def run_simulator_bilstm(seed: int, *, num_seeds: int = 4) -> dict:
    """The same with the network, on fewer seeds."""
    found = 0
    for number in range(num_seeds):
        band = list(BANDS)[number % 4]
        session = simulate_session([PlantedUnit(band=band)], duration_s=180.0, seed=500 + 1000 * seed + number)
        table = leave_one_band_out(session, model="bilstm", num_folds=3, features=SIMULATED, settings=QUICK)
        found += bool(table.iloc[0].band == band and table.iloc[0].drop_low > 0)
    print(f"bilstm: planted band first: {found} of {num_seeds}", flush=True)
    return dict(found=found, num_seeds=num_seeds)


def run_no_coupling(seed: int) -> dict:
    """Units without coupling: how often does the interval of the held-out blocks lie above 0?"""
    result = {}
    for model, num_seeds in (("glm", 40), ("bilstm", 20)):
        claims = sum(claims_without_coupling(model, 10_000 * (seed + 1) + number) for number in range(num_seeds))
        result[model] = dict(claims=claims, num_seeds=num_seeds)
        print(f"{model}: {claims} claims in {num_seeds} seeds without coupling", flush=True)
    return result


def claims_without_coupling(model: str, seed: int) -> bool:
    """Whether a unit that ignores the field potential is claimed to follow it."""
    settings, num_folds = (PredictorSettings(), 5) if model == "glm" else (QUICK, 3)
    session = simulate_session([PlantedUnit(strength=0.0)], duration_s=180.0, seed=seed)
    table = cross_validate(session, model=model, num_folds=num_folds, features=SIMULATED, settings=settings)
    return bool((table[table.fold == "all"].low > 0).any())


def run_wideband(seed: int) -> dict | None:
    """
    Real wide-band traces: slow field potential against threshold crossings of the fast part.

    A wide-band trace holds the spikes themselves, also below 120 Hz: predicting a channel from its own trace at the
    same time is circular, and shown as such. The control is the past of the other channel.
    """
    path = data_folder() / "wideband_two_channels" / "rawdata01.npz"
    if not path.exists():
        print("skipped: the file is not there")
        return None
    with np.load(path) as file:
        traces, rate = file["d"].astype(np.float32), float(file["fs"])
    high_pass = scipy.signal.butter(3, [300, 3000], "bandpass", fs=rate, output="sos")
    fast = scipy.signal.sosfiltfilt(high_pass, traces, axis=0)
    noise = np.median(np.abs(fast), axis=0) / 0.6745
    past = FeatureSettings(bin_ms=10.0, causal=True, lead_ms=50.0)
    designs = (("glm", "past of the other channel", past), ("bilstm", "past of the other channel", past))
    designs += (("glm", "same channel and time, circular", SIMULATED),)
    result: dict = {}
    for channel in (0, 1):
        spikes = scipy.signal.find_peaks(-fast[:, channel], height=4 * noise[channel], distance=10)[0]
        for model, design, features in designs:
            source = channel if "circular" in design else 1 - channel
            recording = NumpyRecording([traces[:, [source]]], rate)
            sorting = NumpySorting.from_unit_dict([{f"channel {channel} from the {design}": spikes}], rate)
            settings = PredictorSettings(seed=seed, num_epochs=4, hidden_size=8)
            table = cross_validate(Session(recording, sorting), model=model, features=features, settings=settings)
            whole = table[table.fold == "all"]
            result.setdefault(model, []).extend(whole.to_dict("records"))
            print(
                model,
                whole[["output", "bits_per_spike", "low", "high"]].to_string(index=False, header=False),
                flush=True,
            )
    return result


def run_kramer(seed: int) -> dict | None:
    """100 trials of 1 s; whole trials are held out."""
    path = data_folder() / "kramer_lfp_spikes" / "spikes-LFP-1.mat"
    if not path.exists():
        print("skipped: the file is not there")
        return None
    file = scipy.io.loadmat(path)
    bands = {name: edges for name, edges in BANDS.items() if name not in ("delta", "theta")}
    features = FeatureSettings(bands=bands, bin_ms=2.0)
    data = []
    for lfp, spikes in zip(file["y"], file["n"], strict=True):
        sorting = NumpySorting.from_unit_dict([{"neuron": np.flatnonzero(spikes)}], 1000.0)
        data.append(pair_session(Session(NumpyRecording([lfp[:, None]], 1000.0), sorting), features))
    folds = group_folds([f"{trial:03d}" for trial in range(100)], [len(d.counts) for d in data], num_folds=5, seed=seed)
    result = {}
    for model in ("glm", "bilstm"):
        settings = PredictorSettings(seed=seed, window_bins=250, block_s=1.0, num_epochs=8)
        held_out = held_out_predictions(data, folds, model=model, settings=settings)
        result[model] = score_table(held_out, data[0].bin_s, settings).to_dict("records")
        print(model, result[model][-1], flush=True)
    return result


def run_speed(seed: int, *, duration_s: float = 600.0) -> dict:
    """CPU time of features and of training, 8 channels at 1 kHz."""
    units = [PlantedUnit(), PlantedUnit(band="low_gamma", coupling="amplitude", label="narrow")]
    session = simulate_session(units, duration_s=duration_s, sampling_frequency=1000.0, num_channels=8, seed=seed)
    clock = time.process_time()
    paired = pair_session(session, FeatureSettings())
    features_s = time.process_time() - clock
    _, fitted = fit_predictor([paired], model="bilstm", settings=PredictorSettings(seed=seed))
    total_s = time.process_time() - clock
    result = dict(
        duration_s=duration_s, features_cpu_s=round(features_s, 1), training_cpu_s=round(total_s - features_s, 1)
    )
    result["held_out_bits"] = {name: row["held_out_bits"] for name, row in fitted["outputs"].items()}
    print(result, flush=True)
    return result


CASES = {
    "toy": run_toy,
    "kramer": run_kramer,
    "wideband": run_wideband,
    "simulator": run_simulator,
    "simulator_bilstm": run_simulator_bilstm,
    "no_coupling": run_no_coupling,
    "speed": run_speed,
}
