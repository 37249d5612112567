"""The mosaic: equal to the newest source in every cell, with the time that each cell was seen."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, timedelta

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from benchmarks.queued import TIME, products
from ground.cli import app
from ground.receive.archive import Archive
from ground.station.chips import read_chips
from onboard.downlink.product import encode
from onboard.sense.acquisition import BandInfo
from tests.scenes import landscape, write_pass

NOW = TIME + timedelta(days=20)
AT = ["--at", NOW.isoformat()]


def archive_of(folder, items):
    with Archive(folder / "archive") as archive:
        for product in items:
            data = encode(product)
            archive.put(hashlib.sha256(data).hexdigest(), data)
    return folder / "archive"


def mosaic(folder, *args):
    result = CliRunner().invoke(
        app, ["mosaic", "--archive", str(folder / "archive"), "--out", str(folder / "out"), *AT, "--json", *args]
    )
    return result.exit_code, result.output


def opened(folder, *args):
    """(summary, picture (B, H, W), ages (2, rows, cols)) of the only granule."""
    code, text = mosaic(folder, *args)
    assert code == 0, text
    (one,) = json.loads(text)["granules"]
    with rasterio.open(one["picture"]) as picture, rasterio.open(one["ages"]) as ages:
        for dataset in (picture, ages):
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert ages.transform == picture.transform @ rasterio.Affine.scale(32)
        assert picture.descriptions == tuple(one["bands"])
        assert ages.tags()["REFERENCE_TIME"] == NOW.isoformat()
        return one, picture.read(), ages.read()


def at(product):
    return np.s_[:, product.row * 32 : product.row * 32 + 32, product.col * 32 : product.col * 32 + 32]


def test_the_newest_chip_of_each_cell_is_seen_and_its_age(tmp_path):
    old, new = products(3, seed=0), products(2, seed=1)  # five days apart, the same cells
    archive_of(tmp_path, new + old)
    one, picture, ages = opened(tmp_path)
    for product in (*new, old[2]):
        assert np.array_equal(picture[at(product)], product.dn)
    assert picture.shape == (4, 32, 96)
    assert np.allclose(ages[0, 0], [15, 15, 20])
    assert np.array_equal(ages[1, 0], [p.sensing_time.timestamp() for p in (*new, old[2])])
    assert (one["chips"], one["cells"], one["cells_from_base"], one["base"]) == (3, 3, 0, None)


def test_pasted_over_the_last_full_image(tmp_path):
    chips = products(2, seed=1)
    infos = tuple(BandInfo(b.name) for b in chips[0].bands)
    chips = [replace(c, bands=infos) for c in chips]
    archive_of(tmp_path, chips)
    place = landscape((3, 4), bands=4)[:, :-5, :-7]  # its last cells are cut by its edge
    base = write_pass(tmp_path / "base", "20240502", place, tuple(b.name for b in infos))
    write_pass(tmp_path / "base", "20240401", place // 2, tuple(b.name for b in infos))
    one, picture, ages = opened(tmp_path, "--base", str(tmp_path / "base"))
    expected = place.copy()
    for chip in chips:
        expected[at(chip)] = chip.dn
    assert np.array_equal(picture, expected)
    assert (one["chips"], one["cells"], one["cells_from_base"]) == (2, 12, 10)
    seen = np.full((3, 4), np.datetime64("2024-05-02").astype("datetime64[s]").astype(float))
    seen[0, :2] = chips[0].sensing_time.timestamp()
    assert np.array_equal(ages[1], seen)
    with rasterio.open(base) as source, rasterio.open(one["picture"]) as written:
        assert written.transform == source.transform and written.crs == source.crs


def test_a_base_newer_than_a_chip_hides_it(tmp_path):
    chip = replace(products(1)[0], bands=tuple(BandInfo(n) for n in ("B02", "B03", "B04", "B08")))
    archive_of(tmp_path, [chip])
    place = landscape((2, 2), bands=4)
    place[:, :32, :32] = 0  # where the newer image has nothing the chip stays
    write_pass(tmp_path / "base", "20240601", place, tuple(b.name for b in chip.bands))
    one, picture, _ = opened(tmp_path, "--base", str(tmp_path / "base"))
    assert one["chips"] == 1 and one["cells_from_base"] == 3
    assert np.array_equal(picture[at(chip)], chip.dn)
    place[:, :32, :32] = 7
    write_pass(tmp_path / "base", "20240601", place, tuple(b.name for b in chip.bands))
    one, picture, _ = opened(tmp_path, "--base", str(tmp_path / "base"))
    assert one["chips"] == 0 and np.array_equal(picture, place)


def test_an_older_radiometry_is_brought_to_the_newer_one(tmp_path):
    new = products(1, seed=1)[0]  # offset -1000
    old = replace(products(2)[1], bands=tuple(BandInfo(b.name, 0.0) for b in new.bands))
    archive_of(tmp_path, [old, new])
    one, picture, _ = opened(tmp_path)
    with rasterio.open(one["picture"]) as dataset:
        assert set(dataset.offsets) == {-0.1} and dataset.scales == (1e-4,) * 4
    assert np.array_equal(picture[at(new)], new.dn)
    assert np.array_equal(picture[at(old)], old.dn + 1000)


def test_a_cell_without_a_pixel_in_a_chip_is_not_part_of_it(tmp_path):
    region = products(1, seed=1)[0]
    dn = np.concatenate([region.dn, np.zeros_like(region.dn)], axis=2)  # a mask: its right cell is left out
    below = products(2)[1]
    archive_of(tmp_path, [replace(region, dn=dn), below])
    one, picture, _ = opened(tmp_path)
    assert np.array_equal(picture[at(region)], region.dn) and np.array_equal(picture[at(below)], below.dn)
    assert one["chips"] == 2


def test_bands_that_a_newer_chip_lacks_stay_and_make_the_cell_old(tmp_path):
    full, part = products(1)[0], products(1, seed=1, bands=("B04",))[0]
    archive_of(tmp_path, [full, part])
    one, picture, ages = opened(tmp_path)
    shown = dict(zip(one["bands"], picture, strict=True))
    assert np.array_equal(shown["B04"], part.dn[0]) and np.array_equal(shown["B02"], full.dn[0])
    assert ages[0, 0, 0] == 20
    one, picture, ages = opened(tmp_path, "--bands", "B04")
    assert one["bands"] == ["B04"] and ages[0, 0, 0] == 15


def test_memory_is_bounded_by_the_block(tmp_path, monkeypatch):
    from ground.station import mosaic as module

    monkeypatch.setattr(module, "BLOCK_PX", 64 * 64)
    monkeypatch.setattr(module, "TILE_PX", 64)
    chips = products(70)  # two rows of cells, more blocks than one
    archive_of(tmp_path, chips)
    _, picture, ages = opened(tmp_path)
    for chip in chips:
        assert np.array_equal(picture[at(chip)], chip.dn)
    assert np.isnan(ages[0]).sum() == 64 * 2 - 70


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--base", "absent"], 3, "no such file"),
        (["--bands", "B99"], 2, "no source has it"),
        (["--at", "tomorrow"], 2, "ISO time wanted"),
        (["--out", "file/x"], 2, "cannot be made"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, monkeypatch, args, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    archive_of(tmp_path, products(1))
    found, text = mosaic(tmp_path, *args)
    assert found == code and said in text and "Traceback" not in text


def test_no_archive_and_an_empty_one(tmp_path):
    assert mosaic(tmp_path)[0] == 6
    archive_of(tmp_path, [])
    assert mosaic(tmp_path)[0] == 4


def test_a_damaged_chip_is_named_and_the_old_mosaic_stays(tmp_path):
    archive = archive_of(tmp_path, products(1))
    one, _, _ = opened(tmp_path)
    before = (tmp_path / "out").joinpath(one["picture"]).read_bytes()
    (chip,) = read_chips(archive)
    chip.cog.write_bytes(b"no tiff")
    code, text = mosaic(tmp_path)
    assert code == 6 and chip.cog.name in text
    assert (tmp_path / "out").joinpath(one["picture"]).read_bytes() == before
    assert not list((tmp_path / "out").glob("*.part"))


def test_items_say_when_they_came(tmp_path):
    with Archive(tmp_path / "archive", lambda: NOW) as archive:
        data = encode(products(1)[0])
        archive.put(hashlib.sha256(data).hexdigest(), data)
    (chip,) = read_chips(tmp_path / "archive")
    assert chip.received == NOW and chip.sensing_time == TIME and NOW.tzinfo is UTC
    assert chip.bands == products(1)[0].bands
    (next((tmp_path / "archive/stac").glob("*/[0-9a-f]*[0-9a-f].json"))).write_text("{}")
    assert read_chips(tmp_path / "archive") == []


def test_kinds_of_product_that_are_no_picture_are_left_out_and_the_truest_is_shown(tmp_path):
    first, second = (replace(p, row=0, col=0) for p in products(2))  # one cell at one time, twice
    thumbnail = products(3)[2]
    archive = archive_of(tmp_path, [first, second, thumbnail])
    rungs = {"lossless": first, "lossy": second, "thumbnail": thumbnail}
    for rung, product in rungs.items():
        (path,) = (archive / "stac").glob(f"*/{hashlib.sha256(encode(product)).hexdigest()}.json")
        item = json.loads(path.read_text())
        item["properties"]["onboard:rung"] = rung
        path.write_text(json.dumps(item))
    assert [chip.rung for chip in read_chips(archive)] == ["thumbnail", "lossy", "lossless"]
    one, picture, _ = opened(tmp_path)
    assert one["chips"] == 1 and np.array_equal(picture, first.dn)
