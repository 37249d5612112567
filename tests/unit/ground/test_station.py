"""What an operator sees of an archive: the index of detections, contacts, the report, kept up to date."""

import hashlib
import json
import re
import time
from dataclasses import replace
from datetime import timedelta

import geopandas
import numpy as np
import pandas
import pyarrow.parquet
import pytest
from shapely.geometry import box
from typer.testing import CliRunner

from benchmarks.queued import TIME, products
from ground.cli import app
from ground.receive.archive import Archive
from ground.station import watch as watch_module
from ground.station.chips import read_chips
from ground.station.contacts import contacts
from ground.station.picture import BACKGROUND, Picture, extent_of, thumbnail
from ground.station.report import Live, render
from ground.station.watch import Station, Watch, follow
from onboard.downlink.product import encode

NOW = TIME + timedelta(days=30)


def put(folder, items, when=NOW, every_s=1.0):
    """Archive products, one arriving every second."""
    moments = iter(when + timedelta(seconds=every_s * n) for n in range(1000))
    with Archive(folder, lambda: next(moments)) as archive:
        for product in items:
            data = encode(product)
            archive.put(hashlib.sha256(data).hexdigest(), data)
    return folder


@pytest.fixture
def archive(tmp_path):
    return put(tmp_path / "archive", [*products(5), *products(2, seed=1, bands=("B04",))])


def test_the_index_opens_in_geopandas_and_in_gdal(archive):
    assert Station(archive).update(now=NOW)
    chips = sorted(read_chips(archive), key=lambda c: (-c.score, c.sensing_time))
    parquet = geopandas.read_parquet(archive / "detections.parquet")
    geojson = geopandas.read_file(archive / "detections.geojson", engine="pyogrio")  # GDAL, as QGIS reads it
    for frame in (parquet, geojson):
        assert frame.crs == "EPSG:4326" and frame.geometry.is_valid.all()
        assert list(frame["product"]) == [c.sha256 for c in chips]
        assert list(frame["score"]) == [c.score for c in chips]
        assert list(pandas.to_datetime(frame["sensing_time"], utc=True)) == [c.sensing_time for c in chips]
        assert all((archive / path).exists() for path in frame["cog"])
        assert set(frame["bands"]) == {"B02,B03,B04,B08", "B04"}
    assert all(a.equals_exact(b, 1e-9) for a, b in zip(parquet.geometry, geojson.geometry, strict=True))
    first = parquet.geometry.iloc[0].bounds
    assert first[2] - first[0] == pytest.approx(320 / 111_320 / 0.7071, rel=0.02)  # at 45 degrees north
    near = geopandas.read_parquet(archive / "detections.parquet", bbox=box(*first).buffer(-1e-4).bounds)
    assert 0 < len(near) < len(parquet)  # the column of bounding boxes is used
    metadata = pyarrow.parquet.read_schema(archive / "detections.parquet").metadata[b"geo"]
    assert json.loads(metadata)["version"] == "1.1.0"


def test_an_empty_archive_and_one_without_coordinates_have_views_too(tmp_path):
    Station(put(tmp_path / "empty", [])).update(now=NOW)
    assert len(geopandas.read_parquet(tmp_path / "empty/detections.parquet")) == 0
    assert "Nothing has come down yet" in (tmp_path / "empty/report.html").read_text()
    Station(put(tmp_path / "local", products(2, crs=""))).update(now=NOW)
    frame = geopandas.read_parquet(tmp_path / "local/detections.parquet")
    assert frame.geometry.isna().all() and list(frame["col"]) == [0, 1]
    assert "No coordinate system" in (tmp_path / "local/report.html").read_text()


