"""Work on threads side by side, handed out and taken back in order; what each needs for itself is lent to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

W = TypeVar("W")
S = TypeVar("S")
T = TypeVar("T")


def lending(work: Callable[[W, S], T], workers: Sequence[W]) -> Callable[[S], T]:
    """`work` with whichever worker is free; called by no more threads at a time than there are workers."""
    free = deque(workers)

    def lent(item: S) -> T:
        worker = free.popleft()
        try:
            return work(worker, item)
        finally:
            free.append(worker)

    return lent


def side_by_side(work: Callable[[W, S], T], items: Iterable[S], workers: Sequence[W]) -> Iterator[T]:
    """What `work` makes of each item, in order.

    Args:
        items: taken by the caller's thread, each when its turn comes: no more at a time than there are workers.
        workers: one for each thread, with one item at a time; a single one works on the caller's own thread.
    """
    if len(workers) == 1:
        yield from (work(workers[0], item) for item in items)
        return
    lent = lending(work, workers)
    with ThreadPoolExecutor(len(workers), "abreast") as pool:
        begun: deque[Future[T]] = deque()
        for item in items:
            begun.append(pool.submit(lent, item))
            if len(begun) == len(workers):
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
