"""`si-deepsort train-detector`, `train-classifier` and `tune-detector`: networks learnt from a labelled recording."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .outputs import check_folder


def add_commands(app: typer.Typer) -> None:
    """Add `train-detector`, `train-classifier` and `tune-detector` to the command line."""
    app.command("train-detector")(train_detector)
    app.command("train-classifier")(train_classifier)
    app.command("tune-detector")(tune_detector)


def train_detector(
    recording: Annotated[Path, typer.Argument(help="Folder of a recording saved by SpikeInterface.")],
    sorting: Annotated[Path, typer.Argument(help="Folder of its spikes, a sorting saved by SpikeInterface.")],
    out: Annotated[Path, typer.Option(help="Folder of the model.")],
    architecture: Annotated[str, typer.Option(help="cnn or gru.")] = "cnn",
    start_from: Annotated[
        str | None, typer.Option(help="Train this model further: cnn, gru or a model folder.")
    ] = None,
    freq_min: Annotated[float, typer.Option(help="Band-pass before, in Hz; 0 if the recording is filtered.")] = 150.0,
    freq_max: Annotated[float, typer.Option(help="Band-pass before, in Hz.")] = 7000.0,
    epochs: Annotated[int, typer.Option(help="Largest number of passes over the examples.", min=0)] = 15,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Train a spike detector on a recording with known spikes; write a model folder."""
    from ..io import open_saved_recording, open_sorting
    from ..training.detection.train import DetectorTrainingSettings
    from ..training.detection.train import train_detector as train

    check_folder(out, "--out")
    trained = train(
        open_saved_recording(recording),
        open_sorting(sorting),
        folder=out,
        architecture=architecture,
        start_from=start_from,
        front_end=_front_end(freq_min, freq_max),
        settings=DetectorTrainingSettings(num_epochs=epochs, seed=seed),
    )
    offset, threshold = trained.info.settings["label_offset_frames"][0], trained.info.settings["threshold"]
    print(f"Labels were {offset} samples before the peaks (corrected); the chosen threshold is {threshold:.3f}.")


def train_classifier(
    recording: Annotated[Path, typer.Argument(help="Folder of a recording saved by SpikeInterface.")],
    sorting: Annotated[Path, typer.Argument(help="Folder of its spikes, a sorting saved by SpikeInterface.")],
    out: Annotated[Path, typer.Option(help="Folder of the model.")],
    architecture: Annotated[str, typer.Option(help="cnn or gru.")] = "cnn",
    freq_min: Annotated[float, typer.Option(help="Band-pass before, in Hz; 0 if the recording is filtered.")] = 150.0,
    freq_max: Annotated[float, typer.Option(help="Band-pass before, in Hz.")] = 7000.0,
    epochs: Annotated[int, typer.Option(help="Largest number of passes over the waveforms.", min=0)] = 30,
    compare: Annotated[
        float, typer.Option(help="Sort this last part of the labelled time with the units and without; 0: do not.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Train a classifier of the units of a sorted recording; write a model folder."""
    from ..io import open_saved_recording, open_sorting
    from ..training.classification.train import ClassifierTrainingSettings
    from ..training.classification.train import train_classifier as train

    check_folder(out, "--out")
    train(
        _for_classifier(open_saved_recording(recording), freq_min, freq_max),
        open_sorting(sorting),
        folder=out,
        architecture=architecture,
        compared_part=compare,
        settings=ClassifierTrainingSettings(num_epochs=epochs, seed=seed),
    )


def tune_detector(
    recording: Annotated[Path, typer.Argument(help="Folder of the labelled recording.")],
    sorting: Annotated[Path, typer.Argument(help="Folder of its spikes.")],
    target: Annotated[Path, typer.Argument(help="Folder of the recording to tune for; only its noise is used.")],
    out: Annotated[Path, typer.Option(help="Folder of the tuned model, with the curve and a plot of it.")],
    detector: Annotated[str, typer.Option(help="cnn, gru or a model folder.")] = "cnn",
    front_ends: Annotated[
        bool, typer.Option(help="Also choose between filters, wavelets and a matched filter.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed of the noise that is added.")] = 0,
) -> None:
    """Choose a detector's threshold for a recording without labels, on a labelled one with the same noise added."""
    from ..io import open_saved_recording, open_sorting
    from ..training.detection.standard_front_ends import standard_front_ends
    from ..training.detection.tune import tune_detector as tune

    check_folder(out, "--out")
    labelled, unlabelled, spikes = open_saved_recording(recording), open_saved_recording(target), open_sorting(sorting)
    choices = standard_front_ends(labelled, spikes) if front_ends else None
    tuning = tune(labelled, spikes, unlabelled, detector=detector, folder=out, front_ends=choices, seed=seed)
    print(f"Front end {tuning.front_end}, threshold {tuning.threshold}, exclusive_ms {tuning.exclusive_ms}")
    print(f"F1 {tuning.f1:.3f} on a copy with the target's noise")
    print(f"Model: {out}")


def _for_classifier(recording: Any, freq_min: float, freq_max: float) -> Any:
    """The recording as it is where the training filters it as the sorter does, else filtered and marked as filtered."""
    from ..preprocessing.band_pass import band_pass
    from ..training.classification.train import FREQ_MAX, FREQ_MIN

    if freq_min <= 0:
        recording.annotate(is_filtered=True)
    elif not recording.is_filtered() and (freq_min, freq_max) != (FREQ_MIN, FREQ_MAX):
        recording = band_pass(recording, freq_min=freq_min, freq_max=freq_max)
    return recording


def _front_end(freq_min: float, freq_max: float) -> list[dict[str, Any]]:
    """The sorter's front end with this band-pass, or without it for a filtered recording."""
    from ..sorter.front_end.steps import front_end_steps
    from ..sorter.settings import DeepSortSettings

    if freq_min <= 0:
        return front_end_steps(DeepSortSettings(apply_preprocessing=False))
    return front_end_steps(DeepSortSettings(freq_min=freq_min, freq_max=freq_max))
