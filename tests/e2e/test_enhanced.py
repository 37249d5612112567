"""`onboard-detect --products raw,enhanced`: estimates besides, named as such; what was measured stays as it was."""

import json

import numpy as np
import pytest
import rasterio

from ground.receive.archive import Archive
from onboard.cli.detect import main
from onboard.downlink.ladder import Rung
from onboard.downlink.product import decode
from onboard.restore.enhance import BandScale, restore_image
from onboard.restore.model import Network, load_model
from onboard.store import Store
from tests.scenes import three_passes

TEN_METRES = ("B02", "B03", "B04", "B08")


def run(*args):
    return main([str(a) for a in args])


@pytest.fixture(scope="module")
def passes(tmp_path_factory):
    """The same stream without and with estimates, each with its own store."""
    root = tmp_path_factory.mktemp("enhanced")
    stream = three_passes(root / "in", (2, 5))
    for name, options in (("raw", []), ("both", ["--products", "raw,enhanced"])):
        assert run(stream, "--out", root / name, *options) == 0
    return root


def products(folder):
    with Store(folder / "store") as store:
        return [(item, decode(store.queue.payload(item.id))) for item in store.queue.items()]


def test_what_was_measured_stays_as_it_was(passes):
    found = [(passes / name / "detections.geojson").read_bytes() for name in ("raw", "both")]
    assert found[0] == found[1]
    measured = {item.sha256 for item, _ in products(passes / "raw")}
    assert measured <= {item.sha256 for item, _ in products(passes / "both")}
    assert not any(product.restored for _, product in products(passes / "raw"))


def test_an_estimate_says_so_and_is_what_the_whole_image_would_give(passes):
    both = products(passes / "both")
    estimates = [(item, product) for item, product in both if item.rung is Rung.ENHANCED]
    assert estimates
    summary = json.loads((passes / "both/summary.json").read_text())
    assert summary["counters"]["cells_enhanced"] == sum(product.inside().sum() for _, product in estimates)
    item, product = estimates[0]
    model = load_model("sr-x2-s2")
    assert product.restored["sha256"] == model.artefact("int8").sha256
    assert tuple(band.name for band in product.bands) == TEN_METRES
    assert product.cell_px == 64
    with rasterio.open(passes / f"in/S2_{item.sensing_time:%Y%m%d}.tif") as source:
        names = source.descriptions
        dn = source.read([names.index(name) + 1 for name in TEN_METRES])
    scales = tuple(BandScale(full) for full in product.restored["full_scale"])
    whole = restore_image(Network(model), dn, scales)
    top, left, (rows, cols) = 64 * product.row, 64 * product.col, product.dn.shape[1:]
    wanted = whole[:, top : top + rows, left : left + cols].astype(float)
    inside = product.inside().repeat(64, 0).repeat(64, 1)
    error = (product.dn - wanted)[:, inside]
    # coded at 40 dB of the brightest pixel, and the scales in the text are rounded
    assert np.sqrt(np.square(error).mean(1)).max() <= 0.0101 * wanted[:, inside].max()


def test_estimates_leave_first_and_go_down_last(passes):
    both = products(passes / "both")
    regions = {item.id: (item.acquisition, item.row, item.col) for item, _ in both if item.rung is Rung.LOSSY}
    estimates = {(item.acquisition, item.row, item.col): item for item, _ in both if item.rung is Rung.ENHANCED}
    cells = [item for item, _ in both if item.rung is Rung.LOSSLESS and regions[item.chip] in estimates]
    assert cells
    for item in cells:
        assert item.density > estimates[regions[item.chip]].density


def test_the_archive_names_the_model(passes, tmp_path):
    with Archive(tmp_path / "archive") as archive, Store(passes / "both/store") as store:
        item = next(item for item in store.queue.items() if item.rung is Rung.ENHANCED)
        archive.put(item.sha256, store.queue.payload(item.id))
    (path,) = [p for p in (tmp_path / "archive/stac").glob("*/*.json") if p.name != "collection.json"]
    properties = json.loads(path.read_text())["properties"]
    assert properties["onboard:rung"] == "enhanced"
    assert properties["onboard:restored"]["model"] == "sr-x2-s2"
    with rasterio.open(path.with_suffix(".tif")) as cog:
        assert json.loads(cog.tags()["ONBOARD_RESTORED"])["task"] == "super-resolution"


@pytest.mark.parametrize("kinds", ["enhanced", "raw,raw", "raw,sharp"])
def test_other_kinds_are_refused(tmp_path, capsys, kinds):
    with pytest.raises(SystemExit) as raised:
        run(tmp_path, "--out", tmp_path, "--products", kinds)
    assert raised.value.code == 2
    assert "neither raw nor raw,enhanced" in capsys.readouterr().err
