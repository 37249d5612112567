"""A restoring model on disk: manifest, checksums, artefacts. Reads and checks, and runs the network on planes.

A folder as `export.restore` writes it: `manifest.json`, `restorer-int8.onnx`, `restorer-fp32.onnx`, the model card,
and `SHA256SUMS` over all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.errors import BundleError
from onboard.infer.bundle import MANIFEST, Artefact, check_sums, read_artefact
from onboard.restore.mix import Mix
from onboard.restore.told import Told

FORMAT = 1
MIXED_FORMAT = 2
"""Of a model that sees components: software that knows no `mix` must not run it."""
SHIPPED = Path(__file__).parent / "models"
UNSHUFFLE = 2
"""The network sees each 2 x 2 px as four planes."""


@dataclass(frozen=True)
class Consistency:
    """How the output is held to the input: degraded by `taps` in both directions, it must give the input again.

    Attributes:
        taps: one-dimensional kernel of the sensor's blur and of the coarse pixel's area, on the fine grid; even length.
        rounds: of correcting what is left (back-projection, Irani and Peleg 1991, doi:10.1016/1049-9652(91)90045-L).
    """

    taps: tuple[float, ...]
    rounds: int


@dataclass(frozen=True)
class RestoreModel:
    """A checked model.

    Attributes:
        task: "super-resolution" or "denoising".
        scale: 1 where it denoises.
        bands: that the network sees at once; 1 takes each band of an image by itself.
        reach: pixels around an output pixel that the network looks at; even.
        noise: constants of the noise that a denoiser's map tells of, or None where it takes no map.
        consistency: or None.
        mix: of bands, where the network sees and gives their components, or None.
        stripes: what columns tell of them (`onboard.restore.residue`); None where it was not trained on any.
        artefacts: by key, e.g. "onnx-int8".
    """

    name: str
    version: int
    task: str
    scale: int
    bands: int
    reach: int
    noise: Mapping[str, float] | None
    consistency: Consistency | None
    mix: Mix | None
    stripes: Told | None
    artefacts: Mapping[str, Artefact]
    about: Mapping[str, Any]

    def artefact(self, precision: str, runtime: str = "onnx") -> Artefact:
        """ "int8", "fp32", or "auto": int8 where it ships, which is where it holds; BundleError when there is none."""
        if precision == "auto":
            precision = "int8" if f"{runtime}-int8" in self.artefacts else "fp32"
        key = f"{runtime}-{precision}"
        if key not in self.artefacts:
            raise BundleError(f"model {self.name}: no artefact {key}; it has {', '.join(sorted(self.artefacts))}")
        return self.artefacts[key]


def shipped_models() -> list[str]:
    """Names of the models that ship with this installation."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{MANIFEST}"))


def load_model(name_or_path: str) -> RestoreModel:
    """Load by the name of one that ships or by the path of a folder.

    Raises:
        BundleError: not there, a checksum differs, or the manifest is not of this format.
    """
    path = Path(name_or_path)
    if not path.is_dir():
        names = shipped_models()
        if name_or_path not in names:
            shipped = ", ".join(names) or "none"
            raise BundleError(f"model {name_or_path}: neither a folder nor one that ships ({shipped})")
        path = SHIPPED / name_or_path
    checked = check_sums(path)
    try:
        raw = json.loads(checked[MANIFEST])
        mix = raw.get("mix")
        if raw.get("kind") != "restore" or raw.get("format") != (FORMAT if mix is None else MIXED_FORMAT):
            raise BundleError(f"model {path}: not a restoring model of format {FORMAT}, or {MIXED_FORMAT} with a mix")
        held, bands = raw["consistency"], int(raw["bands"])
        found = RestoreModel(
            name=str(raw["name"]),
            version=int(raw["version"]),
            task=str(raw["task"]),
            scale=int(raw["scale"]),
            bands=bands,
            reach=int(raw["reach"]),
            noise=None if raw["noise"] is None else {key: float(value) for key, value in raw["noise"].items()},
            consistency=None if held is None else Consistency(tuple(map(float, held["taps"])), int(held["rounds"])),
            mix=None if mix is None else Mix.of_plain(mix, bands),
            stripes=_told(raw, bands),
            artefacts={key: read_artefact(path, key, item, checked) for key, item in raw["artefacts"].items()},
            about=dict(raw["about"]),
        )
        if found.scale not in (1, 2, 3, 4) or found.bands < 1 or found.reach < 2 or found.reach % 2:
            raise BundleError(f"model {path}: scale {found.scale}, {found.bands} bands, reach {found.reach}")
        return found
    except BundleError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"model {path}: {MANIFEST} is not valid ({type(error).__name__}: {error})") from error


