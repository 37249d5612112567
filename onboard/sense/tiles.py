"""Chunk of DN -> tiles for the network and sub-cell means for the memory. Pure arrays, buffers reused by the caller."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard.sense.acquisition import NODATA_DN, SATURATED_DN, U16, Mask
from onboard.sense.grid import CELL

U8 = NDArray[np.uint8]


def valid_pixels(dn: U16, quality: Mask | None) -> Mask:
    """Pixels with data and without saturation in every band, and usable by the product's own word.

    Args:
        dn: uint16 (B, H, W).
        quality: bool (H, W), or None.
    """
    valid: Mask = (dn.min(axis=0) != NODATA_DN) & (dn.max(axis=0) != SATURATED_DN)
    return valid if quality is None else valid & quality


def sub_cell_share(valid: Mask, px: int) -> NDArray[np.float32]:
    """Share of valid pixels in every sub-cell of `px` px: bool (H, W) -> float32 (cells, n*n) in 0..1."""
    height, width = valid.shape
    count = valid.reshape(height // px, px, width // px, px).sum(axis=(1, 3), dtype=np.uint16)
    return np.asarray(_by_cell(count[None], px)[:, 0] / np.float32(px * px), dtype=np.float32)


def apply_tables(dn: U16, tables: U8, out: U8) -> None:
    """Network input of every pixel: out[b] = tables[b][dn[b]].

    Args:
        dn: uint16 (B, H, W).
        tables: uint8 (B, 65536).
        out: uint8 (B, H, W), overwritten.
    """
    for band, table in enumerate(tables):
        # every uint16 is a valid index, so "clip" only spares numpy the bounds check and a buffer
        np.take(table, dn[band], out=out[band], mode="clip")


def sub_cell_means(x: U8, px: int) -> U8:
    """Rounded means over `px` x `px`: uint8 (B, H, W) -> uint8 (cells, B, n*n), n = 32 / px, cells row by row."""
    bands, height, width = x.shape
    lines = np.add.reduce(x.reshape(bands, height // px, px, width), axis=2, dtype=np.uint16)
    sums = lines.reshape(bands, height // px, width // px, px).sum(axis=3, dtype=np.uint16)
    half = px * px // 2
    return _by_cell(((sums + half) // np.uint16(px * px)).astype(np.uint8), px)


def to_tiles(x: U8, out: U8) -> U8:
    """Cut into tiles: (B, H, W) -> (cells, B, 32, 32) in `out` (its first cells), row by row of cells."""
    bands, height, width = x.shape
    rows, cols = height // CELL, width // CELL
    view = out[: rows * cols].reshape(rows, cols, bands, CELL, CELL)
    np.copyto(view, x.reshape(bands, rows, CELL, cols, CELL).transpose(1, 3, 0, 2, 4))
    return out[: rows * cols]


def _by_cell(sub: NDArray[np.generic], px: int) -> NDArray:  # type: ignore[type-arg]
    """(B, H/px, W/px) -> (cells, B, n*n), cells row by row."""
    n = CELL // px
    bands, height, width = sub.shape
    cells = sub.reshape(bands, height // n, n, width // n, n).transpose(1, 3, 0, 2, 4)
    return np.ascontiguousarray(cells).reshape(-1, bands, n * n)
