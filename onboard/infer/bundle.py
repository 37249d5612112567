"""A model bundle on disk: manifest, checksums, artefacts. Reads and checks; never runs a model.

A bundle is a folder that `onboard-export` wrote: `manifest.json`, one file per artefact (`encoder-int8.onnx`, ...), the
model card, and `SHA256SUMS` over all of them. Every file is hashed before any of it is believed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onboard.change.cloud import CloudHead
from onboard.change.event import EventHead
from onboard.change.record import record_dtype
from onboard.errors import BundleError
from onboard.sense.bands import NATIVE_RESOLUTION_M, missing_bands
from onboard.sense.grid import CELL
from onboard.sense.normalise import NormaliseRule

FORMAT = 1
MANIFEST = "manifest.json"
CLOUD = "cloud.json"
EVENT = "event.json"
SUMS = "SHA256SUMS"
TILES = "known-tiles.u8"
SHIPPED = Path(__file__).parent.parent / "bundles"
MAX_FILE_BYTES = 64 << 20
"""Nothing larger is read: a bundle for an edge computer is well under a megabyte."""


OTHER_ENGINES = ("tflite_runtime",)
"""Packages whose latents differ from those of the runtime they belong to."""
DTYPES = ("uint8", "int8", "float32")
"""Of a model's input and output."""


@dataclass(frozen=True)
class Tensor:
    """One input or output of an artefact: real = (stored - zero_point) * scale where quantised.

    As the flight side gives and takes it: uint8 also for a TFLite file, which itself holds int8 = uint8 - 128.
    """

    name: str
    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Artefact:
    """One runnable file of the bundle. Latents of different artefacts are never compared: `sha256` is their tag."""

    key: str
    path: Path
    sha256: str
    input: Tensor
    output: Tensor

    @property
    def runtime(self) -> str:
        """The runtime that runs it, e.g. "onnx"."""
        return self.key.partition("-")[0]

    def tagged(self, engine: str) -> Artefact:
        """The same with the tag of what it makes in a package that gives other bytes than all others."""
        if engine not in OTHER_ENGINES:
            return self
        return replace(self, sha256=hashlib.sha256(f"{self.sha256} {engine}".encode()).hexdigest())


@dataclass(frozen=True)
class Bundle:
    """A checked bundle.

    Attributes:
        bands: canonical band names in the order of the network's input.
        latent: size of the latent vector.
        score: the rule and constants of the score, as the ground chose them.
        artefacts: by key, e.g. "onnx-int8".
        cloud: the head that tells hidden sub-cells, or None.
        event: the head that tells events from seasons and weather, or None.
        known: known tiles and answers by file name (`onboard/infer/known.py`); none in bundles that bring none.
        budgets: by artefact what it was measured to take, and on what, e.g. {"us_per_tile": 46.0, "machine": "..."}.
    """

    name: str
    version: int
    bands: tuple[str, ...]
    latent: int
    normalise: NormaliseRule
    score: Mapping[str, Any]
    model: Mapping[str, Any]
    artefacts: Mapping[str, Artefact]
    cloud: CloudHead | None = None
    event: EventHead | None = None
    known: Mapping[str, bytes] = field(default_factory=dict)
    budgets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def artefact(self, runtime: str, precision: str) -> Artefact:
        """The artefact for a runtime and precision, e.g. ("onnx", "int8"); BundleError when the bundle has none."""
        key = f"{runtime}-{precision}"
        if key not in self.artefacts:
            raise BundleError(f"bundle {self.name}: no artefact {key}; it has {', '.join(sorted(self.artefacts))}")
        return self.artefacts[key]

    def lacking(self, present: tuple[str, ...]) -> list[str]:
        """Bands that the bundle needs and `present` lacks."""
        return missing_bands(self.bands, present)


def load_bundle(name_or_path: str) -> Bundle:
    """Load a bundle by the name of one that ships (`s2-10`, `rgbn`, `fire`) or by the path of a folder.

    Raises:
        BundleError: not there, a checksum differs, or the manifest is not of this format.
    """
    path = Path(name_or_path)
    if path.is_dir():
        return _read(path)
    names = shipped_bundles()
    if name_or_path not in names:
        raise BundleError(f"bundle {name_or_path}: neither a folder nor one that ships ({', '.join(names) or 'none'})")
    return _read(SHIPPED / name_or_path)


