"""Where time goes: wall seconds by stage. The only clock of the pipeline; pure modules are handed a `Stages`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from time import perf_counter


class Stages:
    """Adds up seconds by stage name; nested stages count for themselves only by their own name.

    Args:
        clock: seconds from any zero, never going back.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.now = clock
        self.seconds: dict[str, float] = {}
        self._lock = Lock()

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to `stage`."""
        start = self.now()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + self.now() - start
