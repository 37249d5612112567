"""The order of reading: rectangles of whole cells along the file's own blocks, small enough for the memory budget.

A **chunk** holds whole cells. Its height and width follow the file's blocks so that no block is decoded twice where the
budget allows; a striped file gives full-width strips, a tiled one gives rows of tiles cut at block boundaries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from onboard.config import DEFAULT_CHUNK_PX
from onboard.sense.grid import CELL, Window

LARGEST_BLOCK_PX = 1_100_000
"""A block up to this size is read whole (JPEG 2000 of Sentinel-2: 1,024 x 1,024): a part costs as much to decode."""


@dataclass(frozen=True)
class Chunk:
    """A rectangle of cells: first row and column, number of rows and columns; `index` in reading order."""

    index: int
    row: int
    col: int
    rows: int
    cols: int

    @property
    def window(self) -> Window:
        """The same rectangle in pixels."""
        return Window(self.row * CELL, self.col * CELL, self.rows * CELL, self.cols * CELL)

    @property
    def cells(self) -> int:
        """How many cells it holds."""
        return self.rows * self.cols


def plan_chunks(rows: int, cols: int, block_shape: tuple[int, int], max_px: int = DEFAULT_CHUNK_PX) -> list[Chunk]:
    """Cover a grid of cells once, in the order of the file's blocks.

    Args:
        rows, cols: cells of the grid.
        block_shape: (height, width) px of the file's blocks.
        max_px: most pixels of a chunk (one cell at least).
    """
    block_rows, block_cols = min(rows, _cells(block_shape[0])), min(cols, _cells(block_shape[1]))
    max_cells = max(1, max_px // (CELL * CELL))
    if block_rows * block_cols * CELL * CELL <= LARGEST_BLOCK_PX:
        max_cells = max(max_cells, block_rows * block_cols)
    step_cols = min(block_cols, max_cells)
    step_rows = max(1, min(block_rows, max_cells // step_cols))
    # several blocks side by side, then one above the other, while they fit: fewer chunks cost less per cell
    step_cols = min(cols, step_cols * max(1, max_cells // (step_rows * step_cols)))
    step_rows = min(rows, step_rows * max(1, max_cells // (step_rows * step_cols)))
    chunks: list[Chunk] = []
    for row in range(0, rows, step_rows):
        for col in range(0, cols, step_cols):
            chunks.append(Chunk(len(chunks), row, col, min(step_rows, rows - row), min(step_cols, cols - col)))
    return chunks


def sample_chunks(chunks: list[Chunk], share: float, small_cells: int) -> list[Chunk]:
    """Chunks for the pre-scan: all of them where the grid is small, else an even `share` of them (at least 4).

    Args:
        chunks: the whole plan.
        share: of the cells, 0..1.
        small_cells: up to this many cells everything is scanned.
    """
    total = sum(chunk.cells for chunk in chunks)
    if total <= small_cells or not chunks:
        return list(chunks)
    count = min(len(chunks), max(4, math.ceil(share * len(chunks))))
    return [chunks[int((i + 0.5) * len(chunks) / count)] for i in range(count)]


def _cells(pixels: int) -> int:
    return max(1, math.ceil(pixels / CELL))
