"""`si-deepsort settings`: every setting is explained in one topic, and settings files and presets are valid."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from si_deepsort import cli
from si_deepsort.cli.setting_options import read_settings_file
from si_deepsort.cli.sort import chosen_settings
from si_deepsort.cli.topics import OTHER_TOPIC, PRESETS, TOPICS, describe_settings, settings_by_topic, settings_file
from si_deepsort.sorter.settings import DeepSortSettings

NAMES = [record.name for record in fields(DeepSortSettings)]
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "settings.toml"


def test_every_setting_is_in_one_topic():
    found = settings_by_topic()
    assert sorted(name for names in found.values() for name in names) == sorted(NAMES)
    assert OTHER_TOPIC not in found, f"{found.get(OTHER_TOPIC)} have no topic in si_deepsort/cli/topics.py"
    assert {name for names in TOPICS.values() for name in names} == set(NAMES)


def test_a_settings_file_holds_every_setting_and_can_be_read(tmp_path):
    file = tmp_path / "settings.toml"
    text = settings_file()
    assert tomllib.loads(text) == {}, "all are comments"
    assigned = "\n".join(line.removeprefix("# ") for line in text.splitlines() if " = " in line and "]" not in line[:3])
    file.write_text(
        "\n".join(line for line in assigned.splitlines() if line.split(" = ")[0] in NAMES), encoding="utf-8"
    )
    values = read_settings_file(DeepSortSettings, file)
    assert values == {name: getattr(DeepSortSettings(), name) for name in NAMES}


def test_the_example_in_the_documentation_is_up_to_date():
    assert EXAMPLE.read_text(encoding="utf-8") == settings_file(), "si-deepsort settings --toml > docs/examples/..."


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_options_win(tmp_path, name):
    values = PRESETS[name][1]
    assert chosen_settings({}, None, name) == values
    assert tomllib.loads(settings_file(values)) == {key: "none" if v is None else v for key, v in values.items()}
    (tmp_path / "s.toml").write_text("seed = 3\nmotion_correction = 'none'\n", encoding="utf-8")
    both = chosen_settings({"seed": 4}, tmp_path / "s.toml", name)
    assert both == {**values, "seed": 4, "motion_correction": None}


def test_wrong_names_are_explained():
    with pytest.raises(ValueError, match="--preset: got 'fast', expected one of filtered"):
        chosen_settings({}, None, "fast")
    result = CliRunner().invoke(cli.app, ["settings", "merge_dist"])
    assert "There is no setting 'merge_dist'" in str(result.exception)


def test_settings_are_explained():
    text = CliRunner().invoke(cli.app, ["settings", "merge_distance"]).output
    assert "merge_distance = 3.75" in text and "standard deviations" in text and "freq_min" not in text
    assert all(name in describe_settings() for name in NAMES)


def test_every_command_is_under_a_heading():
    commands = {command.name for command in (*cli.app.registered_commands, *cli.app.registered_groups)}
    assert commands == {name for names in cli.PANELS.values() for name in names}
