"""Checkpoint -> TFLite. Needs the converter, which `[dev]` leaves out: pip install 'onboard-detect[export]'."""

import numpy as np
import pytest
import torch

from export import convert, parity, tflite
from export.artefact import Made
from export.calibration import USUAL
from export.rectify import rectified
from ground.models.ravaen import Ravaen, RavaenConfig

pytest.importorskip("litert_torch", reason="no TFLite converter here: pip install 'onboard-detect[export]'")

BANDS = ("B02", "B03", "B04", "B08")


@pytest.fixture(scope="module")
def tiles():
    rng = np.random.default_rng(0)
    return rng.normal(0, 1.5, (40, 4, 8, 8)).astype(np.float32).repeat(4, 2).repeat(4, 3).clip(-4, 4)


@pytest.fixture(scope="module")
def trained():
    """Random weights; BatchNorm statistics that are not those of a fresh layer."""
    from ground.training.encoder import EncoderRecipe, TrainedEncoder
    from onboard.sense.normalise import NormaliseRule

    torch.manual_seed(0)
    config = RavaenConfig(4, latent=16)
    net = Ravaen(config).train()
    with torch.no_grad():
        net(torch.randn(64, 4, 32, 32) * 2 + 0.3)
    recipe = EncoderRecipe("rgbn", BANDS, config, NormaliseRule(limit=4.0))
    return TrainedEncoder(net.eval(), recipe, {}, "0" * 64)


def test_four_artefacts_of_the_same_weights(trained, tiles, tmp_path):
    made = convert.all_artefacts(trained, tmp_path, tiles, (USUAL,)).made
    assert {one.kind for one in made} == {"onnx-int8", "onnx-fp32", "tflite-int8", "tflite-fp32"}
    report = parity.report(trained, made, tiles, ("noise",))
    assert report["tflite-fp32"]["max_abs_error"] < 1e-4
    assert report["tflite-int8"]["cosine_median"] > 0.99
    scales = next(one.scales for one in made if one.kind == "tflite-int8")
    assert scales[0].zero_point == 128
    assert scales[0].scale == pytest.approx(4.0 / 127)


def test_the_integer_file_repeats_to_the_byte_and_holds_no_float(trained, tiles, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    for name in ("one", "two"):
        tflite.export_encoder(rectified(trained), tmp_path / f"{name}.fp32")
        tflite.quantise(tmp_path / f"{name}.fp32", tmp_path / f"{name}.int8", tiles, 4.0)
    for kind in ("fp32", "int8"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()
    details = Interpreter(str(tmp_path / "one.int8")).get_tensor_details()
    assert not [one["name"] for one in details if one["dtype"] == np.float32]
    assert Made("tflite", tmp_path / "one.int8").file == "encoder-fp32.tflite"


def test_a_restorer_runs_in_either_runtime_whatever_the_block(tmp_path):
    from export.restorer import pack
    from ground.models.restorers import build
    from ground.scenes.noise import Sensor
    from ground.scenes.pictures import Picture
    from ground.training.crops import noisy_pairs
    from ground.training.restoration import RestoreRecipe, TrainedRestorer
    from onboard.restore.model import Network, load_model

    torch.manual_seed(0)
    recipe = RestoreRecipe("anchored", 1, 1, "sentinel2", noise={"kind": "sensor", "snr": 20.0})
    trained = TrainedRestorer(build("anchored", 1, 1).eval(), recipe, {"a.png": "0" * 64}, "0" * 64)
    rng = np.random.default_rng(0)
    shown = [rng.random((20, 20), dtype=np.float32).repeat(8, 0).repeat(8, 1) for _ in range(2)]
    pairs = noisy_pairs([Picture("a", "0" * 64, one, 1.0) for one in shown], Sensor(), 0)
    model = load_model(str(pack(trained, pairs, tmp_path, "clean", "# clean\n", most_lost_db=20, with_tflite=True)))
    assert set(model.artefacts) == {"onnx-int8", "onnx-fp32", "tflite-int8", "tflite-fp32"}
    real, *others = (
        Network(model, "fp32", runtime="onnx"),
        *(Network(model, "int8", runtime=r) for r in ("onnx", "tflite")),
    )
    same = Network(model, "fp32", runtime="tflite")
    for height, width in ((40, 64), (64, 40), (64, 40)):
        planes = rng.integers(60, 190, (2, height, width)).astype(np.uint8)
        wanted = real.correct(planes)
        assert np.square(same.correct(planes) - wanted).mean() ** 0.5 < 1e-4 * np.square(wanted).mean() ** 0.5
        by_onnx, by_tflite = (np.square(one.correct(planes) - wanted).mean() ** 0.5 for one in others)
        assert by_tflite < 1.5 * by_onnx  # weights without training round badly; in either runtime alike
