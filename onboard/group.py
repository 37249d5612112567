"""A chunk group: what was found in some chunks, until it is committed as one.

The memory is written first (idempotent), then everything else in one transaction of the state (`store/__init__.py`). A
thread of its own writes, one group at a time, so that no look waits for the disk; until it has, nothing else may touch
the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Self

from onboard.ahead import Part
from onboard.change.record import Records
from onboard.clock import Stages
from onboard.downlink.asked import Asked
from onboard.downlink.choose import Chooser
from onboard.downlink.quicklook import Quicklook
from onboard.found import chunk_row, not_looked_at
from onboard.governor import Decision
from onboard.run import Run
from onboard.store import Store
from onboard.store.rows import ChunkRow, NewProduct
from onboard.strips import Strips

WAITING = 3
"""As many times its cells may a group have while the one before it is being written, half a kilobyte each."""


class Group:
    """The chunks of one acquisition since the last commit. Use as a context manager: what was committed is on the disk
    when it ends.

    Args:
        store: all effects go there.
        acquisition, memory_id: ids of the pass in the state and in the memory.
        chooser: keeps candidates for the queue.
        wanted: keeps cells that operators asked for.
        strips: told of every chunk and commit.
        vouch: called with the records before they are committed; raises where the model cannot be trusted.
        quicklook: gathers what is remembered; None: there will be none.
        budget_bytes: of the queue.
    """

    def __init__(
        self,
        store: Store,
        acquisition: int,
        memory_id: int,
        chooser: Chooser,
        wanted: Asked,
        strips: Strips,
        stages: Stages,
        vouch: Callable[[Sequence[Records]], None],
        quicklook: Quicklook | None,
        budget_bytes: int,
    ) -> None:
        self._store, self._acquisition, self._memory_id = store, acquisition, memory_id
        self._chooser, self._wanted, self._strips, self._stages = chooser, wanted, strips, stages
        self._vouch, self._quicklook, self._budget_bytes = vouch, quicklook, budget_bytes
        self._rows: list[tuple[ChunkRow, Records | None]] = []
        self._cells = 0
        self._asked: list[NewProduct] = []
        self._counters: dict[str, int] = {}
        self._writer = ThreadPoolExecutor(1, "store")
        self._writing: Future[float] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._written()
        finally:
            self._writer.shutdown()
            self._chooser.drop()
            self._store.queue.let_go(self._asked)

    @property
    def cells(self) -> int:
        """Cells of its chunks."""
        return self._cells

    def is_due(self, cells: int) -> bool:
        """Whether it has so many cells, and is written at once; or so many more that the loop has to wait."""
        writing = self._writing is not None and not self._writing.done()
        return self.cells >= (WAITING * cells if writing else cells)

    def add(self, part: Part, run: Run) -> None:
        """Take in a chunk: what was found in it, or that it was passed over, or could not be read."""
        chunk = part.chunk
        self._cells += chunk.cells
        if part.skipped:
            self._count("cells_skipped", chunk.cells)
            self._rows.append((not_looked_at(chunk), None))
        elif part.look is None or part.pixels is None or part.compared is None:
            assert part.fault is not None
            self._count(part.fault.kind, 1)
            self._count("cells_not_read", chunk.cells)
            run.refused.append(part.fault)
            self._rows.append((not_looked_at(chunk), None))
        else:
            found = part.compared
            if found.damaged:
                self._count("memory_crc", found.damaged)
            truth = None if part.truth is None else part.look.share_of(part.truth)
            self._rows.append((chunk_row(chunk, found.status, found.score, truth), part.look.records))
            self._chooser.offer(chunk, found.score, part.pixels.original, part.look.visible())
            self._asked += self._held(self._wanted.offer(chunk, found.score))
        self._strips.done(chunk, None if part.compared is None else (part.begun, part.scored))
        run.tiles += 0 if part.skipped else chunk.cells

    def commit(self) -> None:
        """Hand everything over to be written, and begin anew; nothing where there is nothing.

        Raises:
            ModelError: the model cannot be trusted; nothing of it will be written.
            OnboardError: what was handed over before could not be written.
        """
        if not self._rows:
            return
        self._vouch([records for _, records in self._rows if records is not None])
        products = [*self._chooser.collect(), *self._asked]  # what was asked for replaces the same cell chosen by score
        self._written()
        self._writing = self._writer.submit(self._write, self._rows, products, self._counters, self._strips.decisions())
        self._rows, self._cells, self._asked, self._counters = [], 0, [], {}

    def _write(
        self, rows: Sequence[tuple[ChunkRow, Records | None]], products: Sequence[NewProduct],
        counters: Mapping[str, int], decided: Sequence[Decision],
    ) -> float:  # fmt: skip
        """In the thread that writes; how many seconds it took."""
        begun = self._stages.now()
        with self._stages.time("store"):
            seen = [(row.chunk, records) for row, records in rows if records is not None]
            self._store.memory.write(self._memory_id, seen)
            if self._quicklook is not None:
                for chunk, records in seen:
                    self._quicklook.add(chunk, records)
            self._store.state.commit(
                self._acquisition, [row for row, _ in rows], products, counters, self._budget_bytes, decided
            )
        return self._stages.now() - begun

    def _written(self) -> None:
        """Wait until what was handed over is on the disk; raises what kept it from there."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            begun = self._stages.now()
            seconds = writing.result()
            self._strips.committed(seconds, self._stages.now() - begun)

    def _held(self, asked: list[NewProduct]) -> list[NewProduct]:
        """The same with their drafts in the file, not in memory."""
        drafts = self._store.queue.hold([new.payload for new in asked if isinstance(new.payload, bytes)])
        return [replace(new, payload=draft) for new, draft in zip(asked, drafts, strict=True)]

    def _count(self, kind: str, n: int) -> None:
        self._counters[kind] = self._counters.get(kind, 0) + n
