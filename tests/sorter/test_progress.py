"""The progress of a run: it never falls, ends at the last step, and expects of later steps what earlier ones took."""

import pytest

from si_deepsort.sorter.progress import Progress, Step, progress_line, run_steps
from si_deepsort.sorter.settings import DeepSortSettings

STEPS = [Step("a", "first", 1.0), Step("b", "second", 2.0), Step("c", "third", 1.0)]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_the_share_never_falls_and_the_time_left_follows_the_speed():
    clock, shown = Clock(), []
    progress = Progress(STEPS, lambda share, text: shown.append((share, text)), clock)
    progress.begin("a")
    assert progress.seconds_left() is None and shown[-1] == (0.0, "step 1 of 3, first")
    clock.now = 10.0
    progress.begin("b")
    assert progress.share() == pytest.approx(1 / 4) and progress.seconds_left() == pytest.approx(30.0)
    clock.now = 20.0
    assert progress.share() == pytest.approx(1 / 2) and "about 20 s left" in progress.text()
    clock.now = 1000.0  # longer than expected
    assert 1 / 2 < progress.share() < 3 / 4
    progress.begin("a")
    progress.begin("no such step")
    assert "second" in progress.text()
    progress.begin("c")
    shares = [share for share, _ in shown]
    assert shares == sorted(shares) and progress.share() >= 3 / 4


def test_steps_of_an_earlier_run_are_skipped():
    clock = Clock()
    progress = Progress(STEPS, None, clock)
    progress.begin("c")
    assert progress.share() == pytest.approx(3 / 4) and progress.seconds_left() is None


@pytest.mark.parametrize("values", [dict(), dict(matching=None), dict(num_rounds=0), dict(num_rounds=3)])
def test_steps_begin_with_traces_and_end_with_units(values):
    steps = run_steps(DeepSortSettings(**values), 60.0)
    names = [step.name for step in steps]
    assert names[0] == "traces" and names[-1] == "units" and len(set(names)) == len(names)
    assert all(step.weight > 0 for step in steps)


def test_nothing_is_shown_where_nobody_can_see_it(capsys):
    with progress_line(STEPS, is_shown=True) as progress:
        progress.begin("a")
    assert capsys.readouterr() == ("", "")
