"""Commands for spikes from field potentials."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .outputs import check_folder

if TYPE_CHECKING:
    from spikeinterface.core import BaseSorting

Recording = Annotated[Path, typer.Argument(help="Field potential: a folder or file that spikeinterface.load reads")]


def add_commands(app: typer.Typer) -> None:
    """Add `train-lfp` and `predict-spikes`."""
    app.command("train-lfp")(train_lfp)
    app.command("predict-spikes")(predict)


def train_lfp(
    recording: Recording,
    sorting: Annotated[Path, typer.Argument(help="Spikes on the same clock: what spikeinterface.load reads")],
    folder: Annotated[Path, typer.Option("--out", "--folder", help="Where the model is saved")],
    unit: Annotated[list[str] | None, typer.Option(help="Unit, may be repeated, or 'population'; default: all")] = None,
    model: Annotated[str, typer.Option(help="constant, glm, bilstm, gru or cnn")] = "bilstm",
    bands: Annotated[str, typer.Option(help="human or rodent")] = "human",
    bin_ms: Annotated[float, typer.Option(help="Width of a bin in ms")] = 5.0,
    causal: Annotated[bool, typer.Option(help="Use only the past of each bin")] = False,
    report: Annotated[bool, typer.Option(help="Cross-validate too, and write report.html into the folder")] = False,
    seed: Annotated[int, typer.Option(help="Random seed")] = 0,
) -> None:
    """Learn to predict spikes from a field potential."""
    from ..io import open_saved_recording, open_sorting
    from ..lfp.features import FeatureSettings
    from ..lfp.predictors import PredictorSettings
    from ..training.lfp.train import train_spike_predictor

    check_folder(folder, "--out")
    lfp, spikes = open_saved_recording(recording), open_sorting(sorting)
    features = FeatureSettings(bands=bands, bin_ms=bin_ms, causal=causal)
    settings = PredictorSettings(seed=seed, progress_bar=True)
    unit_id = _unit_ids(spikes, unit)
    trained = train_spike_predictor(lfp, spikes, unit_id, model, folder, features=features, settings=settings)
    print("Bits per spike over the constant rate, on held-out blocks of the training data:")
    for name, value in trained.info.metrics.items():
        claim = "" if value > 0 else "  (nothing found: the constant rate is predicted)"
        print(f"  {name.removeprefix('held_out_bits_per_spike_')}: {value:.4f}{claim}")
    if report:
        from ..lfp.targets import Session
        from ..training.lfp.report import write_report

        chosen: Any = None if unit_id in (None, "population") else unit_id
        session = Session(lfp, spikes, unit_ids=chosen)
        page = write_report(
            session,
            folder / "report.html",
            model=model,
            target="population" if unit_id == "population" else "unit",
            features=features,
            settings=settings,
        )
        print(f"Report: {page}")
    print(f"Model: {folder}. Use it with: si-deepsort predict-spikes LFP --model {folder} --out PREDICTED")


def predict(
    recording: Recording,
    model: Annotated[str, typer.Option(help="Model folder")],
    folder: Annotated[
        Path,
        typer.Option("--out", "--folder", help="Receives 'sorting' and 'rates', to be loaded by spikeinterface.load"),
    ],
    sampling_frequency: Annotated[float, typer.Option(help="Sampling frequency of the sorting in Hz")] = 30_000.0,
    seed: Annotated[int, typer.Option(help="Random seed of the spikes that are drawn from the rates")] = 0,
) -> None:
    """Predict spikes from a field potential with a trained model."""
    from ..io import open_saved_recording
    from ..lfp.predict import predict_spikes

    check_folder(folder, "--out")
    present = [name for name in ("sorting", "rates") if (folder / name).exists()]
    if present:
        raise ValueError(f"--out {folder}: it holds '{present[0]}' of an earlier prediction. Give another folder.")
    if not 0 < sampling_frequency < float("inf"):
        raise ValueError(f"--sampling-frequency: got {sampling_frequency:g}, expected a positive number in Hz.")
    prediction = predict_spikes(open_saved_recording(recording), model)
    sorting = prediction.to_sorting(sampling_frequency, seed=seed)
    sorting.save(folder=folder / "sorting")
    start_s = sorting.get_annotation("start_time_s")
    if start_s:
        print(f"Spikes count from {start_s:.6g} s, the start of the recording (annotation start_time_s of the sorting)")
    rates = prediction.to_recording()
    # one chunk: SpikeInterface collects garbage after each, which takes longer than writing these few samples
    rates.save(folder=folder / "rates", chunk_size=len(prediction.times), verbose=False, progress_bar=False)
    for unit_id, rate in zip(prediction.unit_ids, prediction.rate_hz.T, strict=True):
        print(f"  unit {unit_id}: mean {rate.mean():.2f} Hz, from {rate.min():.2f} to {rate.max():.2f}")
    print(f"Saved to {folder / 'sorting'} and {folder / 'rates'}")


def _unit_ids(sorting: "BaseSorting", names: list[str] | None) -> list | str | None:
    if not names:
        return None
    if names == ["population"]:
        return "population"
    by_name = {str(unit_id): unit_id for unit_id in sorting.unit_ids}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ValueError(f"Units {unknown} are not in the sorting; it has {list(by_name)}.")
    return [by_name[name] for name in names]
