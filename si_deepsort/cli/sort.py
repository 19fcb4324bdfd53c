"""`si-deepsort sort`, `demo` and `doctor`: from a recording to units and a report, without writing Python."""

import json
import logging
import shutil
from pathlib import Path
from typing import Annotated

import typer

from ..sorter.adapter import DeepSortSettings, DeepSortSorter
from .setting_options import read_settings_file, with_setting_options


def add_commands(app: typer.Typer):
    """Add `sort`, `demo` and `doctor`."""
    app.command("sort")(with_setting_options(sort, DeepSortSettings))
    app.command("demo")(demo)
    app.command("doctor")(doctor)


def sort(
    recording: Annotated[Path, typer.Argument(help="Recording: what SpikeInterface saved, or see --format.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for units and report.")],
    file_format: Annotated[
        str, typer.Option("--format", help="SpikeInterface's reader, e.g. spikeglx, openephys, intan, binary.")
    ] = "",
    reader_option: Annotated[
        list[str] | None, typer.Option(help="name=value for the reader, e.g. stream_id=imec0.ap; can be repeated.")
    ] = None,
    probe: Annotated[Path | None, typer.Option(help="JSON file of probeinterface.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings; options win over it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete the output folder first.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write the report.")] = True,
    phy: Annotated[bool, typer.Option("--phy", help="Write a folder for phy as well.")] = False,
    given: dict | None = None,
):
    """Sort a recording; units are in OUT/sorter_output/sorting, the report in OUT/report/report.html."""
    from ..io import open_recording
    from ..settings import settings_from_dict
    from ..sorter.resume import is_finished

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    values = {**(read_settings_file(config) if config else {}), **(given or {})}
    settings_from_dict(DeepSortSettings, values)
    loaded = open_recording(recording, file_format=file_format, options=_reader_options(reader_option), probe=probe)
    print(f"{loaded.get_num_channels()} channels, {loaded.get_total_duration():.1f} s from {recording}")
    if resume and out.exists():
        if is_finished(out):
            print(f"{out} was finished before.")
        sorting = _resumed(out, values)
    else:
        sorting = _sorted(loaded, out, values, overwrite)
    print(f"{len(sorting.unit_ids)} units, {sorting.count_total_num_spikes()} spikes: {out}/sorter_output/sorting")
    if report:
        from ..report import write_report

        page = write_report(sorting, loaded, out / "report", overwrite=True, phy=phy)
        print(f"Report: {page}")


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder.")] = Path("si_deepsort_demo"),
    duration_s: Annotated[float, typer.Option("--duration", help="In s.", min=5.0)] = 30.0,
    seed: Annotated[int, typer.Option(help="Of the recording.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete the folder first.")] = False,
):
    """Make a recording with known spikes, sort it, compare, and write the report."""
    from ..report.demo import run_demo

    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists. Give another name with --out, or delete it with --overwrite.")
    shutil.rmtree(out, ignore_errors=True)
    table, num_units, page = run_demo(out, duration_s=duration_s, seed=seed)
    print(table.to_string(float_format=lambda value: f"{value:.3f}"))
    print(f"Mean accuracy {table['accuracy'].mean():.3f} over {len(table)} true units; {num_units} units found.")
    print(f"Report: {page}")


def doctor():
    """Show versions, devices, threads and folders; complain about what cannot work."""
    from ..report.environment import describe_environment

    environment = describe_environment()
    for name, value in environment.items():
        print(f"{name:<16} {value}")
    if not DeepSortSorter.is_installed():
        raise ValueError(f"Something that the sorter needs is missing: {DeepSortSorter.installation_mesg}")
    print("deepsort is ready.")


def _sorted(recording, out: Path, values: dict, overwrite: bool):
    from spikeinterface.sorters import run_sorter
    from spikeinterface.sorters.utils import SpikeSortingError

    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists. Go on with it by --resume, delete it by --overwrite, or give another --out.")
    try:
        return run_sorter("deepsort", recording, folder=out, remove_existing_folder=overwrite, verbose=True, **values)
    except SpikeSortingError as error:
        raise _short_error(error, out) from error
    except KeyboardInterrupt:
        print(f"\nStopped. The same command with --resume goes on from the last finished step in {out}.")
        raise


def _resumed(out: Path, values: dict):
    from spikeinterface.sorters.utils import SpikeSortingError

    from ..sorter.resume import resume_sorter, sorting_settings

    stored = sorting_settings(out)
    changed = [name for name, value in values.items() if stored[name] != value]
    if changed:
        raise ValueError(
            f"{out} was begun with other settings of {', '.join(changed)}. Leave them out to go on with it, or begin "
            "anew with --overwrite."
        )
    try:
        return resume_sorter(out, verbose=True)
    except SpikeSortingError as error:
        raise _short_error(error, out) from error


def _short_error(error, out: Path) -> ValueError:
    last_line = [line for line in str(error).splitlines() if line.strip()][-2].strip()
    return ValueError(f"{last_line}\nThe whole trace is in {out}/spikeinterface_log.json.")


def _reader_options(texts: list[str] | None) -> dict:
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
