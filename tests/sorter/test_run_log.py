"""The log of a run: all lines in a file, warnings in the console, and a program's own logging as it was."""

import logging

import pytest

from si_deepsort.sorter.run_log import LOGGER, run_log

STEP = logging.getLogger("si_deepsort.sorter.some_step")


def say():
    STEP.info("a fact")
    STEP.warning("a fault")


@pytest.mark.parametrize("is_verbose", [False, True])
def test_the_file_has_all_lines_and_the_console_what_was_asked_for(tmp_path, capsys, monkeypatch, is_verbose):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest has some, a user's program mostly none
    with run_log(tmp_path / "log.txt", is_verbose=is_verbose):
        say()
    logged = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert "a fact" in logged and "a fault" in logged
    shown = capsys.readouterr().err
    assert "a fault" in shown and ("a fact" in shown) == is_verbose


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_the_handlers_of_the_program_get_what_they_would_have_got(tmp_path, caplog, level):
    with caplog.at_level(level), run_log(tmp_path / "log.txt", is_verbose=True):
        say()
    assert "a fault" in caplog.text and ("a fact" in caplog.text) == (level == logging.INFO)


def test_nothing_stays_changed_after_the_run(tmp_path):
    before = (LOGGER.level, LOGGER.propagate, list(LOGGER.handlers))
    with pytest.raises(ValueError, match="stop"), run_log(tmp_path / "log.txt", is_verbose=True):
        with run_log(tmp_path / "other.txt", is_verbose=True):  # a run in another thread
            raise ValueError("stop")
    assert (LOGGER.level, LOGGER.propagate, list(LOGGER.handlers)) == before


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_runs_of_several_threads_end_in_any_order(tmp_path, first_ends_first):
    before = (LOGGER.level, LOGGER.propagate, list(LOGGER.handlers))
    files = [tmp_path / "first.txt", tmp_path / "second.txt"]
    first, second = (run_log(file, is_verbose=False) for file in files)
    first.__enter__()
    second.__enter__()
    (first if first_ends_first else second).__exit__(None, None, None)
    say()
    (second if first_ends_first else first).__exit__(None, None, None)
    assert files[first_ends_first].read_text(encoding="utf-8").count("a fact") == 1
    assert not files[1 - first_ends_first].exists()
    assert (LOGGER.level, LOGGER.propagate, list(LOGGER.handlers)) == before
