"""
Denoisers compared at equal fitting cost: `python benchmarks/denoising/denoisers.py --out
benchmarks/results/denoisers.json`.

Generated recordings with the noise of real Neuropixels recordings; networks are fitted on the first part and judged on
the last second, which none of them saw, and on noise that holds no spike at all. The original network (here in
PyTorch, with its published optimiser) gets 200 CPU-seconds on one thread, and so does the interpolator, with everything
before its first step. What the output file holds is not run again; `--methods` picks a part.
"""

import argparse
import json
from pathlib import Path

import torch
from denoiser_cases import COLUMNS, Case, make_case, score
from denoiser_fits import best_wavelets, closed_form, fit_interpolator, fit_unet, interpolation
from denoiser_snippets import on_real_noise
from denoiser_speed import speed
from denoiser_tables import summary, tables

from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results
from si_deepsort.zoo import CONFIG_FILE

BLENDS = (0.0, 0.1, 0.15, 0.2, 0.3, 0.5, "auto")
METHODS = ("fixed", "unet", "any", "interpolator", "transfer", "fine_tuning", "bundled", "speed", "real")
LAYOUTS = ("neuropixels1", "neuropixels2", "linear32")
# Each layout is the target of a model that was trained on the one named here, and fine-tuned.
SOURCES = {"neuropixels1": "neuropixels2", "neuropixels2": "linear32", "linear32": "neuropixels1"}
FINE_TUNING_SHARE = 0.5  # of the time that a new model gets
# The bundled model is fine-tuned for half of the time of a new model, too; both have less than the others.
BUNDLED, BUNDLED_CPU_S = "interpolator-any", 60.0


class Fitted:
    """Folders of interpolators fitted to cases; each is fitted when it is first wanted, and kept for the next run."""

    def __init__(self, folder: Path, arguments):
        self.folder, self.arguments = folder, arguments

    def __call__(self, name: str, seed: int, case: Case | None = None) -> tuple[Path, float]:
        """The folder, and the CPU time of its fitting."""
        cpu_s = self.arguments.interpolator_cpu_s
        folder = self.folder / f"{name}-{seed}-{cpu_s:g}"
        time_file = folder.with_suffix(".json")
        if not ((folder / CONFIG_FILE).is_file() and time_file.is_file()):
            case = case or make_case(name, seed, self.arguments.duration_s, self.arguments.test_s)
            fit_s = fit_interpolator(case, cpu_s, folder)
            time_file.write_text(json.dumps(fit_s), encoding="utf-8")
        return folder, json.loads(time_file.read_text(encoding="utf-8"))


def quality(case: Case, methods: list[str], rows: list, save, fitted: Fitted):
    """The denoisers of `METHODS` on one recording; what `rows` already holds is not run again."""

    def add(method, make_denoise):
        _add(rows, case, dict(method=method), make_denoise, save)

    def ready(model, blend, fit_s=0.0):
        return lambda: (interpolation(case, model, blend), dict(fit_cpu_s=fit_s))

    if "fixed" in methods:
        add("raw", lambda: (unchanged, dict(fit_cpu_s=0.0)))
        add("wavelets", lambda: best_wavelets(case))
    if "unet" in methods:
        add("original U-Net", lambda: fit_unet(case, fitted.arguments.cpu_s))
    if "any" in methods:
        add("Wiener filter", lambda: closed_form(case))
        for blend in BLENDS:
            add(f"interpolator-any, blend {blend}", ready("interpolator-any", blend))
    if "interpolator" in methods:
        folder, fit_s = fitted(case.name, case.seed, case)
        for blend in BLENDS:
            add(f"interpolator, blend {blend}", ready(folder, blend, fit_s))


