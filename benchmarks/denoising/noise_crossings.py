"""
How often denoised noise looks like a spike: `python benchmarks/denoising/noise_crossings.py`.

Twenty seconds of generated noise without any spike, for the layouts and seeds of `denoisers.py`, whose fitted models
are used. Each trace is also compared with Gaussian noise of its own spectrum, which tells heavy tails (noise that is
taken for spikes is kept, the rest shrinks) from a spectrum that crosses thresholds more often. What the output file
holds is not run again.
"""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import scipy.fft
from denoiser_cases import SAMPLING_FREQUENCY, Case, make_case, make_probe
from denoiser_fits import interpolation
from denoisers import LAYOUTS, unchanged

from si_deepsort.benchmarking.denoising import noise_crossings
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results
from si_deepsort.generation import GenerationSettings, generate_recording

THRESHOLD = 4.0
DURATION_S = 20.0


def silence(case: Case):
    """A long stretch of the noise of a case, of another seed."""
    settings = GenerationSettings(
        sampling_frequency=SAMPLING_FREQUENCY,
        duration_s=DURATION_S,
        noise_uV=8.0,
        num_units=0,
        num_far_units=0,
        seed=40_000 + case.seed,
    )
    return generate_recording(make_probe(case.name), settings)[0]


def gaussian_like(traces: np.ndarray, seed: int) -> np.ndarray:
    """Gaussian noise with the spectrum of each channel: the same amplitudes of all frequencies, random phases."""
    spectrum = scipy.fft.rfft(traces, axis=0)
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, spectrum.shape).astype("float32")
    return scipy.fft.irfft(np.abs(spectrum) * np.exp(1j * phases), len(traces), axis=0)


def measure(case: Case, own: Path, done: set) -> list[dict]:
    """Crossings of one case's noise, raw and denoised, also by its own model; but for the methods that are done."""
    models_of = {"raw": None, "interpolator-any, blend auto": "interpolator-any"}
    if own.is_dir():
        models_of["interpolator, blend auto"] = own
    models_of = {name: model for name, model in models_of.items() if name not in done}
    noise, rows = silence(case) if models_of else None, []
    for name, model in models_of.items():
        denoise = unchanged if model is None else interpolation(case, model, "auto")
        traces = denoise(noise, 0)
        count = noise_crossings(traces, THRESHOLD, SAMPLING_FREQUENCY)
        expected = noise_crossings(gaussian_like(traces, case.seed), THRESHOLD, SAMPLING_FREQUENCY)
        labels = dict(recording=case.name, seed=case.seed, method=name)
        rows.append(labels | dict(crossings=count, crossings_of_gaussian_noise=expected))
        print(rows[-1], flush=True)
    return rows


def table_of(rows: list[dict]) -> dict:
    """Means, and the ratio to raw of the same noise with its 95 % interval over recordings."""
    raw = {(row["recording"], row["seed"]): row["crossings"] for row in rows if row["method"] == "raw"}
    rng = np.random.default_rng(0)
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        pairs = np.array([(row["crossings"], raw[row["recording"], row["seed"]]) for row in own])
        draws = pairs[rng.integers(0, len(pairs), (2000, len(pairs)))].sum(axis=1)
        low, high = np.percentile(draws[:, 0] / draws[:, 1], [2.5, 97.5])
        gaussian = float(np.mean([row["crossings_of_gaussian_noise"] for row in own]))
        ratio = f"{pairs[:, 0].sum() / pairs[:, 1].sum():.3f} [{low:.3f}, {high:.3f}]"
        lines.append([method, len(own), float(pairs[:, 0].mean()), ratio, gaussian])
    columns = ["denoiser", "cases", "noise < -4 /ch/s", "of raw", "Gaussian noise of the same spectrum"]
    return dict(
        caption="Long noise without spikes, each trace against its own noise level:", columns=columns, rows=lines
    )


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/noise_crossings.json"))
    parser.add_argument("--models", type=Path, default=Path("benchmarks/cache/denoisers"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cpu-s", type=float, default=200.0, help="time for which these models were fitted")
    arguments = parser.parse_args()
    earlier = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else dict(rows=[])
    rows = earlier["rows"]
    for seed, name in itertools.product(arguments.seeds, LAYOUTS):
        done = {row["method"] for row in rows if (row["recording"], row["seed"]) == (name, seed)}
        own = arguments.models / f"{name}-{seed}-{arguments.cpu_s:g}"
        rows += measure(make_case(name, seed, 30.0, 1.0), own, done)
    rows.sort(key=lambda row: row["seed"])
    tables = {"noise-crossings": table_of(rows)}
    write_results(dict(**provenance(seeds=arguments.seeds, earlier=earlier), rows=rows, tables=tables), arguments.out)


if __name__ == "__main__":
    main()