def known_file(key: str) -> str:
    """Name of the file with an artefact's known answers, uint8 (n, latent)."""
    return f"known-{key}.u8"


def shipped_bundles() -> list[str]:
    """Names of the bundles that ship with this installation."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{MANIFEST}"))


def _read(folder: Path) -> Bundle:
    checked = check_sums(folder)
    try:
        raw = json.loads(checked[MANIFEST])
        if raw.get("format") != FORMAT:
            raise BundleError(f"bundle {folder}: format {raw.get('format')!r}, this software reads {FORMAT}")
        if int(raw["model"]["tile"]) != CELL:
            raise BundleError(f"bundle {folder}: tile of {raw['model']['tile']} px, cells have {CELL}")
        unknown = [band for band in raw["bands"] if band not in NATIVE_RESOLUTION_M]
        if unknown or not raw["bands"] or len(set(raw["bands"])) != len(raw["bands"]):
            raise BundleError(f"bundle {folder}: bands {raw['bands']}; each must be one that is known, and only once")
        record_dtype(int(raw["model"]["latent"]), raw["bands"])  # must fit a record
        return Bundle(
            name=str(raw["name"]),
            version=int(raw["version"]),
            bands=tuple(raw["bands"]),
            latent=int(raw["model"]["latent"]),
            normalise=NormaliseRule.from_dict(raw["normalise"]),
            score=dict(raw["score"]),
            model=dict(raw["model"]),
            artefacts={key: read_artefact(folder, key, item, checked) for key, item in raw["artefacts"].items()},
            cloud=CloudHead.from_dict(json.loads(checked[CLOUD]), raw["bands"]) if CLOUD in checked else None,
            event=EventHead.from_dict(json.loads(checked[EVENT]), raw["bands"]) if EVENT in checked else None,
            known={name: data for name, data in checked.items() if name.endswith(".u8")},
            budgets={str(key): dict(item) for key, item in raw.get("budgets", {}).items()},
        )
    except BundleError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"bundle {folder}: {MANIFEST} is not valid ({type(error).__name__}: {error})") from error


def read_artefact(folder: Path, key: str, raw: dict[str, Any], checked: Mapping[str, bytes]) -> Artefact:
    """One entry of a manifest, checked against its file."""
    name = str(raw["file"])
    if name not in checked:
        raise BundleError(f"bundle {folder}: {key} names {name}, which {SUMS} does not list")
    digest = hashlib.sha256(checked[name]).hexdigest()
    if digest != raw["sha256"]:
        raise BundleError(f"bundle {folder}: {name} does not match the checksum in {MANIFEST}")
    return Artefact(key, folder / name, digest, _tensor(raw["input"]), _tensor(raw["output"]))


def _tensor(raw: dict[str, Any]) -> Tensor:
    if raw["dtype"] not in DTYPES:
        raise ValueError(f"dtype {raw['dtype']!r}, one of {', '.join(DTYPES)} expected")
    return Tensor(str(raw["name"]), str(raw["dtype"]), float(raw.get("scale", 1.0)), int(raw.get("zero_point", 0)))


def check_sums(folder: Path) -> dict[str, bytes]:
    """Every file that SHA256SUMS lists, read and checked; names with a path in them are refused."""
    sums = folder / SUMS
    if not sums.is_file():
        raise BundleError(f"bundle {folder}: no {SUMS} in it")
    checked: dict[str, bytes] = {}
    for line in sums.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if not name or "/" in name or name.startswith(".") or len(digest) != 64:
            raise BundleError(f"bundle {folder}: {SUMS} has a line that is no checksum: {line[:80]!r}")
        if not path.is_file():
            raise BundleError(f"bundle {folder}: {name} is missing")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BundleError(f"bundle {folder}: {name} is larger than {MAX_FILE_BYTES} bytes")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise BundleError(f"bundle {folder}: {name} does not match its checksum (damaged or altered)")
        checked[name] = data
    if MANIFEST not in checked:
        raise BundleError(f"bundle {folder}: {SUMS} does not cover {MANIFEST}")
    return checked