def transfer(case: Case, methods: list[str], rows: list, save, fitted: Fitted):
    """Models of other layouts on this recording: as they are, and fine-tuned; pure predictions throughout."""

    def add(method, source, fit):
        def make_denoise():
            folder, fit_s = fit()
            return interpolation(case, folder, 0.0), dict(fit_cpu_s=fit_s)

        _add(rows, case, dict(method=method, source=source), make_denoise, save)

    def fine_tuned(source):
        folder = fitted.folder / f"{case.name}-{case.seed}-from-{source}-{fitted.arguments.interpolator_cpu_s:g}"
        cpu_s = FINE_TUNING_SHARE * fitted.arguments.interpolator_cpu_s
        return folder, fit_interpolator(case, cpu_s, folder, start_from=fitted(source, case.seed)[0])

    def briefly(name, cpu_s, start_from):
        folder = fitted.folder / f"{case.name}-{case.seed}-{name}-{cpu_s:g}"
        return folder, fit_interpolator(case, cpu_s, folder, start_from=start_from)

    if "transfer" in methods:
        _add(rows, case, dict(method="raw", source=""), lambda: (unchanged, dict(fit_cpu_s=0.0)), save)
        add("trained here", case.name, lambda: fitted(case.name, case.seed, case))
        for source in LAYOUTS:
            if source != case.name:
                add("trained elsewhere", source, lambda source=source: (fitted(source, case.seed)[0], 0.0))
    if "fine_tuning" in methods:
        source = SOURCES[case.name]
        add("fine-tuned", source, lambda: fine_tuned(source))
    if "bundled" in methods:
        new_cpu_s = BUNDLED_CPU_S / FINE_TUNING_SHARE
        add("trained here, briefly", case.name, lambda: briefly("new", new_cpu_s, None))
        add("fine-tuned, briefly", BUNDLED, lambda: briefly("from-bundled", BUNDLED_CPU_S, BUNDLED))


def unchanged(recording, start_frame):
    """The raw traces."""
    return recording.get_traces(start_frame=start_frame)


def _add(rows, case, labels, make_denoise, save):
    labels = labels | dict(recording=case.name, seed=case.seed)
    if any(all(row.get(key) == value for key, value in labels.items()) for row in rows):
        return
    denoise, more = make_denoise()
    row = labels | score(case, denoise) | more | dict(raw_weight=getattr(denoise, "median_raw_weight", None))
    rows.append(row)
    print(labels, {name: round(float(row[name]), 3) for name in COLUMNS}, more, flush=True)
    save()


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/denoisers.json"))
    parser.add_argument("--recordings", default=",".join(LAYOUTS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--cpu-s", type=float, default=200.0, help="fitting time of the original network")
    parser.add_argument("--interpolator-cpu-s", type=float, default=200.0, help="fitting time of the interpolator")
    parser.add_argument("--duration-s", type=float, default=30.0)
    parser.add_argument("--test-s", type=float, default=1.0)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--models", type=Path, default=Path("benchmarks/cache/denoisers"), help="fitted models go here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    methods = arguments.methods.split(",")
    settings = dict(cpu_s=arguments.cpu_s, duration_s=arguments.duration_s, test_s=arguments.test_s)
    document = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {}
    if document.get("settings") != settings:
        document = dict(settings=settings, quality=[])
    document |= provenance(seeds=[int(seed) for seed in arguments.seeds.split(",")], earlier=document)

    def save():
        document["summary"] = summary(document["quality"])
        document["tables"] = tables(document)
        write_results(document, arguments.out)

    if "speed" in methods:
        document["speed"] = speed()
        print(document["speed"], flush=True)
    if "real" in methods:
        document["real_noise"] = on_real_noise() or document.get("real_noise", [])
    save()
    arguments.models.mkdir(parents=True, exist_ok=True)
    fitted = Fitted(arguments.models, arguments)
    for seed in map(int, arguments.seeds.split(",")):
        for name in arguments.recordings.split(","):
            case = make_case(name, seed, arguments.duration_s, arguments.test_s)
            quality(case, methods, document["quality"], save, fitted)
            transfer(case, methods, document.setdefault("transfer", []), save, fitted)


if __name__ == "__main__":
    main()
