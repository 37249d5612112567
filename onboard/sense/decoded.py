"""Blocks of compressed files, decoded on threads of their own: each once where memory allows, and ahead of its use.

A reader is told the order of its windows (`Decoder.expect`). From that follows when a block is needed for the last
time, and which one to let go where memory is short: the one whose next use is farthest (Belady's rule). Blocks of bands
at different resolutions need not lie on each other: the JPEG 2000 tiles of Sentinel-2 measure 10.24 km at 10 m and
12.8 km at 20 m, so a row of the latter is held until the rows of the former across it have been read.

Opens files of its own for each thread; uses GDAL through `raster` alone.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from threading import Lock, local
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from onboard.sense.kept import KeptBlocks
from onboard.sense.raster import gdal_env, open_raster

MIN_BLOCK_PX = 65_536
"""Smaller blocks are read as they are asked for: handing one to a thread costs more than it brings."""
GDAL_OPTIONS = {"GDAL_CACHEMAX": 4 << 20, "GDAL_NUM_THREADS": 1}
"""While blocks are held here: GDAL's own cache, which is common to all threads, need not hold them as well."""
LOOK_AHEAD = 16
"""Reads that are searched for blocks to decode next."""


@dataclass(frozen=True)
class Layer:
    """Bands of one file, whose blocks are decoded together: one call costs less than one for each.

    Attributes:
        indexes: bands in the file, from 1.
        size, block: (height, width) px of the bands, and of a block.
        dtype: of the values as stored.
    """

    path: str
    indexes: tuple[int, ...]
    size: tuple[int, int]
    block: tuple[int, int]
    dtype: str

    def window(self, row: int, col: int) -> RasterWindow:
        """Pixels of a block, by its row and column among the blocks."""
        top, left = row * self.block[0], col * self.block[1]
        return RasterWindow(left, top, min(self.block[1], self.size[1] - left), min(self.block[0], self.size[0] - top))

    def blocks(self, window: RasterWindow) -> Iterator[tuple[int, int]]:
        """(row, column) of the blocks under a window of pixels."""
        height, width = self.block
        rows = range(window.row_off // height, math.ceil((window.row_off + window.height) / height))
        cols = range(window.col_off // width, math.ceil((window.col_off + window.width) / width))
        return product(rows, cols)


class Key(NamedTuple):
    """A block: number of its layer, row and column."""

    layer: int
    row: int
    col: int


class Decoder:
    """Decodes and holds blocks. Used by one thread, which calls `read` while it is `holding` a window's blocks.

    Args:
        layers: that can be read.
        threads: that decode.
        limit_bytes: of decoded blocks, unless a single window needs more.
    """

    def __init__(self, layers: Sequence[Layer], threads: int, limit_bytes: int) -> None:
        self._layers, self._threads, self._limit = layers, threads, limit_bytes
        self._pool = ThreadPoolExecutor(threads, "decode", _enter_gdal)
        self._mine, self._handles, self._lock = local(), ExitStack(), Lock()
        self._held: dict[Key, Future[NDArray[Any]]] = {}
        self._spare: dict[tuple[tuple[int, ...], str], list[NDArray[Any]]] = {}
        self._bytes = self._spare_bytes = self._most = 0
        self._ahead: set[Key] = set()
        self._reads: list[tuple[Key, ...]] = []
        self._next = 0
        self._uses: dict[Key, deque[int]] = {}
        self._kept = KeptBlocks()

    def keys(self, layer: int, window: RasterWindow) -> list[Key]:
        """The blocks of a layer under a window."""
        return [Key(layer, row, col) for row, col in self._layers[layer].blocks(window)]

    def expect(self, reads: Sequence[Sequence[Key]]) -> None:
        """What will be read, in order; some may be left out. Replaces what was expected before."""
        self._reads, self._next, self._uses = [tuple(keys) for keys in reads], 0, {}
        for number, keys in enumerate(self._reads):
            for key in keys:
                self._uses.setdefault(key, deque()).append(number)
        self._drop_unused(list(self._held))

    def keeping(self, folder: Path) -> AbstractContextManager[None]:
        """What is decoded inside is not decoded again, as far as there is room for it in a folder."""
        return self._kept.keeping(folder)

    @contextmanager
    def holding(self, keys: Sequence[Key]) -> Iterator[None]:
        """Have the blocks of a window decoded, then, as far as threads and memory go, those of the next ones.

        Afterwards blocks that no other window needs are let go; where nothing was expected, with the next window.
        """
        expected, needed = self._advance(tuple(keys)), set(keys)
        if not expected:
            self._drop_unused(self._held.keys() - needed)
        self._start(keys, needed)
        try:
            yield
        finally:
            if expected:
                self._drop_unused(needed)

    def _start(self, keys: Sequence[Key], needed: set[Key]) -> None:
        self._ahead -= needed
        for key in keys:
            if key not in self._held:
                self._make_room(key, needed, self._next)
                self._fetch(key)
        for number in range(self._next, min(self._next + LOOK_AHEAD, len(self._reads))):
            for key in self._reads[number]:
                if key in self._held:
                    continue
                if len(self._ahead) >= self._threads or not self._make_room(key, needed, number):
                    return
                self._fetch(key)
                self._ahead.add(key)

    def read(self, layer: int, place: int, window: RasterWindow, out: NDArray[Any]) -> None:
        """Pixels of the `place`-th band of a layer under a window whose blocks are held, into `out` (h, w).

        Raises:
            RasterioError: one of the blocks cannot be decoded.
        """
        height, width = self._layers[layer].block
        top, left = window.row_off, window.col_off
        for key in self.keys(layer, window):
            block = self._held[key].result()[place]
            y, x = key.row * height, key.col * width
            ys = slice(max(y, top), min(y + block.shape[0], top + window.height))
            xs = slice(max(x, left), min(x + block.shape[1], left + window.width))
            inside = block[ys.start - y : ys.stop - y, xs.start - x : xs.stop - x]
            out[ys.start - top : ys.stop - top, xs.start - left : xs.stop - left] = inside

    def close(self) -> None:
        """Stop decoding and close the files; a second call does nothing."""
        self._pool.shutdown(cancel_futures=True)
        self._held.clear()
        self._handles.close()
        self._kept.close()

    def _advance(self, keys: tuple[Key, ...]) -> bool:
        """Whether these were expected; then all that was expected before them has passed."""
        for number in range(self._next, len(self._reads)):
            if self._reads[number] == keys:
                for passed in self._reads[self._next : number + 1]:
                    for key in passed:
                        self._uses[key].popleft()
                    self._drop_unused(set(passed) - set(keys))
                self._next = number + 1
                return True
        return False

    def _make_room(self, key: Key, needed: set[Key], number: int) -> bool:
        """Let go of blocks that are needed later than read `number`, the farthest first; whether `key` fits now."""
        size = self._size(key)
        if self._bytes + size > self._limit:
            farthest = sorted(
                ((self._next_use(one), one) for one, held in self._held.items() if one not in needed and held.done()),
                reverse=True,
            )
            for use, one in farthest:
                if use <= number or self._bytes + size <= self._limit:
                    break
                self._drop(one)
        return self._bytes + size <= self._limit

    def _next_use(self, key: Key) -> float:
        uses = self._uses.get(key)
        return uses[0] if uses else math.inf

    def _fetch(self, key: Key) -> None:
        self._bytes += self._size(key)
        self._most = max(self._most, self._bytes)
        spare = self._spare.get((self._shape(key), self._layers[key.layer].dtype))
        out = spare.pop() if spare else None
        if out is not None:
            self._spare_bytes -= out.nbytes
        elif self._bytes + self._spare_bytes > self._most:
            self._spare.clear()
            self._spare_bytes = 0
        self._held[key] = self._pool.submit(self._decode, key, out)

    def _drop_unused(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if not self._uses.get(key):
                self._drop(key)

    def _drop(self, key: Key) -> None:
        held = self._held.pop(key, None)
        if held is None:
            return
        self._ahead.discard(key)
        self._bytes -= self._size(key)
        if held.done() and held.exception() is None and self._bytes + self._spare_bytes + self._size(key) <= self._most:
            array = held.result()  # memory that was touched before is quicker to fill than new
            self._spare.setdefault((array.shape, str(array.dtype)), []).append(array)
            self._spare_bytes += array.nbytes

    def _shape(self, key: Key) -> tuple[int, int, int]:
        layer = self._layers[key.layer]
        window = layer.window(key.row, key.col)
        return len(layer.indexes), int(window.height), int(window.width)

    def _size(self, key: Key) -> int:
        return math.prod(self._shape(key)) * np.dtype(self._layers[key.layer].dtype).itemsize

    def _decode(self, key: Key, out: NDArray[Any] | None) -> NDArray[Any]:
        layer = self._layers[key.layer]
        window = layer.window(key.row, key.col)
        if out is None:
            out = np.empty(self._shape(key), layer.dtype)
        if self._kept.get(key, out):
            return out
        self._open(layer.path).read(list(layer.indexes), window=window, out=out)
        self._kept.put(key, out)
        return out

    def _open(self, path: str) -> DatasetReader:
        """This thread's own handle: GDAL's must not be shared."""
        files: dict[str, DatasetReader] = self._mine.__dict__.setdefault("files", {})
        if path not in files:
            files[path] = open_raster(path)
            with self._lock:
                self._handles.push(files[path])
        return files[path]


def _enter_gdal() -> None:
    """Settings of a thread until it ends. One thread each: JPEG 2000 would take every processor for itself."""
    gdal_env(**GDAL_OPTIONS).__enter__()


class DecodedSource:
    """Stands in for an open file whose blocks a `Decoder` holds.

    Args:
        source: the file; its masks are read from it.
        decoder: knows the layers.
        places: band index -> (layer, place of the band in it).
        dtype: of the values as stored.
    """

    def __init__(self, source: DatasetReader, decoder: Decoder, places: dict[int, tuple[int, int]], dtype: str) -> None:
        self._source, self._decoder, self._places, self.dtype = source, decoder, places, dtype
        self.name, self.height, self.width, self.count = source.name, source.height, source.width, source.count

    def keys(self, indexes: Sequence[int], window: RasterWindow) -> list[Key]:
        """The blocks of some bands under a window."""
        layers = dict.fromkeys(self._places[index][0] for index in indexes)
        return [key for layer in layers for key in self._decoder.keys(layer, window)]

    def read(self, indexes: Sequence[int], window: RasterWindow, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """As `DatasetReader.read`: (n, h, w)."""
        if out is None:
            out = np.empty((len(indexes), window.height, window.width), self.dtype)
        for index, band in zip(indexes, out, strict=True):
            layer, place = self._places[index]
            self._decoder.read(layer, place, window, band)
        return out

    def read_masks(self, indexes: Sequence[int], window: RasterWindow) -> NDArray[Any]:
        """As `DatasetReader.read_masks`."""
        masks: NDArray[Any] = self._source.read_masks(indexes, window=window)
        return masks
