"""Figures of merit of alarms over a forest: losses found, false alarms, finds. Pure arrays; see `nrt`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ground.scenes.forest import LOST_SHARE, SPARED_SHARE, Loss, logging_year, year_end
from onboard.report.metrics import average_precision

F32 = NDArray[np.float32]

RECALLS = (0.5, 0.75, 0.9)
THRESHOLDS = {"ours": 0.5, "harmonic_16": 3.0, "forecaster": 3.0, "forecaster_yearly": 3.0}
"""Declared, not fitted: even odds for a probability; three spreads for residuals, the custom of CCDC."""
SPARED, SMALL, LOST = 0, 1, 2


@dataclass(frozen=True)
class Find:
    """Alarms of one cell in one logging year.

    Attributes:
        first: index of the first look that alarmed.
        kind: LOST, SMALL or SPARED: whether the reference agrees.
        score: the highest.
    """

    cell: int
    year: int
    first: int
    alarms: int
    kind: int
    score: float


def kinds_of(losses: Sequence[Loss], times: Sequence[datetime], cells: int) -> NDArray[np.int64]:
    """LOST, SMALL or SPARED of each look at each cell, int64 (T, N)."""
    kinds = np.full((len(times), cells), SPARED, dtype=np.int64)
    for loss in losses:
        kind = LOST if loss.share > LOST_SHARE else SMALL if loss.share > SPARED_SHARE else SPARED
        inside = [loss.after < time < year_end(loss.year) or loss.after < time <= loss.until for time in times]
        kinds[inside, loss.cell] = np.maximum(kinds[inside, loss.cell], kind)
    return kinds


def judge(
    name: str, score: F32, losses: Sequence[Loss], kinds: NDArray[np.int64], times: Sequence[datetime]
) -> dict[str, float]:
    """Figures of one method.

    Returns:
        scored: looks at cells with a score. cell_year_ap: average precision over cells and logging years that have a
        clear kind, each ranked by its highest score. false_alarms_at_<p>pct: false alarms at the threshold that finds
        p % of the losses, and their share of the looks that could give one. With a declared threshold also losses_found
        and false_alarms, per date too.
    """
    quiet = score[(kinds == SPARED) & np.isfinite(score)]
    best = _best_of_losses(score, losses, times)
    result: dict[str, float] = {"scored": int(np.isfinite(score).sum()), "losses": len(best)}
    result["cell_year_ap"] = _year_ap(score, losses, kinds, times)
    for recall in RECALLS if len(best) else ():
        threshold = np.sort(best)[::-1][max(int(np.ceil(recall * len(best))), 1) - 1]
        count = int((quiet >= threshold).sum()) if np.isfinite(threshold) else len(quiet)
        result[f"false_alarms_at_{100 * recall:.0f}pct"] = count
        result[f"false_alarm_share_at_{100 * recall:.0f}pct"] = count / max(len(quiet), 1)
    declared = THRESHOLDS.get(name.removesuffix("_confirmed"))
    if declared is not None:
        result["threshold"] = declared
        result["losses_found"] = int((best > declared).sum())
        result["false_alarms"] = int((quiet > declared).sum())
        result["false_alarms_per_date"] = result["false_alarms"] / len(times)
        result["false_alarm_share"] = result["false_alarms"] / max(len(quiet), 1)
    return result


def _best_of_losses(score: F32, losses: Sequence[Loss], times: Sequence[datetime]) -> NDArray[np.float64]:
    """The highest score within each loss; -inf where none was scored."""
    best = []
    for loss in losses:
        if loss.share > LOST_SHARE:
            inside = [loss.after < t < year_end(loss.year) or loss.after < t <= loss.until for t in times]
            best.append(np.max(score[inside, loss.cell], initial=-np.inf, where=np.isfinite(score[inside, loss.cell])))
    return np.array(best, dtype=np.float64)


def _year_ap(score: F32, losses: Sequence[Loss], kinds: NDArray[np.int64], times: Sequence[datetime]) -> float:
    known = np.array([logging_year(time) for time in times])
    covered = {loss.year for loss in losses if loss.share > LOST_SHARE}
    share: dict[tuple[int, int], float] = {(loss.cell, loss.year): loss.share for loss in losses}
    truth, best = [], []
    for year in sorted(covered):
        for cell in range(kinds.shape[1]):
            lost = share.get((cell, year), 0.0)
            values = score[known == year, cell]
            values = values[np.isfinite(values)]
            if lost > LOST_SHARE or lost <= SPARED_SHARE:
                truth.append(lost > LOST_SHARE)
                best.append(values.max() if len(values) else -1e9)
    return average_precision(np.array(truth, dtype=bool), np.array(best)) if truth else float("nan")


def find_alarms(score: F32, threshold: float, times: Sequence[datetime], kinds: NDArray[np.int64]) -> list[Find]:
    """Alarms of a cell in one logging year are one find, by date of the first."""
    groups: dict[tuple[int, int], list[int]] = {}
    for look, cell in np.argwhere(np.nan_to_num(score, nan=-np.inf) > threshold).tolist():
        groups.setdefault((cell, logging_year(times[look])), []).append(look)
    finds = [
        Find(cell, year, looks[0], len(looks), int(kinds[looks, cell].max()), float(score[looks, cell].max()))
        for (cell, year), looks in groups.items()
    ]
    return sorted(finds, key=lambda find: (find.first, find.cell))
