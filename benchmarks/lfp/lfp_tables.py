"""Tables of the README from the results of `lfp.py`."""

NAMED = ("t7 unit 2", "t7 unit 4", "t7 unit 5", "t8 unit 1", "t5 unit 1", "t7 unit 4 shifted")


def make_tables(result: dict) -> dict:
    """Tables by name, as `benchmarks/report.py` reads them."""
    tables = {}
    paired = result.get("axona") or result.get("paired")
    if paired:
        tables["lfp"] = _paired_table(paired)
    rows = [*_toy_rows(result), *_trial_rows(result), *_simulator_rows(result), *_speed_rows(result)]
    if rows:
        tables["lfp-checks"] = dict(columns=["check", "model", "result"], rows=rows)
    return tables


def _paired_table(paired) -> dict:
    units = paired["phase"]["units"]
    named = [name for name in NAMED if name in units] or list(units)
    models = [model for model in next(iter(units.values())) if model in ("glm", "bilstm", "gru", "cnn")]
    rows = [
        [name, units[name]["glm"]["num_spikes"], *(_interval(units[name][model]) for model in models)] for name in named
    ]
    pooled = paired["phase"]["pooled_t7"]
    rows.append(["t7 together", pooled["glm"]["num_spikes"], *(_interval(pooled[model]) for model in models)])
    caption = (
        f"Bits per spike over the constant rate, with 95 % intervals; a real session, trained on "
        f"{paired['training_s']:.0f} s and tested on the following {paired['test_s']:.0f} s. 0.000 means that "
        "nothing was claimed."
    )
    return dict(columns=["unit", "spikes tested", *models], rows=rows, caption=caption)


def _toy_rows(result):
    for name, row in (result.get("toy") or {}).items():
        if isinstance(row, dict):
            yield ["threshold of four sines", name, f"AUC {row['roc_auc']:.4f}, log loss {row['log_loss']:.4f}"]


def _trial_rows(result):
    for check, key in (("100 trials, held out", "kramer"), ("wide-band traces", "wideband")):
        for model, rows in (result.get(key) or {}).items():
            for row in rows if isinstance(rows, list) else []:
                if row["fold"] == "all":
                    yield [f"{check}: {row['output']}", model, f"{_interval(row)} bits per spike"]


def _simulator_rows(result):
    for key, model in (("simulator", "glm"), ("simulator_bilstm", "bilstm")):
        if result.get(key):
            yield ["planted bands found first", model, f"{result[key]['found']} of {result[key]['num_seeds']} seeds"]
    for model, row in (result.get("no_coupling") or {}).items():
        if isinstance(row, dict):
            yield ["claims without coupling", model, f"{row['claims']} of {row['num_seeds']} seeds"]


def _speed_rows(result):
    row = result.get("speed")
    if row:
        seconds = row["features_cpu_s"] + row["training_cpu_s"]
        yield [f"{row['duration_s'] / 60:.0f} min of 8 channels at 1 kHz", "bilstm", f"{seconds:.0f} CPU-seconds"]


def _interval(row) -> str:
    return f"{row['bits_per_spike']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
