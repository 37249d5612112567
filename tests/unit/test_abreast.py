"""Work side by side comes back in order, and each worker has one item at a time."""

import threading
import time

import pytest

from onboard.abreast import side_by_side


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_everything_comes_once_and_in_order_and_no_worker_has_two(count):
    busy = [threading.Lock() for _ in range(count)]
    threads, taken = set(), set()

    def items():
        for n in range(20):
            taken.add(threading.get_ident())
            yield n

    def work(lock, n):
        assert lock.acquire(blocking=False)
        threads.add(threading.get_ident())
        time.sleep(0.001 * (n % 3))
        lock.release()
        return n * n

    assert list(side_by_side(work, items(), busy)) == [n * n for n in range(20)]
    assert taken == {threading.get_ident()}
    assert (threads == taken) == (count == 1)


def test_no_more_items_are_taken_than_there_are_workers():
    taken = []
    for done, _ in enumerate(side_by_side(lambda _, n: n, (taken.append(n) for n in range(9)), range(3))):
        assert len(taken) <= done + 3


@pytest.mark.parametrize("count", [1, 3])
def test_an_error_comes_where_its_item_is_due_and_leaves_no_thread(count):
    before, seen = set(threading.enumerate()), []
    with pytest.raises(ZeroDivisionError):
        seen.extend(side_by_side(lambda _, n: 1 / (n - 4), range(9), range(count)))
    assert len(seen) == 4
    assert set(threading.enumerate()) == before
