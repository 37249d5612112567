"""Counting a run: cells by status, score quantiles, agreement with a truth. Shared by summary.json and report.html."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard.report.metrics import Curve, Reliability, precision_recall, recall_at, reliability
from onboard.report.outcome import CellStatus, Detection, PassResult

POSITIVE_SHARE = 0.05
"""A cell truly changed when more than this share of its valid pixels did (RaVAEn's tile rule)."""

RECALL_SHARES = (0.01, 0.05, 0.10, 0.25)
QUANTILES = {"min": 0.0, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True)
class Cells:
    """Cells of one or several passes by what became of them; `total` is their sum."""

    total: int = 0
    scored: int = 0
    unknown: int = 0
    first_look: int = 0
    not_looked_at: int = 0

    @property
    def looked_at(self) -> int:
        """Cells whose pixels were read, whatever came of it."""
        return self.total - self.not_looked_at


@dataclass(frozen=True)
class Agreement:
    """How well scores order the cells by a truth.

    Attributes:
        cells, positives: scored cells with a truth, and those of them that truly changed.
        average_precision: 0..1; nan without a positive.
        recall: by share of the cells taken (`RECALL_SHARES`), 0..1.
        curve: precision over recall.
        reliability: of scores that are probabilities, else None.
    """

    cells: int
    positives: int
    average_precision: float
    recall: dict[float, float]
    curve: Curve
    reliability: Reliability | None = None


def count(passes: Iterable[PassResult]) -> Cells:
    """Cells by status, summed over passes."""
    by_status = np.zeros(len(CellStatus), np.int64)
    for result in passes:
        by_status += np.bincount(result.status.ravel(), minlength=len(CellStatus))[: len(CellStatus)]
    missed, unknown, first, scored = (int(n) for n in by_status)
    return Cells(missed + unknown + first + scored, scored, unknown, first, missed)


def scores_of(result: PassResult) -> NDArray[np.float32]:
    """Scores of the scored cells, float32 (n,), row by row."""
    values: NDArray[np.float32] = result.score[(result.status == CellStatus.SCORED) & np.isfinite(result.score)]
    return values


def quantiles(result: PassResult) -> dict[str, float]:
    """Score quantiles by the names of `QUANTILES`; empty where nothing was scored."""
    values = scores_of(result)
    if not values.size:
        return {}
    found = np.quantile(values.astype(np.float64), list(QUANTILES.values()))
    return {name: float(value) for name, value in zip(QUANTILES, found, strict=True)}


def agree(passes: Iterable[PassResult], prior: float | None = None) -> Agreement | None:
    """Agreement pooled over the scored cells of all passes that carry a truth; None where none does.

    Args:
        prior: that the scores are probabilities under; None where they are distances.
    """
    truths, scores = [], []
    for result in passes:
        if result.truth is not None:
            known = (result.status == CellStatus.SCORED) & np.isfinite(result.score) & np.isfinite(result.truth)
            truths.append(result.truth[known] > POSITIVE_SHARE)
            scores.append(result.score[known])
    if not truths:
        return None
    truth, score = np.concatenate(truths), np.concatenate(scores)
    curve = precision_recall(truth, score)
    return Agreement(
        cells=truth.size,
        positives=int(truth.sum()),
        average_precision=curve.average_precision,
        recall=dict(zip(RECALL_SHARES, recall_at(truth, score, RECALL_SHARES), strict=True)),
        curve=curve,
        reliability=None if prior is None else reliability(truth, score, prior),
    )


def chosen_hits(detections: Sequence[Detection]) -> tuple[int, int]:
    """(truly changed, all) among the chosen cells whose truth is known; precision at the chosen is their ratio."""
    known = [d.truth for d in detections if d.truth is not None and math.isfinite(d.truth)]
    return sum(truth > POSITIVE_SHARE for truth in known), len(known)
