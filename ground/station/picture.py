"""A granule as one small true-colour picture, built up chip by chip as they arrive; bounded by `PICTURE_PX`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window

from ground.station.chips import FIDELITY, Chip
from onboard.sense.acquisition import NODATA_DN
from onboard.sense.grid import CELL

RGB = ("B04", "B03", "B02")
PICTURE_PX = 1024
MAX_CELL_PX = 32
BACKGROUND = (14, 20, 29)
STRETCH = (2.0, 98.0)
"""Percentiles that become black and white."""

Extent = tuple[int, int, int, int]


def extent_of(chips: Iterable[Chip]) -> Extent:
    """(first row, first column, rows, columns) of cells around all chips, at least one, with one cell to spare."""
    boxes = [(c.row, c.col, c.row + c.rows, c.col + c.cols) for c in chips]
    top, left = min(b[0] for b in boxes), min(b[1] for b in boxes)
    return top - 1, left - 1, max(b[2] for b in boxes) - top + 2, max(b[3] for b in boxes) - left + 2


class Picture:
    """Reflectance of the newest chips of one granule.

    Args:
        extent: cells that are shown.
    """

    def __init__(self, extent: Extent) -> None:
        self.extent = extent
        self.cell_px = max(1, min(MAX_CELL_PX, PICTURE_PX // max(extent[2:])))
        self._pixels: NDArray[np.float16] = np.full(
            (extent[2] * self.cell_px, extent[3] * self.cell_px, 3), np.nan, dtype=np.float16
        )
        self._seconds: NDArray[np.float64] = np.full(extent[2:], -np.inf)
        self._drawn: set[str] = set()

    def draw(self, chips: Iterable[Chip]) -> None:
        """Draw those that are new; whatever the order they come in, the newest look at a cell is seen."""
        for chip in chips:
            if chip.sha256 in self._drawn:
                continue
            self._drawn.add(chip.sha256)
            colours = thumbnail(chip, self.cell_px)
            if colours is None:
                continue
            row, col, size = chip.row - self.extent[0], chip.col - self.extent[1], self.cell_px
            seconds = self._seconds[row : row + chip.rows, col : col + chip.cols]
            known = ~np.isnan(colours).any(axis=-1)
            time = chip.sensing_time.timestamp() + FIDELITY.get(chip.rung, 0) * 1e-3  # at the same time the truest
            newer = (seconds <= time) & known.reshape(chip.rows, size, chip.cols, size).any(axis=(1, 3))
            seconds[newer] = time
            over = newer.repeat(size, axis=0).repeat(size, axis=1) & known
            self._pixels[row * size : (row + chip.rows) * size, col * size : (col + chip.cols) * size][over] = colours[
                over
            ]

    def image(self) -> NDArray[np.uint8]:
        """uint8 (H, W, 3), stretched over all that is drawn; `BACKGROUND` where nothing is."""
        return stretched(self._pixels)


def thumbnail(chip: Chip, cell_px: int = MAX_CELL_PX) -> NDArray[np.float16] | None:
    """Reflectance float16 (H, W, 3) of red, green, blue, nan where there is none; grey where bands lack.

    None where the COG cannot be read.
    """
    names = [band.name for band in chip.bands]
    picks = [names.index(name) for name in RGB] if all(name in names for name in RGB) else [0, 0, 0]
    shape = (3, chip.rows * cell_px, chip.cols * cell_px)
    try:
        with rasterio.open(chip.cog) as dataset:
            whole = Window(0, 0, dataset.width, dataset.height)
            dn = dataset.read(
                [pick + 1 for pick in picks], window=whole, out_shape=shape, resampling=Resampling.average
            )
    except RasterioError:
        return None
    colours = [
        (plane.astype(np.float32) + chip.bands[pick].offset) / chip.bands[pick].quantification
        for plane, pick in zip(dn, picks, strict=True)
    ]
    out = np.stack(colours, axis=-1)
    out[(dn == NODATA_DN).all(axis=0)] = np.nan
    return out.astype(np.float16)


def stretched(reflectance: NDArray[np.float16]) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) for the eye."""
    values = reflectance.astype(np.float32)
    known = ~np.isnan(values).any(axis=-1)
    image = np.empty(values.shape, dtype=np.uint8)
    image[:] = BACKGROUND
    if known.any():
        low, high = np.percentile(values[known], STRETCH, axis=0)
        scaled = np.clip((values[known] - low) / np.maximum(high - low, 0.02), 0.0, 1.0) ** 0.8
        image[known] = np.rint(scaled * 255)
    return image


def cell_metres(chip: Chip) -> float:
    """Width of a cell in units of the CRS (metres, of a projected one)."""
    return CELL * float(np.hypot(chip.transform[0], chip.transform[3]))
