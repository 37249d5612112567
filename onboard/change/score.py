"""The score: how far a new look at a cell lies from what is remembered of it. Pure arrays.

RaVAEn (Ruzicka et al. 2022, eq. 1): S(x_t) = min over i = 1..k of d(x_t-i, x_t) over clear history of the same model,
so that a change which has been seen before (snow, harvest, tide) is no longer news. With the distance of latents that
is what is computed. The surprise of `pair` is on a scale of log odds and much noisier from pass to pass than what it
is there to find: its minimum is a soft one, -t ln mean exp(-S_i / t), which one quiet look still decides but which does
not fall with every look that happens to be a little quieter than the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onboard.change.distance import latent_distance
from onboard.change.pair import Comparison, Weights
from onboard.change.record import Records, is_clear
from onboard.change.rule import ScoreRule
from onboard.change.seen import Pair
from onboard.infer.bundle import Tensor
from onboard.native.compare import unexplained
from onboard.native.records import MAX_LATENTS

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

BATCH = 512
"""Cells at a time: 6 KB each, and enough of them that what a call costs does not count."""


def score_cells(
    now: Records,
    past: Sequence[tuple[Records, Comparison | None]],
    rule: ScoreRule,
    output: Tensor,
    history: int,
    clear: Mask | None = None,
) -> F32:
    """Score each cell of a chunk.

    Args:
        now: records of the new pass, (N,).
        past: records (N,) of past passes, newest first, all zero where a cell was not seen; each with its comparison
            (needed by "surprise" only).
        rule: which distance, and its constants.
        output: the artefact's output tensor.
        history: k, how many clear past looks count.
        clear: bool (L, N), which cells are clear in both looks, where the caller knows.

    Returns:
        float32 (N,), higher = more change: for "surprise" a probability 0..1 under the rule's prior, else a distance;
        nan where the new look or all of the past is not clear.
    """
    if clear is None:
        clear = np.array([is_clear(one) for one, _ in past], np.bool_).reshape(len(past), len(now)) & is_clear(now)
    chosen = clear & (np.cumsum(clear, axis=0) <= history)
    score = np.full(len(now), np.nan, dtype=np.float32)
    counted = np.flatnonzero(chosen.any(axis=1)).tolist()
    least = _surprise if rule.rule == "surprise" else _distance
    for start in range(0, len(now), BATCH) if counted else ():
        part = np.s_[start : start + BATCH]
        looks = [Look(past[i][0][part], past[i][1]) for i in counted]
        score[part] = least(now[part], looks, np.ascontiguousarray(chosen[counted, part]), rule, output)
    return probability(score, rule) if rule.rule == "surprise" else score


class Look(NamedTuple):
    """A past pass: its records (N,), and what compares them."""

    records: Records
    comparison: Comparison | None


def _distance(now: Records, looks: Sequence[Look], chosen: Mask, rule: ScoreRule, output: Tensor) -> F32:
    """Least distance of latents to the looks that a cell counts, chosen (L, N): float32 (N,); nan without any."""
    best = np.full(len(now), np.inf, dtype=np.float32)
    for (records, _), counts in zip(looks, chosen, strict=True):
        distance = latent_distance(now["latent"], records["latent"], output, rule.rule)
        np.minimum(best, np.where(counts, distance, np.float32(np.inf)), out=best)
    return np.where(chosen.any(axis=0), best, np.float32(np.nan))


def _surprise(now: Records, looks: Sequence[Look], chosen: Mask, rule: ScoreRule, output: Tensor) -> F32:
    """Soft minimum over history of what each past pass leaves unexplained, float32 (N,); nan without a look."""
    score = _together(now, looks, chosen, rule, output)
    if score is None:
        score = _one_by_one(now, looks, chosen, rule, output)
    against = np.where(chosen, np.exp(score.astype(np.float64) / -rule.softness), 0).sum(axis=0)
    used = chosen.sum(axis=0)
    against[used == 0] = np.nan
    return np.asarray(-rule.softness * np.log(against / np.maximum(used, 1)), dtype=np.float32)


def _one_by_one(now: Records, looks: Sequence[Look], chosen: Mask, rule: ScoreRule, output: Tensor) -> F32:
    """What each look leaves unexplained, float32 (L, N).

    What shows no event against one look is not asked for one against older ones: it was there before.
    """
    pair, news, found = Pair(now), np.ones(len(now), dtype=bool), []
    for (records, comparison), counts in zip(looks, chosen, strict=True):
        assert comparison is not None
        distance = latent_distance(now["latent"], records["latent"], output, "euclidean") if rule.latent else None
        score = comparison.unexplained(pair.against(records), distance)
        event = comparison.event(pair, news & counts)
        news &= (event > 0) | ~counts
        found.append(score + event)
    return np.array(found, np.float32)


def _together(now: Records, looks: Sequence[Look], chosen: Mask, rule: ScoreRule, output: Tensor) -> F32 | None:
    """The same by one call of compiled code, where all of it is compiled; else one by one, with events by NumPy."""
    comparisons = [one.comparison for one in looks if isinstance(one.comparison, Comparison)]
    compiled = [one.compiled for one in comparisons]
    usual = [one[0] for one in compiled if one is not None]
    if len(usual) < len(looks) or (rule.latent and now.dtype["latent"].shape[0] > MAX_LATENTS):
        return None
    events = [one[1] for one in compiled if one is not None]
    records = [one.records for one in looks]
    found = unexplained(now, records, usual, events, chosen, output.scale if rule.latent else None)
    weights = Weights.stacked(tuple(one.weights for one in comparisons))
    score = weights.add_up(found.residual, found.loss, found.water, found.distance if rule.latent else None)
    return score + weights.event * found.evidence


def probability(score: F32, rule: ScoreRule) -> F32:
    """Calibrated probability of change, float32 of the same shape: Platt scaling (see `ScoreRule`)."""
    a, b = rule.calibration
    logit = np.log(rule.prior / (1 - rule.prior)) + a + b * score.astype(np.float64)
    return np.asarray(1 / (1 + np.exp(-logit)), dtype=np.float32)
