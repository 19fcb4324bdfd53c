"""Tables: README and results agree, comparisons are computed as they say."""

import json
from pathlib import Path

import numpy as np
import pytest

from si_deepsort.benchmarking import plots, summary
from si_deepsort.benchmarking.provenance import sources_table
from si_deepsort.benchmarking.report import fill_tables, markdown_table, read_tables, write_results

ROOT = Path(__file__).parents[2]
TABLE = dict(columns=["sorter", "accuracy"], rows=[["a|b", 0.91234], ["c", None]])


@pytest.mark.parametrize("file", ["README.md", "docs/benchmarks.md"])
def test_text_and_results_agree(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    folder = ROOT / "benchmarks" / "results"
    tables = read_tables(folder) | {"sources": sources_table(folder)}
    assert fill_tables(text, tables) == text, "run python benchmarks/report.py"


def test_table_is_written_between_its_markers_and_nowhere_else():
    text = "before\n<!-- table:x -->\nold\n<!-- /table -->\nafter <!-- table:y -->"
    filled = fill_tables(text, {"x": TABLE})
    assert filled.startswith("before\n<!-- table:x -->\n| sorter | accuracy |\n| --- | --- |\n| a\\|b | 0.912 |")
    assert filled.endswith("<!-- /table -->\nafter <!-- table:y -->")
    assert fill_tables(filled, {"x": TABLE}) == filled
    with pytest.raises(ValueError, match="table 'x'"):
        fill_tables(text, {})


def test_tables_of_several_files_are_gathered(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(dict(tables={"x": TABLE})), encoding="utf-8")
    (tmp_path / "two.json").write_text(json.dumps(dict(rows=[dict(a=1, b=2), dict(a=3, c=4)])), encoding="utf-8")
    tables = read_tables(tmp_path)
    assert set(tables) == {"x", "two"}
    assert markdown_table(tables["two"]).splitlines()[-1] == "| 3 |  | 4 |"
    (tmp_path / "three.json").write_text(json.dumps(dict(tables={"x": TABLE})), encoding="utf-8")
    with pytest.raises(ValueError, match="one place"):
        read_tables(tmp_path)
    (tmp_path / "three.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="not valid JSON"):
        read_tables(tmp_path)


def result(recording, sorter, accuracy, seed=0, **more):
    units = {name: list(accuracy) for name in ("accuracy", "precision", "recall")}
    units.update(snr=list(np.linspace(3, 12, len(accuracy))), unit_id=[str(i) for i in range(len(accuracy))])
    counts = dict.fromkeys((*summary.COUNTS, "num_overmerged_large"), 1)
    case = dict(recording=dict(name=recording, seed=seed, duration_s=1.0), sorter=sorter, params={})
    measured = dict(status="done", version="1", origin="generated", num_channels=4, duration_s=1.0, wall_s=1.0)
    measured.update(cpu_s=1.0, cpu_s_per_s=1.0, peak_memory_mb=100.0, units=units, counts=counts)
    return dict(case=case, mean_accuracy=float(np.mean(accuracy)), **{**measured, **more})


@pytest.fixture
def results():
    rng = np.random.default_rng(0)
    peer = [rng.uniform(0.4, 0.8, 20) for _ in range(4)]
    made = []
    for recording, first, second in (("r1", peer[0], peer[1]), ("r2", peer[2], peer[3])):
        for seed, accuracy in enumerate((first, second)):
            made.append(result(recording, "deepsort", 1 - (1 - accuracy) / 2, seed))
            made.append(result(recording, "lupin", accuracy, seed))
            made.append(result(recording, "spikesift", accuracy - 0.2, seed))
    return made


def test_error_is_compared_with_the_best_peer_of_each_recording(results):
    overall = summary.overall_error(results)
    assert overall["best_peers"] == {"r1": "lupin", "r2": "lupin"}
    assert overall["ratio"] == pytest.approx(0.5)
    assert overall["ratio_low"] <= 0.5 + 1e-9 and overall["ratio_high"] >= 0.5 - 1e-9
    assert summary.overall_error([r for r in results if r["case"]["sorter"] != "deepsort"]) is None


def test_order_of_results_does_not_matter(results):
    forward = summary.summarize(results, command="x")
    backward = summary.summarize(results[::-1], command="x")
    assert sorted(map(str, forward["paired"])) == sorted(map(str, backward["paired"]))


def test_paired_rows_compare_the_same_units(results):
    document = summary.summarize(results, command="x")
    assert {row["other"] for row in document["paired"]} == {"lupin", "spikesift"}
    assert all(row["num_units"] == 40 and row["low"] > 0 for row in document["paired"])


def test_sorter_that_failed_on_one_seed_is_not_averaged_over_the_others(results):
    results[1] = dict(case=results[1]["case"], status="failed", error="boom")
    document = summary.summarize(results, command="x")
    record = next(r for r in document["summary"] if r["recording"] == "r1" and r["sorter"] == "lupin")
    assert record["status"] == "failed" and "mean_accuracy" not in record
    assert document["overall"]["best_peers"]["r1"] == "spikesift"
    assert "failed" in markdown_table(document["tables"]["sorters"])


def test_figures_are_made_for_one_sorter_and_for_many(results):
    assert len(plots.make_figures(summary.summarize(results, command="x"))) == 3
    alone = [r for r in results if r["case"]["sorter"] == "lupin"]
    assert len(plots.make_figures(summary.summarize(alone, command="x"))) == 2
    failed = [dict(case=results[0]["case"], status="failed", error="boom")]
    assert plots.make_figures(summary.summarize(failed, command="x")) == {}


def test_results_are_written_as_they_are(results, tmp_path):
    document = summary.summarize(results, command="x")
    write_results(document, tmp_path / "new" / "x.json")
    assert json.loads((tmp_path / "new" / "x.json").read_text(encoding="utf-8")) == document
