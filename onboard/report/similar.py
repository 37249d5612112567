"""Similar cells as GeoJSON (RFC 7946), best first, one feature a line: the answer of `onboard-search`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from onboard.change.similar import SimilarCell
from onboard.report.geojson import finite, polygon, timestamp
from onboard.sense.grid import CELL


def properties(rank: int, found: SimilarCell, examples: Sequence[str]) -> dict[str, Any]:
    """What is said of one cell; `like` names the example it is nearest to."""
    return {
        "rank": rank,
        "distance": finite(found.distance),
        "like": examples[found.example],
        "product_id": found.seen.product_id,
        "sensing_time": timestamp(found.seen.sensing_time),
        "grid": found.grid.id,
        "row": found.row,
        "col": found.col,
    }


def render(found: Sequence[SimilarCell], examples: Sequence[str]) -> str:
    """The FeatureCollection. Without a CRS the geometry is null, and `pixel_bounds` says where the cell lies."""
    features = []
    for rank, one in enumerate(found, start=1):
        said = properties(rank, one, examples)
        geometry = None
        if one.grid.grid.crs:
            geometry = polygon(one.grid.grid.cell_ring(one.row, one.col))
        else:
            said["pixel_bounds"] = [one.col * CELL, one.row * CELL, (one.col + 1) * CELL, (one.row + 1) * CELL]
        features.append(json.dumps({"type": "Feature", "id": rank, "geometry": geometry, "properties": said}))
    return '{"type": "FeatureCollection", "name": "similar", "features": [\n' + ",\n".join(features) + "\n]}\n"
