"""
From results of cases to what a results file holds: summaries over seeds, paired differences, tables.

Everything that README and the report page show is made here, from measured values; nothing is typed by hand.
"""

import numpy as np

from .provenance import provenance
from .score import COUNTS, bootstrap_interval, mean_by_snr, paired_difference

REFERENCE = "deepsort"


def summarize(results: list[dict], *, command: str) -> dict:
    """
    A results document: environment, cases, summaries and tables.

    Parameters
    ----------
    results : list of dict
        Results of cases, from `study.run_cases`.
    command : str
        What was typed to get them.

    Returns
    -------
    dict
        JSON-able: `command`, `commit`, `versions`, `machine`, `seeds`, `durations_s`, `summary` (one record per
        recording and sorter), `paired`, `overall`, `tables`, `cases`.
    """
    sources = [result["case"]["recording"] for result in results]
    summary = _summary(results)
    document = dict(
        name="sorters",
        **provenance(seeds=sorted({source["seed"] for source in sources if "seed" in source}), command=command),
        durations_s=sorted({result["duration_s"] for result in results if "duration_s" in result}),
        summary=summary,
        paired=_paired(results, summary),
        overall=overall_error(results),
        cases=[{key: value for key, value in result.items() if key != "traceback"} for result in results],
    )
    document["tables"] = make_tables(document)
    return document


def _summary(results):
    records = []
    for recording, sorter in dict.fromkeys((r["case"]["recording"]["name"], r["case"]["sorter"]) for r in results):
        runs = [r for r in results if (r["case"]["recording"]["name"], r["case"]["sorter"]) == (recording, sorter)]
        done = [run for run in runs if run["status"] == "done"]
        record = dict(recording=recording, sorter=sorter, params=runs[0]["case"]["params"], num_runs=len(runs))
        if len(done) < len(runs):
            broken = next(run for run in runs if run["status"] != "done")
            record.update(status=broken["status"], error=broken.get("error"))
        else:
            record.update(status="done", **_summarize_runs(done))
        records.append(record)
    return records


def _summarize_runs(runs):
    accuracy = _pool(runs, "accuracy")
    low, high = bootstrap_interval(accuracy)
    by_seed = [run["mean_accuracy"] for run in runs]
    memory = [run["peak_memory_mb"] for run in runs if run["peak_memory_mb"] is not None]
    snr = _pool(runs, "snr")
    return dict(
        version=runs[0]["version"],
        origin=runs[0]["origin"],
        num_channels=runs[0]["num_channels"],
        num_true_units=len(accuracy),
        mean_accuracy=float(accuracy.mean()),
        accuracy_low=low,
        accuracy_high=high,
        accuracy_by_seed=by_seed,
        mean_precision=float(_pool(runs, "precision").mean()),
        mean_recall=float(_pool(runs, "recall").mean()),
        accuracy_by_snr=mean_by_snr(accuracy, snr),
        **{name: _mean_count(runs, name) for name in (*COUNTS, "num_overmerged_large")},
        cpu_s_per_s=float(np.mean([run["cpu_s_per_s"] for run in runs])),
        wall_s=float(np.mean([run["wall_s"] for run in runs])),
        peak_memory_mb=max(memory) if memory else None,
    )


def _pool(runs, name):
    return np.concatenate([run["units"][name] for run in runs]).astype(float)


def _mean_count(runs, name):
    # Results of earlier versions lack some counts.
    values = [run["counts"].get(name) for run in runs]
    return None if None in values else float(np.mean(values))


def _accuracies(results) -> dict:
    """(recording, sorter) -> accuracy of every unit of every seed, for sorters that ran on all seeds."""
    found = {}
    for record in _summary(results):
        key = (record["recording"], record["sorter"])
        if record["status"] == "done":
            runs = [r for r in results if (r["case"]["recording"]["name"], r["case"]["sorter"]) == key]
            runs.sort(key=lambda run: run["case"]["recording"].get("seed", 0))
            found[key] = _pool(runs, "accuracy")
    return found


def _paired(results, summary):
    accuracies = _accuracies(results)
    records = []
    for record in summary:
        recording, other = record["recording"], record["sorter"]
        own = accuracies.get((recording, REFERENCE))
        theirs = accuracies.get((recording, other))
        if other != REFERENCE and own is not None and theirs is not None and len(own) == len(theirs):
            difference = paired_difference(own, theirs)
            records.append(dict(recording=recording, sorter=REFERENCE, other=other, **difference))
    return records


