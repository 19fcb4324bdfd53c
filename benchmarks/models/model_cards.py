"""
Write the cards of the bundled models: numbers from the benchmark results, everything else from their configs.

    python benchmarks/models/model_cards.py            # after a training or a benchmark
    python benchmarks/models/model_cards.py --check    # fail if a card is not what it should be

A metric whose entry names a `source`, such as "lfp.json#/bilstm/deviance", is taken from `benchmarks/results`. A card
is written beside its weights (`si_deepsort/models/<name>/README.md`) and, the same text, to `model_cards/<name>.md`.
What a person wrote under a heading of the card is kept. The table of all models goes to `results/models.json`.
"""

import argparse
import json
import sys
from pathlib import Path

from si_deepsort.benchmarking.provenance import provenance
from si_deepsort.zoo import BUNDLED_FOLDER, CARD_FILE, CONFIG_FILE, list_models, render_card

ROOT = Path(__file__).parents[2]
RESULTS_FOLDER = ROOT / "benchmarks" / "results"
CARDS_FOLDER = ROOT / "model_cards"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, fail if something would change")
    parser.add_argument("names", nargs="*", help="models, default: all")
    options = parser.parse_args()
    is_check = options.check
    folders = sorted(path.parent for path in BUNDLED_FOLDER.glob(f"*/{CONFIG_FILE}"))
    changed = []
    for folder in [folder for folder in folders if not options.names or folder.name in options.names]:
        write_if_different(folder / CONFIG_FILE, config_with_results(folder), changed, is_check)
        card = render_card(folder)
        for path in (folder / CARD_FILE, CARDS_FOLDER / f"{folder.name}.md"):
            write_if_different(path, card, changed, is_check)
    file, tables = RESULTS_FOLDER / "models.json", {"models": table_of_models()}
    if not file.exists() or json.loads(file.read_text(encoding="utf-8"))["tables"] != tables:
        document = provenance(seeds=[]) | {"tables": tables}
        write_if_different(file, json.dumps(document, indent=1) + "\n", changed, is_check)
    orphans = sorted(set(CARDS_FOLDER.glob("*.md")) - {CARDS_FOLDER / f"{folder.name}.md" for folder in folders})
    for path in orphans:
        print(f"{path.relative_to(ROOT)} is the card of no bundled model: remove it")
    for path in changed:
        print(f"{'would write' if is_check else 'wrote'} {path.relative_to(ROOT)}")
    return 1 if orphans or (is_check and changed) else 0


def table_of_models() -> dict:
    """The bundled models as a table of the results, for the README."""
    models = list_models()
    models = models[models["where"] == "bundled"]
    columns = {
        "name": "name",
        "task": "task",
        "probe": "probe",
        "size_kB": "kB",
        "metric": "measured",
        "license": "licence",
    }
    return {"columns": list(columns.values()), "rows": models[list(columns)].values.tolist()}


def config_with_results(folder: Path) -> str:
    """Text of `config.json` with the metrics that have a source brought up to date."""
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    for name, entry in config["info"]["metrics"].items():
        if isinstance(entry, dict) and "source" in entry:
            config["info"]["metrics"][name] = {**entry, **find_result(entry["source"])}
    return json.dumps(config, indent=2) + "\n"


def find_result(source: str) -> dict:
    """value, and low and high if there is an interval, at a place ("file.json#/a/b") of the benchmark results."""
    file_name, _, place = source.partition("#/")
    value = json.loads((RESULTS_FOLDER / file_name).read_text(encoding="utf-8"))
    for key in place.split("/"):
        value = value[int(key)] if isinstance(value, list) else value[key]
    kept = ("value", "low", "high")
    return {key: value[key] for key in kept if key in value} if isinstance(value, dict) else {"value": value}


def write_if_different(path: Path, text: str, changed: list, is_check: bool):
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    changed.append(path)
    if not is_check:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
