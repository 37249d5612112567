"""The order of reading: rectangles of whole cells along the file's own blocks, small enough for the memory budget.

A **chunk** holds whole cells. Its height and width follow the file's blocks so that no block is decoded twice: blocks
side by side where several fit, else parts of one block after the other, which the block cache holds meanwhile. A
striped file gives full-width strips. A **strip** is one sweep of chunks from the left edge to the right: as many rows
of cells as a block, or as the blocks that fit a chunk, are high.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from onboard.config import DEFAULT_CHUNK_PX
from onboard.sense.grid import CELL, Window

SAMPLE_CHUNK_PX = 360_000
"""Of the pre-scan's chunks: what is sampled, and so what is found, must not depend on the memory budget."""
LARGEST_BLOCK_PX = 1_100_000
"""A block up to this size is sampled whole (JPEG 2000 of Sentinel-2: 1,024 x 1,024)."""


@dataclass(frozen=True)
class Chunk:
    """A rectangle of cells: first row and column, number of rows and columns; `index` and `strip` in reading order."""

    index: int
    row: int
    col: int
    rows: int
    cols: int
    strip: int = 0

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
    if block_rows * block_cols <= max_cells:
        block_rows, block_cols = _several(rows, cols, block_rows, block_cols, max_cells)
    part_cols = _even(block_cols, max_cells)
    part_rows = _even(block_rows, max(1, max_cells // part_cols))
    chunks: list[Chunk] = []
    for top, left in product(range(0, rows, block_rows), range(0, cols, block_cols)):
        bottom, right = min(rows, top + block_rows), min(cols, left + block_cols)
        for row, col in product(range(top, bottom, part_rows), range(left, right, part_cols)):
            height, width = min(part_rows, bottom - row), min(part_cols, right - col)
            chunks.append(Chunk(len(chunks), row, col, height, width, top // block_rows))
    return chunks


def plan_sample(rows: int, cols: int, block_shape: tuple[int, int]) -> list[Chunk]:
    """All chunks that the pre-scan's sample is taken from (`sample_chunks`), line by line of the grid.

    Args:
        rows, cols: cells of the grid.
        block_shape: (height, width) px of the file's blocks.
    """
    block_rows, block_cols = min(rows, _cells(block_shape[0])), min(cols, _cells(block_shape[1]))
    max_cells = SAMPLE_CHUNK_PX // (CELL * CELL)
    if block_rows * block_cols * CELL * CELL <= LARGEST_BLOCK_PX:
        max_cells = max(max_cells, block_rows * block_cols)
    step_cols = min(block_cols, max_cells)
    step_rows = max(1, min(block_rows, max_cells // step_cols))
    step_rows, step_cols = _several(rows, cols, step_rows, step_cols, max_cells)
    return [
        Chunk(index, row, col, min(step_rows, rows - row), min(step_cols, cols - col))
        for index, (row, col) in enumerate(product(range(0, rows, step_rows), range(0, cols, step_cols)))
    ]


def in_parts(chunk: Chunk, max_px: int) -> list[Chunk]:
    """A chunk as parts of whole rows of its cells, each within `max_px` where a row is; all carry its index."""
    step = max(1, max_px // (chunk.cols * CELL * CELL))
    return [replace(chunk, row=chunk.row + at, rows=min(step, chunk.rows - at)) for at in range(0, chunk.rows, step)]


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


def largest(chunks: Sequence[Chunk]) -> int:
    """Cells of the largest of some chunks; 0 without any."""
    return max((chunk.cells for chunk in chunks), default=0)


def _several(rows: int, cols: int, block_rows: int, block_cols: int, max_cells: int) -> tuple[int, int]:
    """(rows, cols) of several blocks side by side, then one above the other, while they fit: fewer chunks cost less."""
    block_cols = min(cols, block_cols * max(1, max_cells // (block_rows * block_cols)))
    return min(rows, block_rows * max(1, max_cells // (block_rows * block_cols))), block_cols


def _even(size: int, most: int) -> int:
    """The size of the parts when something is cut into as few parts of at most `most` as can be."""
    return math.ceil(size / math.ceil(size / most))


def _cells(pixels: int) -> int:
    return max(1, math.ceil(pixels / CELL))
