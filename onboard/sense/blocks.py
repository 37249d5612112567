"""Uncompressed tiles of a GeoTIFF, read straight from where they lie in the file.

GDAL copies every tile through buffers of its own, which costs more than all that is made of the pixels' network input.
Where a file is plain (local, in this machine's byte order, whole tiles of one band each, uncompressed), its tiles are
read into the caller's array by the system call alone; any number of threads may do so at once. Every other file, and a
file with a tile that is missing, is GDAL's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from onboard.native.library import kernels
from onboard.native.records import read_parts

END = "unexpected end of the file"


class BlockSource:
    """Stands in for an open file whose tiles are read past GDAL.

    Args:
        source: the file; its masks are read from it.
        places: by band: offset in the file of each tile, int64 (rows, columns).
    """

    def __init__(self, source: DatasetReader, places: dict[int, NDArray[np.int64]]) -> None:
        self._source, self._places, self._block = source, places, source.block_shapes[0]
        self.dtype = np.dtype(source.dtypes[0])
        self.name, self.height, self.width, self.count = source.name, source.height, source.width, source.count
        self._file = os.open(source.name, os.O_RDONLY)

    @classmethod
    def of(cls, source: DatasetReader, indexes: Sequence[int]) -> BlockSource | None:
        """Of an open file; None where its tiles are GDAL's business."""
        dtype, block = np.dtype(source.dtypes[0]), source.block_shapes[0]
        plain = source.driver == "GTiff" and source.compression is None and len(set(source.dtypes)) == 1
        single = source.count == 1 or str(source.interleaving or "").lower().endswith("band")
        if not (plain and single and source.profile.get("tiled") and Path(source.name).is_file() and _little(source)):
            return None
        rows, cols = (-(-side // step) for side, step in zip((source.height, source.width), block, strict=True))
        length = str(block[0] * block[1] * dtype.itemsize)
        places = {}
        for index in indexes:
            found = np.empty((rows, cols), np.int64)
            for row, col in np.ndindex(rows, cols):
                where = source.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=index)
                if not where or source.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=index) != length:
                    return None  # a tile that was never written, or bits that are packed
                found[row, col] = int(where)
            places[index] = found
        return cls(source, places)

    def read(self, indexes: Sequence[int], window: RasterWindow, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """As `DatasetReader.read`, of a window within the file: (n, h, w).

        Raises:
            RasterioIOError: the file ends before, or cannot be read.
        """
        if out is None:
            out = np.empty((len(indexes), window.height, window.width), self.dtype)
        parts: list[tuple[NDArray[Any], int]] = []
        cut: list[tuple[NDArray[Any], NDArray[Any]]] = []
        for index, band in zip(indexes, out, strict=True):
            self._gather(index, window, band, parts, cut)
        self._fill(parts)
        for part, inside in cut:
            part[...] = inside
        return out

    def _gather(
        self, index: int, window: RasterWindow, band: NDArray[Any], parts: list[tuple[NDArray[Any], int]],
        cut: list[tuple[NDArray[Any], NDArray[Any]]],
    ) -> None:  # fmt: skip
        """What is to be read of a band, whole lines of tiles each: into its own pixels (h, w), or beside them first."""
        height, width = self._block
        top, left = window.row_off, window.col_off
        for row in range(top // height, -(-(top + window.height) // height)):
            first, last = max(top, row * height), min(top + window.height, (row + 1) * height)
            for col in range(left // width, -(-(left + window.width) // width)):
                begin, end = max(left, col * width), min(left + window.width, (col + 1) * width)
                place = int(self._places[index][row, col]) + (first - row * height) * width * self.dtype.itemsize
                part = band[first - top : last - top, begin - left : end - left]
                if not (part.flags.c_contiguous and end - begin == width):
                    lines = np.empty((last - first, width), self.dtype)
                    cut.append((part, lines[:, begin - col * width : end - col * width]))
                    part = lines
                parts.append((part, place))

    def read_masks(self, indexes: Sequence[int], window: RasterWindow) -> NDArray[Any]:
        """As `DatasetReader.read_masks`."""
        masks: NDArray[Any] = self._source.read_masks(indexes, window=window)
        return masks

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _fill(self, parts: Sequence[tuple[NDArray[Any], int]]) -> None:
        """Arrays with what lies in the file from a place on."""
        if kernels() is not None:
            arrays, places = zip(*parts, strict=True)
            fault = read_parts(self._file, places, arrays)
            if fault:
                raise RasterioIOError(END if fault < 0 else f"read error: {os.strerror(fault)}")
            return
        for array, place in parts:
            view = array.data.cast("B")
            while view:
                try:
                    count = os.preadv(self._file, [view], place)
                except OSError as error:
                    raise RasterioIOError(f"read error: {error.strerror}") from error
                if not count:
                    raise RasterioIOError(END)
                view, place = view[count:], place + count


def _little(source: DatasetReader) -> bool:
    """Whether the file's numbers are in this machine's order."""
    with Path(source.name).open("rb") as file:
        return file.read(2) == (b"II" if sys.byteorder == "little" else b"MM")
