"""Tables of `denoisers.py` for the README."""

import denoiser_snippets
import numpy as np
import scipy.stats
from denoiser_cases import COLUMNS

HEADER = [
    "SNR dB",
    "amplitude",
    "small units",
    "shape (cosine)",
    "d' own template",
    "d' true template",
    "noise < -4 /ch/s",
    "noise < -5 /ch/s",
]
# What a denoiser should do to each score, in the order of the issue that every denoiser is judged by.
AIMS = {
    "snr_db": ("SNR dB", lambda row: row["snr_db"]),
    "cosine": ("shape (cosine)", lambda row: row["cosine"]),
    "gain": ("amplitude, distance from 1", lambda row: -abs(1 - row["gain"])),
    "dprime": ("d' own template", lambda row: row["dprime"]),
    "noise_crossings_4": ("noise < -4 /ch/s", lambda row: -row["noise_crossings_4"]),
}
REFERENCE = "original U-Net"
SHOWN_OF_TRANSFER = {
    "gain": "amplitude",
    "cosine": "shape (cosine)",
    "dprime": "d' own template",
    "noise_crossings_4": "noise < -4 /ch/s",
}


def tables(document: dict) -> dict:
    """Every table that the document has results for."""
    found = {}
    if document.get("quality"):
        found["denoisers"] = quality_table(document["quality"])
        found["denoisers-paired"] = paired_table(document["quality"])
    if document.get("transfer"):
        found["denoisers-transfer"] = transfer_table(document["transfer"])
    if "save" in document.get("speed", {}):
        found["denoisers-speed"] = speed_table(document["speed"])
    if document.get("real_noise"):
        found["denoisers-real"] = denoiser_snippets.table(document["real_noise"])
    return found


def summary(rows: list[dict]) -> dict[str, dict]:
    """Method -> change against raw in the same cases, for the cards of models."""
    raw = {(row["recording"], row["seed"]): row for row in rows if row["method"] == "raw"}
    found = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        pairs = [(row, raw.get((row["recording"], row["seed"]))) for row in rows if row["method"] == method]
        pairs = [pair for pair in pairs if pair[1] is not None]
        found[method] = dict(
            snr_gain_db=float(np.mean([row["snr_db"] - before["snr_db"] for row, before in pairs])),
            amplitude_small_units=float(np.nanmean([row["gain_small"] for row, _ in pairs])),
            dprime_ratio=float(np.mean([row["dprime"] / before["dprime"] for row, before in pairs])),
        )
    return found


