"""Reading windows of raster files as DN on the 10 m grid. What GeoTIFF, SAFE and netCDF acquisitions share.

Planes of one file are read in one call: in a pixel-interleaved file every block holds all bands, and a call per band
would decode each block once per band. Whole runs of plain 10 m planes go straight into the caller's array.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from onboard.errors import InputError
from onboard.sense.acquisition import U16, Acquisition, Mask, Reader
from onboard.sense.bands import missing_bands
from onboard.sense.blocks import BlockSource
from onboard.sense.decoded import GDAL_OPTIONS, MIN_BLOCK_PX, DecodedSource, Decoder, Key, Layer
from onboard.sense.grid import Window
from onboard.sense.mosaic import replicate
from onboard.sense.plane import Plane, float_scale, to_dn
from onboard.sense.raster import decode_fault, decoded_bytes, display, gdal_env, open_raster

SAMPLE_PX = 128
"""Side of the samples that tell float reflectance from float DN."""


@dataclass(frozen=True)
class QualityPlane:
    """A layer of classes; `usable[value]` says whether pixels of that class may be used (values beyond it: no)."""

    plane: Plane
    usable: tuple[bool, ...]


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
            held = math.ceil(self.grid.width / side) + 2 if across else 2 if _ahead(plane) else 1
            total += held * plane.block[0] * plane.block[1] * np.dtype(plane.dtype).itemsize
        return total

    @property
    def slow(self) -> bool:
        """See `Acquisition.slow`."""
        return any(plane.path.lower().endswith(".jp2") for plane in self.planes)

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
                groups.append(_File(opener(path), members))
        layers = [_Classes(opener(layer.plane.path), layer) for layer in self.quality]
        return RasterReader(self, groups, layers, close, lock, threads)


class RasterReader(Reader):
    """Open files of a `RasterAcquisition`."""

    def __init__(
        self,
        acquisition: RasterAcquisition,
        files: list[_File],
        layers: list[_Classes],
        close: Callable[[], None],
        lock: AbstractContextManager[Any] | None = None,
        threads: int = 0,
    ) -> None:
        self._grid = acquisition.grid
        self._files = files
        self._layers = layers
        self._close = close
        self._lock = lock or nullcontext()
        self._decoder = _decode_ahead([*files, *layers], threads) if threads else None

    @property
    def concurrent(self) -> bool:
        """See `Reader.concurrent`: where nothing is GDAL's."""
        return not self._layers and all(isinstance(file.source, BlockSource) for file in self._files)

    def expect(self, windows: Sequence[Window]) -> None:
        """See `Reader.expect`."""
        if self._decoder is not None:
            self._decoder.expect([self._keys(window) for window in windows])

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


class _Source:
    """Planes of one open file, whose blocks may be decoded ahead."""

    def __init__(self, source: DatasetReader, planes: tuple[Plane, ...]) -> None:
        self.planes = planes
        for plane in planes:
            _checked(source, plane)
        past_gdal = BlockSource.of(source, [plane.index for plane in planes]) if planes[0].direct else None
        self.source: DatasetReader | DecodedSource | BlockSource = past_gdal or source

    def close(self) -> None:
        """What was opened besides; a second call does nothing."""
        if isinstance(self.source, BlockSource):
            self.source.close()

    def keys(self, window: Window) -> list[Key]:
        """The blocks under a window that are decoded ahead."""
        if not isinstance(self.source, DecodedSource):
            return []
        return self.source.keys([plane.index for plane in self.planes], _native_window(self.planes[0], window))


class _Classes(_Source):
    """A layer of classes."""

    def __init__(self, source: DatasetReader, layer: QualityPlane) -> None:
        super().__init__(source, (layer.plane,))
        self.usable = np.array([*layer.usable, False])

    def read(self, window: Window) -> Mask:
        """Pixels that may be used, bool (height, width)."""
        (plane,) = self.planes
        (classes,) = _read_native(self.source, plane, [plane.index], window)
        good = np.empty((window.height, window.width), np.bool_)
        replicate(self.usable[np.clip(classes, 0, len(self.usable) - 1)], plane.factor, window.row, window.col, good)
        return good


