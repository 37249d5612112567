"""Whatever is done to a package, it is refused with a reason, and what was installed stays."""

import dataclasses
import json
import os
from datetime import timedelta

import numpy as np
import pytest

from export import sign
from onboard.errors import BundleError
from onboard.infer.bundle import SHIPPED
from onboard.install import package as format
from onboard.install.install import check, install
from onboard.install.package import HEAD, SIGNATURE_BYTES, canonical
from onboard.install.slots import Slots
from tests.unit.install.conftest import NOW

FLIPS = 10_000 if os.environ.get("ONBOARD_FULL") else 300
"""Random bit flips; ONBOARD_FULL=1 makes all 10,000."""


@pytest.fixture
def copy(make, tmp_path):
    path = tmp_path / "copy.obm"
    path.write_bytes(make(1).read_bytes())
    return path


def refused(path, slots, *words):
    with pytest.raises(BundleError) as error:
        check(path, slots, NOW)
    text = str(error.value)
    assert "\n" not in text
    assert path.name in text or "manifest" in text
    for word in words:
        assert word in text


def manifest_of(data):
    length = HEAD.unpack_from(data)[1]
    start = HEAD.size + SIGNATURE_BYTES
    return json.loads(data[start : start + length]), data[start + length :]


def signed(path, key, change, contents=None):
    """The package with another manifest, signed all the same: what a stolen or careless key could send."""
    manifest, rest = manifest_of(path.read_bytes())
    change(manifest)
    path.write_bytes(sign.assemble(canonical(manifest), rest if contents is None else contents, sign.private_key(key)))


def flip(path, at, bits):
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ bits]))


def test_untouched_it_is_taken(copy, slots):
    assert check(copy, slots, NOW).version == 1


def test_every_byte_of_header_signature_and_manifest(copy, slots):
    end = HEAD.size + SIGNATURE_BYTES + HEAD.unpack_from(copy.read_bytes())[1]
    for at in range(end):
        for bits in (1 << at % 8, 0xFF):
            flip(copy, at, bits)
            refused(copy, slots)
            flip(copy, at, bits)
    assert check(copy, slots, NOW).version == 1


def test_random_bits_of_the_rest(copy, slots):
    rng = np.random.default_rng(0)
    data = copy.read_bytes()
    start = len(data) - len(manifest_of(data)[1])
    for at, bit in zip(rng.integers(start, len(data), FLIPS), rng.integers(0, 8, FLIPS), strict=True):
        flip(copy, int(at), 1 << int(bit))
        refused(copy, slots, "not what was signed")
        flip(copy, int(at), 1 << int(bit))
    assert check(copy, slots, NOW).version == 1


def test_cut_at_every_kilobyte_and_longer_by_one(copy, slots):
    data = copy.read_bytes()
    for length in (*range(0, len(data), 1024), len(data) - 1):
        copy.write_bytes(data[:length])
        refused(copy, slots, "cut")
    copy.write_bytes(data + b"\0")
    refused(copy, slots, "appended")


def test_unsigned_and_signed_by_another_key(copy, slots, make, tmp_path):
    data = bytearray(copy.read_bytes())
    data[HEAD.size : HEAD.size + SIGNATURE_BYTES] = bytes(SIGNATURE_BYTES)
    copy.write_bytes(data)
    refused(copy, slots, "not signed")
    (tmp_path / "other").mkdir()
    refused(make(1, key=sign.keygen(tmp_path / "other" / "key")[0]), slots, "no trusted key")
    (slots.folder / "trust" / "one.pub").unlink()
    with pytest.raises(BundleError, match="no public key"):
        check(copy, slots, NOW)
    (slots.folder / "trust" / "bad.pub").write_text("not hex")
    with pytest.raises(BundleError, match=r"bad\.pub"):
        check(copy, slots, NOW)


def test_older_expired_and_for_another(slots, make):
    install(make(2), slots, NOW)
    slots.confirm()
    refused(make(1), slots, "version 1 is older than 2")
    refused(make(3, expires=NOW - timedelta(seconds=1)), slots, "expired")
    refused(make(3, target="sat-2"), slots, "for sat-2", "sat-1")


