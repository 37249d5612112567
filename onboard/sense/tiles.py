"""Chunk of DN -> tiles for the network and sub-cell means for the memory. Pure arrays, buffers reused by the caller."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from onboard.sense.acquisition import NODATA_DN, SATURATED_DN, U16, Mask
from onboard.sense.grid import CELL

U8 = NDArray[np.uint8]

CACHE_LINE = 64
_LINE = np.dtype(f"V{CELL}")
_EVEN = np.uint64(0x00FF00FF00FF00FF)


def on_cache_lines(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array like `np.empty`, whose first item begins a line of the processor's cache: a line of a tile's DN is one,
    and costs twice as much where it lies in two."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(size + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    return room[start : start + size].view(dtype).reshape(shape)


def valid_pixels(dn: U16, quality: Mask | None) -> Mask:
    """Pixels with data and without saturation in every band, and usable by the product's own word.

    Args:
        dn: uint16 (B, H, W).
        quality: bool (H, W), or None.
    """
    if quality is None and all(band.min() != NODATA_DN and band.max() != SATURATED_DN for band in dn):
        return np.ones(dn.shape[1:], dtype=bool)  # the usual case, at half the price
    valid: Mask = (dn.min(axis=0) != NODATA_DN) & (dn.max(axis=0) != SATURATED_DN)
    return valid if quality is None else valid & quality


def sub_cell_share(valid: Mask, px: int) -> NDArray[np.float32]:
    """Share of valid pixels in every sub-cell of `px` px: bool (H, W) -> float32 (cells, n*n) in 0..1."""
    count = _sub_cell_sums(valid.view(np.uint8)[None], px)
    return np.asarray(_by_cell(count, px)[:, 0] / np.float32(px * px), dtype=np.float32)


def apply_table(dn: U16, table: U8, out: U8) -> None:
    """Network input of every pixel: out = table[dn].

    Args:
        dn: uint16 (H, W).
        table: uint8 (65536,).
        out: uint8 (H, W), overwritten.
    """
    # every uint16 is a valid index, so "clip" only spares numpy the bounds check and a buffer
    np.take(table, dn, out=out, mode="clip")


def sub_cell_means(x: U8, px: int) -> U8:
    """Rounded means over `px` x `px`: uint8 (B, H, W) -> uint8 (cells, B, n*n), n = 32 / px, cells row by row."""
    half = px * px // 2
    return _by_cell(((_sub_cell_sums(x, px) + np.uint16(half)) // np.uint16(px * px)).astype(np.uint8), px)


def to_tiles(plane: U8, out: U8) -> None:
    """Cut one band into tiles: (H, W), C-contiguous -> (cells, 32, 32), row by row of cells.

    Args:
        out: overwritten; may be one band of (cells, B, 32, 32).
    """
    height, width = plane.shape
    rows, cols = height // CELL, width // CELL
    # a line of a tile as one item of 32 bytes: four times as fast as byte by byte
    lines = out.view(_LINE).reshape(rows, cols, CELL)
    np.copyto(lines, plane.view(_LINE).reshape(rows, CELL, cols).transpose(0, 2, 1))


def to_pixels(plane: U8, out: U8) -> None:
    """The same for tiles whose last axis are the bands.

    Args:
        out: overwritten; one band of (cells, 32, 32, channels).
    """
    rows, cols = (side // CELL for side in plane.shape)
    out[...] = plane.reshape(rows, CELL, cols, CELL).transpose(0, 2, 1, 3).reshape(out.shape)


def channels_last(tiles: NDArray[Any], channels: int) -> NDArray[Any]:
    """(N, B, 32, 32) -> (N, 32, 32, channels), 0 behind the bands."""
    turned = np.zeros((len(tiles), CELL, CELL, channels), tiles.dtype)
    turned[..., : tiles.shape[1]] = tiles.transpose(0, 2, 3, 1)
    return turned


def _sub_cell_sums(x: U8, px: int) -> U16:
    """Sums over `px` x `px` (4 or 8): uint8 (B, H, W), C-contiguous -> uint16 (B, H/px, W/px).

    Eight pixels are added at a time: a 64-bit word holds four 16-bit sums of two neighbours each, which cannot overflow
    into each other (8 rows x 2 pixels x 255 < 65536).
    """
    bands, height, width = x.shape
    pairs = np.empty((bands, height // px, width // 2), dtype=np.uint16)
    for band in range(bands):  # a band at a time stays in the processor's cache
        words = x[band].view(np.uint64)
        sums = words & _EVEN
        sums += (words >> np.uint64(8)) & _EVEN
        lines = sums.reshape(height // px, px, -1)
        total = pairs[band].view(np.uint64)
        np.add(lines[:, 0], lines[:, 1], out=total)
        for line in range(2, px):
            total += lines[:, line]
    while pairs.shape[2] * px > width:
        pairs = pairs[:, :, 0::2] + pairs[:, :, 1::2]
    return pairs


def _by_cell(sub: NDArray[np.generic], px: int) -> NDArray:  # type: ignore[type-arg]
    """(B, H/px, W/px) -> (cells, B, n*n), cells row by row."""
    n = CELL // px
    bands, height, width = sub.shape
    lines = np.ascontiguousarray(sub).view(f"V{n * sub.itemsize}").reshape(bands, height // n, n, width // n)
    cells = np.ascontiguousarray(lines.transpose(1, 3, 0, 2))
    return cells.view(sub.dtype).reshape(-1, bands, n * n)
