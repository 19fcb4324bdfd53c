"""`si-deepsort assess`: how far to trust the sorting of any sorter."""

from pathlib import Path
from typing import Annotated

import typer

from .outputs import check_folder
from .sort import FileFormat, ProbeFile, ReaderOptions, check_probe, reader_options


def add_commands(app: typer.Typer) -> None:
    """Add `assess`."""
    app.command("assess")(assess)


def assess(
    sorting: Annotated[
        Path, typer.Argument(help="Folder of the sorting: saved by SpikeInterface, a sorter's output, or for phy.")
    ],
    recording: Annotated[Path, typer.Argument(help="File or folder of the recording that was sorted; see --format.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="New folder for the tables (units.csv and others).")
    ] = None,
    model: Annotated[str, typer.Option(help="Name or folder of the network that judges.")] = "assessment",
    duration_s: Annotated[float, typer.Option("--duration", help="Seconds of the recording that are read.")] = 60.0,
    every_spike: Annotated[
        bool, typer.Option("--every-spike", help="Judge every spike; reads the whole file.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier assessment in --out.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the choice of spikes.")] = 0,
    file_format: FileFormat = "",
    reader_option: ReaderOptions = None,
    probe: ProbeFile = None,
) -> None:
    """Expected precision and recall of each unit, labels with reasons, and what was probably missed."""
    from ..assessment import assess as judge
    from ..io import open_recording, open_sorting

    if out is not None:
        check_folder(out, "--out")
        if out.exists() and any(out.iterdir()) and not overwrite:
            raise ValueError(f"--out {out}: the folder is not empty. Replace an earlier assessment by --overwrite.")
    loaded = open_recording(recording, file_format=file_format, options=reader_options(reader_option), probe=probe)
    check_probe(loaded, recording)
    assessment = judge(
        open_sorting(sorting),
        loaded,
        model=model,
        duration_s=duration_s,
        every_spike=every_spike,
        seed=seed,
    )
    columns = ["label", "confidence", "expected_precision", "expected_recall", "num_spikes", "snr"]
    print(assessment.units[columns].to_string(float_format=lambda value: f"{value:.2f}"))
    print(assessment.summary())
    if out is not None:
        print(f"Tables: {assessment.save(out, overwrite=overwrite)}")
