"""Packs a bundle directory: models, manifest, card, parity and SHA256SUMS. Same inputs, same bytes.

NAME/manifest.json       what the models are and how to feed them; read by onboard/infer/bundle.py
     encoder-int8.onnx   artefact `onnx-int8`
     encoder-fp32.onnx   artefact `onnx-fp32`
     parity.json         how far the artefacts are from the checkpoint
     card.md             for people
     SHA256SUMS          over every other file; `sha256sum -c SHA256SUMS`
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export import card
from export.onnx import INPUT, OUTPUT
from export.quantise import Affine
from ground.models.ravaen import TILE
from ground.training.encoder import ARCHITECTURE, TrainedEncoder, parameters

FORMAT = 1
SUMS = "SHA256SUMS"


def pack(
    out: Path,
    name: str,
    trained: TrainedEncoder,
    fp32: Path,
    int8: Path,
    scales: tuple[Affine, Affine],
    parity: Mapping[str, Any],
    *,
    score: Mapping[str, Any],
    cloud: Mapping[str, Any] | None = None,
    version: int = 1,
) -> Path:
    """Write the bundle `out/name`, replacing what is there only once everything is written.

    Args:
        fp32, int8: the artefacts, copied in.
        scales: uint8 scale of the integer artefact's input and output.
        parity: from `export.parity.report`.
        score: the score rule that the flight software applies to these latents.
        cloud: the head that tells hidden sub-cells, from `ground train cloud`.
        version: of the bundle, counted up by whoever publishes it.

    Returns:
        The bundle's folder.
    """
    recipe = trained.recipe
    target, staging = out / name, out / f".{name}.new"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    entries = {}
    for kind, source in (("onnx-int8", int8), ("onnx-fp32", fp32)):
        file = f"encoder-{kind.removeprefix('onnx-')}.onnx"
        data = source.read_bytes()
        (staging / file).write_bytes(data)
        entries[kind] = {"file": file, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    inside, outside = ({"name": INPUT}, {"name": OUTPUT})
    entries["onnx-int8"] |= {"input": inside | scales[0].to_dict(), "output": outside | scales[1].to_dict()}
    # The float artefact stores its latents on the integer one's scale, so that a record has one size and one meaning.
    stored = {key: value for key, value in scales[1].to_dict().items() if key != "dtype"}
    entries["onnx-fp32"] |= {
        "input": inside | {"dtype": "float32"},
        "output": outside | {"dtype": "float32"} | stored,
    }
    manifest = {
        "format": FORMAT,
        "name": name,
        "version": version,
        "model": {
            "architecture": ARCHITECTURE,
            "size": recipe.model.size,
            "activation": recipe.model.activation,
            "latent": recipe.model.latent,
            "tile": TILE,
            "parameters": parameters(trained.net.encoder.down) + parameters(trained.net.encoder.mu),
            "training_hash": trained.training_hash,
        },
        "bands": list(recipe.bands),
        "normalise": recipe.rule.to_dict(),
        "score": dict(score),
        "artefacts": entries,
    }
    write_json(staging / "manifest.json", manifest)
    write_json(staging / "parity.json", parity)
    if cloud is not None:
        write_json(staging / "cloud.json", cloud)
    (staging / "card.md").write_text(card.render(manifest, trained, parity))
    files = sorted(path for path in staging.iterdir())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (staging / SUMS).write_text("".join(sums))
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)
    return target


def write_json(path: Path, value: Any) -> None:
    """Sorted keys, two spaces, floats in shortest form, a newline at the end. Infinity becomes null."""
    path.write_text(json.dumps(_finite(value), indent=2, sort_keys=True, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