class _File(_Source):
    """The planes of one file that were asked for, and where each goes in `out`."""

    def __init__(self, source: DatasetReader, members: list[tuple[int, Plane]]) -> None:
        super().__init__(source, tuple(plane for _, plane in members))
        self.positions = [position for position, _ in members]
        first = self.planes[0]
        runs = _runs(self.positions)
        # More than one run of a pixel-interleaved file: one read and a copy is cheaper than to decode per run.
        self.straight = all(plane.plain and plane.factor == 1 for plane in self.planes) and (
            len(runs) == 1 or not first.interleaved
        )
        self.runs = runs
        self.scale = self._scale() if first.floating and first.radiometry.quantification is None else 1.0

    def read(self, window: Window, out: U16) -> None:
        row, col, height, width = window
        if self.straight:
            native = RasterWindow(col, row, width, height)
            for start, stop in self.runs:
                indexes = [plane.index for plane in self.planes[start:stop]]
                first = self.positions[start]
                _call(self.source, window, indexes, window=native, out=out[first : first + stop - start])
            return
        first_plane = self.planes[0]
        values = _read_native(self.source, first_plane, [plane.index for plane in self.planes], window)
        dn: U16 = values if first_plane.plain else to_dn(values, self.planes, self.scale)
        if first_plane.masked:
            mask = _read_native(self.source, first_plane, [first_plane.index], window, mask=True)
            dn[:, mask[0] == 0] = 0
        for position, plane, band in zip(self.positions, self.planes, dn, strict=True):
            replicate(band, plane.factor, row, col, out[position])

    def _scale(self) -> float:
        """Look at a 3 x 3 lattice of small samples: bounded, wherever the valid pixels may lie."""
        height, width = self.planes[0].size
        samples = []
        for n in range(9):
            row, col = (n // 3) * max(height - SAMPLE_PX, 0) // 2, (n % 3) * max(width - SAMPLE_PX, 0) // 2
            area = Window(row, col, min(SAMPLE_PX, height), min(SAMPLE_PX, width))
            native = RasterWindow(col, row, area.width, area.height)
            try:
                samples.append(_call(self.source, area, [self.planes[0].index], window=native).ravel())
            except InputError:
                continue  # a damaged part; it is reported when it is read in earnest
        values = np.concatenate(samples) if samples else np.empty(0, np.float32)
        nodata = self.planes[0].nodata
        return float_scale(values if nodata is None else values[values != np.float32(nodata)])


def _decode_ahead(sources: Sequence[_Source], threads: int) -> Decoder | None:
    """Have the blocks of these sources decoded on threads, where that is worth it; None: of none."""
    layers: list[Layer] = []
    found: list[tuple[_Source, dict[int, tuple[int, int]]]] = []
    for one in sources:
        first, indexes = one.planes[0], [plane.index for plane in one.planes]
        if not all(_ahead(plane) for plane in one.planes):
            continue
        places = {index: (len(layers), place) for place, index in enumerate(indexes)}
        layers.append(Layer(first.path, tuple(indexes), first.size, first.block, first.dtype))
        found.append((one, places))
    if not layers:
        return None
    decoder = Decoder(layers, threads, decoded_bytes())
    for one, places in found:
        assert not isinstance(one.source, DecodedSource | BlockSource)
        one.source = DecodedSource(one.source, decoder, places, one.planes[0].dtype)
    return decoder


def _ahead(plane: Plane) -> bool:
    """Whether decoding a plane's blocks ahead is worth it."""
    return plane.compressed and plane.block[0] * plane.block[1] >= MIN_BLOCK_PX


def _native_window(plane: Plane, window: Window) -> RasterWindow:
    """The plane's own pixels under a 10 m window; clipped to the plane where it falls short of the grid."""
    factor, (height, width) = plane.factor, plane.size
    row0, col0 = min(window.row // factor, height - 1), min(window.col // factor, width - 1)
    row1 = min(-(-(window.row + window.height) // factor), height)
    col1 = min(-(-(window.col + window.width) // factor), width)
    return RasterWindow(col0, row0, max(col1 - col0, 1), max(row1 - row0, 1))


def _read_native(
    source: DatasetReader | DecodedSource | BlockSource,
    plane: Plane,
    indexes: list[int],
    window: Window,
    mask: bool = False,
) -> NDArray[Any]:
    """The plane's own pixels under a 10 m window, (n, h, w)."""
    return _call(source, window, indexes, mask=mask, window=_native_window(plane, window))


def _call(
    source: DatasetReader | DecodedSource | BlockSource, at: Window, indexes: list[int], mask: bool = False, **how: Any
) -> NDArray[Any]:
    try:
        values: NDArray[Any] = (source.read_masks if mask else source.read)(indexes, **how)
    except RasterioError as error:
        raise decode_fault(source.name, at, error) from error
    return values


def _checked(source: DatasetReader, plane: Plane) -> None:
    if (source.height, source.width) != plane.size or source.count < plane.index:
        raise InputError(display(plane.path), "changed since it was listed: another size or band count", "size")


def _runs(positions: list[int]) -> list[tuple[int, int]]:
    """Stretches [start, stop) of consecutive values."""
    cuts = [n for n in range(1, len(positions)) if positions[n] != positions[n - 1] + 1]
    return list(zip([0, *cuts], [*cuts, len(positions)], strict=True))
