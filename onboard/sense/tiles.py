"""Chunk of DN -> tiles for the network and sub-cell means for the memory. Pure arrays, buffers reused by the caller."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.change.record import SUB, SUB_PX
from onboard.sense.acquisition import NODATA_DN, SATURATED_DN, U16, Mask
from onboard.sense.grid import CELL


def valid_pixels(dn: U16, quality: Mask | None) -> Mask:
    """Pixels with data and without saturation in every band, and usable by the product's own word.

    Args:
        dn: uint16 (B, H, W).
        quality: bool (H, W), or None.
    """
    valid: Mask = (dn.min(axis=0) != NODATA_DN) & (dn.max(axis=0) != SATURATED_DN)
    return valid if quality is None else valid & quality


def sub_cell_share(valid: Mask) -> NDArray[np.float32]:
    """Share of valid pixels in every sub-cell: bool (H, W) -> float32 (cells, 4, 4) in 0..1, cells row by row."""
    height, width = valid.shape
    count = valid.reshape(height // SUB_PX, SUB_PX, width // SUB_PX, SUB_PX).sum(axis=(1, 3), dtype=np.uint8)
    cells = count.reshape(height // CELL, SUB, width // CELL, SUB).transpose(0, 2, 1, 3)
    return np.asarray(cells.reshape(-1, SUB, SUB) / np.float32(SUB_PX * SUB_PX), dtype=np.float32)


def apply_tables(dn: U16, tables: NDArray[Any], out: NDArray[Any]) -> None:
    """Network input for every pixel: out[b] = tables[b][dn[b]].

    Args:
        dn: uint16 (B, H, W).
        tables: (B, 65536) of the network's input type.
        out: (B, H, W) of the same type, overwritten.
    """
    for band, table in enumerate(tables):
        # every uint16 is a valid index, so "clip" only spares numpy the bounds check and a buffer
        np.take(table, dn[band], out=out[band], mode="clip")


def sub_cell_means(x: NDArray[Any]) -> NDArray[np.float32]:
    """Means over 8x8 px of the network's input: (B, H, W) -> float32 (cells, B, 4, 4), cells row by row."""
    bands, height, width = x.shape
    kind = np.uint16 if x.dtype == np.uint8 else np.float32
    lines = np.add.reduce(x.reshape(bands, height // SUB_PX, SUB_PX, width), axis=2, dtype=kind)
    sums = np.add.reduce(lines.reshape(bands, height // SUB_PX, width // SUB_PX, SUB_PX), axis=3, dtype=kind)
    cells = sums.reshape(bands, height // CELL, SUB, width // CELL, SUB).transpose(1, 3, 0, 2, 4)
    return np.asarray(cells.reshape(-1, bands, SUB, SUB) / np.float32(SUB_PX * SUB_PX), dtype=np.float32)


def to_tiles(x: NDArray[Any], out: NDArray[Any]) -> NDArray[Any]:
    """Cut into tiles: (B, H, W) -> (cells, B, 32, 32) in `out` (its first cells), row by row of cells."""
    bands, height, width = x.shape
    rows, cols = height // CELL, width // CELL
    view = out[: rows * cols].reshape(rows, cols, bands, CELL, CELL)
    np.copyto(view, x.reshape(bands, rows, CELL, cols, CELL).transpose(1, 3, 0, 2, 4))
    return out[: rows * cols]
