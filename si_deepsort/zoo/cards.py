"""
Model cards: what a stranger needs to judge a model, written from its config.

All numbers and facts come from `config.json`; what a person wrote under a heading is kept. What is generated stands
between two comments and is replaced each time, so that rendering a card again changes nothing.
"""

import re
from pathlib import Path

from .model_folder import CARD_FILE, WEIGHTS_FILE, ModelInfo, info_of, read_config

HEADINGS = (
    "What it does",
    "Inputs",
    "Trained on",
    "Results",
    "Limits",
    "How to fine-tune",
    "How to cite",
    "Licence",
)
_START, _END = "<!-- from config.json -->", "<!-- /from config.json -->"
_GENERATED = re.compile(f"{_START}.*?{_END}\n?", re.DOTALL)
_PURPOSES = {
    "detection": "Finds spikes in extracellular recordings: the probability that a spike is at a frame and channel.",
    "classification": "Sorts waveforms of candidate spikes into classes.",
    "embedding": "Describes the waveform of a spike by a few numbers, for clustering.",
    "denoising": "Removes noise from extracellular recordings by predicting each sample from others.",
    "lfp": "Predicts spiking from local field potentials.",
    "assessment": "Predicts how far the units and spikes of a sorting can be trusted.",
    "events": "Finds synaptic events (miniature potentials) in intracellular recordings.",
    "cell_type": "Tells putative excitatory from inhibitory units, by the duration of the spike and its bursts.",
}
# What a number means and which direction is better, where its name does not say it.
_METRIC_MEANINGS = {
    "unpredicted_variance": "share of the variance of held-out traces that the network does not predict; lower is "
    "better, and noise that channels do not share can never be predicted",
    "validation_loss": "error on held-out data; lower is better",
}
# The Hub's own names of tasks; it has none for most of ours.
_PIPELINE_TAGS = {"embedding": "feature-extraction"}
# Tasks of spike sorting, whose models are found by the tag of the field.
_SORTING_TASKS = ("detection", "classification", "embedding", "denoising", "assessment")
_FINE_TUNING = {
    "denoising": ("recording", "No labels are needed: it learns to predict each sample from others."),
    "detection": ("recording, sorting", "The sorting holds known spikes of the recording."),
    "events": ("recording, events", "The events are a table of marked onsets, see `read_events`."),
}


def render_card(folder: str | Path) -> str:
    """
    Text of a model's card, for the Hub: metadata (YAML), then the sections of `HEADINGS`.

    Parameters
    ----------
    folder : str | Path
        A model folder; the text under the headings of an existing `README.md` is kept.

    Returns
    -------
    str
        To be written to `README.md`.
    """
    folder = Path(folder)
    config = read_config(folder)
    info = info_of(config)
    path = folder / CARD_FILE
    written = _sections(path.read_text(encoding="utf-8") if path.is_file() else "")
    generated = {
        "What it does": "" if written.get("What it does") else _PURPOSES[info.task],
        "Inputs": _inputs(config, info),
        "Trained on": _training(config, info),
        "Results": _results(info),
        "Limits": _limits(info),
        "How to fine-tune": _fine_tuning(info),
        "How to cite": _citation(config, info),
        "Licence": _licence(info),
    }
    texts = [f"---\n{_metadata(config, info)}\n---\n\n# {info.name}\n"]
    for heading in [*HEADINGS, *(heading for heading in written if heading not in HEADINGS)]:
        block = generated.get(heading, "")
        block = f"{_START}\n{block}\n{_END}" if block else ""
        texts.append("\n\n".join(part for part in (f"## {heading}", written.get(heading, ""), block) if part) + "\n")
    return "\n".join(texts)


