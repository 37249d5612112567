"""Packs a bundle directory: models, manifest, card, parity and SHA256SUMS. Same inputs, same bytes.

NAME/manifest.json       what the models are and how to feed them; read by onboard/infer/bundle.py
     encoder-int8.onnx   artefact `onnx-int8`, and so on: fp32 beside int8, .tflite beside .onnx
     parity.json         how far the artefacts are from the checkpoint
     card.md             for people
     known-*.u8          tiles, and what each artefact must give for them (onboard/infer/known.py)
     SHA256SUMS          over every other file; `sha256sum -c SHA256SUMS`
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from export import card, known
from export.artefact import INPUT, OUTPUT, Made, latent_scale
from ground.models.ravaen import TILE
from ground.training.encoder import ARCHITECTURE, TrainedEncoder, parameters

FORMAT = 1
SUMS = "SHA256SUMS"


def pack(
    out: Path,
    name: str,
    trained: TrainedEncoder,
    artefacts: Sequence[Made],
    parity: Mapping[str, Any],
    *,
    score: Mapping[str, Any],
    cloud: Mapping[str, Any] | None = None,
    event: Mapping[str, Any] | None = None,
    version: int = 1,
    budgets: Mapping[str, Any] | None = None,
) -> Path:
    """Write the bundle `out/name`, replacing what is there only once everything is written.

    Args:
        artefacts: copied in; of each runtime an integer one, whose scale all latents of that runtime are stored on.
        parity: from `export.parity.report`.
        score: the score rule that the flight software applies to these latents.
        cloud: the head that tells hidden sub-cells, from `ground train cloud`.
        event: the head that tells events from seasons and weather, from `ground train event`.
        version: of the bundle, counted up by whoever publishes it.
        budgets: by artefact, from `python -m benchmarks export --budgets`; only those of these artefacts are kept.

    Returns:
        The bundle's folder.
    """
    recipe = trained.recipe
    target, staging = out / name, out / f".{name}.new"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    entries = {one.kind: _entry(one, artefacts, staging) for one in artefacts}
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
        "budgets": {key: dict(item) for key, item in (budgets or {}).items() if key in entries},
    }
    write_json(staging / "manifest.json", manifest)
    write_json(staging / "parity.json", parity)
    for file, head in (("cloud.json", cloud), ("event.json", event)):
        if head is not None:
            write_json(staging / file, head)
    (staging / "card.md").write_text(card.render(manifest, trained, parity))
    seal(staging)
    known.write_answers(staging)
    seal(staging)
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)
    return target


def seal(folder: Path) -> None:
    """Write SHA256SUMS over every other file."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / SUMS).write_text("".join(sums))


def _entry(one: Made, artefacts: Sequence[Made], folder: Path) -> dict[str, Any]:
    """Copy an artefact into the folder; its entry in the manifest."""
    data = one.path.read_bytes()
    (folder / one.file).write_bytes(data)
    if one.scales is None:
        # A float artefact stores its latents on the integer one's scale, so that a record has one size and one meaning.
        inside: dict[str, Any] = {"dtype": "float32"}
        outside = latent_scale(artefacts, one.runtime).to_dict() | {"dtype": "float32"}
    else:
        inside, outside = (scale.to_dict() for scale in one.scales)
    return {
        "file": one.file,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "input": {"name": INPUT} | inside,
        "output": {"name": OUTPUT} | outside,
    }


def write_json(path: Path, value: Any) -> None:
    """Sorted keys, two spaces, floats in shortest form, a newline at the end. Infinity becomes null."""
    path.write_text(json.dumps(_finite(value), indent=2, sort_keys=True, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
