"""`onboard-enhance`: no seam, georeference, no-data, and clear refusals."""

import json

import numpy as np
import pytest
import rasterio
import torch

from ground.models.restorers import build
from ground.training.denoisers.base import run as run_network
from onboard.cli.enhance import main
from onboard.restore.enhance import BandScale, Noise, restore_image
from onboard.restore.model import Network, load_model


def run(model, source, target, *options):
    return main([str(source), str(target), "--model", str(next(iter(model.artefacts.values())).path.parent), *options])


def pixels(path):
    with rasterio.open(path) as source:
        return source.read()


@pytest.mark.parametrize("block", ["32", "98", "1024"])
def test_blocks_leave_no_seam(doubling, scene, tmp_path, block):
    with rasterio.open(scene, "r+") as source:
        source.nodata = None
    assert run(doubling, scene, tmp_path / "out.tif", "--block", block, "--full-scale", "7000") == 0
    whole = restore_image(Network(doubling), pixels(scene), (BandScale(7000.0),) * 2)
    assert np.array_equal(pixels(tmp_path / "out.tif"), whole)


def test_georeference_bands_and_tags_go_along(doubling, scene, tmp_path, capsys):
    assert run(doubling, scene, tmp_path / "out.tif", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    with rasterio.open(scene) as before, rasterio.open(tmp_path / "out.tif") as after:
        assert (after.width, after.height) == (314, 420) == (told["width"], told["height"])
        assert after.bounds == before.bounds
        assert after.crs == before.crs
        assert after.descriptions == before.descriptions
        assert after.nodata == 0
        assert after.tags()["SENSING_TIME"] == "2018-01-01T00:00:00Z"
        applied = json.loads(after.tags()["ONBOARD_RESTORED"])
        lost = after.read(1) == 0
    assert applied["sha256"] == doubling.artefact("int8").sha256
    assert lost[:60, :40].all()
    assert lost.sum() == 60 * 40


def test_no_data_does_not_depend_on_the_blocks(doubling, scene, tmp_path):
    found = []
    for block in ("32", "256"):
        assert run(doubling, scene, tmp_path / f"{block}.tif", "--block", block) == 0
        found.append(pixels(tmp_path / f"{block}.tif"))
    assert np.array_equal(*found)


def test_a_denoiser_keeps_the_size(cleaning, scene, tmp_path):
    assert run(cleaning, scene, tmp_path / "out.tif", "--snr", "30") == 0
    assert pixels(tmp_path / "out.tif").shape == pixels(scene).shape


def test_bands_that_are_seen_together_are_fed_as_in_training(cleaning_pairs):
    torch.manual_seed(1)  # the fixture's weights
    net = build("anchored", 2, 1).eval()
    rng = np.random.default_rng(0)
    dn = rng.integers(500, 3500, (2, 32, 32)).astype(np.uint16)
    scales = (BandScale(4000.0, Noise(60.0, 1.5)), BandScale(5000.0, Noise(90.0, 1.0)))
    units = np.array([4000, 5000], np.float32)[:, None, None]
    variance = np.array([3600, 8100], np.float32)[:, None, None] + np.array([1.5, 1.0])[:, None, None] * dn
    x, sigma = (torch.from_numpy(np.float32(part / units))[None] for part in (dn, np.sqrt(variance)))
    with torch.no_grad():
        wanted = run_network(net, x, sigma)[0].numpy() * units
    found = restore_image(Network(cleaning_pairs, "fp32"), dn, scales).astype(np.float32)
    inside = (slice(None), slice(14, -14), slice(14, -14))  # mirrored on board, padded with zeros there
    assert np.abs(found - wanted)[inside].mean() < 0.05 * np.abs(wanted - dn)[inside].mean()


def test_float_gives_nearly_the_same(doubling, scene, tmp_path):
    for precision in ("int8", "fp32"):
        assert run(doubling, scene, tmp_path / f"{precision}.tif", "--precision", precision) == 0
    both = [pixels(tmp_path / f"{name}.tif").astype(float) for name in ("int8", "fp32")]
    assert np.abs(both[0] - both[1]).mean() < 20


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--snr", "20"], 2, "takes no noise level"),
        ([], 2, "there already"),
    ],
)
def test_wrong_use_is_said(doubling, scene, tmp_path, capsys, options, code, said):
    target = tmp_path / ("new.tif" if options else "scene.tif")
    assert run(doubling, scene, target, *options) == code
    assert said in capsys.readouterr().err


