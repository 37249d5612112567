"""Cells that a person points at, as GeoJSON, and their looks: what a head is trained from.

Features name their cell by `row`, `col` (and `grid`, `product_id`: what detections.geojson and onboard-search write),
or by their geometry in WGS84: a point takes the cell it lies in, a polygon every cell whose centre lies in it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as warp_points

from onboard.change.record import Records, is_clear
from onboard.change.remembered import CellLook, Model, find_look, pick_grid
from onboard.errors import InputError, OnboardError
from onboard.sense.grid import CELL
from onboard.store.recall import KnownGrid, Recall, RememberedPass

WGS84 = CRS.from_epsg(4326)
USUAL_LOOKS = 4096
"""Unlabelled looks that say what is usual."""


@dataclass(frozen=True)
class CellRef:
    """A cell, and the product whose look is meant (None: the newest clear one)."""

    grid: KnownGrid
    row: int
    col: int
    product_id: str | None


def read_cells(path: Path, grids: Sequence[KnownGrid]) -> list[CellRef]:
    """The cells that a GeoJSON file names, each once, in its order.

    Raises:
        InputError: no GeoJSON, or a feature that names no cell of the store.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        features = raw["features"] if raw.get("type") == "FeatureCollection" else [raw]
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})", "missing") from error
    except (ValueError, KeyError, AttributeError) as error:
        raise InputError(str(path), f"no GeoJSON ({error})", "geojson") from error
    found: dict[CellRef, None] = {}
    for number, feature in enumerate(features, start=1):
        try:
            cells = _cells(feature, grids)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RasterioError) as error:
            raise InputError(str(path), f"feature {number} is not valid ({error})", "geojson") from error
        except OnboardError as error:
            raise InputError(str(path), f"feature {number}: {error}", "geojson") from error
        if not cells:
            raise InputError(str(path), f"feature {number} names no cell of this store", "geojson")
        found |= dict.fromkeys(cells)
    return list(found)


def find_looks(
    refs: Sequence[CellRef], recall: Recall, passes: Sequence[RememberedPass], model: Model, history: int
) -> list[CellLook]:
    """The looks that are still remembered and clear."""
    looks = (
        find_look(recall, passes, ref.grid, (ref.row, ref.col), model.dtype, ref.product_id, history) for ref in refs
    )
    return [look for look in looks if look is not None]


def stack(looks: Sequence[CellLook], dtype: np.dtype[Any], history: int) -> tuple[Records, list[Records]]:
    """Looks as `heads.extract` takes them: records (N,), and `history` earlier ones, zeros where there is none."""
    now, past = np.zeros(len(looks), dtype=dtype), [np.zeros(len(looks), dtype=dtype) for _ in range(history)]
    for i, look in enumerate(looks):
        now[i] = look.record[0]
        for before, record in zip(past, look.past, strict=False):
            before[i] = record[0]
    return now, past


def usual_looks(
    recall: Recall, passes: Sequence[RememberedPass], model: Model, history: int, limit: int = USUAL_LOOKS
) -> tuple[Records, list[Records]]:
    """An even sample of clear looks at whole rows of cells, with up to `history` looks before each, newest first."""
    dtype, total = model.dtype, sum(one.cells for one in passes)
    share = min(1.0, limit / max(total, 1))
    kept: list[list[Records]] = []
    credit = 0.0
    for number, one in enumerate(passes):
        before = [p for p in passes[number + 1 :] if p.grid == one.grid and p.sensing_time < one.sensing_time][:history]
        for row, col, records in recall.strips(one.id, dtype):
            credit += share
            if credit < 1.0:
                continue
            credit -= 1.0
            columns = [records] + [_row(recall, p.id, row, col, len(records), dtype) for p in before]
            columns += [np.zeros_like(records)] * (history - len(before))
            clear = is_clear(records)
            kept.append([column[clear] for column in columns])
    if not kept:
        return stack([], dtype, history)
    now, *past = (np.concatenate(column) for column in zip(*kept, strict=True))
    return now, past


def _row(recall: Recall, pass_id: int, row: int, col: int, cols: int, dtype: np.dtype[Any]) -> Records:
    """Records (cols,) of one row of a pass, zeros where nothing is remembered."""
    out = np.zeros(cols, dtype=dtype)
    for _, first, records in recall.strips(pass_id, dtype, row):
        start, stop = max(first, col), min(first + len(records), col + cols)
        if start < stop:
            out[start - col : stop - col] = records[start - first : stop - first]
    return out


def _cells(feature: dict[str, Any], grids: Sequence[KnownGrid]) -> list[CellRef]:
    said = feature.get("properties") or {}
    product = said.get("product_id")
    if "row" in said and "col" in said:
        grid = pick_grid(grids, _grid_id(said))
        inside = 0 <= said["row"] < grid.grid.rows and 0 <= said["col"] < grid.grid.cols
        return [CellRef(grid, int(said["row"]), int(said["col"]), product)] if inside else []
    found = []
    for grid in grids:
        if grid.grid.crs:
            cells = _covered(feature["geometry"], grid)
            found += [CellRef(grid, row, col, product) for row, col in cells]
    return found


def _grid_id(said: dict[str, Any]) -> int | None:
    """`grid`, or the one in a product's file name, g3_..._r0001c0002.obp."""
    if "grid" in said:
        return int(said["grid"])
    name = str(said.get("product", ""))
    digits = name[1:].partition("_")[0]
    return int(digits) if name.startswith("g") and digits.isdecimal() else None


def _covered(geometry: dict[str, Any], grid: KnownGrid) -> list[tuple[int, int]]:
    """Cells of a grid that a WGS84 geometry covers."""
    kind, coordinates = geometry["type"], geometry["coordinates"]
    g = grid.grid
    if kind == "Point":
        x, y = _pixels([coordinates], grid)[0]
        row, col = int(y // CELL), int(x // CELL)
        return [(row, col)] if 0 <= row < g.rows and 0 <= col < g.cols else []
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"geometry {kind}; points and polygons name cells")
    inside = np.zeros((g.rows, g.cols), dtype=bool)
    for polygon in [coordinates] if kind == "Polygon" else coordinates:
        for ring in polygon:  # even-odd: a hole undoes what its outer ring covers
            inside ^= _in_ring(_pixels(ring, grid), g.rows, g.cols)
    return [(int(row), int(col)) for row, col in np.argwhere(inside)]


def _pixels(points: Sequence[Sequence[float]], grid: KnownGrid) -> NDArray[np.float64]:
    """(longitude, latitude) points -> (column, row) in 10 m pixels, float64 (N, 2)."""
    lon, lat = [float(p[0]) for p in points], [float(p[1]) for p in points]
    xs, ys = warp_points(WGS84, CRS.from_wkt(grid.grid.crs), lon, lat)[:2]
    a, b, c, d, e, f = grid.grid.transform
    dx, dy = np.array(xs) - c, np.array(ys) - f
    return np.stack([e * dx - b * dy, a * dy - d * dx], axis=1) / (a * e - b * d)


def _in_ring(ring: NDArray[np.float64], rows: int, cols: int) -> NDArray[np.bool_]:
    """Cells whose centre lies in a closed ring of pixels, bool (rows, cols), by crossings of a ray."""
    x, y = (np.arange(cols) + 0.5)[None, :] * CELL, (np.arange(rows) + 0.5)[:, None] * CELL
    inside = np.zeros((rows, cols), dtype=bool)
    for (x0, y0), (x1, y1) in pairwise(ring):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside
