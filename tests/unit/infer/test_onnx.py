"""One face for every runtime: the same tiles give the same stored latents, however they are fed."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from onboard.errors import BundleError
from onboard.infer.bundle import load_bundle
from onboard.infer.runtime import fastest, load_encoder

BUNDLE = load_bundle("rgbn")
INPUT = BUNDLE.artefact("onnx", "int8").input


@pytest.fixture(scope="module")
def tiles():
    """Textured tiles on the integer input's scale, uint8 (19, 4, 32, 32): several batches and a rest."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 24, (19, 4, 8, 8)).repeat(4, axis=2).repeat(4, axis=3)
    return np.clip(np.rint(128 + coarse + rng.normal(0, 8, (19, 4, 32, 32))), 0, 255).astype(np.uint8)


def dequantised(tiles):
    return (tiles.astype(np.float32) - INPUT.zero_point) * np.float32(INPUT.scale)


def latents(tiles, precision="int8", **settings):
    encoder = load_encoder(BUNDLE, precision=precision, **settings)
    out = np.full((len(tiles), BUNDLE.latent), 99, np.uint8)
    encoder.encode(tiles if encoder.input_dtype == np.uint8 else dequantised(tiles), out)
    return out


@pytest.mark.parametrize("settings", [{"batch": 1}, {"batch": 7}, {"batch": 19}, {"threads": 2}], ids=str)
def test_integer_latents_depend_on_nothing_but_the_tile(tiles, settings):
    whole = latents(tiles)
    assert (latents(tiles, **settings) == whole).all()
    order = np.random.default_rng(1).permutation(len(tiles))
    assert (latents(tiles[order], **settings) == whole[order]).all()


def test_float_latents_move_by_one_step_at_most_with_the_batch(tiles):
    whole, single = (latents(tiles, "fp32", batch=batch).astype(int) for batch in (64, 1))
    assert np.abs(whole - single).max() <= 1


def test_different_tiles_have_different_latents(tiles):
    assert len(np.unique(latents(tiles), axis=0)) == len(tiles)


def test_no_tiles_are_no_fault(tiles):
    assert latents(tiles[:0]).shape == (0, BUNDLE.latent)


@pytest.mark.parametrize("name", ["s2-10", "rgbn", "fire"])
def test_every_shipped_artefact_takes_what_its_manifest_says(name):
    bundle = load_bundle(name)
    for precision in ("int8", "fp32"):
        encoder = load_encoder(bundle, precision=precision)
        assert encoder.artefact == bundle.artefact("onnx", precision)
        out = np.empty((2, bundle.latent), np.uint8)
        encoder.encode(np.zeros((2, len(bundle.bands), 32, 32), encoder.input_dtype), out)
        assert (out[0] == out[1]).all()


def test_the_float_network_is_stored_on_the_integer_ones_scale(tiles):
    artefact = BUNDLE.artefact("onnx", "fp32")
    session = onnxruntime.InferenceSession(str(artefact.path), providers=["CPUExecutionProvider"])
    exact = session.run(None, {artefact.input.name: dequantised(tiles)})[0]
    for precision, rms, most in (("fp32", 0.3, 0.51), ("int8", 1, 4)):  # in steps; half a step is rounding
        output = BUNDLE.artefact("onnx", precision).output
        error = latents(tiles, precision).astype(float) - output.zero_point - exact / output.scale
        assert np.sqrt((error**2).mean()) < rms
        assert np.abs(error).max() < most


def test_latents_beyond_the_scale_saturate_and_never_wrap(tiles):
    artefact = BUNDLE.artefact("onnx", "fp32")
    narrow = replace(artefact, output=replace(artefact.output, scale=1e-6))
    encoder = load_encoder(replace(BUNDLE, artefacts={"onnx-fp32": narrow}), precision="fp32")
    out = np.empty((len(tiles), BUNDLE.latent), np.uint8)
    encoder.encode(dequantised(tiles), out)
    wide = latents(tiles, "fp32").astype(int) - artefact.output.zero_point
    assert (out[wide > 0] == 255).all()
    assert (out[wide < 0] == 0).all()


def altered(**changes):
    return replace(BUNDLE, artefacts={"onnx-int8": replace(BUNDLE.artefact("onnx", "int8"), **changes)})


def test_a_model_with_other_inputs_or_outputs_than_promised_is_refused():
    for end in ("input", "output"):
        tensor = replace(getattr(BUNDLE.artefact("onnx", "int8"), end), name="image")
        with pytest.raises(BundleError, match=r"tile.*latent.*promises.*image"):
            load_encoder(altered(**{end: tensor}))


@pytest.mark.parametrize("data", [b"", b"not a model", None], ids=["empty", "text", "cut"])
def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path, data):
    path = tmp_path / "encoder.onnx"
    path.write_bytes(BUNDLE.artefact("onnx", "int8").path.read_bytes()[:100_000] if data is None else data)
    with pytest.raises(BundleError, match=r"encoder\.onnx") as refused:
        load_encoder(altered(path=path))
    assert "\n" not in str(refused.value)


def test_a_precision_that_the_bundle_lacks_is_refused():
    with pytest.raises(BundleError, match="onnx-fp16"):
        load_encoder(BUNDLE, precision="fp16")


@pytest.mark.parametrize("case", ["type", "bands", "latent"])
def test_a_model_of_another_type_or_shape_than_promised_is_refused(case):
    tensor = BUNDLE.artefact("onnx", "int8").input
    bundle = {
        "type": altered(input=replace(tensor, dtype="float32")),
        "bands": replace(BUNDLE, bands=BUNDLE.bands[:3]),
        "latent": replace(BUNDLE, latent=64),
    }[case]
    with pytest.raises(BundleError):
        load_encoder(bundle)


def test_providers_are_the_cpu_unless_asked_for_and_never_one_that_is_not_here(monkeypatch):
    from onboard.infer import onnx

    here = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnx.onnxruntime, "get_available_providers", lambda: here)
    monkeypatch.delenv("ONBOARD_ORT_PROVIDERS", raising=False)
    assert onnx._providers() == ["CPUExecutionProvider"]
    monkeypatch.setenv("ONBOARD_ORT_PROVIDERS", "TensorrtExecutionProvider, CUDAExecutionProvider,CPUExecutionProvider")
    assert onnx._providers() == here


@pytest.mark.parametrize("said", ["not JSON", "7", "[]", '["B02", "B03", "B04", "B08", "B12"]'])
def test_a_file_that_says_odd_things_of_its_bands_is_refused(tmp_path, said):
    model = onnx.load(BUNDLE.artefact("onnx", "int8").path)
    onnx.helper.set_model_props(model, {"bands": said})
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(BundleError, match=r"odd\.onnx: bands .* for 4 channels"):
        load_encoder(altered(path=tmp_path / "odd.onnx"))


def test_tiles_in_either_order_give_the_same(tiles):
    encoder = load_encoder(BUNDLE)
    assert encoder.channels == 4
    out = np.empty((len(tiles), BUNDLE.latent), np.uint8)
    encoder.encode(fastest(encoder, tiles), out)
    assert (out == latents(tiles)).all()
