"""`si-deepsort events` and `train-events`: miniature potentials of a trace as a table and a report."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from .outputs import check_different, check_file, check_folder

TimeScale = Annotated[
    float, typer.Option(help="2 for events twice as slow as the model knows, ...", min=0.01, max=100.0)
]


def add_commands(app: typer.Typer) -> None:
    """Add `events` and `train-events`."""
    app.command("events")(events)
    app.command("train-events")(train_events)


def events(
    trace: Annotated[Path, typer.Argument(help="ABF, NWB, ATF, csv, npz, a format of neo, or a SpikeInterface folder")],
    out: Annotated[
        Path, typer.Option(help="CSV to write; your decisions and columns in it are kept, and a copy of it too")
    ] = Path("events.csv"),
    report: Annotated[Path | None, typer.Option(help="HTML report to write")] = None,
    model: Annotated[str, typer.Option(help="Name or folder of a model")] = "events-unet",
    polarity: Annotated[str, typer.Option(help="auto, up or down")] = "auto",
    threshold: Annotated[
        float | None, typer.Option(help="Smallest confidence; the model's own if not given", min=0.0, max=1.0)
    ] = None,
    time_scale: TimeScale = 1.0,
    end: Annotated[
        str | None,
        typer.Option(
            help="Where events end: tenth (decay to a tenth of the amplitude), decay_constant (one after the peak), or "
            "a part of the amplitude such as 0.5; the model's own if not given"
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Interval of each sweep without events, such as a test pulse: START:STOP in s; repeatable"),
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Channel id, where there are several")] = None,
    corrections: Annotated[Path | None, typer.Option(help="CSV or .xlsx with decisions, if not --out")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, auto ...")] = "cpu",
) -> None:
    """
    Find and measure every miniature potential of a trace.

    Write accept or reject in the column "decision" of the CSV and run the command again: decisions are kept, accepted
    events stay, and rejected ones no longer count in the report. To add an event, add a row with its onset_s and
    accept; the next run measures it.
    """
    from ..events.decisions import REJECT, apply_decisions
    from ..events.report import write_report
    from ..events.segment import segment_events
    from ..events.tables import save_events

    recording = _opened(trace, channel, out, report)
    earlier, text_format = _earlier_table(out, recording)
    corrected = _corrections(corrections)
    table = segment_events(
        recording,
        model,
        polarity=_sign(polarity),
        threshold=threshold,
        time_scale=time_scale,
        end=_end(end),
        exclude_s=[_interval(text) for text in exclude or ()],
        corrections=earlier if corrected is None else corrected,
        device=device,
    )
    if corrected is not None and earlier is not None:
        table = apply_decisions(apply_decisions(table, earlier), corrected)
    table["decision"] = table.get("decision", "")
    backup = save_events(table, out, text_format)
    if report is not None:
        write_report(report, recording, table, title=trace.name)
    _summarise(table, table[table["decision"] != REJECT], out, report, backup)


def train_events(
    trace: Annotated[list[Path], typer.Argument(help="Recordings")],
    labels: Annotated[
        list[Path], typer.Option(help="CSV or .xlsx of marked events, one per recording, in the same order")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the model")],
    model: Annotated[str, typer.Option(help="Model to start from")] = "events-unet",
    polarity: Annotated[str, typer.Option(help="up or down")] = "up",
    epochs: Annotated[int, typer.Option(help="Most passes")] = 5,
    cross_validate: Annotated[
        bool, typer.Option(help="Also train without each recording in turn, and compare with its marks")
    ] = False,
) -> None:
    """
    Fine-tune an event model on your own marked events.

    The model learns where your marks begin and end, too. Use it with: si-deepsort events TRACE --model FOLDER
    """
    from ..events.waveform import end_words
    from ..training.events.cross_validate import cross_validate_events
    from ..training.events.train import EventTrainingSettings
    from ..training.events.train import train_events as train

    check_folder(out, "--out")
    sign = _sign(polarity)
    if sign == "auto":
        raise ValueError("--polarity auto is not possible in training; say up or down.")
    settings = EventTrainingSettings(num_epochs=epochs)
    if cross_validate:
        folds = cross_validate_events(trace, labels, model=model, polarity=sign, settings=settings)
        folds["fold"] = [path.name for path in trace]
        typer.echo(folds.to_string(index=False, float_format="%.3f"))
    trained = train(list(trace), list(labels), folder=out, model=model, polarity=sign, settings=settings)
    learnt = trained.info.settings
    shift_ms = learnt.get("onset_shift_ms", 0.0)
    typer.echo(
        f"Threshold {learnt['threshold']:g}; an event ends {end_words(learnt.get('end', 'tenth'))}; your marks begin "
        f"{abs(shift_ms):.2f} ms {'after' if shift_ms > 0 else 'before'} the onset that is measured without them."
    )
    typer.echo(f"Model: {out}. Use it with: si-deepsort events TRACE --model {out}")


def _opened(trace, channel, out, report):
    """The chosen channel of the trace; an error first if the table or the report could not be written afterwards."""
    from ..events.segment import one_channel
    from ..events.tables import check_is_text

    check_different({"the trace": trace, "--out": out, "--report": report})
    check_file(out, "--out")
    check_is_text(out)
    check_file(report, "--report")
    return one_channel(trace, channel)


def _earlier_table(out, recording):
    """The table that is there already, checked before the work begins, and how it was written; (None, None) if none."""
    from ..events.decisions import check_has_corrections
    from ..events.tables import check_events_fit, read_events_and_format

    if not out.exists():
        return None, None
    earlier, text_format = read_events_and_format(out)
    check_has_corrections(earlier, f"The file of --out is there already: {out}; it")
    check_events_fit(earlier, recording)
    return earlier, text_format


def _corrections(path):
    """The table of `--corrections`, None if not given; an error if nobody corrected anything in it."""
    from ..events.decisions import check_has_corrections
    from ..events.tables import read_events

    if path is None:
        return None
    table = read_events(path)
    check_has_corrections(table, f"--corrections {path}")
    return table


def _summarise(table, kept, out, report, backup):
    from ..events.waveform import end_words

    attributes = table.attrs
    direction = "up" if attributes["polarity"] > 0 else "down"
    added = int((table["decision"].eq("accept") & table["confidence"].isna()).sum())
    typer.echo(
        f"{len(kept)} events in {attributes['analysed_s']:.1f} s ({int(kept['doubtful'].sum())} doubtful, {added} "
        f"added and {len(table) - len(kept)} rejected by you), {direction}; end_s is {end_words(attributes['end'])}; "
        f"table: {out}"
        + (f" (earlier table: {backup})" if backup is not None else "")
        + (f", report: {report}" if report is not None else "")
    )


def _sign(polarity: str) -> Any:
    signs = {"auto": "auto", "up": 1, "down": -1, "1": 1, "-1": -1}
    if polarity not in signs:
        raise ValueError(f"--polarity {polarity}: expected auto, up or down.")
    return signs[polarity]


def _end(text: str | None) -> str | float | None:
    from ..events.waveform import check_end

    try:
        return None if text is None else check_end(text)
    except ValueError as error:
        raise ValueError(f"--end {text}: expected tenth, decay_constant, or a part between 0 and 1.") from error


def _interval(text: str) -> tuple[float, float]:
    try:
        start, stop = map(float, text.split(":"))
    except ValueError as error:
        raise ValueError(f"--exclude {text}: expected START:STOP in s, such as 0:0.2.") from error
    if not 0 <= start < stop < math.inf:
        raise ValueError(f"--exclude {text}: expected START:STOP in s, with 0 <= START < STOP.")
    return start, stop
