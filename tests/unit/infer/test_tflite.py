"""TFLite behind the same face as ONNX: same tiles, near latents, the same bytes every time; clear words otherwise."""

import dataclasses
import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest

from onboard.cli.detect import main
from onboard.errors import BundleError
from onboard.infer import tflite
from onboard.infer.bundle import load_bundle
from onboard.infer.runtime import load_encoder
from tests.scenes import three_passes

GOLDEN = {
    "onnxruntime": "66e76354bf5bd54de0cabe8ba4a8f87d3cc126d7b4ca3aa53215ff7d19b05dee",
    "ai_edge_litert": "c671899397b08df76418e08a0b2b9d82d485ea5e234d9963a573ff152ab3fccf",
    "tflite_runtime": "34ca6de6357700c720db608b25ed0f2f8b922aabf462424489beb8e2f96e35c0",
}
"""Of the latents of `tiles` by s2-10 INT8. What every processor must give; measured on x86-64 with AVX-512, no VNNI,
and under qemu on Haswell and Nehalem."""


@pytest.fixture(scope="module")
def litert():
    if not any(find_spec(package) for package in tflite.PACKAGES):
        pytest.skip("no TFLite runtime here: pip install 'onboard-detect[tflite]'")
    return load_encoder(load_bundle("s2-10"), "tflite").engine


def encode(runtime, tiles, precision="int8"):
    bundle = load_bundle("s2-10")
    encoder = load_encoder(bundle, runtime, precision)
    fed = tiles if encoder.input_dtype == np.uint8 else ((tiles.astype(np.float32) - 128) / 24).astype(np.float32)
    out = np.empty((len(tiles), bundle.latent), np.uint8)
    encoder.encode(fed, out)
    output = encoder.artefact.output
    return out, (out.astype(np.float32) - output.zero_point) * output.scale


def cosine(a, b):
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_int8_gives_the_golden_bytes_in_onnx(tiles):
    assert hashlib.sha256(encode("onnx", tiles)[0].tobytes()).hexdigest() == GOLDEN["onnxruntime"]


def test_int8_gives_the_golden_bytes_in_tflite(litert, tiles):
    assert hashlib.sha256(encode("tflite", tiles)[0].tobytes()).hexdigest() == GOLDEN[litert]


def test_another_package_than_litert_has_a_tag_of_its_own(litert):
    artefact = load_bundle("s2-10").artefact("tflite", "int8")
    encoder = load_encoder(load_bundle("s2-10"), "tflite")
    assert (encoder.artefact.sha256 == artefact.sha256) == (litert == "ai_edge_litert")
    assert artefact.tagged("tflite_runtime").sha256 != artefact.tagged("ai_edge_litert").sha256 == artefact.sha256


def test_both_runtimes_agree(litert, tiles):
    reference = encode("onnx", tiles, "fp32")[1]
    stored = encode("tflite", tiles, "fp32")[1]
    assert cosine(reference, stored).min() > 0.999  # both rounded to their own uint8 scale
    assert np.median(cosine(reference, encode("tflite", tiles)[1])) > 0.99


def test_a_latent_does_not_depend_on_its_batch_nor_on_its_thread(litert, tiles):
    bundle = load_bundle("s2-10")
    encoder = load_encoder(bundle, "tflite")
    whole, one = np.empty((37, 128), np.uint8), np.empty((1, 128), np.uint8)
    encoder.encode(tiles, whole)
    encoder.encode(tiles[20:21], one)
    assert np.array_equal(whole[20], one[0])

    def again(_):
        out = np.empty((37, 128), np.uint8)
        for _ in range(5):
            encoder.encode(tiles, out)
        return out

    with ThreadPoolExecutor(3) as pool:
        assert all(np.array_equal(whole, out) for out in pool.map(again, range(6)))
    encoder.encode(tiles[:0], whole[:0])


def test_auto_is_onnx_where_it_runs_and_tflite_elsewhere(litert, monkeypatch):
    bundle = load_bundle("s2-10")
    assert load_encoder(bundle, "auto").artefact.key == "onnx-int8"
    monkeypatch.setitem(sys.modules, "onboard.infer.onnx", None)
    assert load_encoder(bundle, "auto").artefact.key == "tflite-int8"


def test_without_a_runtime_one_line_says_what_was_tried(monkeypatch, tmp_path):
    class Broken:  # as tflite_runtime under NumPy 2: imports, and fails when it is used
        def __init__(self, **_):
            raise AttributeError("_ARRAY_API not found")

    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime", type(sys)("tflite_runtime"))
    module = type(sys)("tflite_runtime.interpreter")
    module.Interpreter = Broken
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", module)
    with pytest.raises(BundleError) as error:
        load_encoder(load_bundle("s2-10"), "tflite")
    text = str(error.value)
    assert "ai_edge_litert: not installed" in text
    assert "_ARRAY_API" in text
    assert "--runtime onnx" in text
    assert "\n" not in text


@pytest.mark.parametrize("end", ["input", "output"])
def test_a_file_that_is_not_what_the_manifest_promises(litert, end):
    artefact = load_bundle("s2-10").artefact("tflite", "int8")
    tensor = getattr(artefact, end)
    for change, words in (
        ({"name": "other"}, "promises"),
        ({"scale": tensor.scale * 1.01}, "scale"),
        ({"zero_point": tensor.zero_point + 1}, "zero point"),
        ({"dtype": "float32"}, "promises float32"),
    ):
        wrong = dataclasses.replace(artefact, **{end: dataclasses.replace(tensor, **change)})
        with pytest.raises(BundleError, match=words):
            tflite.TfliteEncoder(wrong)


def test_detect_runs_on_tflite_from_end_to_end(litert, tmp_path):
    folder = three_passes(tmp_path / "in")
    assert main([str(folder), "--out", str(tmp_path / "out"), "--runtime", "tflite"]) == 0
    summary = (tmp_path / "out/summary.json").read_text()
    assert "tflite-int8" in summary
