"""
Threads that share the independent parts of a step.

Compiled code and linear algebra leave the interpreter to other threads, and threads share all arrays. Results come in
the order of the parts, so they are the same for any number of threads.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import TypeVar

from threadpoolctl import threadpool_limits

Part = TypeVar("Part")
Result = TypeVar("Result")

# Parts that are computed ahead of the one whose result is used, for each thread: it bounds the memory.
PARTS_AHEAD = 2

# The threads, their number, and the process to which they belong: a process that is forked from it has none of them.
_POOL: ContextVar[tuple[ThreadPoolExecutor, int, int] | None] = ContextVar("threads of this package", default=None)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """
    Let `each` use some threads as long as the block runs.

    A part that itself calls `each` does it in its own thread alone, so that threads never wait for each other.

    Parameters
    ----------
    number : int
    """
    if number < 2:
        yield
        return
    # Each thread has a limit of its own in OpenMP.
    with ThreadPoolExecutor(number, "si_deepsort", threadpool_limits, (1, "openmp")) as pool:
        token = _POOL.set((pool, number, os.getpid()))
        try:
            yield
        finally:
            _POOL.reset(token)
            pool.shutdown(cancel_futures=True)


@contextmanager
def alone() -> Iterator[None]:
    """Let `each` use the thread that calls it alone as long as the block runs: the others have work of their own."""
    token = _POOL.set(None)
    try:
        yield
    finally:
        _POOL.reset(token)


def num_threads() -> int:
    """How many threads `each` uses here."""
    shared = _POOL.get()
    return 1 if shared is None or shared[2] != os.getpid() else shared[1]


def each(function: Callable[[Part], Result], parts: Iterable[Part], *, together: int = 1) -> Iterator[Result]:
    """
    Results of a function for each part, in order, as the built-in `map`; computed by the threads of `threads`.

    Parameters
    ----------
    function : callable
        Takes a part and changes nothing that another call uses.
    parts : iterable
    together : int, default: 1
        Parts that a thread computes one after the other. To hand a part to a thread takes some 50 us: parts that take
        no longer should go together.
    """
    shared = _POOL.get()
    if shared is None or shared[2] != os.getpid():
        yield from map(function, parts)
        return
    pool, number, _ = shared
    waiting: deque[Future[list[Result]]] = deque()
    ungrouped = iter(parts)
    try:
        while group := list(islice(ungrouped, together)):
            waiting.append(pool.submit(_computed, function, group))
            if len(waiting) > PARTS_AHEAD * number:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        # Nobody asks for the rest if the loop over the results ended early or a part has failed.
        for future in waiting:
            future.cancel()


def _computed(function: Callable[[Part], Result], parts: list[Part]) -> list[Result]:
    return [function(part) for part in parts]
