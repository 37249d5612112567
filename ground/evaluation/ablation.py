"""`ground evaluate ablation`: what each part of the score adds, by the flight path on labelled pairs, as a table.

Each variant changes one thing of the shipped rule. Results are stored as JSON and the table is written from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ground.evaluation.change import Evaluation, evaluate_change
from ground.evaluation.cost import Meter
from onboard.change.rule import ScoreRule
from onboard.infer.bundle import load_bundle

VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "shipped": ("the shipped rule", {}),
    "cosine": ("RaVAEn's score: cosine distance of latents alone", {"rule": "cosine"}),
    "euclidean": ("Euclidean distance of latents alone", {"rule": "euclidean"}),
    "no-latent": ("without the latents", {"latent": 0.0}),
    "more-latent": ("latents weighted three times", {"latent": 0.3}),
    "no-loss": ("without the loss of vegetation", {"loss": 0.0}),
    "loss-ungated": (
        "loss of vegetation in every scene, whatever its gains",
        {"loss_power": 0.0, "loss": 8.0, "water": 0.0},
    ),
    "no-water": ("without the gain of water (no flood is among these scenes)", {"water": 0.0}),
    "no-event": ("without the head for events", {"event": 0.0}),
    "event-ungated": ("the head for events in every scene", {"event_scale": 1e-9}),
    "no-rarity": ("a loss counts fully where the past was unusual", {"rarity": 1e6}),
    "no-cell-mean": ("the cell's mean residual counts fully", {"cell_mean": 0.0}),
    "whole-cell": ("mean over all sub-cells instead of the greatest", {"top_fine": 64, "top_coarse": 16}),
}


def run_ablation(cities: Path, fires: Path, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Every variant on `cities` with bundle s2-10 and on `fires` with bundle fire; figures 0..1."""
    rows, meter = {}, Meter(load_bundle("s2-10"))
    for name, (text, changes) in VARIANTS.items():
        progress(name)
        found = {"cities": _evaluate(cities, "s2-10", changes), "fires": _evaluate(fires, "fire", changes)}
        rows[name] = {
            "what": text,
            "change": dict(changes),
            **{f"{kind}_tile_ap": one.metrics["ours"]["tile_ap"] for kind, one in found.items()},
            **{f"{kind}_pixel_auprc": one.metrics["ours"]["pixel_auprc"] for kind, one in found.items()},
            "cities_tile_ap_all": found["cities"].metrics["ours"]["tile_ap_all"],
            **asdict(meter.measure(_rule("s2-10", changes))),
        }
    return {"metrics": rows}


def _evaluate(folder: Path, bundle: str, changes: Mapping[str, Any]) -> Evaluation:
    return evaluate_change(folder, replace(load_bundle(bundle), score=_rule(bundle, changes).to_dict()), quick=True)


def _rule(bundle: str, changes: Mapping[str, Any]) -> ScoreRule:
    return replace(ScoreRule.from_dict(load_bundle(bundle).score), **changes)


def table(result: Mapping[str, Any]) -> str:
    """Markdown: average precision x 100, and the cost on one thread (ten bands, three past looks)."""
    lines = [
        "| variant | cities | all 8 cities | fires | pixel AUPRC cities | fires | parameters | score + encode, us |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    columns = ("cities_tile_ap", "cities_tile_ap_all", "fires_tile_ap", "cities_pixel_auprc", "fires_pixel_auprc")
    lines += [
        f"| {row['what']} | "
        + " | ".join(f"{100 * row[key]:.1f}" for key in columns)
        + f" | {row['parameters']:,} | {row['score_us']:.0f} + {row['encode_us']:.0f} |"
        for row in result["metrics"].values()
    ]
    return "\n".join(lines)
