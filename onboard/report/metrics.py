"""Ranking metrics against a truth, in numpy alone. Ties are one threshold: no result depends on the order of equals.

Every function takes `truth` bool (N,) and `score` float (N,), higher = more change, without nan. `downlink` and
`ground evaluate` judge by the same functions, so a figure in a report and a figure in a benchmark mean the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Truth = NDArray[np.bool_]
Scores = NDArray[np.floating[Any]]


class Curve(NamedTuple):
    """Precision and recall at each distinct score, from the highest (nearly nothing taken) to the lowest (all taken).

    All float64 (T,): `threshold` takes every sample with score >= it.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    threshold: NDArray[np.float64]

    @property
    def average_precision(self) -> float:
        """Step-wise area below the curve; nan where it is empty."""
        return float(np.sum(np.diff(self.recall, prepend=0.0) * self.precision)) if self.recall.size else math.nan


class Reliability(NamedTuple):
    """How often cells changed that were given a probability, by bins of it. All (n,), bins without a cell left out.

    `stated`: mean probability; `observed`: share that changed, had the declared prior's share of all cells done so;
    `cells`: how many.
    """

    stated: NDArray[np.float64]
    observed: NDArray[np.float64]
    cells: NDArray[np.int64]


RELIABILITY_BINS = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0)


def reliability(truth: Truth, probability: Scores, prior: float) -> Reliability:
    """The reliability diagram of a calibrated probability, reweighted to its declared prior.

    Args:
        prior: share of changed cells that the probability is declared under, 0..1.
    """
    bins = np.clip(np.digitize(probability, RELIABILITY_BINS) - 1, 0, len(RELIABILITY_BINS) - 2)
    share = truth.mean() if truth.size else 0.0
    if not 0.0 < share < 1.0:
        return Reliability(np.empty(0), np.empty(0), np.empty(0, np.int64))
    weight = np.where(truth, prior / share, (1 - prior) / (1 - share))
    count, total, hits, stated = (
        np.bincount(bins, w, len(RELIABILITY_BINS) - 1)
        for w in (None, weight, weight * truth, probability.astype(np.float64))
    )
    some = count > 0
    return Reliability(stated[some] / count[some], hits[some] / total[some], count[some].astype(np.int64))


def average_precision(truth: Truth, score: Scores) -> float:
    """Step-wise average precision, sum over thresholds of (R_n - R_n-1) P_n, 0..1; nan without a positive.

    The definition of `sklearn.metrics.average_precision_score`: no interpolation, which would be too kind.
    """
    return precision_recall(truth, score).average_precision


def precision_recall(truth: Truth, score: Scores) -> Curve:
    """The precision-recall curve; empty without a positive, for recall is then undefined.

    Raises:
        ValueError: shapes differ, or a score is nan.
    """
    taken, hits, threshold = _steps(truth, score)
    if not hits.size or hits[-1] == 0:
        nothing = np.empty(0, np.float64)
        return Curve(nothing, nothing, nothing)
    return Curve(hits / taken, hits / hits[-1], threshold)


def recall_at(truth: Truth, score: Scores, shares: Iterable[float]) -> list[float]:
    """Share of the positives among the best `share` of the samples, 0..1 each; nan without a positive.

    A budget that ends inside a group of equal scores gets that group's mean (what a random order among equals gives on
    average), and a fraction of a sample counts as that fraction: 1 % of 132 tiles is 1.32 tiles.
    """
    taken, hits, _ = _steps(truth, score)
    wanted = [share * score.size for share in shares]
    if not hits.size or hits[-1] == 0:
        return [math.nan for _ in wanted]
    found = np.interp(wanted, np.concatenate(([0], taken)), np.concatenate(([0], hits)))
    return [float(value) for value in found / hits[-1]]


def _steps(truth: Truth, score: Scores) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Samples taken, positives among them and the score, at the end of each group of equal scores, highest first."""
    if truth.shape != score.shape or truth.ndim != 1:
        raise ValueError(f"truth {truth.shape} and score {score.shape} must be one-dimensional and equally long")
    if np.isnan(score).any():
        raise ValueError("a score is nan: leave out what was not scored")
    order = np.argsort(score, kind="stable")[::-1]
    ranked = score[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if ranked.size else np.empty(0, np.int64)
    hits = np.cumsum(truth[order], dtype=np.int64)[last]
    return last.astype(np.int64) + 1, hits, ranked[last].astype(np.float64)
