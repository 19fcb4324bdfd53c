"""`si-deepsort train-detector`, `train-classifier` and `tune-detector`: networks learnt from a labelled recording."""

from pathlib import Path
from typing import Annotated

import typer


def add_commands(app: typer.Typer):
    """Add `train-detector`, `train-classifier` and `tune-detector` to the command line."""
    app.command("train-detector")(train_detector)
    app.command("train-classifier")(train_classifier)
    app.command("tune-detector")(tune_detector)


def train_detector(
    recording: Annotated[Path, typer.Argument(help="Folder of a recording saved by SpikeInterface.")],
    sorting: Annotated[Path, typer.Argument(help="Folder of its spikes, a sorting saved by SpikeInterface.")],
    out: Annotated[Path, typer.Option(help="Folder of the model.")],
    architecture: Annotated[str, typer.Option(help="cnn or gru.")] = "cnn",
    start_from: Annotated[str | None, typer.Option(help="Tune this model further: cnn, gru or a model folder.")] = None,
    freq_min: Annotated[float, typer.Option(help="Band-pass before, in Hz; 0 if the recording is filtered.")] = 150.0,
    freq_max: Annotated[float, typer.Option(help="Band-pass before, in Hz.")] = 7000.0,
    epochs: Annotated[int, typer.Option(help="Most passes over the examples.", min=0)] = 15,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
):
    """Train a spike detector on a recording with known spikes; write a model folder."""
    import spikeinterface.core as si

    from ..training.detection.train import DetectorTrainingSettings
    from ..training.detection.train import train_detector as train

    labelled = _band_passed(si.load(recording), freq_min, freq_max)
    net = train(
        labelled,
        si.load(sorting),
        folder=out,
        architecture=architecture,
        start_from=start_from,
        settings=DetectorTrainingSettings(num_epochs=epochs, seed=seed),
    )
    print(f"Labels were {net.info.settings['label_offset_frames'][0]} samples before the peaks (corrected).")
    print(f"Threshold {net.info.settings['threshold']:.3f}; on held-out time:")
    for name, value in net.info.metrics.items():
        print(f"  {name} {value:.3f}")
    print(f"Model: {out}")


def train_classifier(
    recording: Annotated[Path, typer.Argument(help="Folder of a recording saved by SpikeInterface.")],
    sorting: Annotated[Path, typer.Argument(help="Folder of its spikes, a sorting saved by SpikeInterface.")],
    out: Annotated[Path, typer.Option(help="Folder of the model.")],
    architecture: Annotated[str, typer.Option(help="cnn or gru.")] = "cnn",
    freq_min: Annotated[float, typer.Option(help="Band-pass before, in Hz; 0 if the recording is filtered.")] = 150.0,
    freq_max: Annotated[float, typer.Option(help="Band-pass before, in Hz.")] = 7000.0,
    epochs: Annotated[int, typer.Option(help="Most passes over the waveforms.", min=0)] = 30,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
):
    """Train a classifier of the units of a sorted recording; write a model folder."""
    import spikeinterface.core as si

    from ..training.classification.train import ClassifierTrainingSettings
    from ..training.classification.train import train_classifier as train

    net = train(
        _band_passed(si.load(recording), freq_min, freq_max),
        si.load(sorting),
        folder=out,
        architecture=architecture,
        settings=ClassifierTrainingSettings(num_epochs=epochs, seed=seed),
    )
    print(f"{len(net.info.settings['unit_ids'])} units; on held-out time:")
    for name, value in net.info.metrics.items():
        print(f"  {name} {value:.3f}")
    print(f"Model: {out}")


def tune_detector(
    recording: Annotated[Path, typer.Argument(help="Folder of the labelled recording.")],
    sorting: Annotated[Path, typer.Argument(help="Folder of its spikes.")],
    target: Annotated[Path, typer.Argument(help="Folder of the recording to tune for; only its noise is used.")],
    out: Annotated[Path, typer.Option(help="Folder of the tuned model, with the curve and a plot of it.")],
    detector: Annotated[str, typer.Option(help="cnn, gru or a model folder.")] = "cnn",
    front_ends: Annotated[
        bool, typer.Option(help="Also choose between filters, wavelets and a matched filter.")
    ] = False,
    freq_min: Annotated[float, typer.Option(help="Band-pass before, in Hz; 0 if the recordings are filtered.")] = 150.0,
    freq_max: Annotated[float, typer.Option(help="Band-pass before, in Hz.")] = 7000.0,
    seed: Annotated[int, typer.Option(help="Of the noise that is added.")] = 0,
):
    """Choose a detector's threshold for a recording without labels, on a labelled one with the same noise added."""
    import spikeinterface.core as si

    from ..training.detection.tune import standard_front_ends
    from ..training.detection.tune import tune_detector as tune

    labelled, unlabelled = (_band_passed(si.load(folder), freq_min, freq_max) for folder in (recording, target))
    spikes = si.load(sorting)
    choices = standard_front_ends(spikes) if front_ends else None
    tuning = tune(labelled, spikes, unlabelled, detector=detector, folder=out, front_ends=choices, seed=seed)
    print(f"Front end {tuning.front_end}, threshold {tuning.threshold}, exclusive_ms {tuning.exclusive_ms}")
    print(f"F1 {tuning.f1:.3f} on a copy with the target's noise")
    print(f"Model: {out}")


def _band_passed(recording, freq_min, freq_max):
    import spikeinterface.preprocessing as spre

    if freq_min <= 0:
        return recording
    freq_max = min(freq_max, 0.45 * recording.get_sampling_frequency())
    return spre.bandpass_filter(recording, freq_min=freq_min, freq_max=freq_max, dtype="float32")
