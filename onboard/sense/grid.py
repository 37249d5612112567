"""The grid of cells: where a revisit meets its own past. Pure geometry; no pixels, no files.

A **cell** is `CELL` x `CELL` pixels at 10 m, counted from the grid's upper-left pixel and known by (row, column). The
first acquisition of a place defines the grid; a revisit is matched by index when CRS, origin and pixel size agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from rasterio.crs import CRS
from rasterio.warp import transform as warp_points

CELL = 32
"""Side of a cell in 10 m pixels (320 m)."""

METRES_PER_DEGREE = 111_320.0
ORIGIN_TOLERANCE_PX = 0.5
PIXEL_SIZE_TOLERANCE = 0.02


class Window(NamedTuple):
    """A rectangle of pixels on the 10 m grid; `row`, `col` of its upper-left pixel."""

    row: int
    col: int
    height: int
    width: int


@dataclass(frozen=True)
class Grid:
    """Georeference and size of an acquisition on its 10 m grid.

    Attributes:
        crs: coordinate reference system as WKT; empty where the source has none.
        transform: affine (a, b, c, d, e, f): x = a*col + b*row + c, y = d*col + e*row + f, per 10 m pixel.
        width, height: pixels at 10 m.
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]
    width: int
    height: int

    @property
    def rows(self) -> int:
        """Whole cells from top to bottom; a remainder under `CELL` px is dropped."""
        return self.height // CELL

    @property
    def cols(self) -> int:
        """Whole cells from left to right."""
        return self.width // CELL

    @property
    def remainder_px(self) -> int:
        """Pixels outside any whole cell."""
        return self.width * self.height - self.rows * self.cols * CELL * CELL

    @property
    def pixel_size(self) -> tuple[float, float]:
        """(along a row, along a column) in units of the CRS."""
        a, b, _, d, e, _ = self.transform
        return math.hypot(a, d), math.hypot(b, e)

    @property
    def pixel_size_m(self) -> float:
        """Pixel height in metres (degrees are converted along the meridian); nan without a CRS."""
        size = self.pixel_size[1]
        if not self.crs:
            return math.nan
        return size * METRES_PER_DEGREE if CRS.from_wkt(self.crs).is_geographic else size

    def mismatch(self, other: Grid) -> str | None:
        """Why `other` is no revisit of this grid (None when it is one). Sizes may differ: the common part counts."""
        if bool(self.crs) != bool(other.crs) or (self.crs and CRS.from_wkt(self.crs) != CRS.from_wkt(other.crs)):
            return f"CRS is {_crs_name(other.crs)}, the grid has {_crs_name(self.crs)}"
        for mine, theirs, axis in zip(self.pixel_size, other.pixel_size, "xy", strict=True):
            if abs(theirs - mine) > PIXEL_SIZE_TOLERANCE * mine:
                return f"pixel size {axis} is {theirs:.9g}, the grid has {mine:.9g} (2 % tolerated)"
        a, b, c, d, e, f = self.transform
        det = a * e - b * d
        dx, dy = other.transform[2] - c, other.transform[5] - f
        col, row = (e * dx - b * dy) / det, (a * dy - d * dx) / det
        if max(abs(col), abs(row)) > ORIGIN_TOLERANCE_PX:
            return f"origin lies {col:+.2f}, {row:+.2f} px off the grid's (0.5 px tolerated)"
        return None

    def cell_ring(self, row: int, col: int, rows: int = 1, cols: int = 1) -> list[tuple[float, float]]:
        """Closed ring of a block of cells as (longitude, latitude), degrees WGS84, counter-clockwise (RFC 7946).

        Without a CRS the ring is given in the grid's own coordinates.
        """
        x0, x1 = col * CELL, (col + cols) * CELL
        y0, y1 = row * CELL, (row + rows) * CELL
        a, b, c, d, e, f = self.transform
        corners = [(x0, y1), (x1, y1), (x1, y0), (x0, y0), (x0, y1)]
        xs = [a * x + b * y + c for x, y in corners]
        ys = [d * x + e * y + f for x, y in corners]
        if not self.crs:
            return list(zip(xs, ys, strict=True))
        lon, lat = warp_points(CRS.from_wkt(self.crs), CRS.from_epsg(4326), xs, ys)[:2]
        return list(zip(lon, lat, strict=True))


def _crs_name(wkt: str) -> str:
    if not wkt:
        return "none"
    crs = CRS.from_wkt(wkt)
    epsg = crs.to_epsg()
    return f"EPSG:{epsg}" if epsg else wkt.split('"')[1]
