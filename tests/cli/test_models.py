"""`si-deepsort models`: thin, honest exit codes, errors without a traceback."""

import json

import pytest
from small_model import INFO, make_net

from si_deepsort.cli import main
from si_deepsort.zoo import WEIGHTS_FILE, load_model, save_model
from si_deepsort.zoo.names import bundled_names


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Exit code, output and errors of a command, with an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def run_command(*arguments):
        monkeypatch.setattr("sys.argv", ["si-deepsort", "models", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

    return run_command


def test_list_names_every_bundled_model(run):
    code, output, _ = run("list")
    assert code == 0 and all(name in output for name in bundled_names()) and "nan" not in output
    code, output, _ = run("list", "--json")
    assert sorted(row["name"] for row in json.loads(output)) == bundled_names()
    code, _, errors = run("list", "--task", "cooking")
    assert code == 1 and "expected one of" in errors


def test_info_is_json_with_the_source(run):
    code, output, _ = run("info", bundled_names()[0])
    assert code == 0 and json.loads(output)["source"]["kind"] == "bundled"


def test_verify_all_and_a_damaged_one(run, tmp_path):
    assert run("verify")[0] == 0
    folder = save_model(make_net(), tmp_path / "model", INFO)
    (folder / WEIGHTS_FILE).write_bytes(b"broken")
    code, output, errors = run("verify", bundled_names()[0], folder)
    assert code == 1 and "ok" in output and "FAILED" in output and "1 of 2" in errors


def test_pull_of_a_bundled_model_needs_no_internet(run, tmp_path):
    name = bundled_names()[0]
    code, output, _ = run("pull", name, "--to", tmp_path / "copy")
    assert code == 0 and output.strip() == str(tmp_path / "copy")
    assert load_model(tmp_path / "copy").info.name == name
    code, _, errors = run("pull", name, name, "--to", tmp_path / "copy")
    assert code == 1 and "expected one model" in errors


@pytest.mark.parametrize("model", ["detector-cn", "./nowhere", "lab/model@v1", "lab/x@../y"])
def test_errors_are_one_message(run, model):
    for command in ("info", "pull"):
        code, _, errors = run(command, model)
        assert code == 1 and errors.startswith("Error: ") and "Traceback" not in errors
