"""How much directed evidence counts: what it exceeds its mirror image by, over all of a place's history. Pure arrays.

`usual.fit_history` collects the evidence of each pair of passes; the weights are common to all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onboard.change.event import exceeding
from onboard.change.rule import ScoreRule
from onboard.change.subcells import top_root_mean

F32 = NDArray[np.float32]

LEVELS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)
"""Quantiles of the mirror image that are tried as levels."""


class Evidence(NamedTuple):
    """Evidence of a sample's sub-cells that has a direction in time, its mirror image after it.

    Losses of vegetation and gains of water squared, float32 (n, 16); log odds of an event, (n, 64). inf where hidden.
    """

    loss: F32
    gain: F32
    wet: F32
    dry: F32
    event: F32
    undone: F32


class Weights(NamedTuple):
    """0..1: how much the loss of vegetation, the gain of water and the log odds of an event count.

    event_above: what the evidence of an event must exceed to count, 0 or more.
    """

    loss: float
    water: float
    event: float
    event_above: float


def weigh(evidence: Sequence[tuple[NDArray[np.bool_], Evidence]], history: int, rule: ScoreRule) -> Weights:
    """Weights of the loss of vegetation, the gain of water and events, common to all pairs of an acquisition.

    What is new is there against every past pass; what a season does is not, for some past pass was in the same season.
    So the least evidence over the clear history of each sub-cell counts, and so does the least of its mirror image. A
    weight of each pair's own would not do: the minimum over history would take the pair that happens not to see a
    disaster.

    Args:
        evidence: of each past pass, newest first: which cells of the sample it is of, bool (N,), and what it is.
        history: k, how many clear past looks count.
    """
    if not evidence:
        return Weights(0.0, 0.0, 0.0, 0.0)
    clear = np.array([where for where, _ in evidence])
    used = clear & (np.cumsum(clear, axis=0) <= history)
    known = used.sum(axis=0) >= min(2, len(evidence))
    if not known.any():
        known = used.any(axis=0)
    least = []
    for values in zip(*(one for _, one in evidence), strict=True):
        each = np.full((*clear.shape, *values[0].shape[1:]), np.inf, dtype=np.float32)
        for row, where, value in zip(each, clear, values, strict=True):
            row[where] = value
        each[~used] = np.inf
        least.append(each.min(axis=0)[known])
    loss, gain = (_pooled(one, rule.top_coarse) for one in least[:2])
    wet, dry = (_pooled(one, rule.top_water) for one in least[2:4])
    event, undone = (exceeding(one, rule.event_floor, rule.top_event) for one in least[4:])
    above = _clearest(event, undone)
    event, undone = (np.maximum(one - np.float32(above), 0) for one in (event, undone))
    return Weights(
        _excess(loss, gain, rule.loss_scale, rule.loss_power),
        _excess(wet, dry, rule.water_scale, rule.loss_power),
        _excess(event, undone, rule.event_scale, 1.0),
        above,
    )


def _clearest(effect: F32, mirrored: F32) -> float:
    """The level, 0 or more, above which an effect exceeds its mirror image most, in mean squares.

    A season that undoes a little in many cells does not silence what happened to a few: the mirror image, which nothing
    but seasons and weather makes, tells up to which level they go.
    """
    levels = np.unique(np.quantile(mirrored, LEVELS).astype(np.float32))
    excess = [
        (np.maximum(effect - level, 0) ** 2).mean() - (np.maximum(mirrored - level, 0) ** 2).mean() for level in levels
    ]
    return float(levels[int(np.argmax(excess))])


def _pooled(squares: F32, top: int) -> F32:
    """Mean of a cell's greatest roots; nothing where hidden in every pass."""
    return top_root_mean(np.where(np.isinf(squares), np.float32(0), squares), top)


def _excess(effect: F32, mirrored: F32, scale: float, power: float) -> float:
    """0..1: how far an effect exceeds its mirror image, in mean squares."""
    excess = max(float((effect**2).mean() - (mirrored**2).mean()), 0.0) if effect.size else 0.0
    return float((excess / (excess + scale)) ** power)
