"""Products as STAC 1.1: an item each, a collection an acquisition, one catalogue. Pure: documents in and out, no files.

    catalog.json -> stac/<collection>/collection.json -> <SHA-256>.json -> <SHA-256>.tif, products/xx/<SHA-256>.obp

Extensions: file, processing, projection, raster. What is our own has the prefix `onboard:`, the change score among it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import pystac
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, RasterBand, RasterExtension
from rasterio.crs import CRS

from onboard import __version__
from onboard.downlink.ladder import Rung
from onboard.downlink.product import VERSION, Product, transform_of
from onboard.sense.acquisition import NODATA_DN
from onboard.sense.grid import CELL

PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
WORLD = [-180.0, -90.0, 180.0, 90.0]
_SHA2_256 = "1220"
"""Multihash prefix of a SHA-256, as the file extension wants it."""


LINEAGE = {
    Rung.EVENT: "Probability of change of the cells of a pass that most probably changed",
    Rung.SCORES: "Probability of change of every cell of a pass",
    Rung.THUMBNAIL: "A pass at one pixel a cell of 320 m",
    Rung.LOSSY: "Digital numbers of a region of changed cells, at 40 dB PSNR or better in every band of every cell",
    Rung.LOSSLESS: "Original digital numbers of a block of cells, chosen on board for its change score",
    Rung.ENHANCED: "Estimate of a region of changed cells at twice the resolution, made by a network; no measurement",
}


def collection_id(product: Product) -> str:
    """Name of the acquisition that a product belongs to; letters, digits and `-` only."""
    grid = product.grid
    identity = repr((product.product_id, grid.crs, grid.transform))
    return f"{utc(product.sensing_time):%Y%m%dT%H%M%SZ}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def item(product: Product, sha256: str, obp_bytes: int, cog: bytes) -> dict[str, Any]:
    """The STAC item of a product.

    Args:
        sha256: of the product's bytes, hexadecimal; the item's id.
        obp_bytes: how many they are.
        cog: the file beside the item.

    Raises:
        ValueError: its place on Earth cannot be told.
    """
    rows, cols = product.inside().shape
    ring = product.grid.cell_ring(product.row, product.col, rows, cols) if product.grid.crs else None
    one = pystac.Item(
        id=sha256,
        geometry={"type": "Polygon", "coordinates": [[list(point) for point in ring]]} if ring else None,
        bbox=_bbox(ring) if ring else None,
        datetime=utc(product.sensing_time),
        collection=collection_id(product),
        properties={
            "onboard:score": float(product.score),
            "onboard:cell": [int(product.row), int(product.col)],
            "onboard:cells": int(product.inside().sum()),
            "onboard:rung": product.rung.name.lower(),
            "onboard:model": str(product.model),
            "onboard:product_id": str(product.product_id),
            "processing:lineage": LINEAGE[product.rung],
            "processing:software": {"onboard-detect": __version__, "product format": str(VERSION)},
        },
    )
    if product.restored is not None:
        one.properties["onboard:restored"] = dict(product.restored)
    one.stac_extensions.append(PROCESSING)
    _project(one, product)
    cog_asset = pystac.Asset(f"./{sha256}.tif", media_type=pystac.MediaType.COG, roles=["data"])
    obp_asset = pystac.Asset(
        f"../../products/{sha256[:2]}/{sha256}.obp",
        title="as it came down", media_type="application/octet-stream", roles=["archive"],
    )  # fmt: skip
    one.add_asset("data", cog_asset)
    one.add_asset("product", obp_asset)
    _file(cog_asset, hashlib.sha256(cog).hexdigest(), len(cog))
    _file(obp_asset, sha256, obp_bytes)
    size = product.grid.pixel_size[1] * CELL / product.cell_px
    RasterExtension.ext(cog_asset, add_if_missing=True).apply(
        [
            RasterBand.create(
                nodata=NODATA_DN, data_type=DataType.UINT16, spatial_resolution=size,
                scale=1.0 / band.quantification, offset=band.offset / band.quantification,
            )
            for band in product.bands
        ]
    )  # fmt: skip
    cog_asset.extra_fields["bands"] = [{"name": band.name} for band in product.bands]
    for rel, href in (
        ("root", "../../catalog.json"),
        ("parent", "./collection.json"),
        ("collection", "./collection.json"),
    ):
        one.add_link(pystac.Link(rel, href, media_type=pystac.MediaType.JSON))
    return one.to_dict(include_self_link=False, transform_hrefs=False)


def collection(name: str, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The collection of an acquisition.

    Args:
        items: at least one, of this collection.
    """
    boxes = [one["bbox"] for one in items if one.get("bbox")]
    box = WORLD
    if boxes:
        west, south, east, north = zip(*boxes, strict=True)
        box = [min(west), min(south), max(east), max(north)]
    time = datetime.fromisoformat(items[0]["properties"]["datetime"])
    extent = pystac.Extent(pystac.SpatialExtent([box]), pystac.TemporalExtent([[time, time]]))
    one = pystac.Collection(
        name, f"Changed cells of {items[0]['properties']['onboard:product_id']}", extent, license="other"
    )
    one.clear_links()
    one.add_link(pystac.Link("root", "../../catalog.json", media_type=pystac.MediaType.JSON))
    one.add_link(pystac.Link("parent", "../../catalog.json", media_type=pystac.MediaType.JSON))
    for member in sorted(items, key=lambda i: (-i["properties"]["onboard:score"], i["id"])):
        one.add_link(pystac.Link("item", f"./{member['id']}.json", media_type=pystac.MediaType.GEOJSON))
    return one.to_dict(include_self_link=False, transform_hrefs=False)


def catalog(collections: Iterable[str]) -> dict[str, Any]:
    """The catalogue of the archive."""
    one = pystac.Catalog("onboard-archive", "What changed: a collection an acquisition, best score first")
    one.clear_links()
    one.add_link(pystac.Link("root", "./catalog.json", media_type=pystac.MediaType.JSON))
    for name in sorted(collections):
        one.add_link(pystac.Link("child", f"./stac/{name}/collection.json", media_type=pystac.MediaType.JSON))
    return one.to_dict(include_self_link=False, transform_hrefs=False)


def utc(time: datetime) -> datetime:
    """The time in UTC; one without a zone is taken to be in it."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _project(one: pystac.Item, product: Product) -> None:
    wkt = product.grid.crs
    epsg = CRS.from_wkt(wkt).to_epsg() if wkt else None
    ProjectionExtension.ext(one, add_if_missing=True).apply(
        code=f"EPSG:{epsg}" if epsg else None,
        wkt2=wkt if wkt and not epsg else None,
        shape=list(product.dn.shape[1:]),
        transform=list(transform_of(product)),
    )


def _file(asset: pystac.Asset, sha256: str, size: int) -> None:
    FileExtension.ext(asset, add_if_missing=True).apply(checksum=_SHA2_256 + sha256, size=size)


def _bbox(ring: Sequence[tuple[float, float]]) -> list[float]:
    lon, lat = zip(*ring, strict=True)
    return [min(lon), min(lat), max(lon), max(lat)]
