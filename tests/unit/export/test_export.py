from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import rasterio
import torch
from rasterio.transform import from_origin
from typer.testing import CliRunner

from export import bundle, calibration, convert, gates, parity, qat, quantise
from export.artefact import Made
from export.cli import app as export_app
from export.onnx import export_encoder
from export.rectify import rectified
from ground.cli import app as ground_app
from ground.models.ravaen import Ravaen, RavaenConfig
from ground.scenes.pairs import Scene, sample_cells
from ground.training.encoder import EncoderRecipe, TrainedEncoder, fit, load_checkpoint
from onboard.infer.bundle import SHIPPED, load_bundle
from onboard.infer.known import SelfCheck
from onboard.infer.runtime import load_encoder
from onboard.sense.normalise import NormaliseRule
from onboard.sense.tiles import channels_last

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
    fp32, plain, int8 = folder / "fp32.onnx", folder / "rectified.onnx", folder / "int8.onnx"
    export_encoder(trained, fp32)
    export_encoder(rectified(trained), plain)
    return trained, fp32, int8, quantise.quantise(plain, int8, tiles, 4.0)


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


def test_plain_rectifiers_keep_the_latents(checkpoint, tiles):
    trained = load_checkpoint(checkpoint)
    plain = rectified(trained)
    assert not [one for one in plain.net.encoder.down.modules() if isinstance(one, torch.nn.LeakyReLU)]
    assert [one for one in trained.net.encoder.down.modules() if isinstance(one, torch.nn.LeakyReLU)]  # a copy
    before, after = (parity.torch_latents(one, tiles) for one in (trained, plain))
    assert parity.agreement(before, after)["snr_db"] > 25
    assert rectified(plain) is plain


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
    stored = channels_last(parity.to_uint8(tiles, exported[3][0]), 4)
    whole = session.run(None, {"tile": stored})[0]
    assert whole.dtype == np.uint8
    assert np.array_equal(whole[:1], session.run(None, {"tile": stored[:1]})[0])
    assert np.array_equal(whole[7:20], session.run(None, {"tile": stored[7:20]})[0])


def test_export_repeats_to_the_byte(exported, tiles, tmp_path):
    trained, fp32, int8, scales = exported
    export_encoder(trained, tmp_path / "fp32.onnx")
    export_encoder(rectified(trained), tmp_path / "rectified.onnx")
    assert quantise.quantise(tmp_path / "rectified.onnx", tmp_path / "int8.onnx", tiles, 4.0) == scales
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
    command += ["--calibrate", "minmax", "--no-qat"]
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


def test_the_best_calibration_is_kept_and_every_one_is_in_the_card(checkpoint, tiles, tmp_path):
    trained = load_checkpoint(checkpoint)
    assert len(calibration.CHOICES) == 12
    choices = (
        calibration.USUAL,
        *map(calibration.Choice, ("percentile", "entropy")),
        calibration.Choice(symmetric=True),
    )
    found = convert.all_artefacts(trained, tmp_path, tiles, choices, with_tflite=False, qat_steps=0)
    *rows, refused = found.searched["onnx"]
    assert len(rows) == 3
    assert "Relu" in refused["refused"]  # half of a symmetric scale would be wasted on what a rectifier leaves empty
    assert [row["snr_db"] for row in rows] == sorted((row["snr_db"] for row in rows), reverse=True)
    (kept,) = [row for row in rows if row["kept"]]
    measured = parity.agreement(parity.torch_latents(trained, tiles), parity.latents(found.made[0], tiles))
    assert measured["snr_db"] == kept["snr_db"]
    assert kept["snr_db"] >= rows[0]["snr_db"] - calibration.MARGIN_DB
    report = parity.report(trained, found.made, tiles, ("b",)) | {
        "calibration": {"tiles": 50, "search": found.searched, "trained_on": []}
    }
    packed = bundle.pack(
        tmp_path, "rgbn", trained, found.made, report, score={"rule": "cosine"},
        budgets={"onnx-int8": {"us_per_tile": 40.0, "machine": "bench"}, "tflite-int8": {}},
    )  # fmt: skip
    card = (packed / "card.md").read_text()
    assert card.count("| onnx |") == 4
    assert " * |" in card
    loaded = load_bundle(str(packed))
    assert loaded.budgets == {"onnx-int8": {"us_per_tile": 40.0, "machine": "bench"}}
    assert SelfCheck(loaded, load_encoder(loaded)).us_per_tile() > 0


def test_a_choice_that_runs_partly_in_float_is_refused_with_its_reason(tmp_path):
    def make(choice):
        if choice.symmetric:
            raise RuntimeError("runs partly in float")
        return Made("onnx", tmp_path / choice.method)

    def measure(made):
        figures = {"minmax": 20.0, "percentile": 20.05, "entropy": 10.0}
        return {"snr_db": figures[made.path.name], "cosine_median": 1.0, "cosine_min": 1.0}

    best, rows = calibration.search(make, measure)
    assert best == calibration.USUAL  # what cannot be told from it is not taken
    assert sum("refused" in row for row in rows) == 6
    with pytest.raises(RuntimeError, match="no calibration"):
        calibration.search(lambda choice: make(calibration.Choice(symmetric=True)), measure)


def uneven(seed=0):
    """A network whose second layer has channels eight times as strong as others: rounding costs it more."""
    torch.manual_seed(seed)
    net = Ravaen(RavaenConfig(4, latent=16)).train()
    with torch.no_grad():
        net(torch.randn(64, 4, 32, 32) * 2 + 0.3)
        net.encoder.down[1][0].weight[::4] *= 8
    return TrainedEncoder(net.eval(), recipe(), {}, "0" * 64)


