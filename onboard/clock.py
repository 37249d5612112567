"""Where time goes: wall seconds by stage. The only clock of the pipeline; pure modules are handed a `Stages`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
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

    def time(self, stage: str) -> AbstractContextManager[None]:
        """Add the time spent inside to `stage`."""
        return _Timed(self, stage)

    def add(self, stage: str, seconds: float) -> None:
        """Add seconds to `stage`; from any thread."""
        with self._lock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


class _Timed(AbstractContextManager[None]):
    """A class, for a generator takes three times as long and some forty are entered for each chunk."""

    __slots__ = ("_stage", "_stages", "_start")

    def __init__(self, stages: Stages, stage: str) -> None:
        self._stages, self._stage = stages, stage

    def __enter__(self) -> None:
        self._start = self._stages.now()

    def __exit__(self, *exc: object) -> None:
        self._stages.add(self._stage, self._stages.now() - self._start)
