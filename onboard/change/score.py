"""The score: how far a new look at a cell lies from what is remembered of it. Pure arrays.

RaVAEn (Ruzicka et al. 2022, eq. 1): S(x_t) = min over i = 1..k of d(x_t-i, x_t) over clear history of the same model,
so that a change which has been seen before (snow, harvest, tide) is no longer news. The distance d is that of the
latents, or the surprise of `pair`, which knows what is usual between the two passes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onboard.change.distance import latent_distance
from onboard.change.pair import Comparison
from onboard.change.record import Records, is_clear
from onboard.change.rule import ScoreRule
from onboard.infer.bundle import Tensor

F32 = NDArray[np.float32]


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
    best = np.full(len(now), np.inf, dtype=np.float32)
    used = np.zeros(len(now), dtype=np.int64)
    clear = is_clear(now)
    for records, comparison in past:
        chosen = clear & is_clear(records) & (used < history)
        everything = bool(chosen.all())
        if not chosen.any():
            continue
        a, b = (now, records) if everything else (now[chosen], records[chosen])
        if rule.rule == "surprise":
            assert comparison is not None
            distance = comparison.score(a, b, latent_distance(a["latent"], b["latent"], output, "euclidean"))
        else:
            distance = latent_distance(a["latent"], b["latent"], output, rule.rule)
        best[chosen] = np.minimum(best[chosen], distance)
        used[chosen] += 1
    best[used == 0] = np.nan
    return probability(best, rule) if rule.rule == "surprise" else best


def probability(score: F32, rule: ScoreRule) -> F32:
    """Calibrated probability of change, float32 of the same shape: Platt scaling (see `ScoreRule`)."""
    a, b = rule.calibration
    logit = np.log(rule.prior / (1 - rule.prior)) + a + b * score.astype(np.float64)
    return np.asarray(1 / (1 + np.exp(-logit)), dtype=np.float32)
