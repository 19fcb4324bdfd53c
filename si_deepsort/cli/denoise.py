"""`si-deepsort denoise`, `train-denoiser` and `denoiser-report`: denoise recordings, and see what that would do."""

from pathlib import Path
from typing import Annotated

import typer

from .console import show_log
from .outputs import check_different, check_file, check_folder

METHODS = ("deep_interpolate", "wavelet_denoise")


def add_commands(app: typer.Typer) -> None:
    """Add `denoise`, `train-denoiser` and `denoiser-report`."""
    app.command("denoise")(denoise)
    app.command("train-denoiser")(train_denoiser)
    app.command("denoiser-report")(denoiser_report)


def denoise(
    recording: Annotated[Path, typer.Argument(help="Folder, JSON or zarr that SpikeInterface saved.")],
    output: Annotated[Path, typer.Argument(help="New folder; a name that ends with .zarr gives zarr.")],
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")] = METHODS[0],
    model: Annotated[str, typer.Option(help="Name or folder of a model, or the original's Keras .h5 file.")] = "",
    blend: Annotated[str, typer.Option(help="Weight of the raw trace, 0 to 1, or 'auto'.")] = "auto",
    bad_channels: Annotated[str, typer.Option(help="Channel ids separated by commas.")] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "cpu",
    n_jobs: Annotated[int, typer.Option("--n-jobs", help="Processes.", min=1)] = 1,
) -> None:
    """Denoise a recording that is band-pass filtered already, and save it."""
    from ..io import open_saved_recording
    from ..preprocessing import PREPROCESSORS

    show_log(True)
    if method not in METHODS:
        raise ValueError(f"--method: got '{method}', expected one of {METHODS}.")
    if output.exists():
        raise ValueError(f"{output} exists; choose another name or delete it.")
    check_folder(output, "OUTPUT")
    if method != METHODS[0]:
        given = {"--model": model, "--blend": blend.removeprefix("auto"), "--bad-channels": bad_channels}
        ignored = [name for name, value in given.items() if value]
        if ignored:
            raise ValueError(f"{', '.join(ignored)}: only --method {METHODS[0]} takes this, got --method {method}.")
    noisy = open_saved_recording(recording)
    options: dict = {}
    if method == METHODS[0]:
        named = {str(channel_id): channel_id for channel_id in noisy.channel_ids}
        bad = [named.get(text.strip(), text.strip()) for text in bad_channels.split(",") if text.strip()]
        options = dict(blend=_blend(blend), bad_channel_ids=bad or None, device=device)
        options |= dict(model=model) if model else {}
    denoised = PREPROCESSORS[method][1](noisy, **options)
    file_format = "zarr" if output.suffix == ".zarr" else "binary"
    denoised.save(folder=output, format=file_format, n_jobs=n_jobs, progress_bar=True, verbose=False)
    print(f"Saved {denoised.get_total_duration():.1f} s of {denoised.get_num_channels()} channels to {output}")


def train_denoiser(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings that SpikeInterface saved.")],
    folder: Annotated[Path, typer.Option("--out", help="Gets the model; started again, an interrupted run goes on.")],
    start_from: Annotated[str, typer.Option(help="Model to fine-tune, e.g. interpolator-any. Empty: anew.")] = "",
    num_epochs: Annotated[int, typer.Option(help="Most epochs; 0 gives the closed-form Wiener filter.", min=0)] = 20,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Train or fine-tune a denoiser on recordings."""
    from ..io import open_saved_recording
    from ..training.interpolation.train import InterpolationTrainingSettings, train_deep_interpolation

    check_folder(folder, "--out")
    settings = InterpolationTrainingSettings(num_epochs=num_epochs, device=device, seed=seed)
    loaded = [open_saved_recording(path) for path in recordings]
    train_deep_interpolation(loaded, folder, start_from=start_from or None, settings=settings)


def denoiser_report(
    recording: Annotated[Path, typer.Argument(help="Folder, JSON or zarr that SpikeInterface saved.")],
    report: Annotated[Path, typer.Option(help="HTML page to write.")] = Path("denoiser_report.html"),
    model: Annotated[str, typer.Option(help="Name or folder of a model, or a Keras .h5 file.")] = "interpolator-any",
    blend: Annotated[str, typer.Option(help="Weight of the raw trace, 0 to 1, or 'auto'.")] = "auto",
) -> None:
    """Measure what a denoiser would do to small units of a recording."""
    from ..benchmarking.artifact_report import artifact_report, verdict
    from ..io import open_saved_recording

    check_different({"the recording": recording, "--report": report})
    check_file(report, "--report")
    scores = artifact_report(open_saved_recording(recording), model, report, blend=_blend(blend))
    for name, score in scores.items():
        print(f"{name:>10}: amplitude kept {score.gain:.2f}, small units {score.gain_small:.2f}, d' {score.dprime:.2f}")
    print(*verdict(scores), f"Report: {report}", sep="\n")


def _blend(text: str) -> str | float:
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"--blend: got '{text}', expected 'auto' or a number from 0 to 1.") from error
