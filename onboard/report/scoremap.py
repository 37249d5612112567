"""score.tif and status.tif: the maps of a run as Cloud-Optimised GeoTIFFs, one pixel a cell, one band a pass.

Band 1 is the newest pass, because that is the band a viewer shows first; older passes follow. `score.tif` is float32
with nan where there is no score, bit for bit `PassResult.score`. `status.tif` is uint8 and says why there is none
(`CellStatus`: 0 not looked at, 1 unknown, 2 first look, 3 scored). A second place in one run gives `score_2.tif` ...
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from onboard.report.geojson import timestamp
from onboard.report.outcome import CellStatus, Outcome, PassResult
from onboard.report.places import Place, places
from onboard.resident import give_back
from onboard.sense.grid import CELL

BLOCK = 256


def render(outcome: Outcome) -> dict[str, bytes]:
    """File name -> GeoTIFF bytes; empty without a pass.

    Encoded in memory, so that a full disk is met in one place (`write`) as an ordinary OSError, not as a GDAL message.
    """
    files: dict[str, bytes] = {}
    for number, place in enumerate(places(outcome.passes), start=1):
        suffix = "" if number == 1 else f"_{number}"
        files[f"score{suffix}.tif"] = _cog(place, outcome.bundle, "score")
        files[f"status{suffix}.tif"] = _cog(place, outcome.bundle, "status")
    return files


def _cog(place: Place, bundle: Mapping[str, Any], what: str) -> bytes:
    newest_first = place.passes[::-1]
    a, b, c, d, e, f = place.grid.transform
    score = what == "score"
    profile: dict[str, Any] = {
        "driver": "COG",
        "dtype": "float32" if score else "uint8",
        "count": len(newest_first),
        "width": place.cols,
        "height": place.rows,
        "transform": Affine(a * CELL, b * CELL, c, d * CELL, e * CELL, f),
        "compress": "deflate",
        "predictor": "yes",
        "blocksize": BLOCK,
        "overview_resampling": "average" if score else "nearest",
    }
    if score:
        profile["nodata"] = float("nan")
    if place.grid.crs:
        profile["crs"] = CRS.from_wkt(place.grid.crs)
        give_back()  # PROJ's database
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            for band, result in enumerate(newest_first, start=1):
                file.write(_layer(result, place.rows, place.cols, score), band)
                file.set_band_description(band, result.product_id)
                file.update_tags(band, PRODUCT_ID=result.product_id, SENSING_TIME=timestamp(result.sensing_time))
            file.update_tags(**_tags(newest_first, bundle, what))
        return bytes(memory.getbuffer())


def _layer(result: PassResult, rows: int, cols: int, score: bool) -> NDArray[Any]:
    """One band (rows, cols): the pass in the upper left, nothing where the place is larger than the pass."""
    source: NDArray[Any] = result.score if score else result.status
    if source.shape == (rows, cols):
        return source
    layer = np.full((rows, cols), np.nan if score else CellStatus.NOT_LOOKED_AT, source.dtype)
    layer[: source.shape[0], : source.shape[1]] = source
    return layer


def _tags(passes: tuple[PassResult, ...], bundle: Mapping[str, Any], what: str) -> dict[str, str]:
    tags = {
        "PRODUCT_IDS": ",".join(result.product_id for result in passes),
        "SENSING_TIMES": ",".join(timestamp(result.sensing_time) for result in passes),
        "CELL_PX": str(CELL),
    }
    plain = {key: value for key, value in bundle.items() if isinstance(value, str | int | float)}
    tags.update({f"BUNDLE_{key}".upper(): str(value) for key, value in plain.items()})
    if what == "status":
        tags.update({f"STATUS_{status.value}": status.name.lower() for status in CellStatus})
    return tags
