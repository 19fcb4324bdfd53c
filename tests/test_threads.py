"""Parts of a step on several threads: results in order, bounded look-ahead, errors, no nesting."""

import multiprocessing
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from si_deepsort.threads import PARTS_AHEAD, alone, each, num_threads, threads


def names_of(num_parts):
    return list(each(lambda part: (part, threading.current_thread().name), range(num_parts)))


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_results_come_in_order(num_threads):
    with threads(num_threads):
        results = list(each(lambda part: (time.sleep(0.002 * (part % 3)), part)[1], range(30)))
    assert results == list(range(30))


def test_the_threads_are_used_in_the_block_alone():
    here = threading.current_thread().name
    with threads(2):
        assert here not in {name for _, name in names_of(4)}
    assert {name for _, name in names_of(4)} == {here}


def test_a_part_that_has_parts_computes_them_itself():
    with threads(2):
        for inner in each(lambda _: (threading.current_thread().name, names_of(3)), range(8)):
            assert {name for _, name in inner[1]} == {inner[0]}


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("together", [1, 4, 100])
def test_parts_that_go_together_share_a_thread(num_threads, together):
    with threads(num_threads):
        results = list(each(lambda part: (part, threading.current_thread().name), range(30), together=together))
    assert [part for part, _ in results] == list(range(30))
    for start in range(0, 30, together):
        assert len({name for _, name in results[start : start + together]}) == 1


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="processes cannot be forked here")
def test_a_forked_process_computes_its_parts_itself():
    with threads(2), ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as processes:
        assert processes.submit(parts_of_a_worker).result(timeout=60) == (1, [0, 1, 2, 3])


def parts_of_a_worker():
    return num_threads(), list(each(int, range(4)))


def test_few_parts_are_computed_ahead():
    started = []
    with threads(2):
        results = each(lambda part: started.append(part) or part, range(100))
        next(results)
        time.sleep(0.05)
        assert len(started) <= PARTS_AHEAD * 2 + 1
        assert list(results) == list(range(1, 100))


def test_an_error_in_a_part_is_raised_and_ends_the_threads():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), threads(2):
        list(each(lambda part: 1 // (part - 5), range(100)))
    assert threading.active_count() == before


def test_a_thread_may_compute_alone():
    with threads(2):
        with alone():
            assert num_threads() == 1
            assert set(each(lambda _: threading.get_ident(), range(5))) == {threading.get_ident()}
        assert num_threads() == 2


def test_parts_that_nobody_asks_for_are_not_computed():
    begun, go_on = [], threading.Event()

    def compute(part):
        begun.append(part)
        go_on.wait(10 if part else 0)

    with threads(2):
        results = each(compute, range(100))
        next(results)
        results.close()
        go_on.set()
    assert len(begun) <= 3
