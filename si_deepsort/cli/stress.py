"""`si-deepsort stress-test`: what would sorters find in this recording?"""

from pathlib import Path
from typing import Annotated

import typer

from .outputs import check_folder
from .setting_options import check_settings
from .sort import FileFormat, ProbeFile, ReaderOptions, check_probe, reader_options


def add_commands(app: typer.Typer) -> None:
    """Add `stress-test`."""
    app.command("stress-test")(stress_test)


def stress_test(
    recording: Annotated[Path, typer.Argument(help="File or folder of a recording; see --format.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder for all results. Started again, only what is missing is run.", metavar="FOLDER"
        ),
    ],
    sorters: Annotated[str, typer.Option(help="Names of SpikeInterface's sorters, separated by commas.")] = "deepsort",
    sorting: Annotated[
        Path | None,
        typer.Option(help="Units of this recording, saved by SpikeInterface. Without, it is sorted first."),
    ] = None,
    file_format: FileFormat = "",
    reader_option: ReaderOptions = None,
    probe: ProbeFile = None,
    num_repetitions: Annotated[int | None, typer.Option(help="How often new units are injected. Default: 5")] = None,
    units_per_repetition: Annotated[
        int | None, typer.Option(help="Units injected at a time; default: two fifths of the own units.")
    ] = None,
    snr_min: Annotated[float | None, typer.Option(help="SNR of the smallest injected units. Default: 3.0")] = None,
    snr_max: Annotated[float | None, typer.Option(help="SNR of the largest injected units. Default: 20.0")] = None,
    firing_rate_min: Annotated[float | None, typer.Option(help="Lowest rate in Hz; default: as own units.")] = None,
    firing_rate_max: Annotated[float | None, typer.Option(help="Highest rate in Hz; default: as own units.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    workers: Annotated[int, typer.Option(help="Sortings at a time.", min=1)] = 1,
) -> None:
    """Inject units with known spikes, sort again, and tell what was found; the page is OUT/stress_test.html."""
    from ..io import open_recording, open_sorting
    from ..stress import StressTestSettings
    from ..stress import stress_test as run

    check_folder(out, "--out")
    given = dict(
        num_repetitions=num_repetitions,
        units_per_repetition=units_per_repetition,
        snr_min=snr_min,
        snr_max=snr_max,
        firing_rate_min=firing_rate_min,
        firing_rate_max=firing_rate_max,
        seed=seed,
    )
    given = {name: value for name, value in given.items() if value is not None}
    settings = StressTestSettings(**check_settings(StressTestSettings, given, {}, None))
    loaded = open_recording(recording, file_format=file_format, options=reader_options(reader_option), probe=probe)
    check_probe(loaded, recording)
    engine, options = ("loop", None) if workers == 1 else ("joblib", dict(n_jobs=workers))
    test = run(
        loaded,
        [name.strip() for name in sorters.split(",") if name.strip()],
        sorting=None if sorting is None else open_sorting(sorting),
        folder=out,
        settings=settings,
        engine=engine,
        engine_kwargs=options,
    )
    print(test.summary())
    print(f"Page: {test.write_page(out / 'stress_test.html')}")
