"""`si-deepsort assess`: how far to trust the sorting of any sorter."""

from pathlib import Path
from typing import Annotated

import typer


def add_commands(app: typer.Typer) -> None:
    """Add `assess`."""
    app.command("assess")(assess)


def assess(
    sorting: Annotated[
        Path, typer.Argument(help="Folder of the sorting, saved by SpikeInterface or a sorter's output.")
    ],
    recording: Annotated[
        Path, typer.Argument(help="Folder of the recording that was sorted, saved by SpikeInterface.")
    ],
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
) -> None:
    """Expected precision and recall of each unit, labels with reasons, and what was probably missed."""
    import spikeinterface.core as si

    from ..assessment import assess as judge

    assessment = judge(
        _load_sorting(sorting),
        si.load(recording),
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


def _load_sorting(folder: Path):
    """A saved sorting, or the result in the output folder of a sorter."""
    import spikeinterface.core as si
    from spikeinterface.sorters import read_sorter_folder

    is_sorter_output = (folder / "spikeinterface_log.json").exists()
    return read_sorter_folder(folder) if is_sorter_output else si.load(folder)
