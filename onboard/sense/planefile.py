"""The planes of one open file: windows of the 10 m grid read as DN.

Whole runs of plain 10 m planes go straight into the caller's array. In a pixel-interleaved file every block holds all
bands, and a call for each band would decode it once for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from onboard.errors import InputError
from onboard.sense.acquisition import U16, Mask
from onboard.sense.blocks import BlockSource
from onboard.sense.decoded import MIN_BLOCK_PX, DecodedSource, Decoder, Key, Layer
from onboard.sense.grid import Window
from onboard.sense.mosaic import replicate
from onboard.sense.plane import Plane, float_scale, to_dn
from onboard.sense.raster import decode_fault, decoded_bytes, display

SAMPLE_PX = 128
"""Side of the samples that tell float reflectance from float DN."""


@dataclass(frozen=True)
class QualityPlane:
    """A layer of classes; `usable[value]` says whether pixels of that class may be used (values beyond it: no)."""

    plane: Plane
    usable: tuple[bool, ...]


class PlaneSource:
    """Planes of one open file, whose blocks may be decoded ahead."""

    def __init__(self, source: DatasetReader, planes: tuple[Plane, ...]) -> None:
        self.planes = planes
        for plane in planes:
            _checked(source, plane)
        past_gdal = BlockSource.of(source, [plane.index for plane in planes]) if not planes[0].compressed else None
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


class ClassFile(PlaneSource):
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


class PlaneFile(PlaneSource):
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
        """The planes' DN under a window, each in its place of `out` (B, height, width)."""
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


def decode_ahead(sources: Sequence[PlaneSource], threads: int) -> Decoder | None:
    """Have the blocks of these sources decoded on threads, where that is worth it; None: of none."""
    layers: list[Layer] = []
    found: list[tuple[PlaneSource, dict[int, tuple[int, int]]]] = []
    for one in sources:
        first, indexes = one.planes[0], [plane.index for plane in one.planes]
        if not all(decodes_ahead(plane) for plane in one.planes):
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


def decodes_ahead(plane: Plane) -> bool:
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
