"""Which cells of a pass become products: the queue ends as the best by value per byte, and little is coded in vain.

Coding a product costs as much as looking at a hundred cells, and an online top-K of a long stream lets many times K in.
So a cell is coded as it passes only where it would stay, by what is known so far:

* its value lies among the best of this pass that the budget has room for (`AHEAD` times as many, to allow for an uneven
  scene), and
* its value per byte beats the worst of a full queue, with its bytes estimated from its texture.

What the first rule passed over wrongly (a pass whose changes all lie at its start) is found at the end of the pass from
its stored scores, read again and coded: `missed`. The order of looking therefore does not decide what goes down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from onboard.downlink.product import HEADER_BYTES, Product, encode, estimate_bytes
from onboard.sense.acquisition import U16, Acquisition
from onboard.sense.chunks import Chunk
from onboard.sense.grid import CELL, Grid
from onboard.store.queue import Queue
from onboard.store.rows import ChunkRow, NewProduct

AHEAD = 1.25
ESTIMATE_ERROR = 0.1
"""How much more than the truth an estimate of bytes may be, once scaled to the products of the same acquisition
(standard deviation on Sentinel-2: 2.4 to 3.5 %)."""
WAITING = 64
"""Tiles that wait for a coder at most: 20 kB each."""


Value = TypeVar("Value", float, NDArray[np.float32])


def value_of(score: Value) -> Value:
    """What a product is worth to the ground, rising with its score. The planner maximises its sum under the budget."""
    return score


class Chooser:
    """Chooses and codes the products of one acquisition. Use as a context manager: it holds coding threads.

    Args:
        queue: sets the density to beat.
        cells: of the whole acquisition.
        scored: scores of the chunks that an earlier run committed.
        threads: that code products.
    """

    def __init__(
        self,
        queue: Queue,
        budget_bytes: int,
        acquisition: Acquisition,
        grid: Grid,
        bands: Sequence[str],
        artefact: str,
        cells: int,
        scored: Iterable[NDArray[np.float32]] = (),
        threads: int = 2,
    ) -> None:
        self._queue, self._budget = queue, budget_bytes
        self._acquisition, self._grid, self._artefact = acquisition, grid, artefact
        self._infos = tuple(acquisition.band(name) for name in bands)
        self._cells = cells
        self._most = budget_bytes // HEADER_BYTES  # products that could ever fit
        self._seen = [score.reshape(-1) for score in scored]
        self._least: dict[int, float] = {}
        self._pool = ThreadPoolExecutor(threads, "code")
        self._coding: list[Future[NewProduct]] = []
        self._estimates: list[float] = []
        self._estimated, self._coded = 0.0, 0  # bytes of all products so far

    def __enter__(self) -> Chooser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def offer(self, chunk: Chunk, score: NDArray[np.float32], dn: U16) -> None:
        """Have the cells of a chunk coded that would stay in the queue, best first; their pixels are copied.

        Args:
            score: float32 (cells,); nan is never chosen.
            dn: uint16 (B, H, W), original DN of the chunk.
        """
        if not self._most:
            return
        self._seen.append(score)
        floor, smallest = self._queue.floor(self._budget)
        least = self._least[chunk.index] = self._best_share(smallest or dn[:, :CELL, :CELL].nbytes / 2)
        for cell in np.argsort(-score, kind="stable"):
            value = value_of(float(score[cell]))
            if not value > 0.0 or value < least or value <= floor * smallest:
                break  # nan sorts last; scores fall from here on
            row, col = divmod(int(cell), chunk.cols)
            tile = dn[:, row * CELL : (row + 1) * CELL, col * CELL : (col + 1) * CELL]
            self.code(chunk.row + row, chunk.col + col, float(score[cell]), tile, floor)

    def code(self, row: int, col: int, score: float, dn: U16, floor: float) -> None:
        """Have one cell coded, unless by its estimated bytes it would not stay."""
        value = value_of(score)
        estimate = estimate_bytes(dn)
        scale = self._coded / self._estimated if self._estimated else 0.0
        if value <= floor * estimate * scale * (1 - ESTIMATE_ERROR):
            return
        self._estimates.append(estimate)
        product = Product(
            self._grid, row, col, self._acquisition.product_id, self._acquisition.sensing_time, self._infos,
            dn.copy(), self._artefact, score,
        )  # fmt: skip
        if len(self._coding) >= WAITING:
            self._coding[-WAITING].result()
        self._coding.append(self._pool.submit(lambda: NewProduct(row, col, score, value, encode(product))))

    def __len__(self) -> int:
        return len(self._coding)

    def collect(self) -> list[NewProduct]:
        """The coded products that are good enough, in the order in which they were offered; waits for them."""
        floor, _ = self._queue.floor(self._budget)
        coded = [future.result() for future in self._coding]
        self._estimated += sum(self._estimates)
        self._coded += sum(len(product.payload) for product in coded)
        self._coding.clear()
        self._estimates.clear()
        return [p for p in coded if len(p.payload) <= self._budget and p.value / len(p.payload) > floor]

    def missed(self, acquisition: int, scored: Iterable[ChunkRow]) -> Iterator[tuple[int, int, float, float]]:
        """(row, column, score, density to beat) of cells that may yet belong into the queue, best first.

        Only what the first rule passed over, or an earlier run left behind: the density to beat has only risen since.
        It is read anew before each cell, so that what the caller commits in between ends this early.
        """
        queued = {(item.row, item.col) for item in self._queue.items() if item.acquisition == acquisition}
        floor, smallest = self._queue.floor(self._budget)
        found: list[tuple[float, int, int]] = []
        for part in scored:
            least = self._least.get(part.chunk.index, np.inf)
            wanted = (part.score > 0.0) & (part.score < least) & (value_of(part.score) > floor * smallest)
            rows, cols = np.nonzero(wanted)
            scores = part.score[wanted].tolist()
            found += zip(scores, (rows + part.chunk.row).tolist(), (cols + part.chunk.col).tolist(), strict=True)
        for score, row, col in sorted(found, key=lambda item: (-item[0], item[1], item[2]))[: self._most]:
            floor, smallest = self._queue.floor(self._budget)
            if value_of(score) <= floor * smallest:
                return
            if (row, col) not in queued:
                yield row, col, score, floor

    def _best_share(self, bytes_each: float) -> float:
        """The value that the best cells of this pass exceed, as many as the budget has room for."""
        seen = np.concatenate(self._seen)
        self._seen = [seen]
        room = AHEAD * self._budget / bytes_each * len(seen) / self._cells
        values = seen[~np.isnan(seen)]
        if room >= len(values):
            return 0.0
        return float(np.partition(values, len(values) - 1 - int(room))[len(values) - 1 - int(room)])
