"""`si-deepsort events`: miniature potentials of a trace as a table and a report."""

from pathlib import Path
from typing import Annotated

import typer


def add_commands(app: typer.Typer):
    """Add `events` and `train-events`."""
    app.command("events")(events)
    app.command("train-events")(train_events)


def events(
    trace: Annotated[Path, typer.Argument(help="ABF, NWB, Axograph, Igor, npz, csv ... or a SpikeInterface folder")],
    out: Annotated[Path, typer.Option(help="CSV to write; decisions that it already holds are kept")] = Path(
        "events.csv"
    ),
    report: Annotated[Path | None, typer.Option(help="HTML report to write")] = None,
    model: Annotated[str, typer.Option(help="Name or folder of a model")] = "events-unet",
    polarity: Annotated[str, typer.Option(help="auto, up or down")] = "auto",
    threshold: Annotated[
        float | None, typer.Option(help="Smallest confidence, 0 to 1; the model's own if not given")
    ] = None,
    time_scale: Annotated[float, typer.Option(help="2 for events twice as slow as the model knows, ...")] = 1.0,
    channel: Annotated[str | None, typer.Option(help="Channel id, where there are several")] = None,
    corrections: Annotated[Path | None, typer.Option(help="CSV with decisions, if not the one of --out")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, auto ...")] = "cpu",
):
    """
    Find and measure every miniature potential of a trace.

    Write accept or reject in the column "decision" of the CSV and run the command again: decisions are kept, accepted
    events stay, and rejected ones no longer count in the report.
    """
    from ..events.report import write_report
    from ..events.segment import one_channel, segment_events
    from ..events.tables import REJECT, apply_decisions, read_events

    recording = one_channel(trace, channel)
    table = segment_events(
        recording, model, polarity=_sign(polarity), threshold=threshold, time_scale=time_scale, device=device
    )
    attributes = dict(table.attrs)
    earlier = corrections if corrections is not None else out if out.exists() else None
    table = apply_decisions(table, read_events(earlier) if earlier is not None else table)
    table.attrs |= attributes
    table.to_csv(out, index=False, float_format="%.7g")
    kept = table[table["decision"] != REJECT]
    if report is not None:
        write_report(report, recording, table, title=trace.name)
    doubtful = int((kept["confidence"] < 0.8).sum())
    typer.echo(
        f"{len(kept)} events in {attributes['duration_s']:.1f} s ({doubtful} doubtful, {len(table) - len(kept)} "
        f"rejected by you), {'up' if attributes['polarity'] > 0 else 'down'}; table: {out}"
        + (f", report: {report}" if report is not None else "")
    )


def train_events(
    trace: Annotated[list[Path], typer.Argument(help="Recordings")],
    labels: Annotated[list[Path], typer.Option(help="CSV of marked events, one per recording, in the same order")],
    out: Annotated[Path, typer.Option(help="Folder of the model")],
    model: Annotated[str, typer.Option(help="Model to start from")] = "events-unet",
    polarity: Annotated[str, typer.Option(help="up or down")] = "up",
    epochs: Annotated[int, typer.Option(help="Most passes")] = 5,
):
    """Fine-tune an event model on your own marked events."""
    from ..training.events.train import EventTrainingSettings
    from ..training.events.train import train_events as train
    from ..zoo import save_model

    sign = _sign(polarity)
    if sign == "auto":
        raise ValueError("polarity='auto' is not possible in training, expected 'up' or 'down'.")
    net = train(
        list(trace), list(labels), model=model, polarity=sign, settings=EventTrainingSettings(num_epochs=epochs)
    )
    save_model(net, out, net.info)
    typer.echo(f"Model: {out}. Use it with: si-deepsort events TRACE --model {out}")


def _sign(polarity: str):
    signs = {"auto": "auto", "up": 1, "down": -1, "1": 1, "-1": -1}
    if polarity not in signs:
        raise ValueError(f"polarity={polarity!r}, expected 'auto', 'up' or 'down'.")
    return signs[polarity]
