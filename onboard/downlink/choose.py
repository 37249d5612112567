"""Which cells of a pass become candidates for the downlink: an online top-K by value per byte, under a byte budget.

    value = probability of change among its neighbours (`context`) x area that can be seen x priority of the place

Coding a product costs as much as looking at fifty cells, and an online top-K of a long stream lets several times K in.
So a candidate enters the queue as a `draft`, its pixels as they are, in the transaction of the scores that chose it,
and is weighed by an estimate of the bytes it will take; `settle` codes those that stay. While a pass is seen, a cell's
neighbours are those seen so far; once all have been, `final_values` weighs the candidates anew. The order in which a
pass shows its changes does not decide what goes down.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from onboard.downlink.context import in_context
from onboard.downlink.draft import CellDrafts
from onboard.downlink.estimate import HEADER_BYTES, estimate_bytes, least_bytes
from onboard.downlink.ladder import WORTH, Rung
from onboard.downlink.product import Product
from onboard.sense.acquisition import U16, Acquisition
from onboard.sense.chunks import Chunk
from onboard.sense.grid import CELL, Grid
from onboard.store.queue import RESERVE, Queue
from onboard.store.rows import ChunkRow, NewProduct

F32 = NDArray[np.float32]

ROUNDING = 1e-6
"""Of a quotient in single precision."""


class Chooser:
    """Chooses the candidates of one acquisition.

    Args:
        queue: what has been chosen before.
        budget_bytes: of the queue; 0 chooses nothing.
        bands: names, in the order of the pixels offered.
        artefact: SHA-256 of the model that scores.
        seen: scores of this acquisition that are committed already.
        priority: weight of each cell, float32 (rows, cols) of the grid; None: 1 everywhere.
    """

    def __init__(
        self,
        queue: Queue,
        budget_bytes: int,
        acquisition: Acquisition,
        grid: Grid,
        bands: Sequence[str],
        artefact: str,
        seen: Iterable[ChunkRow] = (),
        priority: F32 | None = None,
    ) -> None:
        self._queue = queue
        self._room = budget_bytes * RESERVE if budget_bytes > HEADER_BYTES else 0.0
        infos, nothing = tuple(acquisition.band(name) for name in bands), np.zeros((len(bands), CELL, CELL), np.uint16)
        self._drafts = CellDrafts(
            Product(grid, 0, 0, acquisition.product_id, acquisition.sensing_time, infos, nothing, artefact, 0.0)
        )
        self._kept = queue.densities()
        heapq.heapify(self._kept)
        self._used = sum((size for _, size in self._kept), 0.0)
        self._floor = 0.0
        self._candidates: list[NewProduct] = []
        self._priority = priority
        self._scores = np.full((grid.rows, grid.cols), np.nan, dtype=np.float32)
        for part in seen:
            self._scores[_block(part.chunk)] = part.score

    def offer(self, chunk: Chunk, score: F32, dn: U16, area: F32 | None = None) -> None:
        """Keep the cells of a chunk that would stay in the queue, by all that was offered so far.

        Args:
            score: float32 (cells,); nan is worth what its neighbours say.
            dn: uint16 (B, H, W), original DN of the chunk.
            area: share of each cell that can be seen, float32 (cells,); None: all.
        """
        if not self._room:
            return
        self._scores[_block(chunk)] = score.reshape(chunk.rows, chunk.cols)
        weight = np.ones(chunk.cells, dtype=np.float32) if area is None else area
        if self._priority is not None:
            weight = weight * self._priority[_block(chunk)].reshape(-1)
        probability = in_context(self._scores, _block(chunk)).reshape(-1)
        worth = probability * weight * WORTH[Rung.LOSSLESS]
        hopeful = np.flatnonzero(worth > self._floor * least_bytes(dn) * (1 - ROUNDING))
        if not hopeful.size:
            return
        rows, cols = np.divmod(hopeful, chunk.cols)
        size = estimate_bytes(dn, rows, cols)
        density = worth[hopeful] / size
        chosen = []
        for i in np.argsort(-density, kind="stable").tolist():
            if not density[i] > self._floor:
                break
            self._keep(float(density[i]), float(size[i]))
            chosen.append(i)
        cells = hopeful[chosen]
        own = np.where(np.isnan(score[cells]), probability[cells], score[cells])
        scores = [float(f"{one:.6g}") for one in own.tolist()]
        drafts = self._drafts.of(dn, rows[chosen], cols[chosen], (chunk.row, chunk.col), scores)
        held = self._queue.hold(list(drafts))
        self._candidates += map(
            NewProduct,
            (rows[chosen] + chunk.row).tolist(), (cols[chosen] + chunk.col).tolist(), scores,
            (probability[cells] * weight[cells]).tolist(), held, np.rint(size[chosen]).astype(int).tolist(),
            weight[cells].tolist(),
        )  # fmt: skip

    def collect(self) -> list[NewProduct]:
        """The candidates since the last call that are still good enough, in the order in which they were offered."""
        found: list[NewProduct] = []
        gone: list[NewProduct] = []
        for new in self._candidates:
            (found if new.value * WORTH[Rung.LOSSLESS] > self._floor * new.size else gone).append(new)
        self._candidates = gone
        self.drop()
        return found

    def drop(self) -> None:
        """Nothing of the candidates since the last `collect` will be asked for."""
        self._queue.let_go(self._candidates)
        self._candidates = []

    def _keep(self, density: float, size: float) -> None:
        """Count it in and the worst out; what has been out once sets the floor."""
        heapq.heappush(self._kept, (density, size))
        self._used += size
        while self._used > self._room:
            density, size = heapq.heappop(self._kept)
            self._used -= size
            self._floor = max(self._floor, density)


def final_values(probability: F32, waiting: Iterable[tuple[int, int, float]]) -> list[tuple[float, int, int]]:
    """Value, row and column of the cells of an acquisition in the queue, once all of it has been seen.

    Args:
        probability: in context, float32 (rows, cols).
        waiting: (row, column, weight) of its cells that the queue holds.
    """
    return [(float(probability[row, col]) * weight, row, col) for row, col, weight in waiting]


def _block(chunk: Chunk) -> tuple[slice, slice]:
    return slice(chunk.row, chunk.row + chunk.rows), slice(chunk.col, chunk.col + chunk.cols)
