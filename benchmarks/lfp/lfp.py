"""
Spikes from field potentials, measured.

    python benchmarks/lfp/lfp.py                          # everything that the data folder allows
    python benchmarks/lfp/lfp.py --only toy simulator
    python benchmarks/lfp/lfp.py --train FILE.npz --test FILE.npz --json FILE

The last form trains on one file and tests on another: `lfp` (frames, channels), `lfp_fs`, `tN_times` (s), `tN_labels`.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from lfp_cases import CASES, data_folder
from lfp_paired import FEATURES, WIDE_FEATURES, first_part, predict_paired, read_paired, select_units
from lfp_tables import make_tables

from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results

MODELS = ("constant", "glm", "bilstm", "gru", "cnn")
RESULTS = Path(__file__).parents[1] / "results" / "lfp.json"


def main():
    """Parse the command line, run, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, help="file to train on")
    parser.add_argument("--test", type=Path, help="file to test on")
    parser.add_argument("--test-offset-s", type=float, help="time of the test file's first frame on its spikes' clock")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results go")
    parser.add_argument("--models", nargs="+", default=MODELS[:3], choices=MODELS)
    parser.add_argument("--units", nargs="+", default=None, help='only units whose name begins so: t7 "t8 unit 1"')
    parser.add_argument("--only", nargs="+", default=None, choices=["axona", *CASES], help="some of the benchmarks")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if (options.train is None) != (options.test is None):
        parser.error("--train and --test belong together")
    torch.set_num_threads(1)
    started = time.process_time()
    result = _previous(options)
    # Before anything is written: the results file itself is part of the checkout.
    result |= provenance(seeds=[options.seed], earlier=result)
    if options.train is not None:
        train = select_units(read_paired(options.train), options.units)
        test = read_paired(options.test, earlier=train, offset_s=options.test_offset_s)
        result["paired"] = run_paired(train, test, options.models, options.seed)
        _write(result, options, started)
        result["paired"]["all_features"] = run_all_features(train, test, options.seed)
    else:
        for name in options.only or ["axona", *CASES]:
            print(f"--- {name}", flush=True)
            clock = time.process_time()
            result[name] = run_axona(options) if name == "axona" else CASES[name](options.seed)
            if result[name] is not None:
                result[name]["cpu_seconds"] = round(time.process_time() - clock, 1)
            _write(result, options, started)
    _write(result, options, started)


def run_axona(options) -> dict | None:
    """Real session: trained on its first 600 s, tested on the following 300 s."""
    path = data_folder() / "axona_lfp_spikes" / "first_900s.npz"
    if not path.exists():
        print(f"skipped: {path.name} is not there")
        return None
    whole = select_units(read_paired(path), options.units)
    train, test = first_part(whole, 0, 600), first_part(whole, 600, 900)
    result = run_paired(train, test, options.models, options.seed)
    return result | dict(all_features=run_all_features(train, test, options.seed))


def run_paired(train: dict, test: dict, models, seed: int) -> dict:
    """Headline: what the phases of one channel say."""
    result = dict(training_s=train["duration_s"], test_s=test["duration_s"])
    result["phase"] = predict_paired(train, test, models=models, features=FEATURES, channels=[0], seed=seed)
    for name, row in result["phase"]["units"].items():
        for model in models:
            print(_line(name, model, row[model]), flush=True)
    for model, row in result["phase"]["pooled_t7"].items():
        print(_line("t7 pooled", model, row), flush=True)
    return result


def run_all_features(train: dict, test: dict, seed: int) -> dict:
    """Beside it: signal, phase and amplitude of all channels, which also follow states of high and low rates."""
    channels = list(range(train["lfp"].shape[1]))
    return predict_paired(train, test, models=("glm",), features=WIDE_FEATURES, channels=channels, seed=seed)


def _line(name, model, row) -> str:
    ahead = row.get("ahead_of_glm")
    beside = (
        f"   over the GLM {ahead['bits_per_spike']:+.4f} [{ahead['low']:+.4f}, {ahead['high']:+.4f}]" if ahead else ""
    )
    verdict = "above 0" if row["low"] > 0 else "below 0" if row["high"] < 0 else "covers 0"
    return f"{name:20} {model:9} {_interval(row)} bits/spike, {row['num_spikes']} spikes: {verdict}{beside}"


def _interval(row) -> str:
    return f"{row['bits_per_spike']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"


def _previous(options) -> dict:
    if options.only and options.json.exists():
        return json.loads(options.json.read_text(encoding="utf-8"))
    return {}


def _write(result, options, started):
    result |= dict(cpu_seconds=round(time.process_time() - started, 1), tables=make_tables(result))
    write_results(json.loads(json.dumps(result, default=float)), options.json)


if __name__ == "__main__":
    main()
