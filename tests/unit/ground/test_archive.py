"""The archive: each product once, as it came, as COG and as STAC item, in a catalogue that opens."""

import hashlib
import json
import zlib
from datetime import datetime
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio

from benchmarks.queued import products
from ground.receive import archive as archive_module
from ground.receive.archive import Archive
from onboard.downlink.product import ProductError, decode, encode
from onboard.errors import StoreError


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def payloads():
    return [encode(p) for seed in (0, 1) for p in products(3, seed)]


@pytest.fixture
def filled(tmp_path, payloads):
    with Archive(tmp_path / "archive") as archive:
        for data in payloads:
            assert archive.put(sha(data), data) == "products"
            assert archive.put(sha(data), data) == "known"
    return tmp_path / "archive"


def test_the_catalogue_leads_to_pixels_that_are_the_product(filled, payloads):
    catalogue = pystac.Catalog.from_file(str(filled / "catalog.json"))
    collections = list(catalogue.get_children())
    assert [len(list(c.get_items())) for c in collections] == [3, 3]
    by_id = {sha(data): data for data in payloads}
    for item in catalogue.get_items(recursive=True):
        product = decode(by_id.pop(item.id))
        assert item.properties["onboard:score"] == product.score
        assert item.datetime == product.sensing_time
        assert item.properties["proj:code"] == "EPSG:32633"
        cog, obp = item.assets["data"], item.assets["product"]
        with rasterio.open(cog.get_absolute_href()) as dataset:
            assert np.array_equal(dataset.read(), product.dn)
            assert list(dataset.transform)[:6] == item.properties["proj:transform"]
            assert list(dataset.shape) == item.properties["proj:shape"]
            assert dataset.descriptions == tuple(b.name for b in product.bands)
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            bands = cog.extra_fields["raster:bands"]
            assert [b["offset"] for b in bands] == list(dataset.offsets)
            left, bottom, right, top = rasterio.warp.transform_bounds(dataset.crs, 4326, *dataset.bounds)
            assert np.allclose(item.bbox, [left, bottom, right, top], atol=1e-5)
        for asset in (cog, obp):
            data = Path(asset.get_absolute_href()).read_bytes()
            assert asset.extra_fields["file:checksum"] == "1220" + sha(data)
            assert asset.extra_fields["file:size"] == len(data)
    assert not by_id
    assert [i.properties["onboard:score"] for i in collections[0].get_items()] == [1.0, 1 - 1 / 6, 1 - 2 / 6]


def test_the_extensions_are_named(filled):
    item = json.loads(next((filled / "stac").glob("*/[0-9a-f]*[0-9a-f].json")).read_text())
    assert item["stac_version"] == "1.1.0"
    named = {uri.split("/")[3] for uri in item["stac_extensions"]}
    assert named == {"file", "processing", "projection", "raster"}
    assert datetime.fromisoformat(item["properties"]["datetime"]).tzinfo is not None


def test_a_crash_before_the_product_is_written_leaves_nothing_that_counts(tmp_path, payloads, monkeypatch):
    folder, data = tmp_path / "archive", payloads[0]
    written = archive_module.write_durably

    def break_off(path, content):
        if path.suffix == ".obp":
            path.with_name("half.part").write_bytes(content[:100]) if path.parent.exists() else None
            raise KeyboardInterrupt
        written(path, content)

    archive = Archive(folder)
    monkeypatch.setattr(archive_module, "write_durably", break_off)
    with pytest.raises(KeyboardInterrupt):
        archive.put(sha(data), data)
    archive._lock.close()
    monkeypatch.undo()
    with Archive(folder) as archive:
        assert archive.find(bytes.fromhex(sha(data)), len(data)) is None
        assert archive.put(sha(data), data) == "products"
    assert len(list(pystac.Catalog.from_file(str(folder / "catalog.json")).get_items(recursive=True))) == 1
    assert not list(folder.rglob("*.part"))


def test_an_index_that_a_crash_left_behind_is_brought_up_to_date(tmp_path, payloads):
    archive = Archive(tmp_path)
    archive.put(sha(payloads[0]), payloads[0])
    archive._lock.close()  # and no index
    assert not (tmp_path / "catalog.json").exists()
    Archive(tmp_path).close()
    assert len(list(pystac.Catalog.from_file(str(tmp_path / "catalog.json")).get_items(recursive=True))) == 1


def test_without_a_coordinate_system_it_is_archived_all_the_same(tmp_path):
    data = encode(products(1, crs="")[0])
    with Archive(tmp_path) as archive:
        assert archive.put(sha(data), data) == "products"
    (item,) = pystac.Catalog.from_file(str(tmp_path / "catalog.json")).get_items(recursive=True)
    assert item.geometry is None


def test_what_cannot_be_decoded_is_kept_aside_up_to_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "MAX_QUARANTINE_BYTES", 250)
    with Archive(tmp_path) as archive:
        junk = [bytes([i]) * 100 for i in range(3)]
        assert [archive.put(sha(j), j) for j in junk] == ["undecodable", "undecodable", "refused"]
        assert archive.put(sha(junk[0]), junk[0]) == "known"
    with Archive(tmp_path) as archive:
        assert archive.put(sha(junk[2]), junk[2]) == "refused"


def test_one_process_at_a_time(tmp_path):
    with Archive(tmp_path), pytest.raises(StoreError, match="in use"):
        Archive(tmp_path)
    Archive(tmp_path).close()


def test_a_codestream_larger_than_its_header_says_is_not_decoded():
    small, large = (encode(p) for p in (products(1)[0], products(1, bands=("B02",))[0]))
    head, other = (54 + int.from_bytes(one[52:54], "big") for one in (large, small))
    body = large[:head] + small[other:-36]  # one band said, four there
    body += hashlib.sha256(body).digest()
    with pytest.raises(ProductError, match="a codestream of 128 x 32 for 32 x 32"):
        decode(body + zlib.crc32(body).to_bytes(4, "big"))
