"""Pixels by compiled code, and the file that they lie in. Twins: `change.look`, `change.registration`, `sense.prescan`,
`sense.blocks`, `downlink.estimate`, `downlink.mosaic`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ctypes import addressof, byref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.native.library import Chunk, Steps, address, kernels, pointer
from onboard.native.records import MAX_BANDS, layout_of

U8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Records = NDArray[np.void]

CELL = 32
"""Of kernels.h."""


def steps_of(tables: U8) -> Any:
    """The steps of tables (B, 65536), where they are of the kind that has any: what registers hold of them."""
    found = (Steps * len(tables))()
    for table, steps in zip(tables, found, strict=True):
        kernels().onboard_steps(pointer(table, np.uint8), byref(steps))
    return found


class Preparer:
    """DN of a chunk -> tiles for the network, means over sub-cells in the records, valid pixels.

    Args:
        tables: uint8 (B, 65536), input by DN; B is 16 at most.
        steps: theirs.
        dtype: of the records.
        fine, coarse: bands whose means go to these fields, in order.
        zero: input of pixels that are not valid.
        channels: of tiles whose last axis they are; 0: the tiles' bands come first.
        wide: False keeps from wide registers, for comparisons.
    """

    def __init__(
        self,
        tables: U8,
        steps: Any,
        dtype: np.dtype[Any],
        fine: Sequence[int],
        coarse: Sequence[int],
        zero: int,
        channels: int = 0,
        wide: bool = True,
    ) -> None:
        bands = len(tables)
        if bands > MAX_BANDS or channels % 4 or (channels and channels < bands):
            raise ValueError(f"{bands} bands in {channels} channels")
        self._dtype, self._wide = dtype, wide
        self._field, self._px = np.empty((2, bands), np.int64)
        layout = layout_of(dtype)
        for group, first, means, px in ((fine, layout.fine, 64, 4), (coarse, layout.coarse, 16, 8)):
            for place, band in enumerate(group):
                self._field[band], self._px[band] = first + means * place, px
        self._tile = (CELL, CELL, channels) if channels else (bands, CELL, CELL)
        self._kept = tables, steps  # the kernel reads them
        self._chunk = Chunk(
            bands=bands, tables=pointer(tables, np.uint8), steps=addressof(steps), field=address(self._field),
            px=address(self._px), zero=zero, channels=channels, size=dtype.itemsize,
        )  # fmt: skip

    def prepare(self, dn: NDArray[np.uint16], quality: Mask | None, tiles: U8, records: Records, valid: Mask) -> bool:
        """Fill tiles, (cells, B, 32, 32) or (cells, 32, 32, channels), means of records (cells,) and valid pixels
        (H, W) from DN (B, H, W) of whole cells, the pixels of a line one after the other. Whether all are valid."""
        bands, height, width = dn.shape
        chunk = self._chunk
        if (
            dn.dtype != np.uint16
            or dn.strides[2] != 2
            or bands != chunk.bands
            or tiles.shape != (height * width // 1024, *self._tile)
            or valid.shape != (height, width)
        ):
            raise ValueError(f"DN {dn.shape} with strides {dn.strides} for tiles {tiles.shape}, {valid.shape} px")
        valid[...] = True if quality is None else quality
        chunk.dn, chunk.width, chunk.tiles = address(dn), width, pointer(tiles, np.uint8)
        chunk.band_step, chunk.line_step = (step // 2 for step in dn.strides[:2])
        chunk.records = pointer(records, self._dtype)
        return not kernels().onboard_prepare(byref(chunk), height, pointer(valid, np.bool_), self._wide)


def count_values(dn: NDArray[np.uint16], valid: Mask | None, counts: NDArray[np.int64]) -> None:
    """Add how often each value occurs in DN (H, W) to counts (65536,); `valid`, bool (H, W): only there."""
    height, width = dn.shape
    if dn.dtype != np.uint16 or dn.strides[1] != 2 or (valid is not None and valid.shape != dn.shape):
        raise ValueError(f"{dn.dtype} with strides {dn.strides}")
    where = 0 if valid is None else pointer(valid, np.bool_)
    kernels().onboard_histogram(address(dn), height, width, dn.strides[0] // 2, where, pointer(counts, np.int64))


def halved(dn: NDArray[np.uint16]) -> Mask:
    """Of which bands of (B, H, W), H and W even, all 2 x 2 blocks are constant: bool (B,)."""
    bands, height, width = dn.shape
    if dn.dtype != np.uint16 or dn.strides[2] != 2 or height % 2 or width % 2:
        raise ValueError(f"{dn.dtype} {dn.shape} with strides {dn.strides}")
    found = np.empty(bands, np.bool_)
    kernels().onboard_halved(address(dn), bands, height, width, dn.strides[0] // 2, dn.strides[1] // 2, address(found))
    return found


def laid_out(dn: NDArray[np.uint16], half: Sequence[int]) -> bytes:
    """(B, H, W) as one image of big-endian numbers (`downlink.mosaic.lay_out`); H and W even where bands are halved."""
    bands, height, width = dn.shape
    pairs = (len(half) + 1) // 2
    if dn.dtype != np.uint16 or dn.strides[2] != 2 or (half and (height % 2 or width % 2)):
        raise ValueError(f"{dn.dtype} {dn.shape} with strides {dn.strides}")
    halved = np.zeros(bands, np.uint8)
    halved[list(half)] = 1
    image = np.empty(((bands - len(half)) * height + pairs * (height // 2), width), ">u2")
    kernels().onboard_lay_out(
        address(dn), bands, height, width, dn.strides[0] // 2, dn.strides[1] // 2, address(halved), image.ctypes.data
    )
    return image.tobytes()


class Drafter:
    """Lays out single cells as `laid_out` does, some at a time into the same memory."""

    AT_ONCE = 16

    def __init__(self, bands: int) -> None:
        self._halved = np.empty((self.AT_ONCE, bands), np.uint8)
        self._images = np.empty(self.AT_ONCE * bands * CELL * CELL * 2, np.uint8)

    def cells(
        self, dn: NDArray[np.uint16], rows: NDArray[np.intp], cols: NDArray[np.intp]
    ) -> Iterator[tuple[bytes, memoryview]]:
        """Of cells (N,) of DN (B, H, W): which bands are halved, a byte each; the samples, until the next is asked for.

        Raises:
            ValueError: they are not such cells.
        """
        bands = self._halved.shape[1]
        if dn.dtype != np.uint16 or dn.strides[2] != 2 or len(dn) != bands or len(rows) != len(cols):
            raise ValueError(f"{dn.dtype} {dn.shape} with strides {dn.strides}")
        for start in range(0, len(rows), self.AT_ONCE):
            r, c = (np.ascontiguousarray(places[start : start + self.AT_ONCE], np.int64) for places in (rows, cols))
            if min(r.min(), c.min()) < 0 or r.max() >= dn.shape[1] // CELL or c.max() >= dn.shape[2] // CELL:
                raise ValueError(f"cells beyond {dn.shape}")
            kernels().onboard_draft(
                address(dn), bands, dn.strides[0] // 2, dn.strides[1] // 2, address(r), address(c), len(r),
                address(self._halved), address(self._images),
            )  # fmt: skip
            for i, half in enumerate(self._halved[: len(r)].sum(axis=1).tolist()):
                at, size = i * bands * CELL * CELL * 2, (2 * (bands - half) + (half + 1) // 2) * CELL * CELL
                yield self._halved[i].tobytes(), self._images.data[at : at + size]


def residual_logs(
    dn: NDArray[np.uint16], rows: NDArray[np.intp], cols: NDArray[np.intp], half: Sequence[int], logs: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Sums of `logs` (65536,) of what a prediction leaves of cells of DN (B, H, W), int32 (N, B)."""
    if dn.dtype != np.uint16 or dn.strides[2] != 2 or len(rows) != len(cols):
        raise ValueError(f"{dn.dtype} with strides {dn.strides}")
    halved = np.zeros(len(dn), np.uint8)
    halved[list(half)] = 1
    sums = np.empty((len(rows), len(dn)), np.int32)
    kernels().onboard_residual_logs(
        address(dn), len(dn), dn.strides[0] // 2, dn.strides[1] // 2, pointer(rows, np.int64),
        pointer(cols, np.int64), len(rows), address(halved), pointer(logs, np.int32), address(sums),
    )  # fmt: skip
    return sums


