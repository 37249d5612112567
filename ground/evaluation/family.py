"""`ground evaluate family`: every training objective on the same encoder, scored on labelled pairs.

Each objective is trained alike (steps, tiles per step, schedule, jitter) on unlabelled pairs of other places than those
that are scored: neither a label nor a pixel of a scored scene is seen. Latents are stored as uint8 as on board, and
compared cell by cell; unlike on board, without registration. On request the float32
network also takes the place of the bundle's artefact in the flight path, under the shipped fused score.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ground.evaluation.change import evaluate_change
from ground.evaluation.latents import TorchEncoder, describe_network, labelled_cells, score_latents
from ground.models.ravaen import Ravaen, RavaenConfig
from ground.scenes.pairs import Scene, find_folders, load_scenes, sample_cells
from ground.training.encoder import EncoderRecipe, fit, load_checkpoint, parameters
from ground.training.objectives import OBJECTIVES
from onboard.change.rule import ScoreRule
from onboard.infer.bundle import Bundle, load_bundle
from onboard.infer.runtime import Encoder, load_encoder

KINDS = {"cities": ("oscd/labelled", "s2-10"), "fires": ("fires", "fire")}
"""Kind -> (scored folder below DATA, bundle whose bands, normalisation and constants are used)."""
TRAINING = "oscd/unlabelled"
RANDOM = "random"
SHIPPED = "shipped"
NO_LATENT = "none"


@dataclass(frozen=True)
class FamilySettings:
    """What is the same for all objectives: optimiser steps, and tiles per step."""

    steps: int = 200
    batch: int = 128


def run_family(
    data: Path,
    names: Sequence[str],
    seeds: Sequence[int],
    settings: FamilySettings,
    stored: dict[str, Any],
    fused: bool = False,
    keep: Callable[[dict[str, Any]], None] = lambda _: None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Train and score what is not in `stored` yet.

    Args:
        data: folder with oscd/labelled, oscd/unlabelled and fires.
        names: keys of `OBJECTIVES`, or "random" for an untrained encoder.
        seeds: of weights, tiles and noise.
        stored: of an earlier call; runs under other settings in it are dropped.
        fused: also fly each network under the shipped score.
        keep: called with the result after every run.

    Returns:
        {"settings", "network": per kind, "metrics": "objective/seed" -> figures 0..1}.

    Raises:
        InputError: imagery is missing.
    """
    fixed = {"steps": settings.steps, "batch": settings.batch, "training": TRAINING}
    done = stored.get("metrics", {}) if stored.get("settings") == fixed else {}
    result: dict[str, Any] = {"settings": fixed, "network": {}, "metrics": dict(done)}
    wanted = [(SHIPPED, 0), (NO_LATENT, 0), *((name, seed) for seed in seeds for name in names)]
    for kind, (folder, bundle) in KINDS.items():
        model = load_bundle(bundle)
        scenes, _ = load_scenes(find_folders([data / TRAINING]), model.bands, model.normalise)
        pairs = labelled_cells(data / folder, model)
        result["network"][kind] = describe_network(Ravaen(RavaenConfig(len(model.bands))))
        for name, seed in wanted:
            run = result["metrics"].setdefault(f"{name}/{seed}", {})
            if kind in run and ("fused_tile_ap" in run[kind] or not fused):
                continue
            progress(f"{kind}: {name}, seed {seed}")
            encoder, figures = _encoder(model, scenes, name, seed, settings)
            if encoder is not None:
                figures |= score_latents(pairs, encoder)
            if fused or name in (SHIPPED, NO_LATENT):
                figures["fused_tile_ap"] = _fly(data / folder, model, encoder)
            run[kind] = figures
            keep(result)
    return result


def _encoder(
    model: Bundle, scenes: Sequence[Scene], name: str, seed: int, settings: FamilySettings
) -> tuple[Encoder | None, dict[str, float]]:
    """What is to be scored, and what is known of its training."""
    if name in (SHIPPED, NO_LATENT):
        return (load_encoder(model, "onnx", "fp32") if name == SHIPPED else None), {}
    recipe = EncoderRecipe(
        name=model.name, bands=model.bands, model=RavaenConfig(len(model.bands)), rule=model.normalise, seed=seed,
        steps=settings.steps, batch=settings.batch, objective="vae" if name == RANDOM else name,
    )  # fmt: skip
    torch.manual_seed(seed)
    net, objective = Ravaen(recipe.model), OBJECTIVES[recipe.objective](recipe)
    start = time.process_time()
    if name != RANDOM:
        with tempfile.TemporaryDirectory() as folder:
            net = load_checkpoint(fit(recipe, scenes, [], {}, Path(folder), progress=False, accelerator="cpu")).net
    seconds = 0.0 if name == RANDOM else round(time.process_time() - start, 1)
    encoder = TorchEncoder(net, objective, model.artefact("onnx", "fp32"), sample_cells(scenes, 2048, seed=0))
    return encoder, {"parameters_of_heads": float(parameters(objective)), "training_cpu_seconds": seconds}


def _fly(folder: Path, model: Bundle, encoder: Encoder | None) -> float:
    """Average precision of the shipped score by the flight path; with no encoder, of the same without latents."""
    rule = ScoreRule.from_dict(model.score)
    changed = replace(model, score=(rule if encoder else replace(rule, latent=0.0)).to_dict())
    found = evaluate_change(folder, changed, precision="fp32", quick=True, encoder=encoder)
    return found.metrics["ours"]["tile_ap"]
