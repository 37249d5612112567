"""A bundle is believed only when every file matches its checksum and the manifest says what this software reads."""

import hashlib
import json
import shutil

import pytest

from onboard.errors import BundleError
from onboard.infer.bundle import SHIPPED, load_bundle, shipped_bundles
from onboard.sense.bands import BAND_SETS

FILES = ("manifest.json", "encoder-int8.onnx", "encoder-fp32.onnx", "cloud.json", "card.md", "parity.json")


@pytest.fixture
def folder(tmp_path):
    """A copy of a shipped bundle to do harm to."""
    return shutil.copytree(SHIPPED / "rgbn", tmp_path / "mine")


def seal(folder):
    files = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines))


def alter(folder, change, name="manifest.json"):
    """Rewrite a JSON file of a bundle and seal it anew, as a careless exporter would."""
    raw = json.loads((folder / name).read_text())
    change(raw)
    (folder / name).write_text(json.dumps(raw))
    seal(folder)


@pytest.mark.parametrize("name", ["s2-10", "rgbn", "fire"])
def test_shipped_bundles_load_by_name(name):
    bundle = load_bundle(name)
    assert name in shipped_bundles()
    assert (bundle.name, bundle.bands) == (name, BAND_SETS[name])
    assert bundle.cloud is not None
    for runtime in ("onnx", "tflite"):
        both = [bundle.artefact(runtime, precision) for precision in ("int8", "fp32")]
        for artefact in both:
            assert hashlib.sha256(artefact.path.read_bytes()).hexdigest() == artefact.sha256
        # latents of both precisions are stored on one scale
        assert len({(artefact.output.scale, artefact.output.zero_point) for artefact in both}) == 1


def test_a_folder_loads_like_the_shipped_one(folder):
    mine, shipped = load_bundle(str(folder)), load_bundle("rgbn")
    assert (mine.bands, mine.normalise, mine.score) == (shipped.bands, shipped.normalise, shipped.score)
    assert mine.artefact("onnx", "int8").path == folder / "encoder-int8.onnx"


def test_an_unknown_name_is_answered_with_those_that_ship():
    with pytest.raises(BundleError, match=r"sentinel-9.*fire, rgbn, s2-10"):
        load_bundle("sentinel-9")


def test_an_artefact_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(BundleError, match=r"rgbn.*onnx-fp16.*onnx-fp32, onnx-int8"):
        load_bundle("rgbn").artefact("onnx", "fp16")


def test_bands_that_a_stream_lacks_are_named_in_the_bundles_order():
    bundle = load_bundle("rgbn")
    assert bundle.lacking(("B08", "B03")) == ["B02", "B04"]
    assert bundle.lacking(BAND_SETS["s2-10"]) == []


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_in_any_file_is_noticed(folder, name):
    raw = bytearray((folder / name).read_bytes())
    raw[len(raw) // 2] ^= 4
    (folder / name).write_bytes(bytes(raw))
    with pytest.raises(BundleError, match=f"{name}.*checksum"):
        load_bundle(str(folder))


@pytest.mark.parametrize("name", ["SHA256SUMS", *FILES])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        load_bundle(str(folder))


@pytest.mark.parametrize("name", ["../rgbn.txt", "/etc/hostname", "sub/card.md", ".hidden", ""])
def test_checksums_reach_nothing_outside_the_folder(folder, name):
    (folder.parent / "rgbn.txt").touch()
    with (folder / "SHA256SUMS").open("a") as sums:
        sums.write(f"{hashlib.sha256(b'').hexdigest()}  {name}\n")
    with pytest.raises(BundleError, match="no checksum"):
        load_bundle(str(folder))


@pytest.mark.parametrize("name", ["manifest.json", "encoder-int8.onnx"])
def test_a_file_without_a_checksum_is_not_believed(folder, name):
    sums = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
    (folder / "SHA256SUMS").write_text("".join(line for line in sums if name not in line))
    with pytest.raises(BundleError, match=name):
        load_bundle(str(folder))


def test_a_model_exchanged_for_another_is_noticed_by_the_manifest(folder):
    shutil.copy(SHIPPED / "fire" / "encoder-int8.onnx", folder)
    seal(folder)
    with pytest.raises(BundleError, match=r"encoder-int8\.onnx.*manifest"):
        load_bundle(str(folder))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.update(format=2), "format 2"),
        (lambda raw: raw["model"].update(tile=64), "64 px"),
        (lambda raw: raw["model"].update(latent="many"), "not valid"),
        (lambda raw: raw.pop("bands"), "bands"),
        (lambda raw: raw["normalise"].update(gamma=2), "gamma"),
        (lambda raw: raw["artefacts"]["onnx-int8"].pop("output"), "output"),
        (lambda raw: raw["artefacts"]["onnx-int8"].update(file="../x.onnx"), "does not list"),
        (lambda raw: raw.update(artefacts=[]), "not valid"),
        (lambda raw: raw["artefacts"]["onnx-int8"]["input"].update(dtype="q7"), "q7"),
        (lambda raw: raw["model"].update(latent=512), "512 at most"),
    ],
)
def test_a_manifest_that_this_software_does_not_read_is_refused_with_the_reason(folder, change, message):
    alter(folder, change)
    with pytest.raises(BundleError, match=message):
        load_bundle(str(folder))


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_a_manifest_that_is_no_manifest_is_refused(folder, text):
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    seal(folder)
    with pytest.raises(BundleError, match=r"manifest\.json is not valid"):
        load_bundle(str(folder))


@pytest.mark.parametrize("bands", [["B02", "B03", "B04"], ["B08", "B04", "B03", "B02"]])
def test_a_cloud_head_for_other_bands_is_refused(folder, bands):
    alter(folder, lambda raw: raw.update(bands=bands), "cloud.json")
    with pytest.raises(BundleError, match="cloud head"):
        load_bundle(str(folder))


@pytest.mark.parametrize("bands", [["B02", "B03", "B04", "B99"], ["B02", "B02", "B03", "B04"], []], ids=str)
def test_a_band_list_that_no_sensor_delivers_is_refused(folder, bands):
    (folder / "cloud.json").unlink()
    alter(folder, lambda raw: raw.update(bands=bands))
    with pytest.raises(BundleError):
        load_bundle(str(folder))
