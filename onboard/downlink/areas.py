"""The operator's priority areas: polygons of GeoJSON with a weight each, as a weight of each cell of a grid."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import transform as warp_points

from onboard.errors import UsageError
from onboard.sense.grid import CELL, Grid

MAX_BYTES = 10_000_000
MAX_WEIGHT = 1e6

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Area:
    """One polygon: rings of (longitude, latitude), the first the outer one, float64 (n, 2) each."""

    weight: float
    rings: tuple[F64, ...]

    def holds(self, points: F64) -> NDArray[np.bool_]:
        """Which of the points (N, 2) lie inside, bool (N,), by the even-odd rule: holes are outside."""
        inside = np.zeros(len(points), dtype=bool)
        x, y = points.T
        for ring in self.rings:
            for (x0, y0), (x1, y1) in itertools.pairwise(ring):
                if y0 != y1:
                    inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (x1 - x0) * (y - y0) / (y1 - y0))
        return inside


@dataclass(frozen=True)
class Areas:
    """Where the operator looks first. A cell has the greatest weight of the areas its centre lies in, else 1."""

    areas: tuple[Area, ...]

    def weights(self, grid: Grid) -> NDArray[np.float32]:
        """Weight of each cell, float32 (rows, cols); 1 everywhere on a grid without a CRS."""
        weight = np.ones(grid.rows * grid.cols, dtype=np.float32)
        if grid.crs and len(weight):
            rows, cols = np.divmod(np.arange(len(weight)), grid.cols)
            a, b, c, d, e, f = grid.transform
            px, py = (cols + 0.5) * CELL, (rows + 0.5) * CELL
            xs, ys = a * px + b * py + c, d * px + e * py + f
            points = np.array(warp_points(CRS.from_wkt(grid.crs), CRS.from_epsg(4326), xs, ys)[:2]).T
            for area in sorted(self.areas, key=lambda one: one.weight):
                weight[area.holds(points)] = area.weight
        return weight.reshape(grid.rows, grid.cols)


def load_areas(path: Path) -> Areas:
    """Polygons and MultiPolygons of a FeatureCollection (WGS84), each feature with a number `weight` of 0 or more.

    Raises:
        UsageError: the file cannot be read, or is not that.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path}: larger than {MAX_BYTES / 1e6:.0f} MB")
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["type"] != "FeatureCollection":
            raise UsageError(f"{path}: a GeoJSON {document['type']}, a FeatureCollection is wanted")
        features = document["features"]
        areas = tuple(area for n, feature in enumerate(features) for area in _areas(f"{path}: feature {n}", feature))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{path}: not a GeoJSON FeatureCollection ({type(error).__name__}: {error})") from error
    if not areas:
        raise UsageError(f"{path}: no polygon in it")
    return Areas(areas)


def _areas(where: str, feature: Any) -> list[Area]:
    weight = (feature.get("properties") or {}).get("weight") if isinstance(feature, dict) else None
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= MAX_WEIGHT:
        raise UsageError(f"{where}: property weight is {weight!r}, a number from 0 to {MAX_WEIGHT:g} is wanted")
    geometry = feature.get("geometry") or {}
    kind = geometry.get("type")
    if kind not in ("Polygon", "MultiPolygon"):
        raise UsageError(f"{where}: geometry {kind}, Polygon or MultiPolygon is wanted")
    polygons = [geometry["coordinates"]] if kind == "Polygon" else geometry["coordinates"]
    return [Area(float(weight), tuple(_ring(where, ring) for ring in polygon)) for polygon in polygons]


def _ring(where: str, points: Any) -> F64:
    ring = np.array([[float(point[0]), float(point[1])] for point in points])
    if len(ring) < 4 or not all(math.isfinite(v) for v in ring.reshape(-1)) or (ring[0] != ring[-1]).any():
        raise UsageError(f"{where}: a ring that is not closed (at least four points, the last one the first)")
    if (np.abs(ring) > (180, 90)).any():
        raise UsageError(f"{where}: coordinates outside longitude -180..180, latitude -90..90")
    return ring