def correlations(pixels: U8, reference: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Sums of products with the reference, of boxes and of their squares, float64 (side * side, F, 3); side is 17."""
    bands, rows, cols = reference.shape
    height, width = pixels.shape[1:]
    if side != 17 or cols % 4 or max(height, width) > 4 * 48 or (height, width) != (4 * rows + 16, 4 * cols + 16):
        raise ValueError(f"pixels {pixels.shape} for a reference {reference.shape} at {side} displacements")
    sums, pixels = np.empty((side * side, bands, 3)), np.ascontiguousarray(pixels)
    kernels().onboard_correlate(
        pointer(pixels, np.uint8), bands, height, width, pointer(reference, np.float64), rows,
        cols, address(sums),
    )  # fmt: skip
    return sums


Rectangle = tuple[NDArray[np.int64], slice, slice]
"""Where in a file it begins in each band, and its lines and pixels in an array."""


def read_rectangles(file: int, out: NDArray[Any], step: int, rectangles: Sequence[Rectangle]) -> int:
    """Fill parts of an array (B, H, W), the pixels of a line one after the other, from an open file.

    Args:
        step: bytes from one line to the next in the file.

    Returns:
        0, an errno, or -1 at the end of the file.
    """
    bands, size = len(out), out.itemsize
    if out.strides[2] != size:
        raise ValueError(f"lines with strides {out.strides}")
    table = np.empty((len(rectangles), bands, 6), np.int64)
    first = address(out) + np.arange(bands) * out.strides[0]
    for part, (places, lines, pixels) in zip(table, rectangles, strict=True):
        part[:, 0] = places
        part[:, 1:4] = step, lines.stop - lines.start, (pixels.stop - pixels.start) * size
        part[:, 4] = first + (lines.start * out.strides[1] + pixels.start * size)
        part[:, 5] = out.strides[1]
    found: int = kernels().onboard_read(file, len(rectangles) * bands, address(table))
    return found