def _told(raw: Mapping[str, Any], bands: int) -> Told | None:
    """From a manifest's `columns`, or from the `stripes` of models of before; ValueError where they do not fit."""
    if "columns" in raw:
        return Told.of_plain(raw["columns"], bands)
    if "stripes" not in raw:
        return None
    matrix = np.array(raw["stripes"], np.float64)
    if matrix.shape != (bands, bands):
        raise ValueError(f"stripes are not told of {bands} bands")
    return Told.of_taken(matrix)


class Network:
    """The network of a model in a runtime: planes of 8 bits in, corrections as a share of full scale out, both of bands
    or of their components, as `RestoreModel.mix` says.

    Args:
        model: checked.
        precision: of `RestoreModel.artefact`.
        threads: of one call.
        runtime: "onnx" or "tflite", whose integers may differ by a step.
    """

    def __init__(self, model: RestoreModel, precision: str = "auto", threads: int = 1, runtime: str = "onnx") -> None:
        self.model = model
        self.artefact = model.artefact(precision, runtime)
        self._run = _runner(self.artefact, threads)
        self._integer = self.artefact.input.dtype == "uint8"

    def correct(self, planes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The correction to the anchor, as a share of full scale; or its components.

        Args:
            planes: uint8 (P, H, W), image bands and, where the model takes one, the noise's map, as `enhance` makes
                them: 128 is nothing, 127 steps on each side. Sides even.

        Returns:
            float32 (B, scale H, scale W).

        Raises:
            BundleError: the network does not take or give what its manifest promises.
        """
        count, height, width = planes.shape
        half = (height // UNSHUFFLE, width // UNSHUFFLE)
        fed = planes.reshape(count, half[0], UNSHUFFLE, half[1], UNSHUFFLE).transpose(0, 2, 4, 1, 3)
        fed = np.ascontiguousarray(fed.reshape(1, count * UNSHUFFLE**2, *half))
        target = self.artefact.output
        try:
            found = self._run(fed if self._integer else centred(fed))
            side = UNSHUFFLE * self.model.scale
            found = found.reshape(self.model.bands, side, side, *half).transpose(0, 3, 1, 4, 2)
        except Exception as error:  # the runtime raises types of its own that it does not export
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise BundleError(f"{self.artefact.path}: does not fit its manifest ({reason})") from error
        shape = (self.model.bands, half[0] * side, half[1] * side)
        if found.dtype == np.uint8:
            table = (np.arange(256) - target.zero_point).astype(np.float32) * np.float32(target.scale)
            return np.asarray(table[found].reshape(shape))
        return np.asarray(found.reshape(shape), np.float32)


def _runner(artefact: Artefact, threads: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """(1, P, h, w) -> (1, C, h, w), uint8 or float32."""
    if artefact.runtime == "tflite":
        from onboard.restore.tflite import TflitePlanes

        return TflitePlanes(artefact, threads).run
    try:
        from onboard.infer.onnx import open_session
    except ImportError as error:
        raise BundleError(f"ONNX Runtime cannot be imported ({error})") from error
    session, name = open_session(artefact, threads), artefact.input.name
    return lambda planes: np.asarray(session.run(None, {name: planes})[0])


def centred(planes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the 8 bits of `Network.correct` stand for, -1..1 and a hundredth."""
    return (planes.astype(np.float32) - np.float32(128)) / np.float32(127)
