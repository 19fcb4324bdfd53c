"""
Real recordings without labels: what deepsort finds, and whether it finds it again.

`python benchmarks/sorting/real_input.py` writes benchmarks/results/real_input.json. The recordings are read from the
folder in SI_DEEPSORT_DATA (default ../shared/data) and are used for evaluation only. Each is sorted twice, the second
time with 5 % white noise added (of each channel's noise level after the band-pass), and the units of both are compared.
"""

import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from probeinterface import Probe
from spikeinterface.comparison import compare_two_sorters
from spikeinterface.metrics.quality import compute_quality_metrics
from spikeinterface.sorters import run_sorter

import si_deepsort
from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results
from si_deepsort.noise import recording_noise_levels
from si_deepsort.preprocessing.band_pass import band_pass
from si_deepsort.report import analyze

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SI_DEEPSORT_DATA", "../shared/data"))
ADDED_NOISE = 0.05
SEED = 0


def locust_tetrode():
    """Four channels of a locust's antennal lobe, 15 kHz, int16 counts with an offset of about 2050."""
    file = DATA / "locust_tetrode" / "locust_trial_01.raw"
    recording = si.read_binary(file, sampling_frequency=15_000.0, num_channels=4, dtype="int16")
    probe = Probe(ndim=2)
    probe.set_contacts([[0, 0], [50, 0], [0, 50], [50, 50]])
    probe.set_device_channel_indices(np.arange(4))
    recording.set_probe(probe)
    return recording


def openephys_snippet():
    """384 channels of a Neuropixels probe, 33 ms."""
    folder = DATA / "neuropixels_snippets"
    num_channels = 384
    # The last channel of the file is the synchronisation signal.
    recording = si.read_binary(
        folder / "continuous.dat", sampling_frequency=30_000.0, num_channels=num_channels + 1, dtype="int16"
    )
    recording = recording.select_channels(recording.channel_ids[:num_channels])
    rows = np.arange(num_channels) // 2
    x = np.where(np.arange(num_channels) % 2 == 0, 16.0, 48.0) - 16.0 * (rows % 2)
    probe = Probe(ndim=2)
    probe.set_contacts(np.stack([x, 20.0 * rows], axis=1))
    probe.set_device_channel_indices(np.arange(num_channels))
    recording.set_probe(probe)
    return recording


def with_added_noise(recording, folder: Path):
    """The recording as floats, with white noise added."""
    levels = recording_noise_levels(band_pass(recording, freq_min=150.0, freq_max=7000.0), seed=SEED)
    traces = recording.get_traces().astype("float32")
    noise = np.random.default_rng(SEED).standard_normal(traces.shape).astype("float32")
    noisy = si.NumpyRecording([traces + ADDED_NOISE * levels * noise], recording.get_sampling_frequency())
    noisy.set_probe(recording.get_probe())
    return noisy.save(folder=folder, verbose=False)


def measure(name: str, recording, folder: Path) -> dict:
    """Units, refractory violations, cost and repeatability on one recording."""
    start = time.process_time()
    sorting = run_sorter("deepsort", recording, folder=folder / "first")
    cpu_s = time.process_time() - start
    again = run_sorter("deepsort", with_added_noise(recording, folder / "noisy"), folder=folder / "second")
    record = {
        "recording": name,
        "channels": recording.get_num_channels(),
        "duration_s": round(recording.get_total_duration(), 3),
        "units": len(sorting.unit_ids),
        "spikes": int(sorting.count_total_num_spikes()),
        "cpu_s": round(cpu_s, 2),
        "units with noise added": len(again.unit_ids),
    }
    if len(sorting.unit_ids) == 0:
        return record
    analyzer = analyze(sorting, recording, folder / "analyzer")
    isi = compute_quality_metrics(analyzer, metric_names=["isi_violation"], metric_params=None)
    spikes = sorting.count_num_spikes_per_unit(outputs="array")
    record["spikes_per_unit"] = [int(count) for count in spikes]
    record["median_isi_violations_ratio"] = round(float(isi["isi_violations_ratio"].median()), 4)
    record["isi_violations_per_1000_spikes"] = round(
        1000 * float(isi["isi_violations_count"].sum()) / int(spikes.sum()), 3
    )
    if len(again.unit_ids):
        agreement = compare_two_sorters(sorting, again).agreement_scores.max(axis=1)
        record["median_agreement"] = round(float(np.median(agreement)), 3)
        record["units_found_again_over_0.8"] = int(np.sum(agreement > 0.8))
    return record


def as_table(records: list[dict]) -> dict:
    """The table of the README."""
    columns = {
        "recording": "recording",
        "channels": "channels",
        "duration_s": "s",
        "units": "units",
        "isi_violations_per_1000_spikes": "intervals < 1.5 ms per 1000 spikes",
        "units_found_again_over_0.8": "units found again (agreement > .8)",
        "median_agreement": "median agreement",
    }
    caption = "Real recordings; each sorted again with 5 % noise added:"
    return dict(
        caption=caption, columns=list(columns.values()), rows=[[r.get(key) for key in columns] for r in records]
    )


def main():
    if not DATA.exists():
        raise SystemExit(f"No data in {DATA}; set SI_DEEPSORT_DATA.")
    records = []
    for make in (locust_tetrode, openephys_snippet):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            records.append(measure(make.__name__, make(), Path(folder)))
            print(records[-1])
    document = dict(
        **provenance(seeds=[SEED]),
        added_noise=ADDED_NOISE,
        sorter=si_deepsort.DEEPSORT,
        records=records,
        tables={"real-input": as_table(records)},
    )
    write_results(document, ROOT / "benchmarks" / "results" / "real_input.json")


if __name__ == "__main__":
    main()