def overall_error(results: list[dict], *, num_resamples: int = 2000, seed: int = 0) -> dict | None:
    """
    Mean error (1 - mean accuracy) over recordings of deepsort, relative to that of the best peer on each recording.

    Units are resampled within recordings, the same for both. None without deepsort or without a peer.
    """
    accuracies = _accuracies(results)
    pairs = []
    for recording in dict.fromkeys(name for name, _ in accuracies):
        peers = {s: a for (name, s), a in accuracies.items() if name == recording and s != REFERENCE}
        own = accuracies.get((recording, REFERENCE))
        peers = {name: values for name, values in peers.items() if own is not None and len(values) == len(own)}
        if own is not None and peers:
            best = max(peers, key=lambda name: peers[name].mean())
            pairs.append((recording, best, own, peers[best]))
    if not pairs:
        return None
    rng = np.random.default_rng(seed)
    ratios = []
    for _ in range(num_resamples):
        chosen = [rng.integers(0, len(own), len(own)) for _, _, own, _ in pairs]
        errors = [(1 - own[c].mean(), 1 - peer[c].mean()) for (_, _, own, peer), c in zip(pairs, chosen, strict=True)]
        own_error, peer_error = np.mean(errors, axis=0)
        ratios.append(own_error / peer_error if peer_error > 0 else np.nan)
    own_error = float(np.mean([1 - own.mean() for _, _, own, _ in pairs]))
    peer_error = float(np.mean([1 - peer.mean() for _, _, _, peer in pairs]))
    low, high = np.nanquantile(ratios, [0.025, 0.975]) if np.isfinite(ratios).any() else (None, None)
    return dict(
        error=own_error,
        best_peer_error=peer_error,
        ratio=own_error / peer_error if peer_error > 0 else None,
        ratio_low=low if low is None else float(low),
        ratio_high=high if high is None else float(high),
        best_peers={recording: best for recording, best, _, _ in pairs},
    )


def make_tables(document: dict) -> dict[str, dict]:
    """
    Tables of a results document by name: `columns` and `rows` of text, ready to be shown.

    Returns
    -------
    dict
        "sorters": accuracy, false positives and cost, a row per sorter, a column per recording; "sorters_detail": a
        row per recording and sorter; "sorters_paired": deepsort against each peer.
    """
    return dict(
        sorters=_matrix_table(document["summary"]),
        sorters_detail=_detail_table(document["summary"]),
        sorters_paired=_paired_table(document["paired"], document["overall"]),
    )


def _matrix_table(summary):
    recordings = list(dict.fromkeys(record["recording"] for record in summary))
    by_key = {(record["recording"], record["sorter"]): record for record in summary}
    units = {r["recording"]: r["num_true_units"] // r["num_runs"] for r in summary if r["status"] == "done"}
    columns = ["sorter", *(f"{name}, {units[name]} units" if name in units else name for name in recordings)]
    rows = []
    for sorter in sorted(dict.fromkeys(record["sorter"] for record in summary), key=lambda name: name != REFERENCE):
        cells = [_matrix_cell(by_key.get((recording, sorter))) for recording in recordings]
        rows.append([sorter, *cells])
    return dict(
        title="Accuracy, false-positive units and cost of each sorter",
        caption="Mean accuracy over all true units / false-positive units / CPU-seconds per recorded second; "
        "empty where a sorter was not run.",
        columns=columns,
        rows=rows,
    )


def _matrix_cell(record):
    if record is None:
        return ""
    if record["status"] != "done":
        return record["status"]
    return f"{record['mean_accuracy']:.3f} / {_count(record['num_false_positive'])} / {record['cpu_s_per_s']:.2g}"


def _detail_table(summary):
    columns = ["recording", "sorter", "accuracy [95 %]", "SNR < 5", "SNR 5-8", "SNR > 8", "precision", "recall"]
    columns += ["units found", "well detected", "large units lost", "false positive", "fragments", "redundant"]
    columns += ["over-merged", "CPU s / s", "memory MB"]
    rows = []
    for record in summary:
        if record["status"] != "done":
            rows.append([record["recording"], record["sorter"], record["status"], *[""] * (len(columns) - 3)])
            continue
        by_snr = record["accuracy_by_snr"]
        memory = record["peak_memory_mb"]
        rows.append(
            [
                record["recording"],
                record["sorter"],
                f"{record['mean_accuracy']:.3f} [{record['accuracy_low']:.3f}, {record['accuracy_high']:.3f}]",
                *("" if value is None else f"{value:.2f}" for value in by_snr.values()),
                f"{record['mean_precision']:.3f}",
                f"{record['mean_recall']:.3f}",
                *(_count(record[name]) for name in COUNTS),
                f"{record['cpu_s_per_s']:.2g}",
                "" if memory is None else f"{memory:.0f}",
            ]
        )
    return dict(
        title="Each sorter on each recording",
        caption="Counts are means over seeds. Large units lost: SNR of 10 or more, 30 spikes or more, accuracy below "
        ".5. Fragments: false positives more than half of whose spikes are of one true unit.",
        columns=columns,
        rows=rows,
    )


def _paired_table(paired, overall):
    columns = ["recording", "deepsort minus", "accuracy difference [95 %]", "units better", "units worse", "units"]
    rows = [
        [
            record["recording"],
            record["other"],
            f"{record['difference']:+.3f} [{record['low']:+.3f}, {record['high']:+.3f}]",
            str(record["num_better"]),
            str(record["num_worse"]),
            str(record["num_units"]),
        ]
        for record in paired
    ]
    caption = "Over the same units; better or worse by more than .05."
    if overall is not None and overall["ratio"] is not None:
        caption += (
            f" Mean error over the recordings: {overall['error']:.3f}; of the best peer on each: "
            f"{overall['best_peer_error']:.3f}; ratio {overall['ratio']:.2f} "
            f"[{overall['ratio_low']:.2f}, {overall['ratio_high']:.2f}]."
        )
    return dict(title="Sorters compared unit by unit", caption=caption, columns=columns, rows=rows)


def _count(value):
    return "-" if value is None else f"{value:.3g}"
