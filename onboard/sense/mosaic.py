"""Planes of several resolutions -> one 10 m grid. Pure geometry and replication; opens nothing.

The finest plane defines the grid. Coarser ones are replicated by a whole factor; where an odd size leaves them short
by a part of a pixel their last row or column is repeated, where they overhang they are cropped. A set whose finest
plane is at 20 m is brought to 10 m as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from onboard.errors import InputError
from onboard.sense.grid import CELL, METRES_PER_DEGREE, Grid
from onboard.sense.plane import Plane
from onboard.sense.raster import display

MAX_FACTOR = 6
SCALE_TOLERANCE = 0.05
NATIVE_TOLERANCE = 0.10
MAX_COMMON_BLOCK_PX = 2_048


@dataclass(frozen=True)
class Mosaic:
    """Planes with their factors, the 10 m grid, the cheapest window to read, and what is worth a note."""

    planes: tuple[Plane, ...]
    grid: Grid
    block_shape: tuple[int, int]
    notes: tuple[str, ...]


def compose(planes: Sequence[Plane]) -> Mosaic:
    """Bring planes of one extent to one grid.

    Raises:
        InputError: kind `crs`, `size` or `grid`: they do not lie on top of each other.
    """
    finest = max(planes, key=lambda plane: plane.size[0] * plane.size[1])
    grid = Grid(finest.crs, finest.transform, finest.size[1], finest.size[0])
    base = 2 if is_near(grid, 20) else 1
    placed = tuple(replace(plane, factor=base * fit(plane, finest)) for plane in planes)
    if base == 2:
        a, b, c, d, e, f = finest.transform
        grid = Grid(finest.crs, (a / 2, b / 2, c, d / 2, e / 2, f), 2 * grid.width, 2 * grid.height)
    shape = (_common_block(placed, 0, grid.height), _common_block(placed, 1, grid.width))
    return Mosaic(placed, grid, shape, _notes(grid))


def is_near(grid: Grid, metres: float) -> bool:
    """Whether pixels measure about `metres`. In degrees they are no squares: their height or their mean side may count,
    because some tools keep the height (Earth Engine at 20 m) and others the area (a warp that lets GDAL choose)."""
    height = grid.pixel_size_m
    sides = [height]
    if not math.isnan(height) and CRS.from_wkt(grid.crs).is_geographic:
        width = grid.pixel_size[0] * METRES_PER_DEGREE * math.cos(math.radians(grid.transform[5]))
        sides.append(math.sqrt(height * max(width, 0.0)))
    return any(abs(side - metres) <= metres * NATIVE_TOLERANCE for side in sides)


def fit(plane: Plane, finest: Plane) -> int:
    """How many pixels of `finest` one pixel of `plane` covers along each axis."""
    if plane is finest:
        return 1
    fault = f"{display(plane.path)} ({plane.band})"
    height, width = plane.size
    factor = max(1, round(max(finest.size[0] / height, finest.size[1] / width)))
    short = max(abs(finest.size[0] - factor * height), abs(finest.size[1] - factor * width))
    if factor > MAX_FACTOR or (short >= factor and short > 0):
        reason = f"{width}x{height} px do not cover the {finest.size[1]}x{finest.size[0]} px of {finest.band}"
        raise InputError(fault, reason, "size")
    if bool(plane.crs) != bool(finest.crs) or (
        plane.crs != finest.crs and CRS.from_wkt(plane.crs) != CRS.from_wkt(finest.crs)
    ):
        raise InputError(fault, f"its CRS differs from that of {finest.band} ({display(finest.path)})", "crs")
    if plane.crs:
        own = Grid(plane.crs, plane.transform, width, height).pixel_size
        fine = Grid(finest.crs, finest.transform, finest.size[1], finest.size[0]).pixel_size
        moved = [abs(plane.transform[n] - finest.transform[n]) for n in (2, 5)]
        for mine, theirs, shift in zip(own, fine, moved, strict=True):
            if abs(mine / factor - theirs) > SCALE_TOLERANCE * theirs or shift > max(0.5 * mine, 0.5 * theirs):
                raise InputError(fault, f"its pixels do not lie on those of {finest.band}", "grid")
    return factor


def replicate(native: NDArray[Any], factor: int, row: int, col: int, out: NDArray[Any]) -> None:
    """Write `native` into `out`, each pixel repeated `factor` x `factor` times.

    Args:
        native: (h, w), first pixel at grid row `row // factor`, column `col // factor` of the plane.
        factor: 10 m grid pixels per pixel.
        row, col: upper left of `out` on the 10 m grid.
        out: (H, W), overwritten; the last native row and column are repeated where they fall short.
    """
    height, width = out.shape
    skip = col % factor
    if factor == 1:
        wide = native
    elif factor == 2 and native.dtype == np.uint16:
        wide = (native.astype(np.uint32) * np.uint32(0x10001)).view(np.uint16)  # both halves at once: 2.5x np.repeat
    else:
        wide = np.repeat(native, factor, axis=1)
    wide = wide[:, skip : skip + width]
    if wide.shape[1] < width:
        wide = np.pad(wide, ((0, 0), (0, width - wide.shape[1])), mode="edge")
    first = row % factor
    for start in range(min(factor, height)):  # rows of `out` that share one phase within a native pixel
        source = (first + start) // factor
        rows = out[start::factor]
        rows[: len(wide) - source] = wide[source : source + len(rows)]
        rows[max(len(wide) - source, 0) :] = wide[-1]


def _common_block(planes: Sequence[Plane], axis: int, length: int) -> int:
    """Side of the smallest window that cuts no block of the 10 and 20 m planes, where that stays small.

    60 m planes are left out: no model reads them, and their blocks would make every window six times as large.
    """
    base = min(plane.factor for plane in planes)
    finest = next(plane for plane in planes if plane.factor == base)
    side = finest.block[axis] * base
    for plane in planes:
        if plane.factor > 2 * base:
            continue
        if plane.block[axis] >= plane.size[axis]:
            if axis == 1 or plane.block[axis] * plane.factor <= MAX_COMMON_BLOCK_PX:
                side = max(side, length)
        elif math.lcm(side, plane.block[axis] * plane.factor) <= MAX_COMMON_BLOCK_PX:
            side = math.lcm(side, plane.block[axis] * plane.factor)
    return min(side, length)


def _notes(grid: Grid) -> tuple[str, ...]:
    size = grid.pixel_size_m
    if math.isnan(size):
        return ("no CRS: places are known by pixel only, the pixel size is taken as 10 m",)
    if is_near(grid, 10):
        return ()
    return (f"pixel size {size:.3g} m: cells are {CELL} px = {size * CELL / 1000:.3g} km, not 320 m",)
