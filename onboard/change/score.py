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
from onboard.change.pair import Comparison
from onboard.change.record import Records, is_clear
from onboard.change.rule import ScoreRule
from onboard.change.seen import Pair
from onboard.infer.bundle import Tensor

F32 = NDArray[np.float32]

BATCH = 512
"""Cells at a time: 6 KB each, and enough of them that what a call costs does not count."""


def score_cells(
    now: Records,
    past: Sequence[tuple[Records, Comparison | None]],
    rule: ScoreRule,
    output: Tensor,
    history: int,
) -> F32:
    """Score each cell of a chunk.

    Args:
        now: records of the new pass, (N,).
        past: records (N,) of past passes, newest first, all zero where a cell was not seen; each with its comparison
            (needed by "surprise" only).
        rule: which distance, and its constants.
        output: the artefact's output tensor.
        history: k, how many clear past looks count.

    Returns:
        float32 (N,), higher = more change: for "surprise" a probability 0..1 under the rule's prior, else a distance;
        nan where the new look or all of the past is not clear.
    """
    clear = is_clear(now)
    used = np.zeros(len(now), dtype=np.int64)
    looks: list[Look] = []
    for records, comparison in past:
        chosen = clear & is_clear(records) & (used < history)
        if chosen.any():
            looks.append(Look(records, comparison, chosen))
        used[chosen] += 1
    score = np.full(len(now), np.nan, dtype=np.float32)
    for start in range(0, len(now), BATCH) if looks else ():
        part = slice(start, start + BATCH)
        some = [Look(one.records[part], one.comparison, one.chosen[part]) for one in looks]
        least = _surprise if rule.rule == "surprise" else _distance
        score[part] = least(now[part], some, rule, output)
    score[used == 0] = np.nan
    return probability(score, rule) if rule.rule == "surprise" else score


class Look(NamedTuple):
    """A past pass: its records (N,), what compares them, and which cells count it to their history, bool (N,)."""

    records: Records
    comparison: Comparison | None
    chosen: NDArray[np.bool_]


def _distance(now: Records, looks: Sequence[Look], rule: ScoreRule, output: Tensor) -> F32:
    """Least distance of latents, float32 (N,); inf without a look."""
    best = np.full(len(now), np.inf, dtype=np.float32)
    for records, _, chosen in looks:
        distance = latent_distance(now["latent"], records["latent"], output, rule.rule)
        np.minimum(best, np.where(chosen, distance, np.float32(np.inf)), out=best)
    return best


def _surprise(now: Records, looks: Sequence[Look], rule: ScoreRule, output: Tensor) -> F32:
    """Soft minimum over history of what each past pass leaves unexplained, float32 (N,); nan without a look.

    What shows no event against one look is not asked for one against older ones: it was there before.
    """
    against, pair = np.zeros(len(now)), Pair(now)
    news = np.ones(len(now), dtype=bool)
    for records, comparison, chosen in looks:
        assert comparison is not None
        distance = latent_distance(now["latent"], records["latent"], output, "euclidean") if rule.latent else None
        score = comparison.unexplained(pair.against(records), distance)
        event = comparison.event(pair, news & chosen)
        news &= (event > 0) | ~chosen
        against += np.where(chosen, np.exp((score + event).astype(np.float64) / -rule.softness), 0)
    used = np.sum([look.chosen for look in looks], axis=0)
    against[used == 0] = np.nan
    return np.asarray(-rule.softness * np.log(against / np.maximum(used, 1)), dtype=np.float32)


def probability(score: F32, rule: ScoreRule) -> F32:
    """Calibrated probability of change, float32 of the same shape: Platt scaling (see `ScoreRule`)."""
    a, b = rule.calibration
    logit = np.log(rule.prior / (1 - rule.prior)) + a + b * score.astype(np.float64)
    return np.asarray(1 / (1 + np.exp(-logit)), dtype=np.float32)