def _sections(text: str) -> dict[str, str]:
    """Heading -> what a person wrote under it."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text.replace("\r\n", "\n"), flags=re.DOTALL)
    parts = re.split(r"^## +(.+?) *$", _GENERATED.sub("", text), flags=re.MULTILINE)
    return {heading: body.strip() for heading, body in zip(parts[1::2], parts[2::2], strict=True)}


def _metadata(config: dict, info: ModelInfo) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    data = "held out: " + _inline(info.training.get("data", "recordings"))
    results = [
        EvalResult(
            task_type=info.task,
            dataset_type="held-out",
            dataset_name=_inline(entry.get("data", data)),
            metric_type=name,
            metric_name=name.replace("_", " "),
            metric_value=entry["value"],
        )
        for name, entry in metric_entries(info).items()
    ]
    weights = config["files"][WEIGHTS_FILE]
    card_data = ModelCardData(
        model_name=info.name,
        library_name="si_deepsort",
        license=info.license.lower(),
        pipeline_tag=_PIPELINE_TAGS.get(info.task, "other"),
        tags=_tags(info),
        eval_results=results or None,
        si_deepsort={
            "architecture": config["architecture"],
            "probe": info.probe,
            "format_version": config["format_version"],
            "sha256": weights["sha256"],
        },
    )
    return card_data.to_yaml()


def _tags(info: ModelInfo) -> list[str]:
    """Words by which users of the Hub find the model."""
    tags = ["si_deepsort", "spikeinterface", "neuroscience", "electrophysiology", info.task]
    if info.task in _SORTING_TASKS:
        tags.append("spike-sorting")
        if info.probe == "any" or "neuropixels" in info.probe.lower():
            tags.append("neuropixels")
    return tags


def metric_entries(info: ModelInfo) -> dict[str, dict]:
    """Metrics that have a value, each as a dictionary with a plain number as value."""
    entries = {name: value if isinstance(value, dict) else {"value": value} for name, value in info.metrics.items()}
    return {name: entry for name, entry in entries.items() if isinstance(entry.get("value"), int | float)}


def _inputs(config: dict, info: ModelInfo) -> str:
    frequency = "any" if info.sampling_frequency is None else f"{info.sampling_frequency:g} Hz"
    unit = "noise levels (each channel divided by its robust standard deviation)"
    rows = {
        "Architecture": f"`{config['architecture']}`",
        "Sampling frequency": frequency,
        "Unit": unit if info.input_unit == "noise_level" else info.input_unit,
        "Probe": info.probe,
        "Weights": f"{config['files'][WEIGHTS_FILE]['size'] / 1000:.1f} kB, safetensors",
    }
    return _table(("Property", "Value"), rows.items())


def _training(config: dict, info: ModelInfo) -> str:
    rows = {name.replace("_", " ").capitalize(): _inline(value) for name, value in info.training.items()}
    if info.parent is not None:
        rows["Fine-tuned from"] = info.parent
    rows["Saved by"] = f"si_deepsort {config.get('si_deepsort_version', 'of an unknown version')}"
    return _table(("Property", "Value"), rows.items())


def _results(info: ModelInfo) -> str:
    entries = metric_entries(info)
    comparisons = [f"- {_inline(name)}: {_inline(text)}" for name, text in info.comparisons.items()]
    if not entries:
        return "\n".join(comparisons) or "Not measured. Judge it on recordings of your own before you rely on it."
    rows = []
    for name, entry in entries.items():
        unit = f" {entry['unit']}" if entry.get("unit") else ""
        has_interval = "low" in entry and "high" in entry
        interval = f"{entry['low']:.4g} to {entry['high']:.4g}" if has_interval else "not measured"
        rows.append(
            (name.replace("_", " "), f"{entry['value']:.4g}{unit}", interval, _inline(entry.get("data", "held out")))
        )
    meanings = [f"`{name}`: {_METRIC_MEANINGS[name]}." for name in entries if name in _METRIC_MEANINGS]
    parts = ["\n".join(comparisons), _table(("Metric", "Value", "Interval", "Data"), rows), *meanings]
    return "\n\n".join(part for part in parts if part)


def _limits(info: ModelInfo) -> str:
    data = _inline(info.training.get("data", "unknown data"))
    return (
        f"It knows what it was trained on: {data}. Other preparations, probes, sampling frequencies and noise may give "
        "other results: look at some of its output before you use it on many recordings."
    )


def _fine_tuning(info: ModelInfo) -> str:
    if info.task == "cell_type":
        return "It is not fine-tuned: train it anew on cells whose type is known."
    if info.task not in _FINE_TUNING:
        return "It serves one recording: train anew on another with the functions of `si_deepsort.training`."
    arguments, remark = _FINE_TUNING[info.task]
    return (
        "```python\nfrom si_deepsort import fine_tune\n\n"
        f'net = fine_tune("{info.name}", {arguments}, folder="my-model")\n```\n\n{remark}'
    )


def _citation(config: dict, info: ModelInfo) -> str:
    return (
        f"Name the software with its version (si_deepsort {config.get('si_deepsort_version', '')}) and the model: "
        f"`{info.name}`, sha256 `{config['files'][WEIGHTS_FILE]['sha256']}`."
    )


def _licence(info: ModelInfo) -> str:
    data_license = info.training.get("data_license")
    return f"Weights: {_inline(info.license)}." + (f" Training data: {_inline(data_license)}." if data_license else "")


def _table(header, rows) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _inline(value) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_inline(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_inline(item) for item in value)
    return " ".join(str(value).split())
