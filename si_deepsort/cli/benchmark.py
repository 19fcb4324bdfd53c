"""`si-deepsort benchmark`: sorters against ground truth."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def add_commands(app: typer.Typer) -> None:
    """Add `benchmark` to the command line."""
    app.command("benchmark")(benchmark)


def benchmark(
    recordings: Annotated[
        str,
        typer.Option(
            help="Names separated by commas, folders or files with ground truth of your own, or the sets "
            "'quick' and 'main'. 'list' lists the names."
        ),
    ] = "quick",
    sorters: Annotated[str, typer.Option(help="Names separated by commas, or 'core', or 'all'.")] = "core",
    seeds: Annotated[str, typer.Option(help="Seeds separated by commas.")] = "0",
    duration_s: Annotated[float, typer.Option("--duration", help="Duration of named recordings in s.", min=1.0)] = 60.0,
    folder: Annotated[Path, typer.Option(help="Results folder. Started again, it runs only what is missing.")] = Path(
        "benchmark_results"
    ),
    engine: Annotated[str, typer.Option(help="loop, dask or slurm.")] = "loop",
    num_workers: Annotated[int, typer.Option("--workers", help="Cases at a time (loop, dask).", min=1)] = 1,
    n_jobs: Annotated[int, typer.Option("--n-jobs", help="Processes that each sorter may use.", min=1)] = 1,
    warm_up: Annotated[bool, typer.Option(help="Run on ten seconds first, so that compilation is not counted.")] = True,
    sbatch: Annotated[str, typer.Option(help='Options of sbatch, e.g. "mem=16G,cpus-per-task=2".')] = "",
    timeout_s: Annotated[float | None, typer.Option("--timeout", help="Longest time for a case, in s.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the results here too.")] = None,
) -> None:
    """Compare sorters on recordings with known spikes; write results.json and report.html."""
    from ..benchmarking import peers, plots, report, study, summary
    from ..benchmarking.recordings import RECIPES

    if recordings == "list":
        for name, recipe in RECIPES.items():
            print(f"{name}: {recipe.description}, {recipe.num_units} units")
        return
    recording_sets = {"quick": study.QUICK_RECORDINGS, "main": study.MAIN_RECORDINGS}
    cases = study.plan_cases(
        recording_sets.get(recordings) or _split(recordings),
        {"core": peers.CORE_SORTERS, "all": peers.ALL_SORTERS}.get(sorters) or _split(sorters),
        seeds=_numbers(seeds),
        duration_s=duration_s,
        n_jobs=n_jobs,
        warm_up=warm_up,
    )
    results = study.run_cases(
        cases,
        folder,
        engine=engine,
        num_workers=num_workers,
        sbatch_options=dict(option.split("=", 1) for option in _split(sbatch)),
        timeout_s=timeout_s,
    )
    if len(results) < len(cases):
        print(f"{len(cases) - len(results)} of {len(cases)} cases have not ended; run the same command again later.")
    if not results:
        return
    document = summary.summarize(results, command=shlex.join(["si-deepsort", *sys.argv[1:]]))
    for file in filter(None, (folder / "results.json", json_file)):
        report.write_results(document, file)
    page = report.write_page(document, folder / "report.html", plots.make_figures(document, folder))
    for table in document["tables"].values():
        print(f"\n{report.markdown_table(table)}")
    for record in filter(lambda record: record.get("error"), document["summary"]):
        print(f"\n{record['sorter']} failed on {record['recording']}: {record['error']}")
    print(f"\nReport: {page}")


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in _split(text)]
    except ValueError as error:
        raise ValueError(f"--seeds: got '{text}', expected whole numbers separated by commas, e.g. 0,1,2.") from error
