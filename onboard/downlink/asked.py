"""Cells that an operator asked for: they become products whatever their score, and go first.

A query is a polygon on the Earth; on a grid it is the cells that it touches. Of each of them the product holds the
bands that the query names, or all that the acquisition has, at the query's priority; where the query wants nothing less
than a lossless one, it is merged into no region.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.warp import transform as warp_points

from onboard.downlink.draft import draft
from onboard.downlink.estimate import estimate_bytes
from onboard.downlink.link.orders import DEGREE, Query
from onboard.downlink.product import Product
from onboard.errors import InputError
from onboard.sense.acquisition import NODATA_DN, U16, Acquisition, Reader
from onboard.sense.chunks import Chunk
from onboard.sense.grid import CELL, Grid
from onboard.store.orders import Touches
from onboard.store.rows import ALONE, NewProduct

EDGE_PARTS = 8
"""An edge is straight in longitude and latitude; on the grid it is drawn in so many parts."""
NEAR_DEGREES, NEAR_SHARE = 0.05, 0.5
"""How far around a grid a polygon still matters: more than its edges bulge, and more than a cell."""


def touched(grid: Grid, query: Query) -> NDArray[np.bool_]:
    """The cells of a grid that a query touches, bool (rows, cols); none on a grid without a CRS.

    The polygon spans less than 180 degrees. Only what of it is near the grid is projected: for the rest of the Earth
    the grid's projection may have no place.
    """
    shape = (grid.rows, grid.cols)
    if not grid.crs or 0 in shape:
        return np.zeros(shape, dtype=np.bool_)
    corners = np.array(grid.cell_ring(0, 0, *shape)[:4])
    here = corners[0, 0]
    corners[:, 0] = _beside(corners[:, 0], here)
    ring = np.array(query.ring, dtype=np.float64) / DEGREE
    ring[:, 0] = _beside(ring[:, 0], here)
    margin = NEAR_DEGREES + NEAR_SHARE * (corners.max(axis=0) - corners.min(axis=0))
    near = ring.tolist()
    for axis in (0, 1):
        near = _clip(near, axis, corners[:, axis].min() - margin[axis], 1)
        near = _clip(near, axis, corners[:, axis].max() + margin[axis], -1)
    if len(near) < 3:
        return np.zeros(shape, dtype=np.bool_)
    share = np.arange(EDGE_PARTS)[:, None] / EDGE_PARTS
    points = np.concatenate([a + share * (b - a) for a, b in pairwise(np.array([*near, near[0]]))])
    longitudes = _beside(points[:, 0], 0.0).tolist()
    xs, ys = warp_points(CRS.from_epsg(4326), CRS.from_wkt(grid.crs), longitudes, points[:, 1].tolist())[:2]
    a, b, c, d, e, f = grid.transform
    det = a * e - b * d
    dx, dy = np.array(xs) - c, np.array(ys) - f
    col, row = (e * dx - b * dy) / det / CELL, (a * dy - d * dx) / det / CELL
    outline = [*zip(col.tolist(), row.tolist(), strict=True), (float(col[0]), float(row[0]))]
    polygon = {"type": "Polygon", "coordinates": [outline]}
    return np.asarray(rasterize([polygon], shape, all_touched=True, dtype="uint8"), dtype=np.bool_)


def _beside(longitude: NDArray[np.float64], here: float) -> NDArray[np.float64]:
    """The same longitudes, less than 180 degrees from `here`."""
    return np.asarray(here + (longitude - here + 180.0) % 360.0 - 180.0)


def _clip(ring: list[list[float]], axis: int, limit: float, sign: int) -> list[list[float]]:
    """What of a ring lies beyond (`sign` 1) or before (-1) a limit along an axis, Sutherland-Hodgman."""
    out: list[list[float]] = []
    for a, b in pairwise([*ring, *ring[:1]]):
        inside = (a[axis] - limit) * sign >= 0
        if inside:
            out.append(a)
        if inside != ((b[axis] - limit) * sign >= 0):
            share = (limit - a[axis]) / (b[axis] - a[axis])
            out.append([p + share * (q - p) for p, q in zip(a, b, strict=True)])
    return out


def touches_cell() -> Touches:
    """Whether a query touches a cell, with the cells of a grid found once for each query."""

    @lru_cache(maxsize=64)
    def cells(grid: Grid, query: Query) -> NDArray[np.bool_]:
        return touched(grid, query)

    return lambda grid, query, row, col: bool(cells(grid, query)[row, col])


class Asked:
    """The asked-for cells of one acquisition. Use as a context manager; files are opened at the first such cell.

    Args:
        queries: those that are in force.
        grid: of the place.
        model: SHA-256 of the artefact that the product names.
    """

    def __init__(self, queries: Sequence[Query], acquisition: Acquisition, grid: Grid, model: str) -> None:
        self._acquisition, self._grid, self._model = acquisition, grid, model
        self._queries: list[tuple[Query, NDArray[np.bool_], tuple[str, ...]]] = []
        have = [band.name for band in acquisition.bands]
        for query in sorted(queries, key=lambda q: -q.priority):
            cells = touched(grid, query)
            names = tuple(name for name in have if name in query.bands) if query.bands else tuple(have)
            if names and cells.any():
                self._queries.append((query, cells, names))
        self._stack = ExitStack()
        self._readers: dict[tuple[str, ...], Reader] = {}

    def __enter__(self) -> Asked:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def offer(self, chunk: Chunk, score: NDArray[np.float32]) -> list[NewProduct]:
        """The products of a chunk that were asked for; a cell that cannot be read, or holds nothing, is none.

        Args:
            score: float32 (cells,) of the chunk; nan counts as 0.
        """
        found: dict[tuple[int, int], NewProduct] = {}
        for query, cells, names in self._queries:
            here = np.argwhere(cells[chunk.row : chunk.row + chunk.rows, chunk.col : chunk.col + chunk.cols])
            wanted = [(r, c) for r, c in here.tolist() if (r, c) not in found]  # of several queries the most urgent
            if not wanted:
                continue
            (top, left), (bottom, right) = np.min(wanted, axis=0), np.max(wanted, axis=0)
            around = Chunk(0, chunk.row + top, chunk.col + left, bottom - top + 1, right - left + 1)
            dn = self._read(names, around)
            if dn is None:
                continue
            for r, c in wanted:
                y, x = (r - top) * CELL, (c - left) * CELL
                pixels = dn[:, y : y + CELL, x : x + CELL]
                if (pixels != NODATA_DN).any():
                    known = float(np.nan_to_num(score[r * chunk.cols + c]))
                    found[r, c] = self._new(chunk.row + r, chunk.col + c, names, pixels, known, query)
        return list(found.values())

    def _read(self, names: tuple[str, ...], part: Chunk) -> U16 | None:
        """One rectangle around the cells of a chunk: a block of the file is decoded once."""
        dn = np.empty((len(names), part.rows * CELL, part.cols * CELL), dtype=np.uint16)
        try:
            if names not in self._readers:
                self._readers[names] = self._stack.enter_context(self._acquisition.open(names))
            self._readers[names].read(part.window, dn)
        except InputError:  # the look at the same pixels has told of it
            return None
        return dn

    def _new(self, row: int, col: int, names: tuple[str, ...], dn: U16, score: float, query: Query) -> NewProduct:
        one = self._acquisition
        infos = tuple(one.band(name) for name in names)
        product = Product(self._grid, row, col, one.product_id, one.sensing_time, infos, dn, self._model, score)
        first = np.zeros(1, dtype=np.intp)
        size = round(float(estimate_bytes(dn, first, first)[0]))
        return NewProduct(
            row, col, score, score, draft(product), size, priority=query.priority,
            chip=ALONE if query.lossless else 0,
        )  # fmt: skip
