"""Cards, configs, weights and benchmark results say the same, in both directions."""

import importlib.util
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from small_model import INFO, make_net

from si_deepsort.zoo import (
    BUNDLED_FOLDER,
    CARD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    ModelInfo,
    load_model,
    render_card,
    save_model,
)
from si_deepsort.zoo.cards import HEADINGS, metric_entries
from si_deepsort.zoo.names import bundled_names

ROOT = Path(__file__).parents[2]
CARDS_FOLDER = ROOT / "model_cards"
REMEDY = "run `python benchmarks/models/model_cards.py`"

in_repository = pytest.mark.skipif(not CARDS_FOLDER.is_dir(), reason="model_cards/ is only in the repository")
for_each_model = pytest.mark.parametrize("name", bundled_names())


def info_of_model(name):
    return load_model(name).info


def section(text, heading):
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    return found and found[1]


# The bundled models


@in_repository
def test_there_is_one_card_per_model_and_one_model_per_card():
    assert sorted(path.stem for path in CARDS_FOLDER.glob("*.md")) == bundled_names(), REMEDY


@in_repository
@for_each_model
def test_the_card_is_what_config_and_results_say(name):
    card = (BUNDLED_FOLDER / name / CARD_FILE).read_text(encoding="utf-8")
    assert card == render_card(BUNDLED_FOLDER / name), REMEDY
    assert card == (CARDS_FOLDER / f"{name}.md").read_text(encoding="utf-8"), REMEDY


@for_each_model
def test_the_card_has_all_sections(name):
    card = (BUNDLED_FOLDER / name / CARD_FILE).read_text(encoding="utf-8")
    found = [heading for heading in re.findall(r"^## (.+)$", card, flags=re.MULTILINE) if heading in HEADINGS]
    assert found == list(HEADINGS)
    for heading in HEADINGS:
        text = re.sub(r"<!--.*?-->", "", section(card, heading)).strip()
        assert len(text) > 15, f"the section '{heading}' of {name} is empty"
    assert not re.search(r"TODO|TBD|More Information Needed", card)


@for_each_model
def test_numbers_of_card_and_config_are_the_same(name):
    card = ModelCard((BUNDLED_FOLDER / name / CARD_FILE).read_text(encoding="utf-8"))
    info = info_of_model(name)
    assert info.metrics, f"{name} was never measured"
    in_config = {key: entry["value"] for key, entry in metric_entries(info).items()}
    assert {result.metric_type: result.metric_value for result in card.data.eval_results or []} == in_config
    for key, value in in_config.items():
        assert type(value) in (int, float) and math.isfinite(value), key
        assert f"{value:.4g}" in section(card.text, "Results"), key
    assert "!!python" not in card.content and card.data.license == info.license.lower()


@in_repository
@for_each_model
def test_numbers_with_a_source_are_those_of_the_benchmark(name):
    file = ROOT / "benchmarks" / "models" / "model_cards.py"
    specification = importlib.util.spec_from_file_location("model_cards", file)
    model_cards = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(model_cards)
    config = (BUNDLED_FOLDER / name / CONFIG_FILE).read_text(encoding="utf-8")
    assert json.loads(model_cards.config_with_results(BUNDLED_FOLDER / name)) == json.loads(config), REMEDY


@for_each_model
def test_the_provenance_is_complete(name):
    info = info_of_model(name)
    assert info.name == name
    assert {"command", "seed", "data", "data_license"} <= set(info.training)
    module = re.search(r"python -m (si_deepsort[\w.]+)", info.training["command"])
    assert module and importlib.util.find_spec(module[1]) is not None, info.training["command"]
    assert "/" not in info.training["command"].split(" -m ")[0], "a path of one machine"


@for_each_model
def test_a_model_is_small_and_brings_nothing_else(name):
    files = {path.name for path in (BUNDLED_FOLDER / name).iterdir()}
    assert files == {CONFIG_FILE, WEIGHTS_FILE, CARD_FILE}
    assert (BUNDLED_FOLDER / name / WEIGHTS_FILE).stat().st_size <= 3_000_000


@for_each_model
def test_limits_say_that_training_data_were_generated(name):
    card = (BUNDLED_FOLDER / name / CARD_FILE).read_text(encoding="utf-8")
    if "generated" in str(info_of_model(name).training["data"]):
        assert re.search("generated|synthetic|simulated", section(card, "Limits"))


# The renderer


def test_rendering_again_changes_nothing_and_keeps_what_a_person_wrote(tmp_path):
    written = "# Old title\n\n## What it does\n\nSees *rats*.\n\n## Limits\n\nOnly rats.\n\n## Thanks\n\nTo the rats.\n"
    folder = save_model(make_net(), tmp_path / "x", INFO, card=written)
    card = render_card(folder)
    for text in ("Sees *rats*.", "Only rats.", "## Thanks\n\nTo the rats."):
        assert card.count(text) == 1
    (folder / CARD_FILE).write_text(card, encoding="utf-8")
    assert render_card(folder) == card
    (folder / CARD_FILE).write_text(card.replace("\n", "\r\n"), encoding="utf-8")
    assert render_card(folder) == card


def test_a_card_follows_the_config(tmp_path):
    folder = save_model(make_net(), tmp_path / "x", INFO)
    (folder / CARD_FILE).write_text(render_card(folder), encoding="utf-8")
    metrics = {"recall": {"value": np.float64(0.75), "low": 0.7, "high": 0.8, "data": "held-out", "unit": "%"}}
    save_model(make_net(), folder, ModelInfo(name="x", task="embedding", metrics=metrics))
    card = render_card(folder)
    assert "0.25" not in section(card, "Results")
    assert "| recall | 0.75 % | 0.7 to 0.8 | held-out |" in card
    assert ModelCard(card).data.eval_results[0].metric_value == 0.75


def test_a_card_without_numbers_says_so(tmp_path):
    folder = save_model(make_net(), tmp_path / "x", ModelInfo(name="x", task="embedding", metrics={"loss": None}))
    card = render_card(folder)
    assert "Not measured" in card and ModelCard(card).data.eval_results is None
    assert all(section(card, heading).strip() for heading in HEADINGS)


def test_text_of_a_stranger_cannot_forge_metadata(tmp_path):
    training = {"data": "x | y\n---\nlicense: none\n## Limits\n\nNone at all."}
    folder = save_model(make_net(), tmp_path / "x", ModelInfo(name="x", task="embedding", training=training))
    card = render_card(folder)
    assert ModelCard(card).data.license == "mit" and re.findall("^## Limits", card, flags=re.MULTILINE) == ["## Limits"]
