"""Reading a chunk's cells where their past lies: each cell's window moved by whole pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onboard.sense.acquisition import NODATA_DN, U16, Mask, Reader
from onboard.sense.chunks import Chunk
from onboard.sense.grid import CELL, Grid, Window
from onboard.sense.tiles import CACHE_LINE, on_cache_lines

LINE_PX = CACHE_LINE // 2
"""Pixels in a line of the processor's cache."""


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

    def looked_at(self) -> Pixels:
        """What is still needed once it has been compared: what goes down."""
        return Pixels(self.original, None, self.original)


def window_of(chunk: Chunk, grid: Grid, moves: NDArray[np.int64]) -> Window:
    """The window that `read_chunk` reads: the chunk's own, and to each side as much as any of its cells is moved."""
    if not moves.any():
        return chunk.window
    row, col, height, width = chunk.window
    up, left = moves.min(axis=0, initial=0).tolist()
    down, right = moves.max(axis=0, initial=0).tolist()
    top, first = max(0, row + up), max(0, col + left)
    return Window(top, first, min(grid.height, row + height + down) - top, min(grid.width, col + width + right) - first)


def room(window: Window) -> int:
    """Pixels that `read_chunk` needs for each band of a window that it reads."""
    width = window.width
    return window.height * (_up(width) + LINE_PX if width % CELL else width)


def _up(width: int) -> int:
    return -(-width // LINE_PX) * LINE_PX


def read_chunk(reader: Reader, chunk: Chunk, grid: Grid, bands: int, moves: NDArray[np.int64], buffer: U16) -> Pixels:
    """Read a chunk.

    Args:
        reader: open, delivering `bands` bands.
        grid: of the acquisition; pixels beyond its edge are no-data.
        moves: (dy, dx) px of each cell, int64 (cells, 2).
        buffer: uint16, bands x `room` of `window_of` the chunk, or another one is made; holds what was read until the
            caller reuses it.

    Raises:
        InputError: the part cannot be decoded.
    """
    wider, window = window_of(chunk, grid, moves), chunk.window
    at = window.row - wider.row, window.col - wider.col
    if buffer.size < bands * room(wider):
        buffer = on_cache_lines(bands * room(wider), "u2")
    before = -(at[1] + int(moves[0, 1])) % LINE_PX if wider.width != window.width else 0
    line = _up(before + wider.width)  # what is looked at begins a line of the cache, as the buffer does
    pixels = buffer[: bands * wider.height * line].reshape(bands, wider.height, line)
    pixels = pixels[:, :, before : before + wider.width]
    quality, measured = reader.read(wider, pixels), reader.measured(window)
    if not moves.any():
        return Pixels(pixels, quality, pixels if measured is None else measured)
    moved = _moved(pixels, window, at, moves, chunk.cols)
    usable = None if quality is None else _moved(quality, window, at, moves, chunk.cols)
    return Pixels(moved, usable, _part(pixels, *at, window) if measured is None else measured)


def _moved(
    source: NDArray[Any], window: Window, at: tuple[int, int], moves: NDArray[np.int64], cols: int
) -> NDArray[Any]:
    """Of each cell of a window the pixels that it is moved to, (..., height, width); beyond them 0, which is no-data
    and not usable.

    Args:
        source: (..., h, w), not copied where all cells are moved alike and none beyond it.
        at: (y, x) of the window in it.
        cols: cells in a row of the window.
    """
    (top, left), (dy, dx) = at, moves[0].tolist()
    alike = bool((moves == moves[0]).all())
    if alike and _fits(source, top + dy, left + dx, window):
        return _part(source, top + dy, left + dx, window)
    target = np.empty((*source.shape[:-2], window.height, window.width), source.dtype)
    if alike:
        _copy(source, target, top + dy, left + dx)
        return target
    for cell, (dy, dx) in enumerate(moves.tolist()):
        y, x = (CELL * number for number in divmod(cell, cols))
        _copy(source, target[..., y : y + CELL, x : x + CELL], top + y + dy, left + x + dx)
    return target


def _fits(source: NDArray[Any], y: int, x: int, window: Window) -> bool:
    height, width = source.shape[-2] - window.height, source.shape[-1] - window.width
    return bool(0 <= y <= height and 0 <= x <= width)


def _part(source: NDArray[Any], y: int, x: int, window: Window) -> NDArray[Any]:
    return source[..., y : y + window.height, x : x + window.width]


def _copy(source: NDArray[Any], target: NDArray[Any], y: int, x: int) -> None:
    """Fill `target` with what lies in `source` from (y, x) on; 0 beyond it."""
    height, width = target.shape[-2:]
    top, left = max(0, -y), max(0, -x)
    bottom, right = min(height, source.shape[-2] - y), min(width, source.shape[-1] - x)
    if (top, left, bottom, right) != (0, 0, height, width):
        target[...] = NODATA_DN
    target[..., top:bottom, left:right] = source[..., y + top : y + bottom, x + left : x + right]