def test_a_file_that_is_none_is_said_and_nothing_left(doubling, tmp_path, capsys):
    (tmp_path / "bad.tif").write_bytes(b"II*\0nothing")
    assert run(doubling, tmp_path / "bad.tif", tmp_path / "out.tif") == 3
    assert "bad.tif" in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("out*")] == []


def test_float_pixels_are_refused(doubling, tmp_path, capsys):
    with rasterio.open(tmp_path / "f.tif", "w", driver="GTiff", width=64, height=64, count=1, dtype="float32") as out:
        out.write(np.zeros((1, 64, 64), np.float32))
    assert run(doubling, tmp_path / "f.tif", tmp_path / "out.tif") == 3
    assert "float32" in capsys.readouterr().err


def test_a_truncated_file_leaves_no_output(doubling, scene, tmp_path, capsys):
    data = scene.read_bytes()
    scene.write_bytes(data[: len(data) // 2])
    assert run(doubling, scene, tmp_path / "out.tif") == 3
    assert list(tmp_path.glob("out*")) == []


def test_a_damaged_model_is_noticed(doubling, scene, tmp_path, capsys):
    folder = next(iter(doubling.artefacts.values())).path.parent
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    model = broken / "restorer-int8.onnx"
    data = bytearray(model.read_bytes())
    data[200] ^= 1
    model.write_bytes(data)
    assert main([str(scene), str(tmp_path / "out.tif"), "--model", str(broken)]) == 5
    assert "checksum" in capsys.readouterr().err
    assert load_model(str(folder)).scale == 2


def test_stripes_go_whatever_the_blocks(cleaning, scene, tmp_path, fields):
    stripes = np.random.default_rng(0).normal(0, 25, 157).round()
    with rasterio.open(scene, "r+") as source:
        source.nodata = None
        clean = np.rint(np.stack([fields(210, 157, 1), fields(210, 157, 2)])).astype(np.uint16)
        source.write(np.clip(clean + stripes, 0, 65535).astype(np.uint16))
    fixed = ["--full-scale", "7000"]
    for name, options in {"as it is": [], "32": ["--destripe", "--block", "32"], "256": ["--destripe"]}.items():
        assert run(cleaning, scene, tmp_path / f"{name}.tif", *fixed, *options) == 0
    with rasterio.open(scene, "r+") as source:
        source.write(clean)
    assert run(cleaning, scene, tmp_path / "clean.tif", *fixed) == 0
    wanted, striped, found, blocks = (
        pixels(tmp_path / f"{name}.tif").astype(float) for name in ("clean", "as it is", "256", "32")
    )
    assert np.array_equal(found, blocks)
    left, before = (np.diff((image - wanted).mean(1)).std() for image in (found, striped))
    assert left < 0.5 * before
    with rasterio.open(tmp_path / "32.tif") as after:
        assert json.loads(after.tags()["ONBOARD_RESTORED"])["destriped"] is True


def test_stripes_need_whole_lines(cleaning, scene, tmp_path, capsys):
    with rasterio.open(scene, "r+") as source:
        dn = source.read()
        dn[:, :, 0] = 0
        source.write(dn)
    assert run(cleaning, scene, tmp_path / "out.tif", "--destripe") == 3
    assert "fewer than 16 lines" in capsys.readouterr().err
