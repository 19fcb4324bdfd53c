"""`si-deepsort sort`, `demo` and `doctor`: from a recording to units and a report, without writing Python."""

import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..sorter.settings import DeepSortSettings
from .setting_options import check_settings, in_words_of_options, read_settings_file, with_setting_options

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording, BaseSorting


def add_commands(app: typer.Typer) -> None:
    """Add `sort`, `demo` and `doctor`."""
    app.command("sort")(with_setting_options(sort, DeepSortSettings))
    app.command("demo")(demo)
    app.command("doctor")(doctor)


def sort(
    recording: Annotated[Path, typer.Argument(help="File or folder of a recording; see --format.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for units and report.")],
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="Format of the recording: spikeglx, openephys, intan, nwb, zarr, binary or another reader of "
            "SpikeInterface. Not needed for what SpikeInterface saved.",
        ),
    ] = "",
    reader_option: Annotated[
        list[str] | None,
        typer.Option(
            help="Option of the reader as name=value, e.g. stream_id=imec0.ap; can be repeated. binary needs "
            "sampling_frequency, num_channels and dtype; gain_to_uV=0.195 (and offset_to_uV) turn its counts into uV."
        ),
    ] = None,
    probe: Annotated[
        Path | None, typer.Option(help="Probe file with its wiring: JSON of probeinterface, or .prb.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file with settings, a line for each, e.g. freq_min = 300.0; options win over it."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run in --out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output folder if it exists.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write the report.")] = True,
    phy: Annotated[bool, typer.Option("--phy", help="Write a folder for phy as well.")] = False,
    given: dict | None = None,
) -> None:
    """Sort a recording; units are in OUT/sorter_output/sorting, the report in OUT/report/report.html."""
    from ..io import open_recording
    from ..sorter.resume import is_finished

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    values = check_settings(DeepSortSettings, given or {}, read_settings_file(config) if config else {}, config)
    loaded = open_recording(recording, file_format=file_format, options=_reader_options(reader_option), probe=probe)
    if loaded.get_num_channels() > 1 and not loaded.has_channel_location():
        raise ValueError(
            f"{recording} has {loaded.get_num_channels()} channels and no probe. Name its file by --probe."
        )
    print(f"{loaded.get_num_channels()} channels, {loaded.get_total_duration():.1f} s from {recording}")
    if resume and out.exists():
        if is_finished(out):
            print(f"{out} was finished before.")
        sorting = _resumed(out, values)
    else:
        sorting = _sorted(loaded, out, values, overwrite)
    print(f"{len(sorting.unit_ids)} units, {sorting.count_total_num_spikes()} spikes.")
    print(f'Open them in Python, also without this package: spikeinterface.load("{out}/sorter_output/sorting")')
    if report:
        from ..report import write_report

        with _no_warnings_of_intermediate_steps():
            page = write_report(sorting, loaded, out / "report", overwrite=True, phy=phy)
        print(f"Report: {page}")


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder.")] = Path("si_deepsort_demo"),
    duration_s: Annotated[float, typer.Option("--duration", help="Duration in s.", min=5.0)] = 30.0,
    seed: Annotated[int, typer.Option(help="Random seed of the recording.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete the folder first.")] = False,
) -> None:
    """Make a recording with known spikes, sort it, compare, and write the report."""
    from ..report.demo import run_demo

    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists. Give another name with --out, or delete it with --overwrite.")
    shutil.rmtree(out, ignore_errors=True)
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
            return run_sorter(
                "deepsort", recording, folder=out, remove_existing_folder=overwrite, verbose=True, **values
            )
    except SpikeSortingError as error:
        raise _short_error(error, out) from error
    except KeyboardInterrupt:
        print(f"\nStopped. The same command with --resume goes on from the last finished step in {out}.")
        raise


def _resumed(out: Path, values: dict[str, Any]) -> "BaseSorting":
    from spikeinterface.sorters.utils import SpikeSortingError

    from ..sorter.resume import CannotResumeError, resume_sorter, sorting_settings

    try:
        stored = sorting_settings(out)
        changed = [name for name, value in values.items() if stored[name] != value]
        if changed:
            raise CannotResumeError(
                f"{out} was begun with other settings of {', '.join(changed)}. Leave them out to go on with it."
            )
        return resume_sorter(out, verbose=True)
    except CannotResumeError as error:
        raise ValueError(f"{error.reason} Begin anew with --overwrite, or give another --out.") from error
    except SpikeSortingError as error:
        raise _short_error(error, out) from error


@contextmanager
def _no_warnings_of_intermediate_steps() -> Iterator[None]:
    """Hide warnings of SpikeInterface about objects that the report makes for a moment: the user did not make them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*provenance will not be saved")
        warnings.filterwarnings("ignore", message="The recording registered to this sorting object will not be saved")
        warnings.filterwarnings("ignore", message="Bin duration of .* is larger than recording duration")
        yield


def _short_error(error: Exception, out: Path) -> ValueError:
    last_line = [line for line in str(error).splitlines() if line.strip()][-2].strip()
    return ValueError(f"{last_line}\nThe whole trace is in {out}/spikeinterface_log.json.")


def _reader_options(texts: list[str] | None) -> dict[str, Any]:
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
