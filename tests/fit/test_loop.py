"""The training loop: it learns, stops, resumes exactly, and is the same on two processes as on one."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from held_files import held_files_stay, needs_proc
from torch import nn

from si_deepsort.fit import FitSettings, evaluate, fit

QUIET = {"device": "cpu", "progress_bar": False}


def make_net(dropout=0.3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 1))


def loss(net, batch):
    return (net(batch[0]) - batch[1]).square().mean()


def make_batches(seed, num_batches=4, batch_size=8):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_batches):
        inputs = torch.randn(batch_size, 3, generator=generator)
        yield inputs, inputs.sum(dim=1, keepdim=True).sin()


def validation():
    return list(make_batches(seed=999, num_batches=2))


def run(net=None, training_batches=make_batches, validation_batches=validation, checkpoint_folder=None, **settings):
    net = make_net() if net is None else net
    settings = FitSettings(**{"num_epochs": 6, "learning_rate": 1e-2, "patience": 100, **QUIET, **settings})
    history = fit(net, loss, training_batches, validation_batches, settings, checkpoint_folder=checkpoint_folder)
    return net, history


def same_weights(first, second):
    return all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))


# Learning


def test_eight_examples_are_learnt_by_heart():
    batch = next(make_batches(seed=0))
    net, history = run(make_net(0.0), lambda epoch: [batch] * 20, lambda: [batch], num_epochs=20)
    assert history[-1]["validation_loss"] < history[0]["validation_loss"] / 10
    assert not net.training


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    assert same_weights(run()[0], run()[0])
    assert not same_weights(run()[0], run(seed=1)[0])


def test_the_best_weights_are_restored():
    def training_batches(epoch):  # turns bad after epoch 2
        return ((x, -5 * y if epoch > 2 else y) for x, y in make_batches(epoch, num_batches=30))

    net, history = run(make_net(0.0), training_batches, num_epochs=6)
    best = min(row["validation_loss"] for row in history)
    assert history[-1]["validation_loss"] > best
    assert evaluate(net, loss, validation(), torch.device("cpu")) == pytest.approx(best, rel=1e-6)


def test_training_stops_after_patience():
    _, history = run(training_batches=lambda epoch: ((x, y + 10 * epoch) for x, y in make_batches(epoch)), patience=2)
    losses = [row["validation_loss"] for row in history]
    assert len(history) == losses.index(min(losses)) + 1 + 2 < 6


def test_without_validation_all_epochs_run_and_the_last_weights_stay():
    net, history = run(validation_batches=lambda: [], num_epochs=4, patience=1)
    assert len(history) == 4 and not same_weights(net, make_net())


def test_no_epoch_changes_nothing():
    net, history = run(num_epochs=0)
    assert history == [] and same_weights(net, make_net())


def test_the_random_numbers_of_the_user_are_left_alone():
    net = make_net()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(net)
    assert torch.equal(torch.get_rng_state(), before)


# Trouble


def test_a_loss_that_is_nan_says_where_to_look():
    with pytest.raises(
        ValueError, match=r"became nan in epoch 1.*NaN or infinite values in the recording.*learning_rate"
    ):
        run(training_batches=lambda epoch: ((x, y * (torch.nan if epoch else 1)) for x, y in make_batches(epoch)))
    with pytest.raises(ValueError, match="held-out data is nan"):
        run(validation_batches=lambda: [(x, y * torch.nan) for x, y in validation()])


def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match="expected 'auto' or one of"):
        run(device="tpu")


# Checkpoints


@pytest.mark.parametrize("killed_in_epoch", [0, 1, 4, 5])
def test_resuming_after_a_kill_gives_the_same_weights(tmp_path, killed_in_epoch):
    def killed(epoch):
        for index, batch in enumerate(make_batches(epoch)):
            if epoch == killed_in_epoch and index == 2:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        run(training_batches=killed, checkpoint_folder=tmp_path)
    resumed, history = run(checkpoint_folder=tmp_path)
    whole, expected = run()
    assert same_weights(resumed, whole)
    assert [row["validation_loss"] for row in history] == [row["validation_loss"] for row in expected]


VICTIM = """
import sys, time
sys.path += [sys.argv[1], sys.argv[1] + "/.."]
from test_loop import make_batches, run

def slow(epoch):
    if epoch == 3:
        print("in epoch 3", flush=True)
        time.sleep(60)
    yield from make_batches(epoch)

