"""`si-deepsort view`: units, spikes and traces of a result in spikeinterface-gui, without a copy of the recording."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spikeinterface.core import SortingAnalyzer

MODES = ("desktop", "web")
# Where a result keeps its analyzer: the folder itself, a report, a sorting with a report, a sorting without one.
ANALYZER_PLACES = (".", "analyzer", "report/analyzer")


def add_commands(app: typer.Typer) -> None:
    """Add `view`."""
    app.command("view")(view)


def view(
    folder: Annotated[Path, typer.Argument(help="Output folder of a sorting, a report, or an analyzer.")],
    mode: Annotated[str, typer.Option(help="desktop, or web for a browser.", metavar="TEXT")] = MODES[0],
) -> None:
    """Open a result in spikeinterface-gui: units, correlograms, spikes on the traces, and curation."""
    if mode not in MODES:
        raise ValueError(f"--mode: got '{mode}', expected one of {', '.join(MODES)}.")
    if find_spec("spikeinterface_gui") is None:
        raise ValueError(
            f"spikeinterface-gui is not installed. Install it by: pip install 'spikeinterface-gui[{mode}]'. "
            "Without it, open the report in a browser."
        )
    analyzer = open_analyzer(folder)
    from spikeinterface_gui import run_mainwindow

    if not analyzer.has_recording():
        print("The recording is not where it was, so traces are not shown.")
    run_mainwindow(analyzer, mode=mode, with_traces=analyzer.has_recording(), curation=True)


def open_analyzer(folder: Path) -> "SortingAnalyzer":
    """
    The analyzer of a result; it is made in `folder/analyzer` if there is none.

    The analyzer names the recording and does not copy it.

    Raises
    ------
    ValueError
        If the folder holds neither an analyzer nor a finished sorting.
    """
    import spikeinterface.core as si

    from ..report import analyze
    from ..sorter.adapter import DeepSortSorter
    from ..sorter.resume import CannotResumeError, is_finished, sorting_settings

    for place in ANALYZER_PLACES:
        if (folder / place / "spikeinterface_info.json").is_file() and (folder / place / "sorting").is_dir():
            found = si.load(folder / place)
            if isinstance(found, si.SortingAnalyzer):
                return found
    try:
        params = sorting_settings(folder)
    except CannotResumeError as error:
        raise ValueError(f"{folder} holds neither a sorting of deepsort nor a report nor an analyzer.") from error
    if not is_finished(folder):
        raise ValueError(f"The sorting in {folder} is not finished. Continue it: si-deepsort sort ... --resume")
    sorting = DeepSortSorter.get_result_from_folder(folder)
    if sorting.count_total_num_spikes() == 0:
        raise ValueError(f"The sorting in {folder} has no spikes, so there is nothing to show.")
    recording = DeepSortSorter.load_recording_from_folder(folder, with_warnings=False)
    print(f"Measuring the units; they are kept in {folder / 'analyzer'}")
    return analyze(sorting, recording, folder / "analyzer", params=params)