def test_a_bomb_is_refused_by_its_size_alone(copy, slots, key, monkeypatch):
    with copy.open("r+b") as stream:
        stream.truncate(format.MAX_PACKAGE_BYTES + 1)  # sparse: nothing of it is ever read
    refused(copy, slots, "at most")
    copy.write_bytes(HEAD.pack(format.MAGIC, 2**31) + bytes(100))
    refused(copy, slots, "manifest of 2147483648 bytes")


@pytest.mark.parametrize("size", [2**40, -1, 0])
def test_a_signed_lie_about_sizes(copy, slots, key, size):
    signed(copy, key, lambda m: m["files"][0].update(bytes=size))
    refused(copy, slots, "size")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/abs", "a/b", "..", ".hidden", "", "a\0b", "a\\b", "x" * 65])
def test_a_signed_traversal(copy, slots, key, name):
    signed(copy, key, lambda m: m["files"][0].update(name=name))
    refused(copy, slots, "no plain file name")


@pytest.mark.parametrize("change", [
    lambda m: m.pop("version"), lambda m: m.update(files=7), lambda m: m.update(format=2), lambda m: m.update(files=[]),
    lambda m: m.update(version=0), lambda m: m.update(expires="2030-01-01T00:00:00"), lambda m: m.update(answers=[]),
    lambda m: m["files"].append(m["files"][0] | {"bytes": 0}), lambda m: m["answers"][0].update(file="absent"),
])  # fmt: skip
def test_a_signed_manifest_that_makes_no_sense(copy, slots, key, change):
    signed(copy, key, change)
    refused(copy, slots)


def test_a_signed_manifest_that_is_not_canonical(copy, slots, key):
    manifest, rest = manifest_of(copy.read_bytes())
    copy.write_bytes(sign.assemble(json.dumps(manifest).encode(), rest, sign.private_key(key)))
    refused(copy, slots, "not canonical")
    copy.write_bytes(sign.assemble(b"[" * 100_000, rest, sign.private_key(key)))
    refused(copy, slots, "not valid")


def test_a_model_with_other_input_names_never_becomes_active(slots, make, key, tmp_path):
    """Signed, whole, of the right format; only running it shows that it is not what its manifest promises."""
    import hashlib
    import shutil

    onnx = pytest.importorskip("onnx")
    install(make(1), slots, NOW)
    slots.confirm()
    folder = tmp_path / "rgbn"
    shutil.copytree(SHIPPED / "rgbn", folder)
    model = onnx.load(folder / "encoder-int8.onnx")
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = "pixels" if name == "tile" else name
    model.graph.input[0].name = "pixels"
    data = model.SerializeToString(deterministic=True)
    good = make(2).read_bytes()
    manifest, rest = manifest_of(good)
    files, at = {}, 0
    for entry in manifest["files"]:
        files[entry["name"]], at = rest[at : at + entry["bytes"]], at + entry["bytes"]
    old = hashlib.sha256(files["encoder-int8.onnx"]).hexdigest().encode()
    files["encoder-int8.onnx"] = data
    files["manifest.json"] = files["manifest.json"].replace(old, hashlib.sha256(data).hexdigest().encode())
    inner = [line.split("  ")[1] for line in files["SHA256SUMS"].decode().splitlines()]
    files["SHA256SUMS"] = "".join(f"{hashlib.sha256(files[n]).hexdigest()}  {n}\n" for n in inner).encode()
    for entry in manifest["files"]:
        body = files[entry["name"]]
        entry |= {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    path = tmp_path / "other-names.obm"
    contents = b"".join(files[entry["name"]] for entry in manifest["files"])
    path.write_bytes(sign.assemble(canonical(manifest), contents, sign.private_key(key)))
    with pytest.raises(BundleError, match="pixels"):
        install(path, slots, NOW)
    state = Slots(slots.folder).state
    assert (state.active, state.version("b")) == ("a", 0)
    assert dataclasses.asdict(state)["confirmed"]
