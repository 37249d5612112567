"""The archive's products as plain rows, read from their STAC items alone: no product is decoded here.

A **chip** is one archived product; a **granule** is all that lies on one grid of cells: same CRS, same origin. A
product that says of itself that it is no picture of cells at full resolution (`onboard:rung`) counts among what came
when, and is left out of mosaics, maps and detections.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from rasterio.crs import CRS
from rasterio.errors import CRSError

from ground.receive.archive import COLLECTION, PRODUCTS, STAC
from onboard.errors import StoreError
from onboard.sense.acquisition import BandInfo
from onboard.sense.grid import CELL, Grid

FIDELITY = {"lossy": 0, "lossless": 1}
"""Kinds of product that are pictures, with 32 x 32 pixels a cell; of equal time the later one here is shown."""
CELL_PX = {"lossy": CELL, "lossless": CELL, "enhanced": 2 * CELL}
"""Samples along a side of a cell; 1 of all others."""

Affine = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Chip:
    """One archived product.

    Attributes:
        sha256: of the product, hexadecimal.
        collection: its acquisition, the folder of its item.
        cog: the file with its pixels.
        sensing_time, received: UTC; `received` is when the archive had it.
        row, col, rows, cols: its block of cells on the granule's grid.
        crs: WKT, empty where there is none.
        transform: of the upper-left pixel of the granule.
        bands: radiometry, in the order of the COG.
        size: bytes that came down.
        rung: kind of product, `lossless` where the item names none.
        geometry: GeoJSON, WGS84, or None without a CRS.
    """

    sha256: str
    collection: str
    cog: Path
    product_id: str
    model: str
    sensing_time: datetime
    received: datetime
    score: float
    row: int
    col: int
    rows: int
    cols: int
    crs: str
    transform: Affine
    bands: tuple[BandInfo, ...]
    size: int
    rung: str
    geometry: dict[str, Any] | None

    @property
    def is_picture(self) -> bool:
        """Whether its pixels are those of cells at full resolution."""
        return self.rung in FIDELITY

    @property
    def order(self) -> tuple[datetime, int, int, str]:
        """The greater is shown over the smaller: the newer, at the same time the truer, then the larger."""
        return self.sensing_time, FIDELITY.get(self.rung, -1), self.size, self.sha256

    @property
    def granule(self) -> str:
        """Name of its grid: the CRS and the origin in the CRS' own units, e.g. `EPSG32633-399960-5300040`."""
        return granule_name(self.crs, self.transform)


def granule_name(crs: str, transform: Affine) -> str:
    """A name for the grid that begins here; letters, digits, `-` and `.` only."""
    epsg = _epsg(crs)
    place = f"EPSG{epsg}" if epsg else "local"
    return f"{place}-{transform[2]:.10g}-{transform[5]:.10g}"


def read_chips(archive: Path) -> list[Chip]:
    """All chips of an archive in the order in which they are shown over one another.

    An item that is damaged, or whose product is not archived (left from a crash), is passed over.

    Raises:
        StoreError: no archive here.
    """
    if not (archive / PRODUCTS).is_dir():
        raise StoreError(f"{archive}: no archive here")
    found = (read_chip(path) for path in item_paths(archive))
    return in_order(chip for chip in found if chip is not None)


def in_order(chips: Iterable[Chip]) -> list[Chip]:
    """By `Chip.order`: the oldest first."""
    return sorted(chips, key=lambda chip: chip.order)


def item_paths(archive: Path) -> Iterator[Path]:
    """The items whose product is archived."""
    for path in sorted((archive / STAC).glob("*/*.json")):
        if path.name != COLLECTION and (archive / PRODUCTS / path.stem[:2] / f"{path.stem}.obp").exists():
            yield path


def read_chip(path: Path) -> Chip | None:
    """The chip of an item, or None where the file is no item of an archive."""
    try:
        item = json.loads(path.read_bytes())
        properties, data = item["properties"], item["assets"]["data"]
        row, col = properties["onboard:cell"]
        height, width = properties["proj:shape"]
        a, b, c, d, e, f = properties["proj:transform"]
        rung = properties.get("onboard:rung", "lossless")
        cell_px = CELL_PX.get(rung, 1)
        x, y = col * cell_px, row * cell_px
        sensed = datetime.fromisoformat(properties["datetime"])
        return Chip(
            sha256=item["id"],
            collection=item["collection"],
            cog=path.with_suffix(".tif"),
            product_id=properties["onboard:product_id"],
            model=properties["onboard:model"],
            sensing_time=sensed,
            received=datetime.fromisoformat(properties.get("created", properties["datetime"])),
            score=float(properties["onboard:score"]),
            row=row,
            col=col,
            rows=-(-height // cell_px),
            cols=-(-width // cell_px),
            crs=_wkt(properties.get("proj:code") or properties.get("proj:wkt2") or ""),
            transform=(a, b, c - a * x - b * y, d, e, f - d * x - e * y),
            bands=tuple(
                BandInfo(named["name"], band["offset"] / band["scale"], 1.0 / band["scale"])
                for named, band in zip(data["bands"], data["raster:bands"], strict=True)
            ),
            size=int(item["assets"]["product"]["file:size"]),
            rung=rung,
            geometry=item["geometry"],
        )
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, CRSError):
        return None


def grid_of(chips: Iterable[Chip]) -> Grid:
    """The smallest grid from the granule's origin that holds all these chips of one granule; at least one."""
    members = list(chips)
    one = members[0]
    return Grid(
        one.crs, one.transform, max(c.col + c.cols for c in members) * CELL, max(c.row + c.rows for c in members) * CELL
    )


@lru_cache(maxsize=64)
def _wkt(text: str) -> str:
    return str(CRS.from_user_input(text).to_wkt()) if text else ""


@lru_cache(maxsize=64)
def _epsg(wkt: str) -> int | None:
    return CRS.from_wkt(wkt).to_epsg() if wkt else None
