"""The whole way in real processes over real UDP: imagery, detection, link, archive, catalogue, mosaic."""

import json
import signal
import subprocess
import sys

import geopandas
import numpy as np
import pytest
import rasterio

from ground.station.chips import read_chips
from tests.e2e.test_downlink import GROUND, _free_port, _start_station
from tests.scenes import BANDS, three_passes
from tests.stac import validate

PASSES = {"20230101", "20230111", "20230121"}


def run(*args):
    done = subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def landed(tmp_path_factory):
    """(folder of the passes, folder with the archive) after one pass of the link."""
    folder = tmp_path_factory.mktemp("landed")
    scene, port, key = three_passes(folder / "in"), _free_port(), folder / "key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    run("-m", "onboard.cli.detect", scene, "--out", folder / "out", "--budget-mb", "0.5")
    station = _start_station(
        [
            sys.executable, "-c", GROUND, "receive", "--listen", f"127.0.0.1:{port}",
            "--archive", str(folder / "archive"), "--key", str(key), "--idle", "60", "--json",
        ]
    )  # fmt: skip
    told = run(
        "-m", "onboard.cli.downlink", "--to", f"127.0.0.1:{port}", "--store", folder / "out/store", "--key", key,
        "--pass-bytes", 10_000_000, "--rate", 5_000_000, "--json",
    )  # fmt: skip
    station.send_signal(signal.SIGTERM)
    received = json.loads(station.communicate(timeout=60)[0])
    sent = json.loads(told)
    assert station.returncode == 0 and received["products"] == sent["delivered"] == sent["due"] > 3
    return scene, folder


def test_every_document_of_the_catalogue_is_valid_stac(landed):
    _, folder = landed
    assert validate(folder / "archive/catalog.json") == len(list((folder / "archive").glob("products/*/*.obp")))


def test_the_index_of_detections_and_the_report_are_there(landed):
    _, folder = landed
    archive = folder / "archive"
    found = geopandas.read_parquet(archive / "detections.parquet")
    chips = read_chips(archive)
    assert len(chips) == len(list(archive.glob("products/*/*.obp")))
    assert set(found["product"]) == {chip.sha256 for chip in chips if chip.is_picture}
    best = found[found["rung"] == "lossless"].iloc[0]
    assert (best["row"], best["col"]) == (2, 5)  # what was put in
    assert f"{len(chips)} products of" in (archive / "report.html").read_text()


def test_the_mosaic_is_the_source_inside_the_chips_and_the_base_outside(landed):
    scene, folder = landed
    base = scene / "S2_20230101.tif"
    told = json.loads(
        run(
            "-c", GROUND, "mosaic", "--archive", folder / "archive", "--out", folder / "mosaic", "--base", base,
            "--bands", ",".join(BANDS), "--at", "2023-01-22T00:00:00Z", "--json",
        )
    )  # fmt: skip
    (one,) = told["granules"]
    newest = {}  # cell -> (date, kind) of the chip that is shown there
    for chip in read_chips(folder / "archive"):
        if not chip.is_picture:
            continue
        with rasterio.open(chip.cog) as cog:
            held = cog.read(1).reshape(chip.rows, 32, chip.cols, 32).any(axis=(1, 3))  # a region may have a mask
        for r, c in np.argwhere(held).tolist():
            newest[chip.row + r, chip.col + c] = f"{chip.sensing_time:%Y%m%d}", chip.rung
    assert {date for date, _ in newest.values()} <= PASSES and ("20230121", "lossless") in newest.values()
    sources = {}
    for date in PASSES:
        with rasterio.open(scene / f"S2_{date}.tif") as source:
            sources[date] = source.read()
    with rasterio.open(one["picture"]) as picture, rasterio.open(one["ages"]) as ages:
        assert picture.descriptions == BANDS
        pixels, age = picture.read(), ages.read(1)
    assert age.shape == (6, 8)
    for row, col in np.ndindex(6, 8):
        date, rung = newest.get((row, col), ("20230101", "lossless"))
        where = np.s_[:, row * 32 : row * 32 + 32, col * 32 : col * 32 + 32]
        assert round(age[row, col]) == 22 - int(date[-2:])
        assert rung != "lossless" or np.array_equal(pixels[where], sources[date][where])
    assert one["cells_from_base"] == age.size - len(newest)
