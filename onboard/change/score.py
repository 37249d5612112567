"""The score: how far a new look at a cell lies from what is remembered of it. Pure arrays.

RaVAEn (Ruzicka et al. 2022, eq. 1): S(x_t) = min over i = 1..k of d(z_t-i, z_t) over clear history of the same model,
so that a change which has been seen before (snow, harvest, tide) is no longer news.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.change.record import FLAG_CLEAR, Records
from onboard.config import DEFAULT_HISTORY, SCORE_RULES
from onboard.errors import BundleError
from onboard.infer.bundle import Tensor

F32 = NDArray[np.float32]


def latent_distance(now: NDArray[np.uint8], past: NDArray[np.uint8], output: Tensor, rule: str) -> F32:
    """Distance of latents on their artefact's own scale.

    Args:
        now, past: stored latents, uint8 (N, L).
        output: scale and zero point.
        rule: "cosine" (1 - cosine similarity, 0..2) or "euclidean" (in units of the latent).

    Returns:
        float32 (N,).
    """
    a = now.astype(np.float32) - np.float32(output.zero_point)
    b = past.astype(np.float32) - np.float32(output.zero_point)
    if rule == "cosine":
        dot = np.einsum("nl,nl->n", a, b)
        norms = np.sqrt(np.einsum("nl,nl->n", a, a) * np.einsum("nl,nl->n", b, b))
        return np.asarray(1.0 - dot / np.maximum(norms, 1e-12), dtype=np.float32)
    if rule == "euclidean":
        a -= b
        return np.asarray(np.sqrt(np.einsum("nl,nl->n", a, a)) * np.float32(output.scale), dtype=np.float32)
    raise BundleError(f"score rule {rule!r} is not known; this software has {', '.join(SCORE_RULES)}")


class Scorer:
    """Scores new records against past ones by the rule of a bundle.

    Args:
        rule: `score` of the manifest, e.g. {"rule": "cosine"}; `--score` on the command line replaces it.
        output: the artefact's output tensor.
        history: k, how many clear past looks count.
    """

    def __init__(self, rule: Mapping[str, Any], output: Tensor, history: int = DEFAULT_HISTORY) -> None:
        self.rule = str(rule.get("rule", "cosine"))
        if self.rule not in SCORE_RULES:
            raise BundleError(f"score rule {self.rule!r} is not known; this software has {', '.join(SCORE_RULES)}")
        self.output = output
        self.history = history

    def score(self, now: Records, past: Sequence[Records]) -> F32:
        """Score each cell.

        Args:
            now: records of the new pass, (N,).
            past: records of past passes, newest first, each (N,); cells not seen then are all zero.

        Returns:
            float32 (N,), higher = more change; nan where the new look or all of the past is not clear.
        """
        best = np.full(len(now), np.inf, dtype=np.float32)
        used = np.zeros(len(now), dtype=np.int64)
        clear_now = (now["flags"] & FLAG_CLEAR) != 0
        for records in past:
            pick = np.flatnonzero(clear_now & ((records["flags"] & FLAG_CLEAR) != 0) & (used < self.history))
            if not len(pick):
                continue
            distance = latent_distance(now["latent"][pick], records["latent"][pick], self.output, self.rule)
            best[pick] = np.minimum(best[pick], distance)
            used[pick] += 1
        best[used == 0] = np.nan
        return best
