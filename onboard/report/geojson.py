"""detections.geojson: the queue as polygons any GIS opens (RFC 7946: WGS84 longitude, latitude, counter-clockwise)."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from onboard.report.outcome import Detection, Outcome
from onboard.sense.grid import CELL

DIGITS = 7
"""Decimals of a coordinate: 1e-7 degrees is a centimetre."""

Ring = list[tuple[float, float]]


def render(outcome: Outcome) -> str:
    """The FeatureCollection, best first, one feature a line; the same outcome gives the same text."""
    features = ",\n".join(json.dumps(feature(d), allow_nan=False, ensure_ascii=False) for d in outcome.detections)
    skipped = [
        {"product_id": p.product_id, "rows": [[one.row, one.row + one.rows] for one in p.decisions if not one.looked]}
        for p in outcome.passes
        if any(not one.looked for one in p.decisions)
    ]
    claimed = f'"not_looked_at": {json.dumps(skipped)}, ' if skipped else ""  # nothing is said of these rows of cells
    return f'{{"type": "FeatureCollection", "name": "detections", {claimed}"features": [\n{features}\n]}}\n'


def feature(detection: Detection) -> dict[str, Any]:
    """One detection. Its geometry is null on a grid without a CRS, where only `pixel_bounds` says where it lies.

    `pixel_bounds` is [column, row, column, row] of the upper-left and lower-right corners, in 10 m pixels.
    """
    d = detection
    properties: dict[str, Any] = {
        "rank": d.rank,
        "score": finite(d.score),
        "value": finite(d.value),
        "bytes": d.size,
        "product": d.product,
        "product_id": d.product_id,
        "sensing_time": timestamp(d.sensing_time),
        "reference_times": [timestamp(t) for t in d.reference_times],
        "row": d.row,
        "col": d.col,
    }
    if d.label is not None and d.label_score is not None:
        properties |= {"class": d.label, "class_score": finite(d.label_score)}
    if d.truth is not None:
        properties["truth"] = finite(d.truth)
    geometry = None
    if d.grid.crs:
        geometry = polygon(d.grid.cell_ring(d.row, d.col))
    else:
        properties["pixel_bounds"] = [d.col * CELL, d.row * CELL, (d.col + 1) * CELL, (d.row + 1) * CELL]
    return {"type": "Feature", "id": d.rank, "geometry": geometry, "properties": properties}


def polygon(ring: Ring) -> dict[str, Any]:
    """GeoJSON geometry of a closed convex ring, counter-clockwise; cut in two at the antimeridian (RFC 7946, 3.1.9)."""
    longitudes = [x for x, _ in ring]
    crossing = max(longitudes) - min(longitudes) > 180.0
    unrolled = [(x + 360.0 if crossing and x < 0 else x, y) for x, y in ring]
    if sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(unrolled)) < 0:
        unrolled.reverse()  # a grid whose rows run northwards gives its cells clockwise
    if not crossing:
        return {"type": "Polygon", "coordinates": [_round(unrolled)]}
    east = [(x - 360.0, y) for x, y in _clip(unrolled, keep=1)]
    return {"type": "MultiPolygon", "coordinates": [[_round(_clip(unrolled, keep=-1))], [_round(east)]]}


def timestamp(time: datetime) -> str:
    """UTC as `2024-05-03T10:06:11Z`; a naive time is taken as UTC."""
    utc = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    return utc.isoformat().replace("+00:00", "Z")


def finite(value: float) -> float | None:
    """The number for JSON, which knows neither nan nor infinity."""
    return float(value) if math.isfinite(value) else None


def _clip(ring: Ring, keep: int) -> Ring:
    """The part of a convex ring on one side of 180 degrees (keep -1: west of it, 1: east), Sutherland-Hodgman."""
    out: Ring = []
    for (x0, y0), (x1, y1) in pairwise(ring):
        if (x0 - 180.0) * keep >= 0:
            out.append((x0, y0))
        if (x0 - 180.0) * (x1 - 180.0) < 0:
            out.append((180.0, y0 + (y1 - y0) * (180.0 - x0) / (x1 - x0)))
    return [*out, *out[:1]]


def _round(ring: Ring) -> list[list[float]]:
    return [[round(float(x), DIGITS), round(float(y), DIGITS)] for x, y in ring]
