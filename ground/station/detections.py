"""The index of detections: one row a picture, best first, as GeoParquet 1.1 and as GeoJSON (RFC 7946), by geopandas.

Columns: product (SHA-256), rung (kind of product), score, sensing_time, received (UTC), granule, row, col, rows, cols
(cells), bytes, bands (names, comma-separated), product_id, model, cog (path within the archive); geometry in WGS84,
null without a CRS.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ground.receive.durable import write_durably
from ground.station.chips import Chip
from onboard.report.geojson import finite, timestamp

COLUMNS = (
    "product", "rung", "score", "sensing_time", "received", "granule", "row", "col", "rows", "cols", "bytes", "bands",
    "product_id", "model", "cog",
)  # fmt: skip
GEOJSON, GEOPARQUET = "detections.geojson", "detections.parquet"


def write_detections(archive: Path, chips: Sequence[Chip]) -> None:
    """Write both files into the archive, whole or not at all.

    Raises:
        DiskFullError, StoreError: they cannot be written.
    """
    found = [chip for chip in chips if chip.is_picture]
    ranked = sorted(found, key=lambda chip: (-chip.score, chip.sensing_time, chip.sha256))
    write_durably(archive / GEOJSON, geojson(ranked).encode())
    write_durably(archive / GEOPARQUET, geoparquet(ranked))


def row(chip: Chip) -> dict[str, Any]:
    """The columns of a chip but its geometry; times are `datetime`."""
    return {
        "product": chip.sha256, "rung": chip.rung, "score": finite(chip.score), "sensing_time": chip.sensing_time,
        "received": chip.received, "granule": chip.granule, "row": chip.row, "col": chip.col, "rows": chip.rows,
        "cols": chip.cols, "bytes": chip.size, "bands": ",".join(band.name for band in chip.bands),
        "product_id": chip.product_id, "model": chip.model, "cog": f"stac/{chip.collection}/{chip.cog.name}",
    }  # fmt: skip


def geojson(chips: Sequence[Chip]) -> str:
    """A FeatureCollection, one feature a line."""
    lines = []
    for chip in chips:
        properties = row(chip)
        properties |= {name: timestamp(properties[name]) for name in ("sensing_time", "received")}
        feature = {"type": "Feature", "id": chip.sha256, "geometry": chip.geometry, "properties": properties}
        lines.append(json.dumps(feature, allow_nan=False, ensure_ascii=False))
    return '{"type": "FeatureCollection", "name": "detections", "features": [\n' + ",\n".join(lines) + "\n]}\n"


def geoparquet(chips: Sequence[Chip]) -> bytes:
    """The file; with the bounding box of each row as a column, so that a reader can skip what it does not look at."""
    import geopandas
    import pandas
    from shapely.geometry import shape

    table = pandas.DataFrame([row(chip) for chip in chips], columns=COLUMNS)
    for name in ("sensing_time", "received"):
        table[name] = pandas.to_datetime(table[name], utc=True).astype("datetime64[ms, UTC]")
    places = [shape(chip.geometry) if chip.geometry else None for chip in chips]
    frame = geopandas.GeoDataFrame(table, geometry=geopandas.GeoSeries(places, crs="EPSG:4326"))
    out = io.BytesIO()
    frame.to_parquet(out, index=False, compression="zstd", schema_version="1.1.0", write_covering_bbox=True)
    return out.getvalue()
