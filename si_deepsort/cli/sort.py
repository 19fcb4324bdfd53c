"""`si-deepsort sort`, `settings`, `demo` and `doctor`: from a recording to units without writing Python."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..sorter.settings import DeepSortSettings
from .console import show_log
from .outputs import check_folder
from .setting_options import check_settings, in_words_of_options, read_settings_file, with_setting_options
from .topics import PRESETS, describe_settings, settings_file

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording, BaseSorting

# Heading in the help above the options that say how a recording is read.
RECORDING_PANEL = "How the recording is read"
# Options of `sort` with a long help.
FileFormat = Annotated[
    str,
    typer.Option(
        "--format",
        help="spikeglx, openephys, intan, nwb, zarr, binary or another reader of SpikeInterface. Not needed for "
        "what SpikeInterface saved.",
        metavar="NAME",
        rich_help_panel=RECORDING_PANEL,
    ),
]
ReaderOptions = Annotated[
    list[str] | None,
    typer.Option(
        help="Option of the reader, e.g. stream_id=imec0.ap; can be repeated. binary needs sampling_frequency, "
        "num_channels and dtype; gain_to_uV=0.195 turns its counts into uV.",
        metavar="NAME=VALUE",
        rich_help_panel=RECORDING_PANEL,
    ),
]
ProbeFile = Annotated[
    Path | None,
    typer.Option(
        help="Probe file with its wiring: JSON of probeinterface, or .prb.",
        metavar="FILE",
        rich_help_panel=RECORDING_PANEL,
    ),
]
Preset = Annotated[
    str, typer.Option(help=f"Settings for a purpose: {', '.join(PRESETS)}.", metavar="NAME", show_default=False)
]


def add_commands(app: typer.Typer) -> None:
    """Add `sort`, `settings`, `demo` and `doctor`."""
    app.command("sort")(with_setting_options(sort, DeepSortSettings))
    app.command("settings")(settings)
    app.command("demo")(demo)
    app.command("doctor")(doctor)


def sort(
    recording: Annotated[Path, typer.Argument(help="File or folder of a recording; see --format.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for units and report.", metavar="FOLDER")],
    file_format: FileFormat = "",
    reader_option: ReaderOptions = None,
    probe: ProbeFile = None,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file with settings; options win over it.", metavar="FILE"),
    ] = None,
    preset: Preset = "",
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run in --out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output folder if it exists.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write the report, or not.")] = True,
    phy: Annotated[bool, typer.Option("--phy", help="Write a folder for phy as well.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log.")] = False,
    given: dict | None = None,
) -> None:
    """
    Sort a recording; units are in OUT/sorter_output/sorting, the report in OUT/report/report.html.

    The settings below are explained by: si-deepsort settings
    """
    from ..io import open_recording

    show_log(verbose)
    if not out.exists():
        check_folder(out, "--out")
    values = chosen_settings(given or {}, config, preset)
    loaded = open_recording(recording, file_format=file_format, options=reader_options(reader_option), probe=probe)
    check_probe(loaded, recording)
    print(f"{loaded.get_num_channels()} channels, {loaded.get_total_duration():.1f} s from {recording}")
    sorting = _resumed(out, values) if resume and out.exists() else _sorted(loaded, out, values, overwrite)
    _tell_result(sorting, out)
    if report:
        from ..report import write_report

        page = write_report(sorting, loaded, out / "report", overwrite=True, phy=phy)
        print(f"Report: {page}")
    print(f"Look at the units and the traces: si-deepsort view {out}")


def check_probe(loaded: "BaseRecording", path: Path) -> None:
    """Raise a ValueError that names the option if there are several channels and no probe."""
    if loaded.get_num_channels() > 1 and not loaded.has_channel_location():
        raise ValueError(f"{path} has {loaded.get_num_channels()} channels and no probe. Name its file by --probe.")


def chosen_settings(given: dict[str, Any], config: Path | None, preset: str) -> dict[str, Any]:
    """
    Settings of options, a file and a preset; an option wins over the file, and the file over the preset.

    Raises
    ------
    ValueError
        If one is wrong, or there is no such preset.
    """
    if preset and preset not in PRESETS:
        raise ValueError(f"--preset: got '{preset}', expected one of {', '.join(PRESETS)}.")
    from_preset = PRESETS[preset][1] if preset else {}
    from_file = read_settings_file(DeepSortSettings, config) if config else {}
    return check_settings(DeepSortSettings, given, {**from_preset, **from_file}, config)


def _tell_result(sorting: "BaseSorting", out: Path) -> None:
    """What was found, what was left out, and how to open it."""
    print(f"{len(sorting.unit_ids)} units, {sorting.count_total_num_spikes()} spikes.")
    left_out = sorting.get_annotation("dropped_units") or {}
    num_left_out = len(left_out.get("reason", ()))
    if num_left_out:
        print(f"{num_left_out} units were left out; {out}/sorter_output/dropped.csv says why.")
    # With slashes on Windows as well: in Python, backslashes within quotes mean something else.
    print(
        f'Open them in Python, also without this package: spikeinterface.load("{out.as_posix()}/sorter_output/sorting")'
    )


def settings(
    names: Annotated[list[str] | None, typer.Argument(help="Settings to explain; default: all.")] = None,
    toml: Annotated[bool, typer.Option("--toml", help="Print a settings file for --config instead.")] = False,
    preset: Annotated[str, typer.Option(help="Preset that the settings file sets.", metavar="NAME")] = "",
) -> None:
    """Explain the settings of the sorter, or print a settings file to edit."""
    if preset and not toml:
        raise ValueError("--preset needs --toml.")
    if toml:
        print(settings_file(chosen_settings({}, None, preset)), end="")
        return
    for name in names or []:
        if name not in DeepSortSettings.__dataclass_fields__:
            raise ValueError(f"There is no setting '{name}'. All settings: si-deepsort settings")
    print(describe_settings(names))
    if not names:
        print("\nPresets, for sort --preset NAME")
        for name, (words, values) in PRESETS.items():
            print(f"  {name:<16} {words}: {', '.join(f'{key}={value}' for key, value in values.items())}")


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder.")] = Path("si_deepsort_demo"),
    duration_s: Annotated[float, typer.Option("--duration", help="Duration in s.", min=5.0)] = 30.0,
    seed: Annotated[int, typer.Option(help="Random seed of the recording.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete the folder first.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log.")] = False,
) -> None:
    """Make a recording with known spikes, sort it, compare, and write the report."""
    from ..report.demo import run_demo

    show_log(verbose)
    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists. Give another name with --out, or delete it with --overwrite.")
    shutil.rmtree(out, ignore_errors=True)
    print(f"A recording of {duration_s:g} s with known spikes is made, sorted and reported; this takes about a minute.")
    table, num_units, page = run_demo(out, duration_s=duration_s, seed=seed)
    print(table.to_string(float_format=lambda value: f"{value:.3f}"))
    print(f"Mean accuracy {table['accuracy'].mean():.3f} over {len(table)} true units; {num_units} units found.")
    print(f"Report: {page}")


def doctor() -> None:
    """Show versions, devices, threads and folders, and what is missing."""
    from ..report.environment import describe_environment
    from ..sorter.adapter import DeepSortSorter

    environment = describe_environment()
    for name, value in environment.items():
        print(f"{name:<16} {value}")
    if not DeepSortSorter.is_installed():
        raise ValueError(f"Something that the sorter needs is missing: {DeepSortSorter.installation_mesg}")
    print("deepsort is ready.")


def _sorted(recording: "BaseRecording", out: Path, values: dict[str, Any], overwrite: bool) -> "BaseSorting":
    from spikeinterface.sorters import run_sorter
    from spikeinterface.sorters.utils import SpikeSortingError

    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists. Continue it by --resume, replace it by --overwrite, or give another --out.")
    try:
        with in_words_of_options():
            return run_sorter("deepsort", recording, folder=out, remove_existing_folder=overwrite, **values)
    except SpikeSortingError as error:
        raise _short_error(error, out) from error
    except KeyboardInterrupt:
        print(f"\nStopped. The same command with --resume goes on from the last finished step in {out}.")
        raise


def _resumed(out: Path, values: dict[str, Any]) -> "BaseSorting":
    from spikeinterface.sorters.utils import SpikeSortingError

    from ..sorter.resume import CannotResumeError, is_finished, resume_sorter, sorting_settings

    try:
        stored = sorting_settings(out)
        # How many workers there are does not change the spikes, so that it may be another number than at first.
        job_kwargs = values.pop("job_kwargs", None)
        changed = [name for name, value in values.items() if stored[name] != value]
        if changed:
            raise CannotResumeError(
                f"{out} was begun with other settings of {', '.join(changed)}. Leave them out to go on with it."
            )
        if is_finished(out):
            print(f"{out} was finished before.")
        with in_words_of_options():
            return resume_sorter(out, job_kwargs=job_kwargs)
    except CannotResumeError as error:
        raise ValueError(f"{error.reason} Begin anew with --overwrite, or give another --out.") from error
    except SpikeSortingError as error:
        raise _short_error(error, out) from error


def _short_error(error: Exception, out: Path) -> ValueError:
    last_line = [line for line in str(error).splitlines() if line.strip()][-2].strip()
    return ValueError(f"{last_line}\nThe whole trace is in {out}/spikeinterface_log.json.")


def reader_options(texts: list[str] | None) -> dict[str, Any]:
    """Options of a reader, given as name=value, as a dictionary."""
    options = {}
    for text in texts or []:
        name, separator, value = text.partition("=")
        if not separator:
            raise ValueError(f"--reader-option: got '{text}', expected name=value, e.g. stream_id=imec0.ap.")
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
    return options
