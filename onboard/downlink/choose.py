"""Which cells of a pass become candidates for the downlink: an online top-K by value per byte, under a byte budget.

Coding a product costs as much as looking at fifty cells, and an online top-K of a long stream lets several times K in.
So a candidate enters the queue with its pixels as they are (codec "raw": a whole product, with its checksum, written in
the transaction of the scores that chose it) and is weighed by an estimate of the bytes it will take; `settle` codes
those that stay. The order in which a pass shows its changes does not decide what goes down.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from onboard.downlink.estimate import HEADER_BYTES, estimate_bytes
from onboard.downlink.product import Product, encode
from onboard.sense.acquisition import U16, Acquisition
from onboard.sense.chunks import Chunk
from onboard.sense.grid import CELL, Grid
from onboard.store.queue import RESERVE, Queue
from onboard.store.rows import NewProduct

Value = TypeVar("Value", float, NDArray[np.float32])


def value_of(score: Value) -> Value:
    """What a product is worth to the ground, rising with its score. The planner maximises its sum under the budget."""
    return score


class Chooser:
    """Chooses the candidates of one acquisition.

    Args:
        queue: what has been chosen before.
        budget_bytes: of the queue; 0 chooses nothing.
        bands: names, in the order of the pixels offered.
        artefact: SHA-256 of the model that scores.
    """

    def __init__(
        self, queue: Queue, budget_bytes: int, acquisition: Acquisition, grid: Grid, bands: Sequence[str], artefact: str
    ) -> None:
        self._room = budget_bytes * RESERVE if budget_bytes > HEADER_BYTES else 0.0
        self._acquisition, self._grid, self._artefact = acquisition, grid, artefact
        self._infos = tuple(acquisition.band(name) for name in bands)
        self._kept = [(item.value / item.estimate, float(item.estimate)) for item in queue.items()]
        heapq.heapify(self._kept)
        self._used = sum((size for _, size in self._kept), 0.0)
        self._smallest = float(min((size for _, size in self._kept), default=HEADER_BYTES))
        self._floor = 0.0
        self._candidates: list[NewProduct] = []

    def offer(self, chunk: Chunk, score: NDArray[np.float32], dn: U16) -> None:
        """Keep the cells of a chunk that would stay in the queue, by all that was offered so far.

        Args:
            score: float32 (cells,); nan is never chosen.
            dn: uint16 (B, H, W), original DN of the chunk.
        """
        if not self._room:
            return
        hopeful = np.flatnonzero(value_of(score) > self._floor * self._smallest)  # false for nan
        if not hopeful.size:
            return
        rows, cols = np.divmod(hopeful, chunk.cols)
        size, value = estimate_bytes(dn, rows, cols), value_of(score[hopeful])
        self._smallest = min(self._smallest, float(size.min()))
        density = value / size
        for i in np.argsort(-density, kind="stable"):
            if not density[i] > self._floor:
                break
            self._keep(float(density[i]), float(size[i]))
            r, c = int(rows[i]), int(cols[i])
            pixels = dn[:, r * CELL : (r + 1) * CELL, c * CELL : (c + 1) * CELL]
            self._candidates.append(
                self._candidate(chunk.row + r, chunk.col + c, float(value[i]), float(size[i]), pixels)
            )

    @property
    def held_bytes(self) -> int:
        """What the candidates since the last `collect` take in memory."""
        return sum(len(new.payload) for new in self._candidates)

    def collect(self) -> list[NewProduct]:
        """The candidates since the last call that are still good enough, in the order in which they were offered."""
        found = [new for new in self._candidates if new.value > self._floor * new.size]
        self._candidates.clear()
        return found

    def _candidate(self, row: int, col: int, value: float, size: float, pixels: U16) -> NewProduct:
        product = Product(
            self._grid, row, col, self._acquisition.product_id, self._acquisition.sensing_time, self._infos, pixels,
            self._artefact, value,
        )  # fmt: skip
        return NewProduct(row, col, value, value, encode(product, "raw"), round(size))

    def _keep(self, density: float, size: float) -> None:
        """Count it in and the worst out; what has been out once sets the floor."""
        heapq.heappush(self._kept, (density, size))
        self._used += size
        while self._used > self._room:
            density, size = heapq.heappop(self._kept)
            self._used -= size
            self._floor = max(self._floor, density)
