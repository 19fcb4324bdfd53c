"""Models through the Hub from the command line, in processes of their own."""

import os
import subprocess
import sys

import pytest
from loopback_hub import WRITE_TOKEN
from small_model import INFO, make_net, publish, same_weights

from si_deepsort.zoo import (
    load_model,
    save_model,
)


def run_cli(*arguments, **environment):
    worker = start_cli(*arguments, **environment)
    output, errors = worker.communicate(timeout=120)
    return subprocess.CompletedProcess(arguments, worker.returncode, output, errors)


def start_cli(*arguments, **environment):
    command = [sys.executable, "-c", "from si_deepsort.cli import main; main()", *arguments]
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_push_and_pull_on_the_command_line(hub, tmp_path):
    folder = save_model(make_net(), tmp_path / "model", INFO)
    places = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": WRITE_TOKEN}
    pushed = run_cli("models", "push", str(folder), "lab/our-probe", "--tag", "v1", **places)
    assert pushed.returncode == 0, pushed.stderr
    pinned = pushed.stdout.strip()
    pulled = run_cli("models", "pull", pinned, "--to", str(tmp_path / "carried"), **places)
    assert pulled.returncode == 0, pulled.stderr
    assert same_weights(load_model(tmp_path / "carried"), make_net())
    hub.requests.clear()
    checked = run_cli("models", "verify", pinned, HF_HUB_OFFLINE="1", **places)
    assert checked.returncode == 0 and "ok" in checked.stdout, checked.stdout + checked.stderr
    missing = run_cli("models", "info", "lab/other@v1", HF_HUB_OFFLINE="1", **places)
    assert missing.returncode == 1 and "Remedy 1" in missing.stderr and "Traceback" not in missing.stderr
    assert hub.requests == []


@pytest.mark.slow
def test_two_processes_pull_at_once(hub, here):
    pinned = publish(hub)
    places = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(here["cache_dir"].parent / "home")}
    workers = [start_cli("models", "pull", pinned, **places) for _ in range(2)]
    for worker in workers:
        errors = worker.communicate(timeout=120)[1]
        assert worker.returncode == 0, errors
    cache_dir = here["cache_dir"].parent / "home" / "hub"
    assert same_weights(load_model(pinned, cache_dir=cache_dir, local_files_only=True), make_net())
