"""Reading a chunk's cells where their past lies: each cell's window moved by whole pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onboard.sense.acquisition import NODATA_DN, U16, Mask, Reader
from onboard.sense.chunks import Chunk
from onboard.sense.grid import CELL, Grid, Window


class Pixels(NamedTuple):
    """Pixels of a chunk.

    Attributes:
        dn: uint16 (B, H, W), moved: what is compared.
        quality: bool (H, W), moved likewise, or None.
        original: uint16 (B, H, W) at the cells' own places: what goes down. The same array where nothing is moved
            and no noise was removed.
    """

    dn: U16
    quality: Mask | None
    original: U16


def window_of(chunk: Chunk, grid: Grid, moves: NDArray[np.int64]) -> Window:
    """The window that `read_chunk` reads: the chunk's own, and as much around it as its cells are moved."""
    row, col, height, width = chunk.window
    margin = int(np.abs(moves).max(initial=0))
    top, left = max(0, row - margin), max(0, col - margin)
    return Window(
        top, left, min(grid.height, row + height + margin) - top, min(grid.width, col + width + margin) - left
    )


def read_chunk(reader: Reader, chunk: Chunk, grid: Grid, bands: int, moves: NDArray[np.int64], buffer: U16) -> Pixels:
    """Read a chunk.

    Args:
        reader: open, delivering `bands` bands.
        grid: of the acquisition; pixels beyond its edge are no-data.
        moves: (dy, dx) px of each cell, int64 (cells, 2).
        buffer: uint16, at least bands x the chunk's pixels; holds `dn` until the caller reuses it.

    Raises:
        InputError: the part cannot be decoded.
    """
    window = chunk.window
    dn = buffer[: bands * window.height * window.width].reshape(bands, window.height, window.width)
    if not moves.any():
        quality = reader.read(window, dn)
        measured = reader.measured(window)
        return Pixels(dn, quality, dn if measured is None else measured)
    around = window_of(chunk, grid, moves)
    top, left = around.row, around.col
    wide = np.empty((bands, around.height, around.width), dtype=np.uint16)
    wide_quality = reader.read(around, wide)
    quality = None if wide_quality is None else np.empty((window.height, window.width), dtype=bool)
    for cell, (dy, dx) in enumerate(moves.tolist()):
        row, col = divmod(cell, chunk.cols)
        y, x = row * CELL, col * CELL
        ys, beyond_y = _within(window.row + y + dy - top, wide.shape[1])
        xs, beyond_x = _within(window.col + x + dx - left, wide.shape[2])
        dn[:, y : y + CELL, x : x + CELL] = wide[:, ys[:, None], xs]
        dn[:, y : y + CELL, x : x + CELL][:, beyond_y] = NODATA_DN
        dn[:, y : y + CELL, x : x + CELL][:, :, beyond_x] = NODATA_DN
        if quality is not None and wide_quality is not None:
            quality[y : y + CELL, x : x + CELL] = wide_quality[ys[:, None], xs]
    measured = reader.measured(window)
    if measured is not None:
        return Pixels(dn, quality, measured)
    y, x = window.row - top, window.col - left
    return Pixels(dn, quality, wide[:, y : y + window.height, x : x + window.width])


def _within(start: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Indices of a cell's lines from `start`, held within 0..size - 1, and which of them lay beyond."""
    lines = np.arange(start, start + CELL)
    held = np.clip(lines, 0, size - 1)
    return held, held != lines
