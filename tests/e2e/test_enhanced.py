"""`onboard-detect --products raw,enhanced`: estimates besides, named as such; what was measured stays as it was."""

import json

import numpy as np
import pytest
import rasterio

from ground.receive.archive import Archive
from onboard.cli.detect import main
from onboard.clock import Stages
from onboard.config import DetectConfig
from onboard.downlink.ladder import Rung
from onboard.downlink.product import decode
from onboard.infer.bundle import load_bundle
from onboard.infer.runtime import load_encoder
from onboard.loop import Detector
from onboard.restore.enhance import BandScale, restore_image
from onboard.restore.model import Network, load_model
from onboard.sense.stream import open_stream
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


def test_noise_is_removed_for_the_encoder_alone(passes, tmp_path):
    assert run(passes / "in", "--out", tmp_path, "--denoise", "denoise-s2", "--snr", "30") == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["settings"]["denoiser"], summary["settings"]["denoiser_snr"]) == ("denoise-s2", 30.0)
    item, product = next(one for one in products(tmp_path) if one[0].rung is Rung.LOSSLESS)
    assert not product.restored
    with rasterio.open(passes / f"in/S2_{item.sensing_time:%Y%m%d}.tif") as source:
        names = source.descriptions
        dn = source.read([names.index(band.name) + 1 for band in product.bands])
    assert (product.dn == dn[:, 32 * item.row : 32 * item.row + 32, 32 * item.col : 32 * item.col + 32]).all()


def test_a_denoiser_that_is_none_is_refused(passes, tmp_path, capsys):
    assert run(passes / "in", "--out", tmp_path, "--denoise", "sr-x2-s2") == 2
    assert "removes no noise" in capsys.readouterr().err


@pytest.mark.parametrize("cap", [0, 1])
def test_no_run_enhances_more_cells_than_its_cap(passes, tmp_path, cap):
    whole = sum(product.inside().sum() for item, product in products(passes / "both") if item.rung is Rung.ENHANCED)
    bundle = load_bundle("s2-10")
    config = DetectConfig(products=("raw", "enhanced"), enhanced_cells=int(cap * (whole - 1)), pictures=0)
    with Store(tmp_path / "store") as store:
        encoder = load_encoder(bundle, "onnx", "int8")
        run = Detector(config, bundle, encoder, store, Stages()).detect([open_stream(str(passes / "in"))])
    made = [product for item, product in products(tmp_path) if item.rung is Rung.ENHANCED]
    assert run.enhanced == sum(product.inside().sum() for product in made) <= config.enhanced_cells
    assert bool(made) == bool(cap) and whole > 1
