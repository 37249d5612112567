"""The only folder that speaks SQL: the memory of past passes and the state of the run, in one `--store` folder.

Two databases, because they may be lost separately. The **memory** is large and disposable: losing it means "first
look". The **state** (grids, progress, scores, queue) is small and precious. Rules that make every effect of a chunk
group exactly-once under power loss:

1. A group's records are committed to the memory first. They are idempotent: keyed by pass, row and column, replaced
   when written again, and never read by the pass that wrote them (it reads strictly earlier sensing times).
2. Then scores, progress, counters and queue changes are committed to the state in one transaction; drafts of products,
   which lie in a file beside it (`drafts`), are on the disk before. A chunk exists once its row is in the state; after
   a crash it is either wholly there, or scored again from the same past.
3. What the ground says takes effect in one transaction of the state: products delivered, orders with all they change in
   the queue, and the window of counters that keeps either from being taken twice. How far a transfer has come may be
   lost; the ground knows it better.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

from onboard.errors import DiskFullError, StoreError
from onboard.store.memory import Memory
from onboard.store.state import State

MEMORY_FILE = "memory.sqlite"
STATE_FILE = "state.sqlite"
LOCK_FILE = "lock"


class Store:
    """Both databases, open and locked against other processes. Use as a context manager.

    Raises:
        StoreError: of another version, the state is damaged, or another run holds it.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / LOCK_FILE).open("w")
        except OSError as error:
            raise StoreError(f"{folder}: cannot hold a store ({error.strerror})") from error
        try:
            # advisory, and released by the kernel however the process ends
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise StoreError(f"{folder}: in use by another run") from error
        try:
            self.state = State(folder / STATE_FILE)
            self.memory = Memory(folder / MEMORY_FILE)
        except BaseException:
            self._lock.close()
            raise
        self.queue = self.state.queue

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def make_room(self, limit_bytes: int, coming_bytes: int, artefact: str, keep: int) -> dict[str, int]:
        """Let the least valuable leave until so many bytes more fit a limit.

        First products that the ground has confirmed, then remembered passes (`Memory.forget_least`), then scores of old
        ones (`State.forget_scores`). What waits in the queue has a budget of its own and stays.

        Returns:
            How many left, by counter.

        Raises:
            DiskFullError: all that may leave has left, and it does not fit.
        """
        left: dict[str, int] = {}

        def short() -> int:
            return self.memory.live_bytes() + self.state.live_bytes() + coming_bytes - limit_bytes

        if short() > 0 and (dropped := self.queue.drop_delivered(short())):
            left["evicted_delivered"] = dropped
        while short() > 0:
            if self.memory.forget_least(artefact, keep):
                kind = "evicted_passes"
            elif self.state.forget_scores(artefact, keep):
                kind = "evicted_scores"
            else:
                raise DiskFullError(
                    f"the store holds {limit_bytes + short() - coming_bytes:,} bytes, a pass brings {coming_bytes:,},"
                    f" and {limit_bytes:,} are allowed; nothing in it may leave"
                )
            left[kind] = left.get(kind, 0) + 1
        return left

    def close(self) -> None:
        """Close both databases and free the lock; everything committed stays."""
        self.memory.close()
        self.state.close()
        self._lock.close()
