from __future__ import annotations

import hashlib
import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import rasterio
import torch
from rasterio.transform import from_origin
from typer.testing import CliRunner

from export import bundle, gates, parity, quantise
from export.artefact import Made
from export.cli import app as export_app
from export.onnx import export_encoder
from ground.cli import app as ground_app
from ground.models.ravaen import RavaenConfig
from ground.scenes.pairs import Scene, sample_cells
from ground.training.encoder import EncoderRecipe, fit, load_checkpoint
from onboard.infer.bundle import load_bundle
from onboard.sense.normalise import NormaliseRule

RGBN = ("B02", "B03", "B04", "B08")


def scene(place, seed):
    """Smooth noise: the network finds something to compress, so that the latents are not all zero."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 20, 20)).astype(np.uint16)
    dn = coarse.repeat(8, 1).repeat(8, 2)
    return Scene(place, "pass", dn, (np.linspace(-4, 4, 256, dtype=np.float32),) * 4)


def recipe(**changes):
    common = {"steps": 6, "epoch_steps": 3, "batch": 32, "hold_out": ("b",)}
    return EncoderRecipe("rgbn", RGBN, RavaenConfig(4, latent=16), NormaliseRule(), **(common | changes))


@pytest.fixture(scope="module")
def tiles():
    return sample_cells([scene("a", 0), scene("b", 1)], 50, 0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.set_num_threads(1)
    return fit(
        recipe(),
        [scene("a", 0)],
        [scene("b", 1)],
        {"x/a/t1.tif": "0" * 64},
        tmp_path_factory.mktemp("run"),
        progress=False,
    )


@pytest.fixture(scope="module")
def exported(checkpoint, tiles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    trained = load_checkpoint(checkpoint)
    fp32, int8 = folder / "fp32.onnx", folder / "int8.onnx"
    export_encoder(trained, fp32)
    return trained, fp32, int8, quantise.quantise(fp32, int8, tiles, 4.0)


def test_training_repeats_and_resumes_to_the_same_weights(checkpoint, tmp_path):
    first = load_checkpoint(checkpoint)
    assert (checkpoint.parent / "metrics.csv").read_text().count("\n") >= 3
    half = checkpoint.parent / "checkpoints" / "step000003.ckpt"
    arguments = ([scene("a", 0)], [scene("b", 1)], {"x/a/t1.tif": "0" * 64})
    again = load_checkpoint(fit(recipe(), *arguments, tmp_path / "again", progress=False))
    resumed = load_checkpoint(fit(recipe(), *arguments, tmp_path / "resumed", resume=half, progress=False))
    for key, value in first.net.state_dict().items():
        assert torch.equal(value, again.net.state_dict()[key]), key
        assert torch.equal(value, resumed.net.state_dict()[key]), key
    assert first.training_hash == again.training_hash
    assert torch.load(half, weights_only=True)["global_step"] == 3


def test_a_checkpoint_that_lies_about_its_training_is_refused(checkpoint, tmp_path):
    raw = torch.load(checkpoint, weights_only=True)
    raw["onboard"]["files"]["x/a/change.tif"] = "1" * 64
    torch.save(raw, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="training hash"):
        load_checkpoint(tmp_path / "other.ckpt")


def test_integer_graph_has_integer_ends_and_nothing_in_float(exported):
    _, _, int8, (inside, outside) = exported
    graph = onnx.load(int8).graph
    assert graph.input[0].name == "tile"
    assert graph.output[0].name == "latent"
    for end in (graph.input[0], graph.output[0]):
        assert end.type.tensor_type.elem_type == onnx.TensorProto.UINT8
        assert end.type.tensor_type.shape.dim[0].dim_param
    assert quantise.float_islands(int8) == []
    assert quantise.optimised_ops(int8)["QLinearConv"] == 3
    assert inside.zero_point == 128
    assert outside.scale > 0


def test_weights_take_seven_bits(exported):
    weights = [onnx.numpy_helper.to_array(item) for item in onnx.load(exported[2]).graph.initializer]
    seven = [w for w in weights if w.dtype == np.int8 and w.ndim > 1]
    assert len(seven) == 4
    assert max(int(np.abs(w.astype(int)).max()) for w in seven) <= 64


def test_metadata_stands_in_both_files(exported):
    trained, fp32, int8, _ = exported
    for path in (fp32, int8):
        props = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
        assert json.loads(props["bands"]) == list(RGBN)
        assert NormaliseRule.from_dict(json.loads(props["normalise"])) == trained.recipe.rule
        assert (props["tile"], props["latent"], props["training_hash"]) == ("32", "16", trained.training_hash)


def test_parity_within_bounds(exported, tiles):
    trained, fp32, int8, scales = exported
    made = [Made("onnx", int8, scales), Made("onnx", fp32)]
    report = parity.report(trained, made, tiles, ("a", "b"), {"ap_loss": 0.1})
    assert report["onnx-fp32"]["max_abs_error"] < 1e-4
    assert report["onnx-int8"]["cosine_median"] > 0.99
    assert report["onnx-int8"]["snr_db"] > 15
    assert report["detection"] == {"ap_loss": 0.1}


def test_gates_name_what_misses_them(tmp_path):
    good = {"cosine_min": 0.99, "cosine_median": 0.999, "snr_db": 25.0, "max_abs_error": 1e-6}
    report = {
        "tiles": 9,
        "onnx-fp32": good | {"cosine_min": 1.0},
        "tflite-int8": good,
        "detection": {"cosine int8": 0.4},
    }
    assert gates.failures(report) == []
    report["tflite-int8"] = good | {"cosine_median": 0.9949}
    report["detection"] = {"oscd": {"surprise lost by int8": 0.006}}
    missed = gates.failures(report)
    assert len(missed) == 2
    assert "tflite-int8: cosine_median is 0.9949" in missed[0]
    assert "oscd, surprise lost by int8" in missed[1]
    assert gates.failures({"tflite-int8": good | {"snr_db": float("nan")}})
    assert gates.failures({"tflite-int8": {}})


def test_a_latent_does_not_depend_on_its_batch(exported, tiles):
    session = ort.InferenceSession(exported[2], providers=["CPUExecutionProvider"])
    stored = parity.to_uint8(tiles, exported[3][0])
    whole = session.run(None, {"tile": stored})[0]
    assert whole.dtype == np.uint8
    assert np.array_equal(whole[:1], session.run(None, {"tile": stored[:1]})[0])
    assert np.array_equal(whole[7:20], session.run(None, {"tile": stored[7:20]})[0])


def test_export_repeats_to_the_byte(exported, tiles, tmp_path):
    trained, fp32, int8, scales = exported
    export_encoder(trained, tmp_path / "fp32.onnx")
    assert quantise.quantise(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", tiles, 4.0) == scales
    assert (tmp_path / "fp32.onnx").read_bytes() == fp32.read_bytes()
    assert (tmp_path / "int8.onnx").read_bytes() == int8.read_bytes()
    assert str(tmp_path.parent).encode() not in fp32.read_bytes()
    assert b".py" not in fp32.read_bytes()


def test_bundle_is_checked_deterministic_and_read_by_the_flight_side(exported, tiles, tmp_path):
    trained, fp32, int8, scales = exported
    made = [Made("onnx", int8, scales), Made("onnx", fp32)]
    report = parity.report(trained, made, tiles, ("b",))
    packed = [
        bundle.pack(tmp_path / str(i), "rgbn", trained, made, report, score={"rule": "cosine"}) for i in (0, 1, 1)
    ]
    files = {path.name: path.read_bytes() for path in packed[0].iterdir()}
    assert files == {path.name: path.read_bytes() for path in packed[1].iterdir()}
    sums = dict(line.split("  ")[::-1] for line in files["SHA256SUMS"].decode().splitlines())
    assert set(sums) == set(files) - {"SHA256SUMS"}
    assert all(hashlib.sha256(files[name]).hexdigest() == digest for name, digest in sums.items())
    loaded = load_bundle(str(packed[0]))
    artefact = loaded.artefact("onnx", "int8")
    assert (artefact.input.dtype, artefact.output.dtype) == ("uint8", "uint8")
    assert (artefact.output.scale, artefact.output.zero_point) == (scales[1].scale, scales[1].zero_point)
    assert loaded.artefact("onnx", "fp32").output.scale == scales[1].scale
    assert loaded.normalise == trained.recipe.rule


def test_from_geotiffs_to_a_bundle_by_command_line(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        (folder / "dates.txt").write_text("date_1: 20160101\ndate_2: 20180101\n")
        for date in ("t1", "t2"):
            pixels = rng.integers(200, 4000, (4, 12, 12)).astype(np.uint16).repeat(8, 1).repeat(8, 2)
            with rasterio.open(
                folder / f"{date}_10m.tif", "w", driver="GTiff", count=4, height=96, width=96, dtype="uint16",
                crs="EPSG:32631", transform=from_origin(5e5, 5e6, 10, 10),
            ) as out:  # fmt: skip
                out.write(pixels)
                out.descriptions = RGBN
    run = CliRunner().invoke
    data, ckpt = str(tmp_path / "data"), str(tmp_path / "run" / "encoder.ckpt")
    options = ["--bands", "rgbn", "--steps", "2", "--batch", "8", "--latent", "16", "--hold-out", "two"]
    result = run(ground_app, ["train", "encoder", data, "--out", str(tmp_path / "run"), *options])
    assert result.exit_code == 0, result.output
    assert load_checkpoint(tmp_path / "run" / "encoder.ckpt").recipe.hold_out == ("two",)
    command = [ckpt, "--data", data, "--out", str(tmp_path), "--name", "mine", "--score", "euclidean", "--no-tflite"]
    strict = tmp_path / "strict.toml"
    strict.write_text("[int8.at_least]\ncosine_median = 1.1\n")
    result = run(export_app, [*command, "--gates", str(strict)])
    assert result.exit_code == 1
    assert not (tmp_path / "mine").exists()
    strict.write_text("[fp32.at_least]\ncosine_median = 0.99\n")
    result = run(export_app, [*command, "--gates", str(strict)])
    assert result.exit_code == 0, result.output
    assert load_bundle(str(tmp_path / "mine")).score["rule"] == "euclidean"
    assert json.loads((tmp_path / "mine" / "parity.json").read_text())["places"] == ["two"]


def test_wrong_options_end_in_a_clear_line(tmp_path):
    result = CliRunner().invoke(
        ground_app, ["train", "encoder", str(tmp_path), "--out", str(tmp_path), "--bands", "B99"]
    )
    assert result.exit_code == 2
    result = CliRunner().invoke(ground_app, ["train", "encoder", str(tmp_path), "--out", str(tmp_path)])
    assert result.exit_code != 0