run(training_batches=slow, checkpoint_folder=sys.argv[2])
"""


@pytest.mark.slow
def test_resuming_after_sigkill_of_the_process(tmp_path):
    command = [sys.executable, "-c", VICTIM, str(Path(__file__).parent), str(tmp_path)]
    victim = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert victim.stdout.readline().strip() == "in epoch 3"
    victim.kill()
    victim.wait()
    assert same_weights(run(checkpoint_folder=tmp_path)[0], run()[0])


def test_a_finished_training_is_not_repeated_and_can_go_on(tmp_path):
    first, _ = run(checkpoint_folder=tmp_path)
    calls = []
    again, history = run(training_batches=lambda epoch: calls.append(epoch) or [], checkpoint_folder=tmp_path)
    assert same_weights(first, again) and calls == [] and len(history) == 6
    assert len(run(checkpoint_folder=tmp_path, num_epochs=8)[1]) == 8


@needs_proc
def test_a_training_that_goes_on_does_not_hold_its_checkpoint(tmp_path):
    run(checkpoint_folder=tmp_path, num_epochs=2)
    with held_files_stay(tmp_path):
        assert len(run(checkpoint_folder=tmp_path, num_epochs=4)[1]) == 4


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    run(checkpoint_folder=tmp_path, num_epochs=1)
    with pytest.raises(ValueError, match=r"other data.*Remove"):
        run(checkpoint_folder=tmp_path, validation_batches=lambda: list(make_batches(seed=5)))
    with pytest.raises(ValueError, match="other data"):  # the first recording is the same, the second is another
        run(checkpoint_folder=tmp_path, validation_batches=lambda: [validation()[0], next(make_batches(seed=5))])
    with pytest.raises(ValueError, match=r"(?s)another network.*Remove"):
        run(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)), checkpoint_folder=tmp_path)


def test_without_validation_a_checkpoint_of_other_training_batches_is_refused(tmp_path):
    run(checkpoint_folder=tmp_path, num_epochs=1, validation_batches=lambda: [])
    with pytest.raises(ValueError, match="other data"):
        run(
            training_batches=lambda epoch: make_batches(100 + epoch),
            checkpoint_folder=tmp_path,
            validation_batches=lambda: [],
        )


def test_a_damaged_checkpoint_says_so(tmp_path):
    run(checkpoint_folder=tmp_path, num_epochs=1)
    path = tmp_path / "training.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match="cannot be read"):
        run(checkpoint_folder=tmp_path)


# Two processes


def _train_in_process(rank, batch_size, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    try:
        net = make_net(dropout=0.0)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter += rank  # the processes start apart, and must not stay so
        run(net, lambda epoch: make_batches(epoch, batch_size=batch_size), checkpoint_folder=folder, num_epochs=3)
        torch.save(net.state_dict(), f"{folder}/{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


# macOS forks, but its libraries of linear algebra may crash in the new process.
needs_fork = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="processes cannot be forked here")


def _run_two_processes(function, *arguments):
    """Exit codes of two processes; one that waits forever is ended, and its code is negative."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=function, args=(rank, *arguments)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        worker.kill()
        worker.join()
    return [worker.exitcode for worker in workers]


def _meet_a_nan_in_one_process(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    inputs, targets = next(make_batches(seed=0))
    targets = targets.clone()
    targets[1] = torch.nan  # rows are dealt out in turn: the second process gets this one
    try:
        run(make_net(0.0), lambda epoch: [(inputs, targets)] * 3, num_epochs=2)
    except ValueError as error:
        Path(f"{folder}/{rank}.txt").write_text(str(error), encoding="utf-8")


@needs_fork
def test_a_loss_that_is_nan_in_one_process_stops_both(tmp_path):
    assert _run_two_processes(_meet_a_nan_in_one_process, tmp_path) == [0, 0]
    assert "in another process" in (tmp_path / "0.txt").read_text(encoding="utf-8")
    assert "became nan" in (tmp_path / "1.txt").read_text(encoding="utf-8")


@needs_fork
@pytest.mark.parametrize("batch_size", [8, 5, 1])
def test_two_processes_equal_one(tmp_path, batch_size):
    assert _run_two_processes(_train_in_process, batch_size, tmp_path) == [0, 0]
    expected, _ = run(make_net(dropout=0.0), lambda epoch: make_batches(epoch, batch_size=batch_size), num_epochs=3)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, value in expected.state_dict().items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
