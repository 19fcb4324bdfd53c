"""Settings are checked when they are made: type, range, name; scalars of numpy are numbers like any other."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest

from si_deepsort.settings import (
    SettingError,
    Settings,
    default_params,
    params_description,
    setting,
    settings_from_dict,
)
from si_deepsort.sorter.settings import DeepSortSettings


@dataclass(frozen=True, kw_only=True)
class Example(Settings):
    """One setting of each kind."""

    count: int = setting(3, "Number of things", minimum=0, maximum=10)
    width_um: float = setting(2.0, "Width in um", minimum=0.5)
    limit: float | None = setting(None, "Upper limit in uV", minimum=0.0)
    is_on: bool = setting(True, "Whether it is on")
    method: str | None = setting("fast", "Method", choices=("fast", "slow", None))
    folder: str = setting("here", "Folder of a model")
    options: dict = setting({}, "Options")
    kinds: tuple = setting(("a",), "Kinds")


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("count", 1.5, "a whole number from 0 to 10"),
        ("count", 2.0, "a whole number"),
        ("count", True, "a whole number"),
        ("count", "3", "a whole number"),
        ("count", -1, "from 0 to 10"),
        ("count", 11, "from 0 to 10"),
        ("count", np.float64(1.0), "a whole number"),
        ("count", None, "a whole number"),
        ("width_um", float("nan"), "a number of at least 0.5"),
        ("width_um", float("inf"), "a number"),
        ("width_um", np.float32("nan"), "a number"),
        ("width_um", "2", "a number"),
        ("width_um", False, "a number"),
        ("width_um", 0.4, "at least 0.5"),
        ("width_um", [2.0], "a number"),
        ("width_um", np.array([1.0, 2.0]), "a number"),
        ("limit", -1.0, "of at least 0.0 or None"),
        ("is_on", 1, "True or False"),
        ("is_on", "yes", "True or False"),
        ("is_on", None, "True or False"),
        ("method", "medium", "one of 'fast', 'slow', None"),
        ("method", 1, "one of"),
        ("method", ["fast"], "one of"),
        ("folder", 5, "a text"),
        ("folder", None, "a text"),
        ("options", "x", "a dictionary"),
        ("options", [("a", 1)], "a dictionary"),
    ],
    ids=str,
)
def test_wrong_values_are_refused_with_what_came_and_what_was_expected(name, value, expected):
    with pytest.raises(SettingError) as caught:
        Example(**{name: value})
    assert caught.value.name == name
    for part in (f"got {value!r}", expected, Example.__dataclass_fields__[name].metadata["description"]):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "name, value, kept",
    [
        ("count", np.int64(4), 4),
        ("count", np.uint8(4), 4),
        ("width_um", 2, 2.0),
        ("width_um", np.float32(0.5), 0.5),
        ("width_um", np.int32(3), 3.0),
        ("limit", None, None),
        ("is_on", np.bool_(False), False),
        ("method", None, None),
        ("folder", Path("a") / "b", str(Path("a") / "b")),
        ("kinds", ["a", "b"], ("a", "b")),
    ],
    ids=str,
)
def test_numbers_of_numpy_whole_floats_and_paths_are_accepted(name, value, kept):
    found = getattr(Example(**{name: value}), name)
    assert found == kept and type(found) is type(kept)


def test_a_dictionary_that_changes_later_does_not_change_the_settings():
    options = {"a": 1}
    settings = Example(options=options)
    options["a"] = 2
    assert settings.options == {"a": 1} and Example().options == {}


def test_unknown_names_are_told_the_nearest():
    with pytest.raises(SettingError, match=r"widht_um: there is no such setting. Did you mean width_um.*count"):
        settings_from_dict(Example, dict(widht_um=3.0))
    assert settings_from_dict(Example, dict(count=1)) == Example(count=1)


def test_dictionaries_of_spikeinterface_come_from_the_dataclass():
    names = [record.name for record in fields(Example)]
    assert list(default_params(Example)) == list(params_description(Example)) == names
    assert Example(**default_params(Example)) == Example()
    assert params_description(Example)["method"] == "Method. One of ('fast', 'slow', None)."


def test_names_of_job_kwargs_lead_to_job_kwargs():
    with pytest.raises(SettingError, match=r"n_jobs: .*job_kwargs=dict\(n_jobs=-1\)"):
        settings_from_dict(DeepSortSettings, dict(n_jobs=-1))
