"""Reading windows of raster files as DN on the 10 m grid. What GeoTIFF, SAFE and netCDF acquisitions share.

Which file is opened how, and what is read of which; `planefile` reads one file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.io import DatasetReader

from onboard.errors import InputError
from onboard.sense.acquisition import U16, Acquisition, Mask, Reader
from onboard.sense.bands import missing_bands
from onboard.sense.blocks import BlockSource
from onboard.sense.decoded import GDAL_OPTIONS, Key
from onboard.sense.grid import Window
from onboard.sense.plane import Plane
from onboard.sense.planefile import ClassFile, PlaneFile, QualityPlane, decode_ahead, decodes_ahead
from onboard.sense.raster import gdal_env, open_raster

SLOW = ".jp2"
"""Files whose pixels take longer to decode than to write to a file and read back."""


@dataclass(frozen=True, kw_only=True)
class RasterAcquisition(Acquisition):
    """An acquisition whose bands lie in files that GDAL reads. `planes` are in the order of `bands`."""

    planes: tuple[Plane, ...]
    quality: tuple[QualityPlane, ...] = field(default=())

    @property
    def block_cache_bytes(self) -> int:
        """See `Acquisition.block_cache_bytes`: one block of each band, and the one after it.

        Of bands whose blocks lie across the others', as many as there are side by side, and two more.
        """
        total = 0
        for plane in self.planes:
            if plane.direct:
                continue
            side = plane.block[1] * plane.factor
            across = side % self.block_shape[1] != 0 and self.block_shape[1] % side != 0
            held = math.ceil(self.grid.width / side) + 2 if across else 2 if decodes_ahead(plane) else 1
            total += held * plane.block[0] * plane.block[1] * np.dtype(plane.dtype).itemsize
        return total

    def open(self, names: tuple[str, ...], threads: int = 0) -> Reader:
        """See `Acquisition.open`. Files stay open until the reader is closed."""
        stack = ExitStack()
        try:
            with gdal_env():
                return self._reader(
                    names, lambda path: stack.enter_context(open_raster(path)), stack.close, threads=threads
                )
        except BaseException:
            stack.close()
            raise

    def _reader(
        self,
        names: tuple[str, ...],
        opener: Callable[[str], DatasetReader],
        close: Callable[[], None],
        lock: AbstractContextManager[Any] | None = None,
        threads: int = 0,
    ) -> Reader:
        """A reader over `opener`; `lock` is held around reads where datasets are shared."""
        missing = missing_bands(names, [info.name for info in self.bands])
        if missing:
            raise InputError(self.where, f"band {', '.join(missing)} missing", "missing-band")
        by_band = {plane.band: plane for plane in self.planes}
        files: dict[str, list[tuple[int, Plane]]] = {}
        for position, name in enumerate(names):
            files.setdefault(by_band[name].path, []).append((position, by_band[name]))
        groups = []
        for path, members in files.items():
            # For tiles that `BlockSource` leaves to GDAL, which looks at this option when it opens a file. Past its
            # cache they cost a third less; a few bands out of an interleaved file, or strips, more (1.5 and 10 times).
            plane = members[0][1]
            direct = plane.direct and (not plane.interleaved or len(members) == plane.count)
            options: dict[str, str | int] = {"GTIFF_DIRECT_IO": "YES"} if direct else {}
            with gdal_env(**options):
                groups.append(PlaneFile(opener(path), members))
        layers = [ClassFile(opener(layer.plane.path), layer) for layer in self.quality]
        return RasterReader(self, groups, layers, close, lock, threads)


class RasterReader(Reader):
    """Open files of a `RasterAcquisition`."""

    def __init__(
        self,
        acquisition: RasterAcquisition,
        files: list[PlaneFile],
        layers: list[ClassFile],
        close: Callable[[], None],
        lock: AbstractContextManager[Any] | None = None,
        threads: int = 0,
    ) -> None:
        self._grid = acquisition.grid
        self._files = files
        self._layers = layers
        self._close = close
        self._lock = lock or nullcontext()
        self._decoder = decode_ahead([*files, *layers], threads) if threads else None
        self._slow = any(plane.path.lower().endswith(SLOW) for plane in acquisition.planes)

    @property
    def concurrent(self) -> bool:
        """See `Reader.concurrent`: where nothing is GDAL's."""
        past_gdal = all(isinstance(file.source, BlockSource) for file in self._files)
        return past_gdal and not self._layers and not any(p.masked for file in self._files for p in file.planes)

    def expect(self, windows: Sequence[Window]) -> None:
        """See `Reader.expect`."""
        if self._decoder is not None:
            self._decoder.expect([self._keys(window) for window in windows])

    def keeping(self, folder: Path) -> AbstractContextManager[None]:
        """See `Reader.keeping`."""
        return nullcontext() if self._decoder is None or not self._slow else self._decoder.keeping(folder)

    def read(self, window: Window, out: U16) -> Mask | None:
        """See `Reader.read`. ValueError for a window outside the grid or an `out` of another shape."""
        row, col, height, width = window
        inside = row >= 0 and col >= 0 and row + height <= self._grid.height and col + width <= self._grid.width
        if not inside or out.shape[1:] != (height, width) or min(height, width) < 1:
            raise ValueError(f"{window} is not within {self._grid.height} x {self._grid.width}, or out is {out.shape}")
        if self.concurrent:
            for file in self._files:
                file.read(window, out)
            return None
        usable: Mask | None = None
        held = nullcontext() if self._decoder is None else self._decoder.holding(self._keys(window))
        with self._lock, held, gdal_env(**({} if self._decoder is None else GDAL_OPTIONS)):
            for file in self._files:
                file.read(window, out)
            for layer in self._layers:
                good = layer.read(window)
                usable = good if usable is None else usable & good
        return usable

    def _keys(self, window: Window) -> list[Key]:
        """The blocks under a window that are decoded ahead."""
        return [key for file in (*self._files, *self._layers) for key in file.keys(window)]

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        if self._decoder is not None:
            self._decoder.close()
        for source in (*self._files, *self._layers):
            source.close()
        self._files, self._layers = [], []
        self._close()