def test_folding_changes_no_latent_and_training_comes_closer_through_the_rounding(tiles):
    trained = uneven()
    reference = parity.torch_latents(trained, tiles)

    def error(one, round_it):
        encoder = copy.deepcopy(one.net.encoder).eval()
        if one is trained:
            qat.fold(encoder)
        student = qat.Rounded(encoder, quantise.input_scale(one.recipe.rule.limit).scale)
        with torch.no_grad():
            exact = student(torch.from_numpy(tiles), watch=True)
            given = student(torch.from_numpy(tiles)) if round_it else exact
        return float(np.mean((given.numpy() - reference) ** 2))

    assert error(trained, round_it=False) < 0.05 * error(trained, round_it=True)  # the tile alone is rounded
    after = qat.train(trained, tiles, reference, 20)
    assert error(after, round_it=True) < error(trained, round_it=True)
    assert np.array_equal(parity.torch_latents(trained, tiles), reference)  # the checkpoint itself is left alone


@pytest.mark.skipif("ONBOARD_FULL" not in os.environ, reason="takes a minute; on demand: ONBOARD_FULL=1")
def test_integers_of_trained_weights_are_taken_where_they_are_better(tmp_path, tiles):
    """80 steps gained 0.15 dB here."""
    trained, choices = uneven(), (calibration.USUAL,)
    reference = parity.torch_latents(trained, tiles)

    def converted(name):
        (tmp_path / name).mkdir()
        found = convert.all_artefacts(trained, tmp_path / name, tiles, choices, False, tmp_path / "gates.toml", 80)
        return found, parity.agreement(reference, parity.latents(found.made[0], tiles))["snr_db"]

    (tmp_path / "gates.toml").write_text("")
    plain, before = converted("plain")
    assert plain.trained_on == []  # nothing is trained on where the gates are reached
    (tmp_path / "gates.toml").write_text(f"[int8.at_least]\nsnr_db = {before + 1}\n")
    after, reached = converted("after")
    assert after.trained_on == ["onnx"]
    assert reached > before + 0.1
    assert np.array_equal(parity.latents(after.made[1], tiles), parity.latents(plain.made[1], tiles))  # fp32 stays


def test_amending_changes_words_and_no_artefact(tmp_path):
    folder = tmp_path / "rgbn"
    shutil.copytree(SHIPPED / "rgbn", folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (tmp_path / "budgets.json").write_text('{"rgbn": {"onnx-int8": {"us_per_tile": 33.0}, "onnx-fp16": {}}}')
    words = ["amend", str(folder), "--score", "cosine", "--budgets", f"@{tmp_path}/budgets.json", "--version", "7"]
    result = CliRunner().invoke(export_app, words)
    assert result.exit_code == 0, result.output
    loaded = load_bundle(str(folder))
    assert (loaded.version, loaded.score["rule"]) == (7, "cosine")
    assert loaded.budgets == {"onnx-int8": {"us_per_tile": 33.0}}
    changed = {path.name for path in folder.iterdir() if before[path.name] != path.read_bytes()}
    assert changed == {"manifest.json", "card.md", "SHA256SUMS"}
    card = (folder / "card.md").read_text()
    assert card.startswith("# rgbn, version 7\n")
    assert card.count("## Budgets") == card.count("## Limits") == 1


def test_amending_sets_heads_and_single_constants_or_leaves_the_bundle_as_it_was(tmp_path):
    folder, run = tmp_path / "rgbn", CliRunner().invoke
    shutil.copytree(SHIPPED / "rgbn", folder)
    heads = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("event", "cloud")}
    for name in heads:
        (folder / f"{name}.json").unlink()
    for path in folder.glob("known-*"):
        path.unlink()
    bundle.seal(folder)
    old = load_bundle(str(folder))
    assert (old.event, old.cloud, dict(old.known)) == (None, None, {})
    for name, head in heads.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(head))
    words = ["amend", str(folder), "--event", f"@{tmp_path}/event.json", "--cloud", f"@{tmp_path}/cloud.json"]
    result = run(export_app, [*words, "--score", '{"calibration": [-3.0, 2.0], "event_floor": -2.0}'])
    assert result.exit_code == 0, result.output
    new, shipped = load_bundle(str(folder)), load_bundle("rgbn")
    assert new.event is not None
    assert new.cloud is not None
    assert new.score == {**old.score, "calibration": [-3.0, 2.0], "event_floor": -2.0}
    assert new.known["known-onnx-int8.u8"] == shipped.known["known-onnx-int8.u8"]
    assert {k: a.sha256 for k, a in new.artefacts.items()} == {k: a.sha256 for k, a in shipped.artefacts.items()}
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (tmp_path / "event.json").write_text(json.dumps(heads["event"] | {"bands": ["B02"]}))
    for wrong in (words, ["amend", str(folder), "--score", '{"no_such": 1}']):
        result = run(export_app, wrong)
        assert result.exit_code != 0
        assert result.output.startswith("onboard-export: ")
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["rgbn"]


def test_like_takes_over_what_an_export_does_not_find_out(tmp_path):
    from export.cli import _earlier

    found = _earlier(SHIPPED / "s2-10")
    assert found["score"]["rule"] == "surprise"
    assert found["version"] >= 2
    assert {"cloud", "event", "detection"} <= set(found)
