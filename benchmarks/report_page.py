"""
Weight of the sorting report, and how long a browser takes until it can be used: `python benchmarks/report_page.py`.

Sortings with 8, 150 and 1000 units on probes with 8 to 384 channels are generated as spikes without a recording of that
length: the page shows the same number of drawings as for a real one. Needs Chromium and playwright.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import spikeinterface.core as si
from probeinterface import generate_multi_columns_probe

from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.benchmarking.report import write_results
from si_deepsort.report.measured import MeasuredUnits
from si_deepsort.report.page import report_page
from si_deepsort.report.sampled_peaks import SampledPeaks

RESULTS = Path(__file__).parent / "results" / "report_page.json"
# Units, and contacts in each of two columns.
CASES = ((8, 4), (150, 192), (1000, 192))
DURATION_S, RATE_HZ, NUM_SAMPLES, NUM_PEAKS = 600.0, 5.0, 90, 50_000
SAMPLING_FREQUENCY = 30_000.0


def make_case(num_units: int, num_rows: int, seed: int):
    """Units with random trains and smooth waveforms near their places, and what the page needs of them."""
    rng = np.random.default_rng(seed)
    probe = generate_multi_columns_probe(num_columns=2, num_contact_per_column=num_rows, xpitch=32, ypitch=20)
    locations, num_channels = probe.contact_positions, probe.get_contact_count()
    trains = [np.sort(rng.uniform(0, DURATION_S, rng.poisson(RATE_HZ * DURATION_S))) for _ in range(num_units)]
    frames = {unit: np.unique((train * SAMPLING_FREQUENCY).astype(int)) for unit, train in enumerate(trains)}
    sorting = si.NumpySorting.from_unit_dict([frames], SAMPLING_FREQUENCY)
    main = rng.integers(0, num_channels, num_units)
    places = locations[main] + rng.normal(0, 5, (num_units, 2))
    distance = np.linalg.norm(places[:, None] - locations[None], axis=2)
    shape = np.sin(np.linspace(0, 3 * np.pi, NUM_SAMPLES)) * np.exp(-np.linspace(0, 4, NUM_SAMPLES))
    sizes = rng.uniform(40, 300, num_units)
    templates = -(sizes[:, None, None] * shape[None, :, None] * np.exp(-distance / 30)[:, None]).astype("float32")
    flat = templates.reshape(num_units, -1)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    names = ("snr", "rp_contamination", "amplitude_cutoff", "presence_ratio")
    metrics = pd.DataFrame({name: rng.uniform(0, 1, num_units) for name in names})
    metrics["num_spikes"], metrics["firing_rate"] = [len(train) for train in trains], RATE_HZ
    metrics["amplitude_median"] = sizes
    units = MeasuredUnits(
        sorting=sorting,
        unit_ids=np.asarray(sorting.unit_ids),
        metrics=metrics,
        templates=templates,
        sample_times_ms=(np.arange(NUM_SAMPLES) - 30) / 30,
        shown_channels=distance < 100,
        channel_locations=locations,
        unit_locations=places,
        similarity=flat @ flat.T,
        spike_times_s=[frames[unit] / SAMPLING_FREQUENCY for unit in range(num_units)],
        spike_amplitudes=[rng.normal(-size, 0.1 * size, len(frames[unit])) for unit, size in enumerate(sizes)],
        segment_starts_s=np.array([0.0, DURATION_S]),
        expected=None,
        reasons=None,
        amplitude_unit="uV",
    )
    owner = rng.integers(0, num_units, NUM_PEAKS)
    peaks = SampledPeaks(rng.uniform(0, DURATION_S, NUM_PEAKS), places[owner, 1], sizes[owner], owner)
    recording = si.NumpyRecording([np.zeros((300, num_channels), "float32")], SAMPLING_FREQUENCY)
    recording.set_dummy_probe_from_locations(locations)
    return units, peaks, recording


def seconds_until_usable(page: Path) -> tuple[float, float]:
    """Seconds until the script has run, and until a sort by a column has been shown; the median of three visits."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    loads, sorts = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(3):
            tab = browser.new_page(viewport={"width": 1200, "height": 900})
            tab.goto(page.as_uri())
            loads.append(tab.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd") / 1000)
            button = tab.locator("#units th button", has_text="SNR")
            start = time.perf_counter()
            button.click()
            tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            sorts.append(time.perf_counter() - start)
            tab.close()
        browser.close()
    return float(np.median(loads)), float(np.median(sorts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = []
    for num_units, num_rows in CASES:
        units, peaks, recording = make_case(num_units, num_rows, arguments.seed)
        start = time.process_time()
        text = report_page(units.sorting, recording, units, {}, None, peaks=peaks)
        cpu_s = time.process_time() - start
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "report.html"
            page.write_text(text, encoding="utf-8")
            load_s, sort_s = seconds_until_usable(page)
            size_mb = page.stat().st_size / 1e6
            rows.append(
                [num_units, 2 * num_rows, round(size_mb, 2), round(cpu_s, 1), round(load_s, 2), round(sort_s, 2)]
            )
        print(rows[-1], flush=True)
    columns = ["units", "channels", "MB", "CPU-s to write the page", "s until usable", "s to sort the table"]
    document = provenance(seeds=[arguments.seed])
    document["tables"] = {"report_page": dict(columns=columns, rows=rows)}
    write_results(document, arguments.json)


if __name__ == "__main__":
    main()
