"""
Make `docs/images/report.png`, the picture of a real report in the README: `python docs/report_picture.py`.

Needs Chromium and playwright.
"""

import io
import shutil
import tempfile
from pathlib import Path

import spikeinterface.full as si
from PIL import Image
from playwright.sync_api import sync_playwright

import si_deepsort
from si_deepsort.generation import GenerationSettings, generate_recording, named_probe

PICTURE = Path(__file__).parent / "images" / "report.png"
# Width of the window in pixels, and height of the part of the table that is shown.
WIDTH, TABLE_HEIGHT = 1180, 430
# White space around the parts in pixels.
MARGIN = 16


def make_report(folder: Path) -> Path:
    """Sort half a minute of a probe in tissue that moves a little, and report it."""
    settings = GenerationSettings(
        duration_s=30.0, num_units=14, amplitude_min_uV=60.0, firing_rate_min=2.0, drift_um=8.0, seed=2
    )
    recording, _ = generate_recording(named_probe("neuropixels2").get_slice(range(64)), settings)
    recording = recording.save(folder=folder / "recording", progress_bar=False)
    sorting = si.run_sorter("deepsort", recording, folder=folder / "out")
    return si_deepsort.write_report(sorting, recording, folder / "report")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = make_report(Path(folder))
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        tab.goto(page.as_uri())
        parts = [
            tab.locator("section", has=tab.locator(f"h2:text('{title}')")).first.screenshot()
            for title in ("Units", "Drift map")
        ]
        browser.close()
    table, drift = (Image.open(io.BytesIO(part)).convert("RGB") for part in parts)
    table = table.crop((0, 0, table.width, min(TABLE_HEIGHT, table.height)))
    size = (table.width + 2 * MARGIN, table.height + drift.height + 3 * MARGIN)
    picture = Image.new("RGB", size, "white")
    picture.paste(table, (MARGIN, MARGIN))
    picture.paste(drift, (MARGIN, table.height + 2 * MARGIN))
    picture.quantize(128).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
