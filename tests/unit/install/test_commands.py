"""`onboard-export keygen | bundle | verify`."""

import json

import pytest
from typer.testing import CliRunner

from onboard.infer.bundle import SHIPPED


def test_from_a_key_to_a_verified_package(tmp_path):
    pytest.importorskip("cryptography", reason="packages need it: pip install 'onboard-detect[sign]'")
    from export.cli import app

    def run(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    key, trust, package = tmp_path / "key", tmp_path / "trust", tmp_path / "one.obm"
    assert run("keygen", key).exit_code == 0
    assert key.stat().st_mode & 0o777 == 0o600
    assert run("keygen", key).exit_code == 5  # never overwritten
    trust.mkdir()
    (trust / "one.pub").write_text((tmp_path / "key.pub").read_text())
    options = ["--key", key, "--version", 4, "--target", "sat-1", "--expires", "2030-01-01", "--artefact", "onnx-int8"]
    result = run("bundle", SHIPPED / "rgbn", "--out", package, *options)
    assert result.exit_code == 0, result.output
    result = run("verify", package, "--trust", trust)
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert (told["version"], told["target"], told["expires"]) == (4, "sat-1", "2030-01-01T00:00:00+00:00")
    assert "encoder-int8.onnx" in told["files"]
    assert "encoder-fp32.onnx" not in told["files"]
    package.write_bytes(package.read_bytes()[:-1])
    result = run("verify", package, "--trust", trust)
    assert result.exit_code == 5
    assert run("bundle", SHIPPED / "rgbn", "--out", package, "--key", trust, "--version", 1).exit_code == 5