def quality_table(rows: list[dict]) -> dict:
    """Means over the recordings and seeds that all methods were run on."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    cases = [{(row["recording"], row["seed"]) for row in rows if row["method"] == method} for method in methods]
    shared = set.intersection(*cases)
    rows = [row for row in rows if (row["recording"], row["seed"]) in shared]
    # The order of the script, however often it was resumed.
    methods.sort(key=lambda name: (name != "raw", name == REFERENCE, name.startswith("interpolator"), name))
    cells = []
    for method in methods:
        found = [row for row in rows if row["method"] == method]
        means = [np.nanmean([row[name] for row in found]) for name in ("fit_cpu_s", *COLUMNS)]
        cells.append([method, len(found), *[f"{value:.3g}" for value in means]])
    return {"columns": ["denoiser", "cases", "fitting CPU-s", *HEADER], "rows": cells}


def paired_table(rows: list[dict]) -> dict:
    """In how many cases an interpolator is ahead of the original network, and by how much."""
    by_case = {(row["method"], row["recording"], row["seed"]): row for row in rows}
    methods = sorted({row["method"] for row in rows if row["method"].startswith("interpolator")})
    cells = []
    for method in methods:
        cases = [key[1:] for key in by_case if key[0] == method and (REFERENCE, *key[1:]) in by_case]
        if not cases:
            continue
        cell = [method, len(cases)]
        for _, value in AIMS.values():
            gains = [value(by_case[(method, *case)]) - value(by_case[(REFERENCE, *case)]) for case in cases]
            cell.append(f"{sum(gain > 0 for gain in gains)} of {len(cases)} ({np.mean(gains):+.3f})")
        cells.append(cell)
    columns = ["denoiser", "cases", *[label for label, _ in AIMS.values()]]
    caption = "Cases (recording and seed) in which it is ahead of the original U-Net, and its mean lead (+ is better)."
    return {"columns": columns, "rows": cells, "caption": caption}


def transfer_table(rows: list[dict]) -> dict:
    """SNR gain over raw of models of another layout, beside that of models of the same."""
    raw = {(row["recording"], row["seed"]): row for row in rows if row["method"] == "raw"}
    here = {(row["recording"], row["seed"]): row for row in rows if row["method"] == "trained here"}
    kinds = dict.fromkeys((row["method"], row["source"], row["recording"]) for row in rows if row["method"] != "raw")
    cells = []
    for method, source, target in sorted(kinds, key=lambda kind: (kind[2], kind[0], kind[1])):
        found = [row for row in rows if (row["method"], row["source"], row["recording"]) == (method, source, target)]
        found = [row for row in found if (target, row["seed"]) in here]
        if not found:
            continue
        gains = [row["snr_db"] - raw[target, row["seed"]]["snr_db"] for row in found]
        full = [here[target, row["seed"]]["snr_db"] - raw[target, row["seed"]]["snr_db"] for row in found]
        share = f"{100 * np.mean(gains) / np.mean(full):.0f} %"
        means = [f"{np.mean([row[name] for row in found]):.3g}" for name in SHOWN_OF_TRANSFER]
        fit_s = f"{np.mean([row['fit_cpu_s'] for row in found]):.3g}"
        cells.append([target, method, source, len(found), fit_s, f"{np.mean(gains):+.2f}", share, *means])
    columns = ["recording", "model", "trained on", "seeds", "CPU-s here", "SNR gain dB", "of trained here"]
    return {"caption": _brief_caption(rows), "columns": [*columns, *SHOWN_OF_TRANSFER.values()], "rows": cells}


def _brief_caption(rows) -> str:
    """What fine-tuning gains over a new model that takes twice the time: paired means with 95 % t intervals."""
    tuned, new = (
        {(row["recording"], row["seed"]): row for row in rows if row["method"] == method}
        for method in ("fine-tuned, briefly", "trained here, briefly")
    )
    both = sorted(tuned.keys() & new.keys())
    if len(both) < 2:
        return ""
    parts = []
    for name, label in (("snr_db", "SNR dB"), ("dprime", "d'"), ("noise_crossings_4", "noise < -4 /ch/s")):
        changes = np.array([tuned[key][name] - new[key][name] for key in both])
        reach = scipy.stats.t.ppf(0.975, len(both) - 1) * changes.std(ddof=1) / np.sqrt(len(both))
        mean, share = changes.mean(), f"{np.sum(changes > 0)} of {len(both)}"
        parts.append(f"{label} {mean:+.2f} [{mean - reach:+.2f}, {mean + reach:+.2f}], higher in {share}")
    return f"Fine-tuned minus trained here, briefly, paired over recordings: {'; '.join(parts)}."


def speed_table(speed: dict) -> dict:
    """Frames per CPU-second, and what two cores would do through `save`."""
    best, parameters = speed["frames_per_cpu_second"], speed["parameters"]
    rows = [[name, parameters.get(name, parameters["interpolator"]), round(value)] for name, value in best.items()]
    save = speed["save"]
    rows.append(
        ["interpolator, save with 2 processes", parameters["interpolator"], round(save["frames_per_cpu_second"])]
    )
    caption = (
        "384 channels, single thread, best of alternating rounds; other programs ran on the machine. By the clock, "
        f"`save` with two processes did {save['frames_per_s']:.0f} frames per second then; real time is 30,000."
    )
    return {"columns": ["network", "parameters", "frames per CPU-second"], "rows": rows, "caption": caption}
