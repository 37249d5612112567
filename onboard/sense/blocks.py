"""Uncompressed tiles and strips of a GeoTIFF, read straight from where they lie in the file.

GDAL copies every block through buffers of its own, which costs more than all that is made of the pixels' network input.
Where a file is plain (local, in this machine's byte order, blocks of one band each, uncompressed), pixels are read into
the caller's array by the system call alone; any number of threads may do so at once. Every other file, and a file with
a block that is missing, is GDAL's.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from onboard.native.library import kernels
from onboard.native.pixels import Rectangle, read_rectangles
from onboard.sense.tiff import block_places

END = "unexpected end of the file"
FARTHEST = 1 << 62
"""Beyond any place in a file, and within what a place is counted in."""


class BlockSource:
    """Stands in for an open file whose blocks are read past GDAL.

    Args:
        source: the file; its masks are read from it.
        block: (height, width) px.
        places: by band: offset in the file of each block, int64 (rows, columns).
    """

    def __init__(self, source: DatasetReader, block: tuple[int, int], places: dict[int, NDArray[np.int64]]) -> None:
        self._source, self._block = source, block
        self._places, self._band = np.stack(list(places.values())), {index: at for at, index in enumerate(places)}
        self.dtype = np.dtype(source.dtypes[0])
        self.name, self.height, self.width, self.count = source.name, source.height, source.width, source.count
        self._file = os.open(source.name, os.O_RDONLY)
        self._closed = weakref.finalize(self, os.close, self._file)

    @classmethod
    def of(cls, source: DatasetReader, indexes: Sequence[int]) -> BlockSource | None:
        """Of an open file; None where its blocks are GDAL's business."""
        dtype, block = np.dtype(source.dtypes[0]), source.block_shapes[0]
        plain = source.driver == "GTiff" and source.compression is None and len(set(source.dtypes)) == 1
        single = source.count == 1 or str(source.interleaving or "").lower().endswith("band")
        known = block_places(Path(source.name)) if plain and single else None
        rows, cols = (-(-side // step) for side, step in zip((source.height, source.width), block, strict=True))
        if known is None or len(known.offsets) != source.count * rows * cols:
            return None
        offsets, sizes = (np.reshape(one, (source.count, rows, cols))[np.array(indexes) - 1] for one in known)
        line = block[1] * dtype.itemsize
        expected = np.full((rows, 1), block[0] * line)
        if not source.profile.get("tiled"):
            expected[-1] = (source.height - (rows - 1) * block[0]) * line  # the last strip ends early
        if (offsets <= 0).any() or (offsets >= FARTHEST).any() or (sizes != expected).any():
            return None  # a block that was never written, or bits that are packed
        if cols == 1 and not source.profile.get("tiled") and (np.diff(offsets, axis=1) == expected[:-1]).all():
            block, offsets = (source.height, block[1]), offsets[:, :1]  # strips one behind the other are one
        try:
            made = cls(source, block, dict(zip(indexes, offsets, strict=True)))
        except OSError:
            return None
        return made if made._agrees(indexes[0]) else None

    def _agrees(self, index: int) -> bool:
        """Whether the first line is what GDAL reads there: a file may be odd in more ways than were thought of."""
        window = RasterWindow(0, 0, min(self._block[1], self.width), 1)
        try:
            wanted = self._source.read([index], window=window)
            agrees = bool(np.array_equal(self.read([index], window), wanted, equal_nan=wanted.dtype.kind == "f"))
        except RasterioError:
            agrees = False
        if not agrees:
            self.close()
        return agrees

    def read(self, indexes: Sequence[int], window: RasterWindow, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """As `DatasetReader.read`, of a window within the file: (n, h, w).

        Raises:
            RasterioIOError: the file ends before, or cannot be read.
        """
        if out is None:
            out = np.empty((len(indexes), window.height, window.width), self.dtype)
        bands = [self._band[index] for index in indexes]
        rectangles = list(self._rectangles(bands, window))
        step = self._block[1] * self.dtype.itemsize
        if kernels() is not None:
            fault = read_rectangles(self._file, out, step, rectangles)
            if fault:
                raise RasterioIOError(END if fault < 0 else f"read error: {os.strerror(fault)}")
            return out
        for places, lines, pixels in rectangles:
            for place, band in zip(places.tolist(), out, strict=True):
                self._fill(band[lines, pixels], place, step)
        return out

    def _rectangles(self, bands: list[int], window: RasterWindow) -> Iterator[Rectangle]:
        """What lies of a window in each block: where in the file it begins in each band, its lines and its pixels."""
        height, width = self._block
        top, left = window.row_off, window.col_off
        for row in range(top // height, -(-(top + window.height) // height)):
            first, last = max(top, row * height), min(top + window.height, (row + 1) * height)
            for col in range(left // width, -(-(left + window.width) // width)):
                begin, end = max(left, col * width), min(left + window.width, (col + 1) * width)
                pixels = (first - row * height) * width + begin - col * width
                places = self._places[bands, row, col] + pixels * self.dtype.itemsize
                yield places, slice(first - top, last - top), slice(begin - left, end - left)

    def read_masks(self, indexes: Sequence[int], window: RasterWindow) -> NDArray[Any]:
        """As `DatasetReader.read_masks`."""
        masks: NDArray[Any] = self._source.read_masks(indexes, window=window)
        return masks

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._closed()

    def _fill(self, part: NDArray[Any], place: int, step: int) -> None:
        if part.flags.c_contiguous and (part.strides[0] == step or len(part) == 1):
            self._fill_straight(part, place)
        else:  # whole lines cost less than a call for each
            lines = np.empty((step * (len(part) - 1) // part.itemsize + part.shape[1]), part.dtype)
            self._fill_straight(lines, place)
            part[...] = np.lib.stride_tricks.as_strided(lines, part.shape, (step, part.itemsize))

    def _fill_straight(self, array: NDArray[Any], place: int) -> None:
        view = array.data.cast("B")
        while view:
            try:
                count = os.preadv(self._file, [view], place)
            except OSError as error:
                raise RasterioIOError(f"read error: {error.strerror}") from error
            if not count:
                raise RasterioIOError(END)
            view, place = view[count:], place + count