def test_contacts_end_with_silence(tmp_path):
    put(tmp_path / "a", products(3))
    put(tmp_path / "a", products(2, seed=1), NOW + timedelta(minutes=20))
    put(tmp_path / "a", products(1, seed=2), NOW + timedelta(minutes=24))
    found = contacts(read_chips(tmp_path / "a"))
    assert [len(c.chips) for c in found] == [3, 3]
    assert (found[0].end - found[0].start).total_seconds() == 2
    assert sum(c.size for c in found) == sum(p.stat().st_size for p in (tmp_path / "a").glob("products/*/*"))


def test_the_page_needs_only_itself_and_says_what_is_there(archive):
    page = render(read_chips(archive), {}, NOW, None)
    assert not re.search(r'(src|href)="(?!data:|stac/|detections\.|catalog\.json)', page)
    assert "http-equiv" in page and "default-src &#x27;none&#x27;" in page and "<body>" in page
    assert "7 products of 2 acquisitions over 1 place, in 1 contact" in page
    assert page.count("data-said") == 5  # two cells were seen twice
    assert 'data-reload="5"' in render(read_chips(archive), {}, NOW, Live("127.0.0.1:5005"))


def test_what_a_product_says_never_becomes_markup(tmp_path):
    hostile = replace(products(1)[0], product_id='"><script>alert(1)</script>', model="<b>")
    Station(put(tmp_path / "a", [hostile])).update(now=NOW)
    page = (tmp_path / "a/report.html").read_text()
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page


def test_the_picture_shows_the_newest_chip_of_each_cell(archive):
    chips = read_chips(archive)
    picture = Picture(extent_of(chips))
    picture.draw(c for c in reversed(chips) if c.col < 4)
    before = picture.image()
    picture.draw(chips)
    after, size = picture.image(), picture.cell_px
    assert after.shape == (3 * size, 7 * size, 3)
    assert (after[0, 0] == BACKGROUND).all() and (before[size + 2, 5 * size + 2] == BACKGROUND).all()
    assert (before[size : 2 * size, size : 3 * size] != BACKGROUND).any()
    grey = thumbnail(chips[-1])
    assert grey.shape == (32, 32, 3) and (grey == grey[..., :1]).all()  # of one band
    at_once = Picture(extent_of(chips))
    at_once.draw(reversed(chips))
    assert np.array_equal(at_once.image(), after)


def test_only_what_is_new_is_read_and_nothing_is_written_without_need(archive, monkeypatch):
    station, read = Station(archive), []
    monkeypatch.setattr(
        watch_module, "read_chip", lambda path, real=watch_module.read_chip: read.append(path) or real(path)
    )
    assert station.update(now=NOW) and len(read) == 7
    assert not station.update(now=NOW) and len(read) == 7
    put(archive, products(1, seed=3))
    assert station.update(now=NOW) and len(read) == 8


def test_views_follow_while_products_arrive(tmp_path):
    folder = put(tmp_path / "a", products(1))
    with Watch(folder, Live("127.0.0.1:1"), every_s=0.05):
        put(folder, products(1, seed=1))
        deadline = time.monotonic() + 30
        while "2 products" not in _page(folder) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "receiving on 127.0.0.1:1" in _page(folder) and "2 products" in _page(folder)
        put(folder, products(1, seed=2))
    assert "3 products" in _page(folder) and "receiving" not in _page(folder)


def _page(folder):
    path = folder / "report.html"
    return path.read_text() if path.exists() else ""


def test_a_fault_in_a_view_does_not_end_the_others(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(watch_module, "render", lambda *_: 1 / 0)
    looks = iter((False, False, True))
    follow(Station(put(tmp_path / "a", products(1))), Live("x:1"), 0.0, lambda _: next(looks))
    assert caplog.text.count("the report could not be made") == 3
    assert (tmp_path / "a/detections.parquet").exists()


def test_the_command(archive, tmp_path):
    done = CliRunner().invoke(app, ["report", str(archive)])
    assert done.exit_code == 0 and "report.html" in done.output and "7 products" in _page(archive)
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 6 and "no archive here" in done.output
