"""A small signed package of `rgbn`, its keys, and slots that trust them."""

from datetime import UTC, datetime

import pytest

pytest.importorskip("cryptography", reason="packages need it: pip install 'onboard-detect[sign]'")

from export import sign
from onboard.infer.bundle import SHIPPED
from onboard.install.slots import Slots

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def key(tmp_path_factory):
    return sign.keygen(tmp_path_factory.mktemp("keys") / "key")[0]


@pytest.fixture(scope="session")
def make(key, tmp_path_factory):
    """make(version, ...) -> path of a package."""
    folder, made = tmp_path_factory.mktemp("packages"), {}

    def build(version=1, **options):
        signer = options.pop("key", key)
        name = f"{version}-{signer.parent.name}-" + "-".join(str(v).replace(":", "") for v in options.values())
        if name not in made:
            made[name] = folder / f"{name}.obm"
            made[name].write_bytes(sign.build(SHIPPED / "rgbn", signer, version, **{"keep": ("onnx-int8",)} | options))
        return made[name]

    return build


@pytest.fixture
def slots(tmp_path, key):
    folder = tmp_path / "slots"
    (folder / "trust").mkdir(parents=True)
    (folder / "trust" / "one.pub").write_text(key.with_name("key.pub").read_text())
    (folder / "target").write_text("sat-1\n")
    return Slots(folder)
