"""The script that measures a GPU runs from end to end; here on the CPU, where it says nothing about speed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_whole_script_runs_on_a_cpu(tmp_path):
    out = tmp_path / "gpu.json"
    # In shorter recordings one spike more or less decides whether a cluster is large enough.
    sizes = ["--channels", "16", "--units", "4", "--seconds", "12"]
    command = [sys.executable, ROOT / "benchmarks" / "sorting" / "gpu.py", "--device", "cpu", *sizes, "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads(out.read_text(encoding="utf-8"))
    assert [record["step"] for record in document["steps"]] == ["whitening", "detection", "correlation"]
    assert all(record["difference"] <= record["allowed"] for record in document["steps"])
    assert document["same_spikes"][0]["of_true_neurons"] >= 0.99
    assert document["kilosort4_left_out"] and len(document["sortings"]) == 2
    assert set(document["tables"]) == {"gpu-steps", "gpu-sortings"}
