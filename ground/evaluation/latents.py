"""Latents of labelled pairs compared cell by cell, of any network, and what that network costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ground.evaluation.change import MIN_POSITIVES
from ground.evaluation.metrics import Ranked, rank_unknown_last, tile_ap
from ground.models.ravaen import TILE, Ravaen
from ground.scenes.labelled import find_scenes
from ground.scenes.pairs import load_scene
from ground.training.encoder import parameters
from ground.training.objectives.base import Objective, mean_latent
from onboard.infer.bundle import Artefact, Bundle
from onboard.infer.runtime import Encoder
from onboard.sense.grid import CELL


@dataclass(frozen=True, eq=False)
class LabelledCells:
    """One labelled pair as the network sees it.

    Attributes:
        before, after: float32 (cells, B, 32, 32), normalised.
        known: bool (cells,), at least half of the pixels valid in both.
        positive: bool (cells,).
    """

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    known: NDArray[np.bool_]
    positive: NDArray[np.bool_]


class TorchEncoder:
    """A network behind the face of `onboard.infer.runtime.Encoder`; latents are stored as uint8 on a scale of its own.

    Args:
        net: in `eval()`.
        objective: whose `code` is stored.
        artefact: float32 one of the bundle, for everything but the scale.
        cells: float32 (n, B, 32, 32) whose smallest and greatest latent set the scale.
    """

    def __init__(
        self, net: Ravaen, objective: Objective, artefact: Artefact, cells: NDArray[np.float32], batch: int = 256
    ) -> None:
        self.net, self.objective, self.batch = net.eval(), objective, batch
        self.input_dtype = np.dtype(np.float32)
        self.channels = 0
        codes = self.codes(cells)
        low, high = min(float(codes.min()), 0.0), max(float(codes.max()), 0.0)
        scale = max(high - low, 1e-6) / 255
        output = replace(artefact.output, scale=scale, zero_point=round(-low / scale))
        self.artefact = replace(artefact, output=output)

    def codes(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (N, B, 32, 32) -> (N, latent)."""
        starts = range(0, len(tiles), self.batch)
        with torch.no_grad():
            parts = [
                self.objective.code(mean_latent(self.net, torch.from_numpy(tiles[i : i + self.batch]))) for i in starts
            ]
        return np.asarray(torch.cat(parts).numpy())

    def encode(self, tiles: NDArray[Any], out: NDArray[np.uint8]) -> None:
        """See `OnnxEncoder.encode`."""
        to = self.artefact.output
        out[:] = np.clip(np.rint(self.codes(tiles) / np.float32(to.scale)) + to.zero_point, 0, 255)


def labelled_cells(folder: Path, model: Bundle) -> list[LabelledCells]:
    """Every labelled pair below a folder; each pass standardised by its own statistics. Raises InputError."""
    found = []
    for scene in find_scenes(folder, model.bands):
        rows, cols = scene.shape
        passes = [load_scene(scene.name, one, model.bands, model.normalise) for one in scene.passes]
        tiles = [np.stack([p.tile(r * CELL, c * CELL) for r in range(rows) for c in range(cols)]) for p in passes]
        known = (scene.counts()[1] >= CELL * CELL / 2).reshape(-1)
        found.append(LabelledCells(tiles[0], tiles[1], known, scene.positives().reshape(-1)))
    return found


def score_latents(pairs: Sequence[LabelledCells], encoder: Encoder, length: int = 128) -> dict[str, float]:
    """Mean average precision of the distances of stored latents: over scenes with at least ten positives, and all."""
    values: dict[str, list[float]] = {"cosine": [], "euclidean": []}
    to = encoder.artefact.output
    for pair in pairs:
        latents = []
        for tiles in (pair.before, pair.after):
            stored = np.empty((len(tiles), length), dtype=np.uint8)
            encoder.encode(tiles, stored)
            latents.append((stored.astype(np.float32) - to.zero_point) * np.float32(to.scale))
        a, b = latents
        nothing = np.zeros(len(a), dtype=np.int64)
        norms = np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
        scores = {"cosine": 1 - (a * b).sum(1) / norms, "euclidean": np.linalg.norm(a - b, axis=1)}
        for rule, score in scores.items():
            ranked = rank_unknown_last(np.where(pair.known, score, np.nan))
            values[rule].append(tile_ap(Ranked(ranked, pair.positive, nothing, nothing, nothing)))
    counted = [i for i, pair in enumerate(pairs) if pair.positive.sum() >= MIN_POSITIVES]
    figures = {f"{rule}_tile_ap": float(np.nanmean([found[i] for i in counted])) for rule, found in values.items()}
    return figures | {f"{rule}_tile_ap_all": float(np.nanmean(found)) for rule, found in values.items()}


def describe_network(net: Ravaen, repeats: int = 30) -> dict[str, float]:
    """What flies: parameters, multiply-accumulates and CPU us per tile (torch float32, batches of 64, median)."""
    encoder = net.eval().encoder
    macs = [0]

    def count(layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        weight = next(layer.parameters())
        places = output[0].numel() // len(weight)  # a convolution applies its weights at every pixel of its output
        macs[0] += weight.numel() * places

    tiles = torch.zeros(64, net.config.bands, TILE, TILE)
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    hooks = [layer.register_forward_hook(count) for layer in encoder.modules() if isinstance(layer, kinds)]
    seconds = []
    with torch.no_grad():
        mean_latent(net, tiles[:1])
        for hook in hooks:
            hook.remove()
        for _ in range(repeats):
            start = time.process_time()
            mean_latent(net, tiles)
            seconds.append(time.process_time() - start)
    flown = parameters(encoder.down) + parameters(encoder.mu)
    return {"parameters": flown, "macs": macs[0], "us_per_tile": round(1e6 * float(np.median(seconds)) / len(tiles), 1)}
