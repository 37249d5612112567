"""Figures of merit of a ranking of tiles. Average precision is scikit-learn's; all results are 0..1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

BYTE_SHARES = (1, 5, 10, 25)
BOOTSTRAP_ROUNDS = 1000


@dataclass(frozen=True)
class Ranked:
    """One scene's tiles under one method, flattened.

    Attributes:
        score: higher = more change; finite.
        positive: bool.
        changed, valid: pixels of each tile.
        size: bytes of each tile's lossless product.
    """

    score: NDArray[np.float64]
    positive: NDArray[np.bool_]
    changed: NDArray[np.int64]
    valid: NDArray[np.int64]
    size: NDArray[np.int64]


def rank_unknown_last(score: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scores with unknown (nan) cells below every known one."""
    flat = np.asarray(score, dtype=np.float64).reshape(-1)
    known = flat[~np.isnan(flat)]
    return np.where(np.isnan(flat), (known.min() if len(known) else 0.0) - 1.0, flat)


def tile_ap(scene: Ranked) -> float:
    """Average precision over tiles; nan without a positive."""
    return _ap(scene.positive, scene.score)


def pixel_auprc(scene: Ranked) -> float:
    """Area under the precision-recall curve over pixels with tile-constant scores (RaVAEn's own metric)."""
    label = np.repeat([True, False], len(scene.score))
    weight = np.concatenate([scene.changed, scene.valid - scene.changed]).astype(np.float64)
    if not scene.changed.any():
        return float("nan")
    return float(average_precision_score(label, np.tile(scene.score, 2), sample_weight=weight))


def recall_at_bytes(scene: Ranked, percent: int) -> float:
    """Share of the positive tiles among the best that fit into `percent` of the scene's bytes; nan without one."""
    if not scene.positive.any():
        return float("nan")
    order = np.argsort(-scene.score, kind="stable")
    fits = np.cumsum(scene.size[order]) <= scene.size.sum() * percent / 100
    return float(scene.positive[order][fits].sum() / scene.positive.sum())


def scene_metrics(scene: Ranked) -> dict[str, float]:
    """All of them by name."""
    recalls = {f"recall_at_{p}pct": recall_at_bytes(scene, p) for p in BYTE_SHARES}
    return {"tile_ap": tile_ap(scene), "pixel_auprc": pixel_auprc(scene), **recalls}


def mean_metrics(scenes: Sequence[Ranked], counted: Sequence[bool], seed: int) -> dict[str, float]:
    """Means over the counted scenes (all of them where none counts), with the mean over all and the pooled figure.

    `tile_ap_low` and `tile_ap_high` bound the headline: 95 % of the means when the tiles of each counted scene are
    drawn anew with replacement.
    """
    every = [scene_metrics(scene) for scene in scenes]
    chosen = [i for i, c in enumerate(counted) if c] or list(range(len(scenes)))
    result = {key: _mean([every[i][key] for i in chosen]) for key in every[0]}
    result["tile_ap_all"] = _mean([item["tile_ap"] for item in every])
    pooled = np.concatenate([s.positive for s in scenes]), np.concatenate([s.score for s in scenes])
    result["tile_ap_pooled"] = _ap(*pooled)
    rng = np.random.default_rng(seed)
    rounds = []
    for _ in range(BOOTSTRAP_ROUNDS if len(chosen) else 0):
        draws = []
        for i in chosen:
            pick = rng.integers(0, len(scenes[i].score), len(scenes[i].score))
            draws.append(_fast_ap(scenes[i].positive[pick], scenes[i].score[pick]))
        rounds.append(_mean(draws))
    result["tile_ap_low"], result["tile_ap_high"] = (float(v) for v in np.nanpercentile(rounds, (2.5, 97.5)))
    return result


def _ap(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    return float(average_precision_score(positive, score)) if positive.any() else float("nan")


def _fast_ap(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Average precision without scikit-learn's checks, for the bootstrap; tied scores (repeated draws) count as one."""
    order = np.argsort(-score, kind="stable")
    ordered, hits = score[order], np.cumsum(positive[order])
    if not len(hits) or hits[-1] == 0:
        return float("nan")
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    hit, seen = hits[last], last + 1
    return float((np.diff(hit, prepend=0) * hit / seen).sum() / hits[-1])


def _mean(values: Sequence[float]) -> float:
    finite = [v for v in values if not np.isnan(v)]
    return float(np.mean(finite)) if finite else float("nan")
