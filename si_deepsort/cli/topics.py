"""How the settings of the sorter are shown to a person: by topic, with a short and a long description, and presets."""

import json
import textwrap
from dataclasses import fields
from typing import Any

from ..settings import default_params, params_description
from ..sorter.settings import DeepSortSettings

TOPICS: dict[str, tuple[str, ...]] = {
    "Filter, reference and drift": (
        "apply_preprocessing",
        "freq_min",
        "freq_max",
        "common_reference",
        "motion_correction",
        "whitening_order",
        "whitening_radius_um",
    ),
    "Detection": ("detection", "detect_threshold", "detect_radius_um"),
    "Clustering": (
        "embedding",
        "embedding_radius_um",
        "clustering",
        "min_cluster_size",
        "max_peaks_per_channel",
        "merge_distance",
    ),
    "Template matching": (
        "matching",
        "match_threshold",
        "amplitude_variance",
        "num_rounds",
        "ms_before",
        "ms_after",
    ),
    "Units": (
        "merge_separation",
        "min_firing_rate",
        "min_amplitude",
        "min_spike_size",
        "classifier",
        "assess",
        "drop_fragments",
    ),
    "Run": ("cache", "seed", "device", "job_kwargs", "dask_scheduler"),
}
# Topic of a setting that is in none of the above.
OTHER_TOPIC = "More settings"
# What each preset is for, and its settings. They are starting points; none was tuned.
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "filtered": ("the traces are filtered and referenced already", dict(apply_preprocessing=False)),
    "small-units": (
        "small units matter, and false units can be removed by hand",
        dict(detection="energy", detect_threshold=5.5, min_spike_size=6.5, min_amplitude=2.5),
    ),
    "few-false-units": (
        "nobody will look at the units one by one",
        dict(min_spike_size=9.0, min_amplitude=4.0, min_firing_rate=0.2),
    ),
    "no-drift": ("the tissue does not move", dict(motion_correction=None)),
    "quick-look": ("a first look, in less than half of the time", dict(num_rounds=0)),
    "classical": ("no neural network detects or describes spikes", dict(detection="energy", embedding="pca")),
}
# Width of a text in the terminal, in characters.
WIDTH = 96


def topic_of(name: str) -> str:
    """Topic of a setting."""
    return next((topic for topic, names in TOPICS.items() if name in names), OTHER_TOPIC)


def topic_place(name: str) -> int:
    """Place of a setting's topic in the help."""
    return [*TOPICS, OTHER_TOPIC].index(topic_of(name))


def settings_by_topic() -> dict[str, list[str]]:
    """Topic -> names of its settings; every setting is in one."""
    found: dict[str, list[str]] = {topic: [] for topic in (*TOPICS, OTHER_TOPIC)}
    for record in fields(DeepSortSettings):
        found[topic_of(record.name)].append(record.name)
    return {topic: names for topic, names in found.items() if names}


def short_description(text: str) -> str:
    """A description up to its first explanation: what fits on a line or two of the help."""
    for mark in (". ", ": ", "; ", " ("):
        text = text.split(mark)[0]
    return text.rstrip(".")


def describe_settings(names: list[str] | None = None) -> str:
    """All settings by topic as text, or some of them, with their defaults and whole descriptions."""
    descriptions, defaults = params_description(DeepSortSettings), default_params(DeepSortSettings)
    lines = []
    for topic, members in settings_by_topic().items():
        shown = [name for name in members if names is None or name in names]
        if shown:
            lines += ["", topic]
        for name in shown:
            lines.append(f"  {name} = {in_toml(defaults[name])}")
            lines += textwrap.wrap(descriptions[name], WIDTH, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines[1:])


def settings_file(values: dict[str, Any] | None = None) -> str:
    """
    A TOML file with all settings and what they do.

    Parameters
    ----------
    values : dict | None, default: None
        Settings that are set; the others stand in comments with their defaults.
    """
    values = values or {}
    descriptions, defaults = params_description(DeepSortSettings), default_params(DeepSortSettings)
    lines = [
        "# Settings of deepsort. Remove the # in front of a name to set it; None cannot be written in TOML, so leave a",
        '# setting out, or write "none" where the description allows None.',
    ]
    for topic, members in settings_by_topic().items():
        lines += ["", f"# {topic}"]
        for name in members:
            lines.append("")
            lines += textwrap.wrap(descriptions[name], WIDTH, initial_indent="# ", subsequent_indent="# ")
            comment = "" if name in values else "# "
            lines.append(f"{comment}{name} = {in_toml(values.get(name, defaults[name]))}")
    return "\n".join(lines) + "\n"


def in_toml(value: Any) -> str:
    """A value as TOML has it."""
    if value is None:
        return '"none"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {in_toml(item)}" for name, item in value.items()) + "}"
    return json.dumps(value)
