"""What every checkpoint says of its origin, and reading it back without running any code from it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

import torch


class Recipe(Protocol):
    """Everything that decides what is trained, but for the imagery."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        ...


def origin(architecture: str, recipe: Recipe, files: dict[str, str]) -> dict[str, Any]:
    """What a checkpoint carries; plain values only, for `torch.load(weights_only=True)` must be able to read it."""
    raw = recipe.to_dict()
    return {"architecture": architecture, "recipe": raw, "files": files, "training_hash": _training_hash(raw, files)}


def read_checkpoint(path: Path, architecture: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(weights of the network, its origin); an objective's own heads stay behind.

    Raises:
        ValueError: not a checkpoint of this architecture, or its training hash does not match its contents.
    """
    raw = torch.load(path, map_location="cpu", weights_only=True)
    about = raw.get("onboard", {})
    if about.get("architecture") != architecture:
        raise ValueError(f"{path}: not a {architecture} checkpoint")
    if _training_hash(about["recipe"], about["files"]) != about["training_hash"]:
        raise ValueError(f"{path}: training hash does not match the recipe and files it names")
    state = raw["state_dict"].items()
    return {key.removeprefix("net."): value for key, value in state if key.startswith("net.")}, about


def _training_hash(recipe: dict[str, Any], files: dict[str, str]) -> str:
    """SHA-256 (hex) over the recipe and the hashes of the training files, as canonical JSON."""
    text = json.dumps({"recipe": recipe, "files": files}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
