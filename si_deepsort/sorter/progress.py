"""One line that says which step of the sorter runs, how much is done and how long it will take."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tqdm.auto import tqdm

from ..announce import is_watched
from .rounds import MOST_CLUSTERED_S
from .settings import DeepSortSettings
from .stretches import MOST_LEARNT_S

# Seconds between two updates of the line.
UPDATE_S = 0.5
# Part of its expected time up to which a running step is counted as done: it may take longer than expected.
MOST_OF_A_STEP = 0.95
# Share of the run from which on the time left is told: short steps say little about long ones.
LEAST_DONE = 0.05


@dataclass(frozen=True)
class Step:
    """
    One step of a run.

    Attributes
    ----------
    name : str
        Name under which its result is kept, or "traces" and "units" for the first and the last step.
    words : str
        What the step does, for the user.
    weight : float
        Its expected share of the time, in any unit.
    """

    name: str
    words: str
    weight: float


def run_steps(settings: DeepSortSettings, duration_s: float) -> list[Step]:
    """
    The steps of a run in their order.

    Weights are CPU-seconds for 32 channels, rounded: measured on generated recordings of 15 to 60 s (seeds 1 and 2).

    Parameters
    ----------
    settings : DeepSortSettings
    duration_s : float
        Length of the recording in s.
    """
    learnt_s = duration_s if settings.matching is None else min(duration_s, MOST_LEARNT_S)
    few_s = min(duration_s, MOST_CLUSTERED_S)
    # A long recording is filtered once more where it is matched.
    per_s = 0.03 if learnt_s == duration_s else 0.08
    steps = [
        Step("traces", "filter and whiten", 0.05 * learnt_s),
        Step("peaks", "find peaks and drift", 0.04 * learnt_s),
        Step("clusters", "cluster peaks", 0.03 * few_s),
    ]
    if settings.matching is not None and settings.num_rounds > 0:
        steps.append(Step("matched_clusters", "match clusters", 0.08 * few_s))
        for number in range(1, settings.num_rounds + 1):
            seconds = few_s if number == settings.num_rounds else learnt_s
            steps.append(Step(f"clusters_{number}", f"look for missed units ({number})", 0.02 * seconds))
            steps.append(Step(f"matched_clusters_{number}", f"match again ({number})", 0.05 * seconds))
        steps.append(Step("matched", "match units", per_s * duration_s + 0.01 * few_s))
    elif settings.matching is not None:
        steps.append(Step("matched_clusters", "match units", 0.08 * duration_s))
    return [*steps, Step("units", "check units", 0.04 * few_s)]


class Progress:
    """
    Shows the step, the share that is done and the time left.

    Within a step, the share grows with the time that the steps before took: nothing is counted that would slow the
    computation. The time left is told as soon as one of the longer steps is done.

    Parameters
    ----------
    steps : list of Step
        In the order of the run. A step that is left out, such as one of an earlier run, is skipped.
    show : callable | None
        Gets the share from 0 to 1 and a text, now and then; None shows nothing.
    clock : callable, default: time.monotonic
        Gives the time in s.
    """

    def __init__(
        self, steps: list[Step], show: Callable[[float, str], None] | None, clock: Callable[[], float] = time.monotonic
    ):
        self.steps, self.show, self.clock = steps, show, clock
        self.total = sum(step.weight for step in steps) or 1.0
        self.current = -1
        # Weight and seconds of the steps that were computed, and when the current one began.
        self.done_weight = self.done_s = 0.0
        self.began_s = clock()
        self.shown_share = 0.0

    def begin(self, name: str) -> None:
        """Say that a step begins; those before it are finished. A name that is no step is ignored."""
        place = next((i for i, step in enumerate(self.steps) if step.name == name), -1)
        if place <= self.current:
            return
        now = self.clock()
        if self.current >= 0:
            self.done_weight += self.steps[self.current].weight
            self.done_s += now - self.began_s
        self.current, self.began_s = place, now
        self.update()

    def share(self) -> float:
        """Share of the run that is done, from 0 to 1; it never falls."""
        before = sum(step.weight for step in self.steps[: max(self.current, 0)])
        part = 0.0
        if self.current >= 0 and self.done_s > 0 and self.done_weight > 0:
            expected_s = self.steps[self.current].weight * self.done_s / self.done_weight
            part = min((self.clock() - self.began_s) / max(expected_s, 1e-9), MOST_OF_A_STEP)
        if self.current >= 0:
            before += part * self.steps[self.current].weight
        self.shown_share = max(self.shown_share, before / self.total)
        return self.shown_share

    def seconds_left(self) -> float | None:
        """Expected seconds until the end; None while hardly anything is done."""
        if self.done_s <= 0 or self.done_weight < LEAST_DONE * self.total:
            return None
        return (1 - self.share()) * self.total * self.done_s / self.done_weight

    def text(self) -> str:
        """The step in words, such as "step 3 of 10, clusters, about 50 s left"."""
        if self.current < 0:
            return ""
        step = self.steps[self.current]
        left = self.seconds_left()
        told = "" if left is None else f", about {_in_words(left)} left"
        return f"step {self.current + 1} of {len(self.steps)}, {step.words}{told}"

    def update(self) -> None:
        """Show the present state."""
        if self.show is not None and self.current >= 0:
            self.show(self.share(), self.text())


@contextmanager
def progress_line(steps: list[Step], *, is_shown: bool) -> Iterator[Progress]:
    """
    A line in the terminal or the notebook, which disappears at the end.

    Parameters
    ----------
    steps : list of Step
    is_shown : bool
        Whether the user wants it. It is never shown by worker processes and where nobody can see it, as in a log file.
    """
    if not (is_shown and is_watched()):
        yield Progress(steps, None)
        return
    line = "{percentage:3.0f} % |{bar:20}| {desc}"
    with tqdm(total=100, bar_format=line, leave=False, dynamic_ncols=True) as bar:

        def show(share: float, text: str) -> None:
            bar.n = round(100 * share, 1)
            bar.set_description_str(text)

        progress, ended = Progress(steps, show), threading.Event()

        def keep_up() -> None:
            while not ended.wait(UPDATE_S):
                progress.update()

        thread = threading.Thread(target=keep_up, daemon=True, name="deepsort progress")
        thread.start()
        try:
            yield progress
        finally:
            ended.set()
            thread.join()


def _in_words(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 100:
        return f"{max(5 * round(seconds / 5), 5)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"
