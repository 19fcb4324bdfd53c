"""`si-deepsort train-detector`: networks learnt from a labelled recording."""

from pathlib import Path
from typing import Annotated

import typer


def add_commands(app: typer.Typer):
    """Add `train-detector` to the command line."""
    app.command("train-detector")(train_detector)


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
    import spikeinterface.preprocessing as spre

    from ..training.detection import DetectorTrainingSettings
    from ..training.detection import train_detector as train

    labelled = si.load(recording)
    if freq_min > 0:
        freq_max = min(freq_max, 0.45 * labelled.get_sampling_frequency())
        labelled = spre.bandpass_filter(labelled, freq_min=freq_min, freq_max=freq_max, dtype="float32")
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
